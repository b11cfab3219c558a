"""The API over HTTP: the key is checked, the request is recorded, then the scenario or the truth answers."""

from __future__ import annotations

import hmac
import json
import re
import secrets
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from platform_cli.local.ycloud.account import Account, Received, RequestRefused
from platform_cli.local.ycloud.scenarios import Answer, Delay, Drop, Refuse, Scenario
from platform_core.values import Clock

_MAX_REQUEST_BYTES = 1024 * 1024
_MEDIA_PATH = "/v2/whatsapp/media/download/"


@dataclass(slots=True)
class Api:
    """What the handler needs: the account, the scenarios still to play, what follows an acceptance."""

    account: Account
    clock: Clock
    accepted: Callable[[Mapping[str, object]], None]
    sends: deque[Scenario] = field(default_factory=deque)
    downloads: deque[Scenario] = field(default_factory=deque)
    closing: threading.Event = field(default_factory=threading.Event)


class ApiServer(ThreadingHTTPServer):
    """Serves one account on loopback."""

    daemon_threads = True
    request_queue_size = 128
    block_on_close = False

    def __init__(self, api: Api, port: int) -> None:
        self.api = api
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:  # as the base class takes them
        """A caller that hung up is part of the scenarios; anything else is a fault of ours and is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes; together they would wait 40 ms for an ACK
    server: ApiServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing: `requests` on the account is the record."""

    def do_POST(self) -> None:
        """Send a message."""
        body = self._body()
        if body is not None and self._is_allowed(body):
            if urlsplit(self.path).path == "/v2/whatsapp/messages":
                self._play(self.server.api.sends, lambda: self._send_message(body))
            else:
                self._refuse(Refuse(404, "NOT_FOUND"))

    def do_GET(self) -> None:
        """Balance, endpoint, templates, message or attachment."""
        if not self._is_allowed(b""):
            return
        path = urlsplit(self.path).path
        if path.startswith(_MEDIA_PATH):
            media_id = path.removeprefix(_MEDIA_PATH)
            self._play(self.server.api.downloads, lambda: self._download(media_id))
        else:
            self._read(path)

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

    def _read(self, path: str) -> None:
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
            self._refuse(Refuse(404, "NOT_FOUND"))
        else:
            self._answer(Answer(200, json.dumps(found).encode("ascii")))

    def _limit(self) -> int:
        found = parse_qs(urlsplit(self.path).query).get("limit", ["10"])[0]
        return min(int(found), 100) if found.isdecimal() else 10

    # --- What it does when told to misbehave ----------------------------------------------------------------

    def _play(self, scenarios: deque[Scenario], deed: Callable[[], Answer]) -> None:
        scenario = scenarios.popleft() if scenarios else None
        try:
            match scenario:
                case None:
                    self._answer(deed())
                case Refuse():
                    self._refuse(scenario)
                case Delay(seconds=seconds):
                    answer = deed()
                    self.server.api.closing.wait(seconds)
                    self._answer(answer)
                case Drop(after_accepting=after, reset=reset):
                    if after:
                        deed()
                    self._hang_up(reset=reset)
                case Answer():
                    if scenario.accept:
                        deed()
                    self._answer(scenario)
        except RequestRefused as refused:
            self._refuse(Refuse(refused.status, refused.code), refused.target)

    def _hang_up(self, *, reset: bool) -> None:
        if reset:  # lingering for zero seconds makes the kernel send RST instead of FIN
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True

    # --- HTTP -----------------------------------------------------------------------------------------------

    def _is_allowed(self, body: bytes) -> bool:
        account = self.server.api.account
        with account.lock:
            account.requests.append(Received(self.command, self.path, body))
        given = self.headers.get("X-API-Key", "")
        if hmac.compare_digest(given.encode("utf-8", "replace"), account.api_key.encode("utf-8")):
            return True
        self._refuse(Refuse(401, "UNAUTHORIZED"))
        return False

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MAX_REQUEST_BYTES:
            self.close_connection = True
            self._refuse(Refuse(413, "CONTENT_TOO_LARGE"))
            return None
        return self.rfile.read(int(length))

    def _refuse(self, refusal: Refuse, target: str = "") -> None:
        request_id = f"req_{secrets.token_hex(8)}"
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
        self._answer(Answer(refusal.status, json.dumps({"error": error}).encode("ascii")), extra, request_id)

    def _answer(self, answer: Answer, extra: Mapping[str, str] | None = None, request_id: str = "") -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body) + (1000 if answer.truncate else 0)))
        self.send_header("YCloud-Request-ID", request_id or f"req_{secrets.token_hex(8)}")
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)
        if answer.truncate:
            self.close_connection = True
