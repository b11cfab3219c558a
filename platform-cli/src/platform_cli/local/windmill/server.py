"""The local Windmill's HTTP side: routes, runs, resources and variables, on loopback only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

from platform_cli.local.windmill import answers, references
from platform_cli.local.windmill.answers import HttpAnswer
from platform_cli.local.windmill.flows.api import Request, is_open
from platform_cli.local.windmill.loopback import MAX_BODY_BYTES, Asked, listening
from platform_cli.local.windmill.references import Reader
from platform_cli.local.windmill.runtime import Runtime

__all__ = ["MAX_BODY_BYTES", "VERSION", "serving"]

VERSION = "CE v1.743.0-local"
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
    with listening(_Side(runtime).answer, port) as base_url:
        runtime.base_url = base_url
        try:
            yield base_url
        finally:
            runtime.base_url = ""


class _Side:
    """Answers of one runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def answer(self, asked: Asked) -> HttpAnswer:
        """Answer one request: a route, or the API."""
        if asked.path.startswith("/api/r/"):
            return self._route(asked)
        return self._api(asked)

    def _route(self, asked: Asked) -> HttpAnswer:
        answer = self._runtime.handle_route(
            asked.method,
            asked.path.removeprefix("/api/r/"),
            asked.query,
            list(asked.headers),
            asked.body,
            token=asked.token,
        )
        own = {name for name, _ in answer.headers}
        added = tuple((name, value) for name, value in _CORS if name not in own)
        return HttpAnswer(answer.status, (*answer.headers, *added), answer.body)

    def _api(self, asked: Asked) -> HttpAnswer:
        if asked.path == "/api/version":
            return answers.text(200, VERSION) if asked.method in {"GET", "HEAD"} else _not_allowed("GET,HEAD")
        found = re.fullmatch(r"/api/w/([^/]+)/(.*)", asked.path)
        if found is None:
            shown = self._runtime.handle_page(asked.path, _request(asked, asked.path, None))
            return shown or answers.empty(404)
        workspace, tail = found.groups()
        if is_open(tail) and workspace == self._runtime.workspace:
            return self._runtime.handle_jobs(_request(asked, tail, None)) or answers.empty(404)
        if not asked.token:
            return answers.text(401, "Unauthorized")
        reader = self._runtime.reader(asked.token)
        if reader is None:
            return answers.plain(401, "Not authorized: Unauthorized")
        return self._workspace(asked, tail, reader, here=workspace == self._runtime.workspace)

    def _workspace(self, asked: Asked, tail: str, reader: Reader, *, here: bool) -> HttpAnswer:
        if run := _RUN.fullmatch(tail):
            wait = run.group(1) == "run_wait_result"
            if asked.method not in ({"GET", "HEAD", "POST"} if wait else {"POST"}):
                return _not_allowed("GET,HEAD,POST" if wait else "POST")
            path = unquote(run.group(3))
            if not here:
                return answers.plain(404, f"Not found: script not found at name {path} (lib.rs:1571)")
            runtime = self._runtime
            begin = runtime.handle_run if run.group(2) == "p" else runtime.handle_run_flow
            return begin(path, asked.query, list(asked.headers), asked.body, reader, wait=wait)
        if read := _READ.fullmatch(tail):
            return self._read(asked, read.group(1), unquote(read.group(2)), reader, here=here)
        return (self._runtime.handle_jobs(_request(asked, tail, reader)) if here else None) or answers.empty(
            404
        )

    def _read(self, asked: Asked, what: str, path: str, reader: Reader, *, here: bool) -> HttpAnswer:
        if asked.method not in {"GET", "HEAD"}:
            return _not_allowed("GET,HEAD")
        store = self._runtime.store if here else references.Store({}, {})
        if what.startswith("variables"):
            return references.variable_answer(store, path, reader)
        return references.resource_answer(store, path, reader, self._job_variables(asked))

    def _job_variables(self, asked: Asked) -> dict[str, str] | None:
        """A resource shows a job's own variables only when the job asks for it by its id."""
        reserved = self._runtime.reserved_variables(asked.token)
        if reserved is None or f"job_id={reserved['WM_JOB_ID']}" not in asked.query.split("&"):
            return None
        return dict(reserved)


def _request(asked: Asked, tail: str, reader: Reader | None) -> Request:
    headers = {name.lower(): value for name, value in asked.headers}
    return Request(asked.method, tail, asked.query, headers, asked.body, reader)


def _not_allowed(allow: str) -> HttpAnswer:
    return HttpAnswer(405, (("allow", allow),), b"")
