"""How other terminals talk to a running `wmctl dev`: requests on loopback, with the token of its file."""

from __future__ import annotations

import hmac
import http.client
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from platform_cli import render
from platform_cli.local.dev.happenings import Happenings
from platform_cli.local.dev.machine import Machine
from platform_cli.local.dev.place import Running
from platform_cli.local.dev.sending import conversations, send
from platform_cli.local.windmill.hints import hint_for
from platform_cli.local.windmill.results import JobResult
from platform_core.errors import (
    ConfigurationError,
    InvalidInput,
    NotFound,
    PlatformError,
    Refused,
    Unavailable,
)

MAX_BODY_BYTES = 100 * 1024 * 1024
_ANSWER_TIMEOUT_S = 900
_OK, _REFUSED, _UNAUTHORIZED, _UNKNOWN = 200, 409, 401, 404

Deed = Callable[[Machine, Mapping[str, str], bytes], object]


_REFUSALS: Mapping[int, type[PlatformError]] = {
    kind.exit_code: kind for kind in (InvalidInput, NotFound, Refused, Unavailable, ConfigurationError)
}


@contextmanager
def controlled(machine: Machine) -> Iterator[tuple[str, str]]:
    """Listen until the end of the block; gives the URL and the token."""
    token = secrets.token_urlsafe(32)
    server = _Server(machine, token)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="control", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", token
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(running: Running, deed: str, body: bytes = b"", **facts: str) -> Any:  # Any: the deed's own document
    """Have the running one do something and wait for what came of it. Raises: what it refused."""
    url = urlsplit(running.control_url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=_ANSWER_TIMEOUT_S)
    try:
        connection.request(
            "POST",
            f"/{deed}?{urlencode(facts)}",
            body=body,
            headers={"Authorization": f"Bearer {running.token}"},
        )
        answer = connection.getresponse()
        found = json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unavailable(
            f"The running wmctl dev (pid {running.pid}) does not answer ({type(error).__name__})",
            next_step="Look at its terminal.",
        ) from error
    finally:
        connection.close()
    if answer.status != _OK:
        kind = _REFUSALS.get(found.get("exit_code", 0), Refused)
        raise kind(found["error"], next_step=found.get("next_step", ""))
    return found


# --- What can be asked for --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `hint` says what to do about a failure."""

    path: str
    ok: bool
    result: object
    logs: str
    hint: str
    duration_ms: int


def _run(machine: Machine, facts: Mapping[str, str], body: bytes) -> object:
    path = _full(machine, facts.get("path", ""))
    try:
        arguments = json.loads(body)
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise InvalidInput("The arguments are no JSON object")
    runtime = machine.stage.runtime
    result = runtime.run_script(path, arguments, mode="cold" if facts.get("cold") == "yes" else None)
    return _outcome(path, result)


def _tick(machine: Machine, facts: Mapping[str, str], body: bytes) -> object:
    del body
    own = f"f/{machine.stage.customer}/"
    known = [one.path for one in machine.stage.runtime.schedules if one.enabled and one.path.startswith(own)]
    paths = [_full(machine, facts["schedule"])] if facts.get("schedule") else known
    return [_outcome(path, machine.scheduler.fire(path)) for path in paths]


def _send(machine: Machine, facts: Mapping[str, str], body: bytes) -> object:
    return send(machine.stage.ycloud, facts, body)


def _messages(machine: Machine, facts: Mapping[str, str], body: bytes) -> object:
    del facts, body
    return conversations(machine.stage.ycloud)


def _stop(machine: Machine, facts: Mapping[str, str], body: bytes) -> object:
    del facts, body
    machine.ending.set()
    return {}


_DEEDS: Mapping[str, Deed] = {
    "run": _run,
    "tick": _tick,
    "send": _send,
    "messages": _messages,
    "stop": _stop,
}


def _full(machine: Machine, path: str) -> str:
    """`job_runner_cron` and `f/acme/job_runner_cron` are the same."""
    return path if path.startswith("f/") else f"f/{machine.stage.customer}/{path}"


def _outcome(path: str, result: JobResult) -> Outcome:
    value = result.value if result.ok else result.error
    return Outcome(path, result.ok, value, result.logs, hint_for(result), result.duration_ms)


# --- HTTP -------------------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, machine: Machine, token: str) -> None:
        self.machine, self.token = machine, token
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def happenings(self) -> Happenings:
        """Where a defect is told."""
        return self.machine.happenings


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """One deed, done before the answer goes out."""
        url = urlsplit(self.path)
        length = self.headers.get("Content-Length", "0")
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self.server.token.encode()):
            self._answer(_UNAUTHORIZED, {"error": "The token is not this one's"})
        elif (deed := _DEEDS.get(url.path.removeprefix("/"))) is None or not length.isdecimal():
            self._answer(_UNKNOWN, {"error": "There is nothing of that name"})
        elif int(length) > MAX_BODY_BYTES:
            self._answer(_REFUSED, {"error": f"More than {MAX_BODY_BYTES // 1024**2} MiB cannot be sent"})
        else:
            self._do(deed, dict(parse_qsl(url.query, keep_blank_values=True)), self.rfile.read(int(length)))

    def _do(self, deed: Deed, facts: Mapping[str, str], body: bytes) -> None:
        try:
            self._answer(_OK, render.plain(deed(self.server.machine, facts, body)))
        except PlatformError as error:
            refusal = {"error": str(error), "next_step": error.next_step, "exit_code": error.exit_code}
            self._answer(_REFUSED, refusal)

    def _answer(self, status: int, document: object) -> None:
        if status != _OK:
            self.close_connection = True
        content = json.dumps(document).encode("ascii")
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - Any and the name as in the base class
        """Nothing is printed from a library."""
