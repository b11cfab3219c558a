"""A Windmill nobody has set up, in memory: as much of a real 1.743.0 as `wmctl instance init` asks for.

Every answer here is one a real server gave to the same request.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

SUPERADMIN = "superadmin_secret@windmill.dev"
SEED = "admin@windmill.dev"
_Answer = tuple[int, object]


@contextmanager
def at_an_address(windmill: NewWindmill) -> Iterator[str]:
    """Serve it on a free port of this machine, for who reaches a Windmill by its address; the address."""

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            whose = {"authorization": self.headers.get("authorization", "")}
            request = httpx.Request(
                self.command, f"http://windmill{self.path}", content=content, headers=whose
            )
            answer = asyncio.run(windmill.handle_async_request(request))
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers.get("content-type", "application/json"))
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def do_GET(self) -> None:
            self.do_POST()

        def do_DELETE(self) -> None:
            self.do_POST()

        def log_message(self, *_said: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class NewWindmill(httpx.AsyncBaseTransport):
    """The instance, and every write that reached it. `setting_passwords` False is the open-source build."""

    def __init__(self, *, caller: str = SUPERADMIN, setting_passwords: bool = False) -> None:
        self.caller = caller
        self.setting_passwords = setting_passwords
        self.settings: dict[str, object] = {"retention_period_secs": 2_592_000, "custom_tags": ["chromium"]}
        self.workspaces: dict[str, dict[str, Any]] = {"admins": {}}
        self.seed: dict[str, object] = {"password": "changeme", "disabled": False}
        self.writes: list[str] = []
        self.restart: list[str] = ["serves", "announced"]
        """What the requests after the last setting find: it serves, has announced a restart, or is away."""
        self._routes: list[tuple[str, Callable[..., _Answer]]] = [
            ("GET /users/whoami", self._whoami),
            ("GET /settings/global/(.+)", self._setting),
            ("POST /settings/global/(.+)", self._set),
            ("GET /workspaces/list_as_superadmin", self._workspaces),
            ("POST /workspaces/create", self._create_workspace),
            ("GET /w/(.+)/groups/get/wm_deployers", lambda _body, _where: (200, {})),
            ("GET /w/(.+)/users/list", self._users),
            ("POST /w/(.+)/workspaces/add_user", self._add_user),
            ("GET /w/(.+)/folders/get/(.+)", self._folder),
            ("POST /w/(.+)/folders/create", self._create_folder),
            ("POST /w/(.+)/folders/update/(.+)", self._update_folder),
            ("GET /w/(.+)/variables/get/(.+)", self._variable),
            ("POST /w/(.+)/variables/create", self._create_variable),
            ("POST /auth/login", self._log_in),
            ("POST /auth/logout", lambda _body: (200, "logged out")),
            ("POST /users/update/.+", self._disable),
            ("POST /users/set_password_of/.+", self._set_password),
        ]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer as the real one did."""
        asked = f"{request.method} {request.url.path.removeprefix('/api')}"
        if "request_size_limit_mb" in self.settings and self.restart:
            look = self.restart.pop(0)
            if look == "announced":
                self.settings["_restart_coordination"] = {"restarts": [{"instance": "abcde"}]}
            elif look == "away":
                raise httpx.ConnectError("refused", request=request)
        if request.method != "GET" and "/auth/" not in asked:
            self.writes.append(asked)
        content = await request.aread()
        body = json.loads(content) if content else None
        for pattern, answer in self._routes:
            if found := re.fullmatch(pattern, asked):
                status, value = answer(body, *found.groups())
                if isinstance(value, str):
                    return httpx.Response(status, text=value, request=request)
                return httpx.Response(status, json=value, request=request)
        raise AssertionError(f"nobody asked a real server {asked}")

    def _whoami(self, _body: object) -> _Answer:
        return 200, {"email": self.caller, "super_admin": self.caller in (SUPERADMIN, SEED)}

    def _setting(self, _body: object, name: str) -> _Answer:
        return 200, self.settings.get(name)

    def _set(self, body: Any, name: str) -> _Answer:
        self.settings[name] = body["value"]
        return 200, ""

    def _workspaces(self, _body: object) -> _Answer:
        return 200, [{"id": name, "deleted": False} for name in self.workspaces]

    def _create_workspace(self, body: Any) -> _Answer:
        self.workspaces[body["id"]] = {"users": [], "folders": {}, "variables": {}}
        return 200, f"Created workspace {body['id']}"

    def _users(self, _body: object, workspace: str) -> _Answer:
        return 200, self.workspaces.get(workspace, {}).get("users", [])

    def _add_user(self, body: Any, workspace: str) -> _Answer:
        name = re.sub(r"\W", "", body["email"].partition("@")[0])
        user = {"email": body["email"], "username": name, "operator": body["operator"], "is_admin": False}
        self.workspaces[workspace]["users"].append(user)
        return 201, "added"

    def _folder(self, _body: object, workspace: str, name: str) -> _Answer:
        folder = self.workspaces.get(workspace, {}).get("folders", {}).get(name)
        return (200, folder) if folder else (404, f"Not found: Folder {name} not found")

    def _create_folder(self, body: Any, workspace: str) -> _Answer:
        mine = "u/superadmin_secret"
        self.workspaces[workspace]["folders"][body["name"]] = {"owners": [mine], "extra_perms": {mine: True}}
        return 200, f"Created folder {body['name']}"

    def _update_folder(self, body: Any, workspace: str, name: str) -> _Answer:
        folder = {**self.workspaces[workspace]["folders"][name], **body}
        if any(not folder["extra_perms"].get(owner) for owner in folder["owners"]):
            return 400, "Bad request: Owner would not have permission to write to folder"
        self.workspaces[workspace]["folders"][name] = folder
        return 200, f"Updated folder {name}"

    def _variable(self, _body: object, workspace: str, path: str) -> _Answer:
        found = self.workspaces.get(workspace, {}).get("variables", {}).get(path)
        if found is None:
            return 404, f"Not found: variable not found at path {path}"
        return 200, {**found, "value": None}

    def _create_variable(self, body: Any, workspace: str) -> _Answer:
        self.workspaces[workspace]["variables"][body["path"]] = body
        return 201, f"variable {body['path']} created"

    def _log_in(self, body: Any) -> _Answer:
        taken = body == {"email": SEED, "password": self.seed["password"]} and not self.seed["disabled"]
        return (200, "a-session-of-platform_core_test") if taken else (400, "Bad request: Invalid login")

    def _disable(self, body: Any) -> _Answer:
        self.seed["disabled"] = body["disabled"]
        return 200, f"email {SEED} updated"

    def _set_password(self, body: Any) -> _Answer:
        if not self.setting_passwords:
            return 500, "Internal: Not implemented in Windmill's Open Source repository"
        self.seed["password"] = body["password"]
        return 200, "password updated"
