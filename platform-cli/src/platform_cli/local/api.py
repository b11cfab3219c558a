"""A provider's API over real HTTP on this machine: what every stand-in's server shares.

A handler says what the provider does when nothing is wrong; `play` answers with the truth or with the next
scenario, and misbehaves exactly as told.
"""

from __future__ import annotations

import secrets
import socket
import struct
import sys
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from platform_cli.local.scenarios import Answer, Delay, Drop, Refuse, Scenario

_MAX_REQUEST_BYTES = 1024 * 1024


class RequestRefused(Exception):
    """The API refuses the request at once, with the provider's own code."""

    def __init__(self, status: int, code: str, target: str = "") -> None:
        self.status = status
        self.code = code
        self.target = target
        super().__init__(code)


@dataclass(frozen=True, slots=True)
class Received:
    """One request the API got, for tests that count. The key is not kept."""

    method: str
    path: str
    body: bytes


class LocalServer(ThreadingHTTPServer):
    """Serves one account on loopback until it is closed."""

    daemon_threads = True
    request_queue_size = 128
    block_on_close = False

    def __init__(self, handler: type[ApiHandler], port: int, closing: threading.Event) -> None:
        self.closing = closing
        super().__init__(("127.0.0.1", port), handler)

    def handle_error(self, request: Any, client_address: Any) -> None:  # as the base class takes them
        """A caller that hung up is part of the scenarios; anything else is a fault of ours and is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class ApiHandler(BaseHTTPRequestHandler):
    """One request. Subclasses give `do_*` and the provider's envelope of errors."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes; together they would wait 40 ms for an ACK
    request_id_header = "X-Request-Id"
    server: LocalServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing: `requests` on the account is the record."""

    @abstractmethod
    def refuse(self, refusal: Refuse, target: str = "") -> None:
        """Answer an error as the provider writes it."""

    def play(self, scenarios: deque[Scenario], deed: Callable[[], Answer]) -> None:
        """Answer with the truth, or as the next scenario says."""
        scenario = scenarios.popleft() if scenarios else None
        try:
            match scenario:
                case None:
                    self.answer(deed())
                case Refuse():
                    self.refuse(scenario)
                case Delay(seconds=seconds):
                    answer = deed()
                    self.server.closing.wait(seconds)
                    self.answer(answer)
                case Drop(after_accepting=after, reset=reset):
                    if after:
                        deed()
                    self._hang_up(reset=reset)
                case Answer():
                    if scenario.accept:
                        deed()
                    self.answer(scenario)
        except RequestRefused as refused:
            self.refuse(Refuse(refused.status, refused.code), refused.target)

    def read_body(self, too_large: Refuse) -> bytes | None:
        """The body; None when it was refused as too large."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MAX_REQUEST_BYTES:
            self.close_connection = True
            self.refuse(too_large)
            return None
        return self.rfile.read(int(length))

    def answer(self, answer: Answer, extra: Mapping[str, str] | None = None, request_id: str = "") -> None:
        """Send exactly this."""
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body) + (1000 if answer.truncate else 0)))
        self.send_header(self.request_id_header, request_id or new_request_id())
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)
        if answer.truncate:
            self.close_connection = True

    def _hang_up(self, *, reset: bool) -> None:
        if reset:  # lingering for zero seconds makes the kernel send RST instead of FIN
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True


def new_request_id() -> str:
    """An id of a request, as a provider's support asks for it."""
    return f"req_{secrets.token_hex(8)}"
