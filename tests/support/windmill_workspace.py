"""A stand-in of Windmill's workspace for one test, and people who work in its editor meanwhile.

    with standing() as windmill:                  # every delay of the server is over before the next request
        ...Client(windmill.url, "prod", windmill.admin_token)...
        Person(windmill, "ana").edits_flow("f/acme/review", summary="Review of receipts")
        windmill.plan(CUT_AFTER, at=3)            # the third write is carried out and never answered
        before = windmill.export_bytes()          # to compare byte for byte

With `standing(pace=1.0, clock=HandClock())` a lock comes when the test moves the clock.
"""

from __future__ import annotations

import copy
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from platform_cli.local.windmill.workspace.standin import (
    CUT_AFTER,
    CUT_BEFORE,
    Fault,
    StandIn,
    failing,
    html_page,
    is_write,
    serving,
)

__all__ = [
    "CUT_AFTER",
    "CUT_BEFORE",
    "Api",
    "Fault",
    "HandClock",
    "Person",
    "StandIn",
    "failing",
    "html_page",
    "is_write",
    "standing",
]


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self._now = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)

    def now(self) -> datetime:
        """The instant it was moved to."""
        return self._now

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)


@contextmanager
def standing(
    *workspaces: str,
    pace: float = 0.0,
    delay_ms: float = 0.0,
    clock: HandClock | None = None,
) -> Iterator[StandIn]:
    """A served stand-in, with the workspace `prod` unless others are named."""
    with serving(workspaces or ("prod",), pace=pace, delay_ms=delay_ms, clock=clock) as one:
        try:
            yield one
        finally:
            for client in _CLIENTS.pop(one.url, []):
                client.close()


_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading certificates for loopback takes 30 ms a client
_CLIENTS: dict[str, list[httpx.Client]] = {}
"""Connections that end with the stand-in they go to."""


class Api:
    """Plain calls with somebody's token. Every refusal raises httpx.HTTPStatusError unless `tell` is used."""

    def __init__(self, windmill: StandIn, token: str = "", workspace: str = "prod") -> None:
        headers = {"authorization": f"Bearer {token or windmill.admin_token}"}
        self._base = f"/api/w/{workspace}/"
        self._client = httpx.Client(base_url=windmill.url, headers=headers, timeout=30, verify=_NO_TLS)
        _CLIENTS.setdefault(windmill.url, []).append(self._client)

    def tell(self, method: str, tail: str, body: object = None) -> httpx.Response:
        """Send one request; `tail` is below the workspace, or begins with /api."""
        path = tail if tail.startswith("/api") else self._base + tail
        if body is None:
            return self._client.request(method, path)
        return self._client.request(method, path, json=body)

    def send(
        self, method: str, tail: str, content: bytes, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send these very bytes."""
        return self._client.request(method, self._base + tail, content=content, headers=headers)

    def get(self, tail: str) -> Any:
        """The JSON of an answer that is one."""
        answer = self.tell("GET", tail)
        answer.raise_for_status()
        return answer.json()

    def post(self, tail: str, body: object) -> str:
        """The text of an answer."""
        answer = self.tell("POST", tail, body)
        answer.raise_for_status()
        return answer.text

    def delete(self, tail: str) -> str:
        """The text of an answer."""
        answer = self.tell("DELETE", tail)
        answer.raise_for_status()
        return answer.text

    def close(self) -> None:
        """End the connections."""
        self._client.close()


class Person:
    """Somebody who works in the editor: takes the newest version, changes it, and deploys it."""

    def __init__(
        self, windmill: StandIn, name: str = "ana", *, admin: bool = True, workspace: str = "prod"
    ) -> None:
        self.name = name
        self.email = f"{name}@agency.test"
        self.token = windmill.add_person(workspace, self.email, admin=admin)
        self.api = Api(windmill, self.token, workspace)

    def edits_script(self, path: str, content: str | None = None, **fields: object) -> str:
        """Deploy a new version of a script; gives its hash. Without a lock, a lock job follows."""
        now = self.api.get(f"scripts/get/p/{path}")
        kept = ("path", "summary", "description", "content", "language", "kind", "schema", "tag", "labels")
        body = {name: now[name] for name in kept if now.get(name) is not None}
        body |= {"parent_hash": now["hash"], **fields}
        if content is not None:
            body["content"] = content
        return self.api.post("scripts/create", body)

    def edits_flow(self, path: str, value: Mapping[str, Any] | None = None, **fields: object) -> None:
        """Deploy a new version of a flow, as the editor does: with no version in it, so the last one wins."""
        now = self.api.get(f"flows/get/{path}")
        kept = ("path", "summary", "description", "value", "schema", "tag", "labels")
        body = {name: now[name] for name in kept if now.get(name) is not None}
        if value is not None:
            body["value"] = value
        self.api.post(f"flows/update/{path}", {**body, **fields})

    def edits_step(self, path: str, step: str, **fields: object) -> None:
        """Change fields of one step of a flow, found by its id at any depth; a new text loses its lock."""
        value = copy.deepcopy(self.api.get(f"flows/get/{path}")["value"])
        script = _step(value, step)["value"]
        if "content" in fields:
            script.pop("lock", None)
        script.update(fields)
        self.edits_flow(path, value)

    def edits_resource(self, path: str, **fields: object) -> None:
        """Change a resource."""
        self.api.post(f"resources/update/{path}", fields)

    def edits_variable(self, path: str, **fields: object) -> None:
        """Change a variable."""
        self.api.post(f"variables/update/{path}", fields)

    def edits_schedule(self, path: str, **fields: object) -> None:
        """Change a schedule; its identity becomes this person's."""
        now = self.api.get(f"schedules/get/{path}")
        self.api.post(f"schedules/update/{path}", {**now, "permissioned_as": None, **fields})

    def switches(self, kind: str, path: str, *, on: bool) -> None:
        """Press the switch of a `schedule` or an `http_trigger`."""
        if kind == "schedule":
            self.api.post(f"schedules/setenabled/{path}", {"enabled": on})
        else:
            self.api.post(f"http_triggers/setmode/{path}", {"mode": "enabled" if on else "disabled"})

    def switches_off(self, kind: str, path: str) -> None:
        """Switch it off."""
        self.switches(kind, path, on=False)

    def drafts(self, kind: str, path: str, **value: object) -> None:
        """Type something without deploying it; `kind` is as in the editor, such as `flow` or `script`."""
        self.api.post(f"drafts/update/{kind}/{path}", {"value": {"path": path, **value}})

    def deletes(self, kind: str, path: str) -> None:
        """Delete an item: `scripts`, `flows`, `resources`, `variables`, `schedules`, `http_triggers`."""
        if kind == "scripts":
            self.api.post(f"scripts/delete/p/{path}", {})
        else:
            self.api.delete(f"{kind}/delete/{path}")


def _step(value: Any, step: str) -> Any:
    for found in _steps(value):
        if found["id"] == step:
            return found
    raise KeyError(step)


def _steps(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        if "id" in value and "value" in value:
            yield value
        for item in value.values():
            yield from _steps(item)
    elif isinstance(value, list):
        for item in value:
            yield from _steps(item)
