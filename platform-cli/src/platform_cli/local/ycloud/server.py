"""The API over HTTP: the key is checked, the request is recorded, then the scenario or the truth answers."""

from __future__ import annotations

import hmac
import json
import re
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from platform_cli.local.api import ApiHandler, LocalServer, Received, RequestRefused, new_request_id
from platform_cli.local.scenarios import Answer, Refuse, Scenario
from platform_cli.local.ycloud import phones
from platform_cli.local.ycloud.account import Account
from platform_core.values import Clock

_MEDIA_PATH = "/v2/whatsapp/media/download/"
_PHONES_PATH = "/telefonos/"


@dataclass(slots=True)
class Api:
    """What the handler needs: the account, the scenarios still to play, what follows an acceptance."""

    account: Account
    clock: Clock
    accepted: Callable[[Mapping[str, object]], None]
    sends: deque[Scenario] = field(default_factory=deque)
    downloads: deque[Scenario] = field(default_factory=deque)
    looks: deque[Scenario] = field(default_factory=deque)
    closing: threading.Event = field(default_factory=threading.Event)


class ApiServer(LocalServer):
    """Serves one YCloud account on loopback."""

    def __init__(self, api: Api, port: int) -> None:
        self.api = api
        super().__init__(_Handler, port, api.closing)


class _Handler(ApiHandler, BaseHTTPRequestHandler):
    request_id_header = "YCloud-Request-ID"
    server: ApiServer

    def do_POST(self) -> None:
        """Send a message."""
        body = self.read_body(Refuse(413, "CONTENT_TOO_LARGE"))
        if body is not None and self._is_allowed(body):
            if urlsplit(self.path).path == "/v2/whatsapp/messages":
                self.play(self.server.api.sends, lambda: self._send_message(body))
            else:
                self.refuse(Refuse(404, "NOT_FOUND"))

    def do_GET(self) -> None:
        """Balance, endpoint, templates, message or attachment; without a key, the parents' phones."""
        path = urlsplit(self.path).path
        if path == "/" or path.startswith(_PHONES_PATH):
            self._show_phones(path)
            return
        if not self._is_allowed(b""):
            return
        if path.startswith(_MEDIA_PATH):
            media_id = path.removeprefix(_MEDIA_PATH)
            self.play(self.server.api.downloads, lambda: self._download(media_id))
        else:
            self.play(self.server.api.looks, lambda: self._read(path))

    # --- What it does when nothing is wrong -----------------------------------------------------------------

    def _send_message(self, body: bytes) -> Answer:
        account = self.server.api.account
        try:
            message = account.accept(json.loads(body), self.server.api.clock.now())
        except ValueError:
            raise RequestRefused(400, "BAD_REQUEST") from None
        self.server.api.accepted(message)
        return Answer(200, json.dumps(message).encode("ascii"))

    def _download(self, media_id: str) -> Answer:
        found = self.server.api.account.media.get(media_id)
        if found is None:
            raise RequestRefused(404, "NOT_FOUND")
        return Answer(200, found.content, found.mime_type)

    def _read(self, path: str) -> Answer:
        account = self.server.api.account
        with account.lock:
            found: object = None
            if path == "/v2/balance":
                found = {"amount": account.balance, "currency": "USD"}
            elif path == "/v2/whatsapp/templates":
                names = sorted(account.templates)[: self._limit()]
                found = {"items": [{"name": n, "language": c, "status": "APPROVED"} for n, c in names]}
            elif path == "/v2/webhookEndpoints":
                listed = list(account.endpoints.values())[: self._limit()]
                found = {"items": [{"id": one.id, "url": one.url, "status": one.status} for one in listed]}
            elif endpoint := re.fullmatch(r"/v2/webhookEndpoints/([^/]+)", path):
                known = account.endpoints.get(endpoint[1])
                found = known and {"id": known.id, "url": known.url, "status": known.status}
            elif message := re.fullmatch(r"/v2/whatsapp/messages/([^/]+)", path):
                found = account.messages.get(message[1])
        if found is None:
            raise RequestRefused(404, "NOT_FOUND")
        return Answer(200, json.dumps(found).encode("ascii"))

    def _limit(self) -> int:
        found = parse_qs(urlsplit(self.path).query).get("limit", ["10"])[0]
        return min(int(found), 100) if found.isdecimal() else 10

    # --- The parents' phones, for whoever sits at this machine --------------------------------------------

    def _show_phones(self, path: str) -> None:
        """Only under a name of this machine: another site's page must not read them through a browser."""
        host = self.headers.get("Host", "").rpartition(":")[0]
        if host not in ("127.0.0.1", "localhost"):
            self.refuse(Refuse(403, "FORBIDDEN"))
            return
        account = self.server.api.account
        if path == "/":
            nonce = secrets.token_urlsafe(12)
            content = phones.page(account, nonce).encode("utf-8", "replace")
            policy = f"default-src 'none'; style-src 'nonce-{nonce}'; img-src 'self'; frame-ancestors 'none'"
            headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
            self.answer(Answer(200, content, "text/html; charset=utf-8"), headers)
            return
        found = account.media.get(path.removeprefix(_PHONES_PATH))
        if found is None or found.mime_type not in phones.SHOWN_PICTURES:
            self.refuse(Refuse(404, "NOT_FOUND"))
            return
        headers = {
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
        self.answer(Answer(200, found.content, found.mime_type), headers)

    # --- HTTP -----------------------------------------------------------------------------------------------

    def _is_allowed(self, body: bytes) -> bool:
        account = self.server.api.account
        with account.lock:
            account.requests.append(Received(self.command, self.path, body))
        given = self.headers.get("X-API-Key", "")
        if hmac.compare_digest(given.encode("utf-8", "replace"), account.api_key.encode("utf-8")):
            return True
        self.refuse(Refuse(401, "UNAUTHORIZED"))
        return False

    def refuse(self, refusal: Refuse, target: str = "") -> None:
        """An error in YCloud's envelope."""
        request_id = new_request_id()
        error: dict[str, object] = {
            "status": refusal.status,
            "code": refusal.code,
            "message": "Made-up words that nobody should branch on.",
            "target": target,
            "requestId": request_id,
        }
        if refusal.meta_code:
            error["target"] = "whatsappApiError"
            error["whatsappApiError"] = {
                "code": refusal.meta_code,
                "type": "OAuthException",
                "message": f"(#{refusal.meta_code}) made-up words",
                "error_data": {"details": "made-up details"},
            }
        extra = {} if refusal.retry_after is None else {"Retry-After": refusal.retry_after}
        self.answer(Answer(refusal.status, json.dumps({"error": error}).encode("ascii")), extra, request_id)
