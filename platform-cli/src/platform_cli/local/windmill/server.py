"""The local Windmill's HTTP side: routes, runs, resources and variables, on loopback only."""

from __future__ import annotations

import contextlib
import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from platform_cli.local.windmill import answers, references
from platform_cli.local.windmill.answers import HttpAnswer
from platform_cli.local.windmill.flows.api import Request, is_open
from platform_cli.local.windmill.references import Reader
from platform_cli.local.windmill.runtime import Runtime
from platform_core.errors import ConfigurationError, Unavailable

VERSION = "CE v1.743.0-local"
MAX_BODY_BYTES = 16 * 1024 * 1024
_IDLE_TIMEOUT_S = 30
_MAX_CONNECTIONS = 128
_STOP_TIMEOUT_S = 30
_BODILESS = frozenset({204, 304})
_CORS = (
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS"),
    ("access-control-allow-headers", "content-type, authorization"),
)
_RUN = re.compile(r"jobs/(run|run_wait_result)/([pf])/+(.+)")
_READ = re.compile(r"(resources/get_value_interpolated|variables/get_value)/(.+)")


@contextmanager
def serving(runtime: Runtime, port: int = 0) -> Iterator[str]:
    """Serve `runtime` on 127.0.0.1 and give its base URL; port 0 takes any free one.

    On leaving, no new request is taken, running ones are finished, and the runtime stays usable.
    Raises: ConfigurationError when the port is taken.
    """
    try:
        server = _Server(runtime, port)
    except OSError as error:
        raise ConfigurationError(
            f"Port {port} on 127.0.0.1 cannot be used ({error.strerror})", next_step="Choose another port."
        ) from error
    runtime.base_url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="windmill-server"
    )
    thread.start()
    try:
        yield runtime.base_url
    finally:
        server.stop()
        thread.join(_STOP_TIMEOUT_S)
        runtime.base_url = ""


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 256

    def __init__(self, runtime: Runtime, port: int) -> None:
        self.runtime = runtime
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
    server: _Server

    def _serve(self) -> None:
        body = self._read_body()
        if body is None:
            return
        path, _, query = self.path.partition("?")
        try:
            if path.startswith("/api/r/"):
                answer = self._route(path.removeprefix("/api/r/"), query, body)
            else:
                answer = self._api(path, query, body)
        except Unavailable as error:
            answer = answers.plain(503, error.one_line())
        self._send(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = _serve  # noqa: N815 - names of the base class

    def _route(self, path: str, query: str, body: bytes) -> HttpAnswer:
        answer = self.server.runtime.handle_route(
            self.command, path, query, list(self.headers.items()), body, token=self._token() or ""
        )
        own = {name for name, _ in answer.headers}
        added = tuple((name, value) for name, value in _CORS if name not in own)
        return HttpAnswer(answer.status, (*answer.headers, *added), answer.body)

    def _api(self, path: str, query: str, body: bytes) -> HttpAnswer:
        if path == "/api/version":
            return answers.text(200, VERSION) if self.command in {"GET", "HEAD"} else _not_allowed("GET,HEAD")
        found = re.fullmatch(r"/api/w/([^/]+)/(.*)", path)
        if found is None:
            shown = self.server.runtime.handle_page(path, self._request(path, query, body, None))
            return shown or answers.empty(404)
        if is_open(found.group(2)) and found.group(1) == self.server.runtime.workspace:
            asked = self._request(found.group(2), query, body, None)
            return self.server.runtime.handle_jobs(asked) or answers.empty(404)
        token = self._token()
        if not token:
            return answers.text(401, "Unauthorized")
        reader = self.server.runtime.reader(token)
        if reader is None:
            return answers.plain(401, "Not authorized: Unauthorized")
        here = found.group(1) == self.server.runtime.workspace
        return self._workspace(found.group(2), query, body, reader, here=here)

    def _workspace(self, tail: str, query: str, body: bytes, reader: Reader, *, here: bool) -> HttpAnswer:
        if run := _RUN.fullmatch(tail):
            wait = run.group(1) == "run_wait_result"
            if self.command not in ({"GET", "HEAD", "POST"} if wait else {"POST"}):
                return _not_allowed("GET,HEAD,POST" if wait else "POST")
            path = unquote(run.group(3))
            if not here:
                return answers.plain(404, f"Not found: script not found at name {path} (lib.rs:1571)")
            runtime = self.server.runtime
            begin = runtime.handle_run if run.group(2) == "p" else runtime.handle_run_flow
            return begin(path, query, list(self.headers.items()), body, reader, wait=wait)
        if read := _READ.fullmatch(tail):
            return self._read(read.group(1), unquote(read.group(2)), query, reader, here=here)
        asked = self._request(tail, query, body, reader)
        return (self.server.runtime.handle_jobs(asked) if here else None) or answers.empty(404)

    def _request(self, tail: str, query: str, body: bytes, reader: Reader | None) -> Request:
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, tail, query, headers, body, reader)

    def _read(self, what: str, path: str, query: str, reader: Reader, *, here: bool) -> HttpAnswer:
        if self.command not in {"GET", "HEAD"}:
            return _not_allowed("GET,HEAD")
        store = self.server.runtime.store if here else references.Store({}, {})
        if what.startswith("variables"):
            return references.variable_answer(store, path, reader)
        return references.resource_answer(store, path, reader, self._job_variables(query))

    def _job_variables(self, query: str) -> dict[str, str] | None:
        """A resource shows a job's own variables only when the job asks for it by its id."""
        reserved = self.server.runtime.reserved_variables(self._token() or "")
        if reserved is None or f"job_id={reserved['WM_JOB_ID']}" not in query.split("&"):
            return None
        return dict(reserved)

    def _token(self) -> str | None:
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme == "Bearer" else None

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


def _not_allowed(allow: str) -> HttpAnswer:
    return HttpAnswer(405, (("allow", allow),), b"")
