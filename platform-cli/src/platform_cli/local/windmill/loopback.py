"""An HTTP/1.1 server on loopback around one function: what the local Windmill's sides share."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from platform_cli.local.windmill import answers
from platform_cli.local.windmill.answers import HttpAnswer
from platform_core.errors import ConfigurationError, Unavailable

MAX_BODY_BYTES = 16 * 1024 * 1024
_IDLE_TIMEOUT_S = 30
_MAX_CONNECTIONS = 128
_STOP_TIMEOUT_S = 30
_BODILESS = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came. `path` is not decoded; `headers` keep their order and case."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """The first header of this name, given in lower case, or an empty string."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    @property
    def token(self) -> str:
        """The bearer's token, or an empty string."""
        scheme, _, token = self.header("authorization").partition(" ")
        return token.strip() if scheme == "Bearer" else ""


class HungUp(Exception):
    """Raised instead of an answer: the connection is reset, and the caller never learns what was done."""


Answering = Callable[[Asked], HttpAnswer]


@contextmanager
def listening(answer: Answering, port: int = 0, *, name: str = "windmill-server") -> Iterator[str]:
    """Serve `answer` on 127.0.0.1 and give the base URL; port 0 takes any free one.

    It is called from as many threads as there are connections. On leaving, no new request is taken and
    running ones are finished.
    Raises: ConfigurationError when the port is taken.
    """
    try:
        server = _Server(answer, port)
    except OSError as error:
        raise ConfigurationError(
            f"Port {port} on 127.0.0.1 cannot be used ({error.strerror})", next_step="Choose another port."
        ) from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name=name)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.stop()
        thread.join(_STOP_TIMEOUT_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 256

    def __init__(self, answer: Answering, port: int) -> None:
        self.answer = answer
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # Any: as the base class types them
        """Take a connection; when all places are taken, the next one waits in the queue of the socket."""
        self._places.acquire()
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # Any: as the base class types it
        """Give the connection's place back."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)
        self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # Any: as the base class types them
        """A caller that hung up is its own affair; anything else is a defect, and is shown."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """Stop listening, wake idle connections, wait for the answers that are being made."""
        self.shutdown()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_TIMEOUT_S
    wbufsize = -1  # head and body leave together: two writes would wait 40 ms for each other
    server: _Server

    def _serve(self) -> None:
        body = self._read_body()
        if body is None:
            return
        path, _, query = self.path.partition("?")
        try:
            answer = self.server.answer(Asked(self.command, path, query, tuple(self.headers.items()), body))
        except Unavailable as error:
            answer = answers.plain(503, error.one_line())
        except HungUp:
            self._hang_up()
            return
        self._send(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = _serve  # noqa: N815 - names of the base class

    def _hang_up(self) -> None:
        """Reset the connection: lingering for zero seconds makes the kernel send RST instead of FIN."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _read_body(self) -> bytes | None:
        """The request's body, or None when the request was already answered with a refusal."""
        if self.headers.get("transfer-encoding"):
            return self._refuse(
                answers.text(411, "The local runtime takes no chunked bodies: send content-length")
            )
        declared = self.headers.get("content-length", "0")
        if not declared.isascii() or not declared.isdigit():
            return self._refuse(answers.text(400, "content-length is not a number"))
        if int(declared) > MAX_BODY_BYTES:
            return self._refuse(answers.text(413, "Failed to buffer the request body: length limit exceeded"))
        body = self.rfile.read(int(declared))
        if len(body) < int(declared):
            self.close_connection = True
            return None
        return body

    def _refuse(self, answer: HttpAnswer) -> bytes | None:
        self.close_connection = True
        self._send(answer)
        return None

    def _send(self, answer: HttpAnswer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        has_body = answer.status not in _BODILESS
        if has_body:
            self.send_header("content-length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        if has_body and self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - Any and the name as in the base class
        """Nothing is printed from a library."""
