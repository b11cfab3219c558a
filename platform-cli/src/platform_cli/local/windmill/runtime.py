"""One machine's Windmill without HTTP: a request or a call becomes a job, its result an answer.

Each job gets a folder, a token for its customer's items and a process of its own (`processes`); at most
`max_jobs` run at once, the others wait. Arguments go through `jsonb` and the search for references exactly
as on the server, before the script's process exists.
"""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from platform_cli.local.windmill import answers, child, events, items, jsonb, references, routes
from platform_cli.local.windmill.answers import HttpAnswer, RequestRefused
from platform_cli.local.windmill.items import HttpRoute, Script
from platform_cli.local.windmill.jsonb import Json
from platform_cli.local.windmill.processes import Mode, Starter
from platform_cli.local.windmill.references import OWNER, Reader
from platform_cli.local.windmill.results import JobResult, execution_error, job_result
from platform_core.errors import NotFound, Unavailable

DEFAULT_TIMEOUT_S = 600.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MILLISECONDS = 1000

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Trigger:
    """What started a job: `path` is the route's or schedule's, `scheduled_for` an aware instant."""

    kind: Literal["api", "http", "schedule"] = "api"
    path: str = ""
    scheduled_for: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobStarted:
    """A job's process exists. `pid` can be killed alone."""

    pid: int
    job_id: str
    path: str
    trigger: Trigger


@dataclass(frozen=True, slots=True)
class _Order:
    """One job before its process exists."""

    script: Script
    arguments: Mapping[str, Json] = field(repr=False)
    preprocess: bool
    reader: Reader
    trigger: Trigger
    timeout_s: float
    job_id: str = field(default_factory=lambda: str(uuid.uuid4()))


class Runtime:
    """Runs the scripts of every customer below `customers_root`. A context manager; `close` ends every job.

    `resources` (by path, such as `f/acme/database`) and `variables` stand beside those in the customers'
    folders, and win over them. `mode` warm forks each job from a process that has imported what scripts use;
    cold starts a fresh interpreter for each.
    """

    def __init__(  # noqa: PLR0913 - each one is a choice of the caller, and most are by keyword
        self,
        customers_root: Path,
        resources: Mapping[str, object],
        workspace: str = "prod",
        mode: Mode = "warm",
        on_start: Callable[[JobStarted], None] | None = None,
        *,
        variables: Mapping[str, str] | None = None,
        max_jobs: int = 16,
    ) -> None:
        loaded = items.load_customers(customers_root, workspace=workspace)
        self.workspace = workspace
        self.mode: Mode = mode
        self.base_url = ""
        self.scripts = {path: script for customer in loaded for path, script in customer.scripts.items()}
        self.routes = tuple(route for customer in loaded for route in customer.routes)
        self.schedules = tuple(schedule for customer in loaded for schedule in customer.schedules)
        given = {path: jsonb.from_python(value) for path, value in resources.items()}
        self.store = references.Store(
            resources={**{path: value for one in loaded for path, value in one.resources.items()}, **given},
            variables={
                **{path: text for one in loaded for path, text in one.variables.items()},
                **(variables or {}),
            },
        )
        self.admin_token = secrets.token_urlsafe(32)
        self._on_start = on_start
        self._readers = {self.admin_token: Reader(OWNER, f"{OWNER}@windmill.dev", f"u/{OWNER}", None)}
        self._reserved: dict[str, Mapping[str, str]] = {}
        self._slots = threading.BoundedSemaphore(max_jobs)
        self._unwatched: list[threading.Thread] = []
        self._home = Path(tempfile.mkdtemp(prefix="wm-"))
        self._starter = Starter(mode, self._home)

    def give(self, path: str, value: object) -> None:
        """Put a resource in its place, as somebody does in Windmill; jobs that start from now on read it."""
        resources = {**self.store.resources, path: jsonb.from_python(value)}
        self.store = references.Store(resources=resources, variables=self.store.variables)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every job and remove what jobs left on disk. Safe to call twice."""
        self._starter.close()
        for waiting in self._unwatched:
            waiting.join()
        self._unwatched.clear()
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def starter_pid(self) -> int:
        """The process every job is a child of; 0 before the first job."""
        return self._starter.pid

    # --- Who asks -----------------------------------------------------------------------------------------

    def reader(self, token: str) -> Reader | None:
        """Whose token this is: the administrator's, or that of a job that still runs. None for any other."""
        return self._readers.get(token)

    def reserved_variables(self, token: str) -> Mapping[str, str] | None:
        """The `WM_*` variables of the job this token belongs to."""
        return self._reserved.get(token)

    def token_for(self, customer: str) -> str:
        """A lasting token with the rights of the customer's robot: it reads and runs `f/<customer>/` only."""
        token = secrets.token_urlsafe(32)
        self._readers[token] = _robot(f"f/{customer}/", f"robot{customer}", token)
        return token

    # --- What can be asked --------------------------------------------------------------------------------

    def run_script(
        self,
        path: str,
        args: Mapping[str, object],
        *,
        timeout_s: float | None = None,
        trigger: Trigger | None = None,
    ) -> JobResult:
        """Run `main` of a script with `args`, as the customer's robot and without preprocessor.

        Raises: NotFound for an unknown script, RequestRefused for arguments that cannot be stored.
        """
        script = self.scripts.get(path)
        if script is None:
            raise NotFound(
                f"There is no script {path}", next_step=f"Known: {', '.join(sorted(self.scripts)) or 'none'}."
            )
        arguments = {name: jsonb.from_python(value) for name, value in args.items()}
        started_by = trigger or Trigger()
        reader = _robot(path, _username(started_by, path))
        return self._run(_Order(script, arguments, False, reader, started_by, timeout_s or DEFAULT_TIMEOUT_S))

    def handle_route(
        self, method: str, path: str, query: str, headers: Headers, body: bytes, *, token: str = ""
    ) -> HttpAnswer:
        """Answer a request to `/api/r/<path>`; `path` and `query` are as they stand in the request line."""
        if method.upper() in {"HEAD", "OPTIONS"}:
            return answers.text(200, "")
        try:
            raw = events.receive_body(_content_type(headers), body)
            called_path = events.decode_path(path).removeprefix("/").rstrip("/")
            found = routes.find((route for route in self.routes if route.enabled), method, called_path)
            if found is None:
                return answers.plain(
                    404, f"Not found: Trigger not found at name /{called_path} (handler.rs:142)"
                )
            if (refusal := self._refused_caller(found.route, token)) is not None:
                return refusal
            return self._answer_route(found, called_path, query, headers, raw)
        except RequestRefused as error:
            return error.answer

    def _refused_caller(self, route: HttpRoute, token: str) -> HttpAnswer | None:
        if route.authentication_method != "windmill":
            return None
        reader = self.reader(token)
        if reader is None:
            return answers.plain(401, "Not authorized: Requires authentication")
        return None if reader.may_read(route.path) else answers.plain(401, "Not authorized: Unauthorized")

    def _answer_route(
        self,
        found: routes.Match[HttpRoute],
        called_path: str,
        query: str,
        headers: Headers,
        raw: events.RawBody,
    ) -> HttpAnswer:
        route, script = found.route, self.scripts[found.route.script_path]
        body = events.parse_body(
            raw, use_raw=route.raw_string or route.authentication_method == "custom_script"
        )
        if script.has_preprocessor:
            event: dict[str, Json] = {
                "kind": "http",
                "route": route.route_path,
                "path": called_path,
                "trigger_path": route.path,
                "body": body.value,
                "raw_string": body.raw_string,
                "params": dict(found.params),
                "headers": events.header_map(headers),
                "query": events.query_map(query),
                "method": route.http_method,
            }
            arguments: dict[str, Json] = {"event": event}
        else:
            arguments = events.main_arguments(body, wrap=route.wrap_body)
        trigger = Trigger("http", route.path)
        reader = _robot(route.script_path, _username(trigger, route.path))
        return self._answered(
            _Order(script, arguments, script.has_preprocessor, reader, trigger, DEFAULT_TIMEOUT_S)
        )

    def handle_run(
        self, path: str, query: str, headers: Headers, body: bytes, reader: Reader, *, wait: bool = True
    ) -> HttpAnswer:
        """Answer `jobs/run_wait_result/p/<path>`: run the script as the caller, wait, shape the answer.

        Without `wait` it is `jobs/run/p/<path>`: 201 and the job's id; nobody is told how the job ended.
        """
        try:
            raw = events.receive_body(_content_type(headers), body)
            script = self.scripts.get(path)
            if script is None:
                return answers.plain(404, f"Not found: script not found at name {path} (lib.rs:1571)")
            if not reader.may_read(path):
                rights = reader.as_debug(kind="AuthedRef")
                return answers.plain(
                    401,
                    f"Not authorized: You are not authorized to access this script: {path} (but it exists). "
                    f"Your permissions are: {rights}",
                )
            options = _run_options(query)
            parsed = events.parse_body(raw, use_raw=options.raw)
            preprocess = script.has_preprocessor and not options.skip_preprocessor
            arguments = (
                _webhook_event(parsed, headers, query)
                if preprocess
                else events.main_arguments(parsed, wrap=options.wrap_body)
            )
            order = _Order(script, arguments, preprocess, reader, Trigger(), DEFAULT_TIMEOUT_S)
            return self._answered(order) if wait else self._begun(order)
        except RequestRefused as error:
            return error.answer

    def _begun(self, order: _Order) -> HttpAnswer:
        def run() -> None:
            with suppress(RequestRefused, Unavailable):  # the caller has its answer and left
                self._run(order)

        job = threading.Thread(target=run, name=f"job-{order.job_id}")
        self._unwatched = [one for one in self._unwatched if one.is_alive()]
        self._unwatched.append(job)
        job.start()
        return answers.text(201, order.job_id)

    def _answered(self, order: _Order) -> HttpAnswer:
        result = self._run(order)
        return answers.to_answer(result.text, ok=result.ok)

    # --- One job ------------------------------------------------------------------------------------------

    def _run(self, order: _Order) -> JobResult:
        try:
            jsonb.to_text(dict(order.arguments))
        except jsonb.NotStorable as error:
            raise events.database_refusal(error) from error
        except jsonb.TooDeep as error:
            raise events.too_deep(error) from error
        with self._slots:
            started = time.monotonic()
            with self._job(order) as job:
                try:
                    arguments = references.resolve_arguments(
                        order.arguments, self.store, job.reader, job.environment
                    )
                except references.Unresolvable as error:
                    return JobResult(False, execution_error(f"execution error:\n{error}"), "", 0, 0)
                folder = self._prepare(job, order, arguments)
                timeout_s = min(order.timeout_s, order.script.timeout_s or order.timeout_s)
                ended = self._starter.run(folder, timeout_s, lambda pid: self._tell(pid, job, order))
                return job_result(
                    ended, folder, job.job_id, round((time.monotonic() - started) * _MILLISECONDS)
                )

    def _tell(self, pid: int, job: _Job, order: _Order) -> None:
        if self._on_start is not None:
            self._on_start(JobStarted(pid, job.job_id, order.script.path, order.trigger))

    @contextmanager
    def _job(self, order: _Order) -> Iterator[_Job]:
        """The job's identity: its token is good until it ends, its folder is gone afterwards."""
        job_id, token = order.job_id, f"jwt_{secrets.token_urlsafe(32)}"
        reader = Reader(
            order.reader.username,
            order.reader.email,
            order.reader.permissioned_as,
            order.reader.folder,
            f"job-span-{job_id}",
        )
        environment = self._environment(order, job_id, token)
        self._readers[token], self._reserved[token] = reader, environment
        try:
            yield _Job(job_id, reader, environment)
        finally:
            del self._readers[token], self._reserved[token]
            shutil.rmtree(self._home / job_id, ignore_errors=True)

    def _environment(self, order: _Order, job_id: str, token: str) -> dict[str, str]:
        """Windmill's own set, nothing of this process's. What belongs to flows and apps stays empty."""
        path, trigger, reader = order.script.path, order.trigger, order.reader
        schedule = trigger.path if trigger.kind == "schedule" else ""
        scheduled_for = (trigger.scheduled_for or datetime.now(UTC)).astimezone(UTC)
        origin = (schedule or "manual").replace("/", "_")
        stamp = round(time.time() * _MILLISECONDS)
        return {
            "WM_WORKSPACE": self.workspace,
            "WM_TOKEN": token,
            "WM_EMAIL": reader.email,
            "WM_USERNAME": reader.username,
            "WM_BASE_URL": self.base_url,
            "WM_JOB_ID": job_id,
            "WM_JOB_PATH": path,
            "WM_ROOT_JOB_ID": job_id,
            "WM_SCHEDULE_PATH": schedule,
            "WM_SCHEDULED_FOR": scheduled_for.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "WM_PERMISSIONED_AS": reader.permissioned_as,
            "WM_STATE_PATH": f"{path}/{reader.username if schedule else 'user'}",
            "WM_OBJECT_PATH": f"{path.replace('/', '_')}/{origin}/{stamp}_{job_id}",
            "WM_WORKER_GROUP": "default",
            "WM_RUNNABLE_ID": "",
            **dict.fromkeys(_EMPTY_VARIABLES, ""),
            "BASE_INTERNAL_URL": self.base_url,
            "PATH": _PATH,
            "HOME": str(self._home),
            "TZ": "",
            "PYTHONPATH": "",
            "LC_CTYPE": "C.UTF-8",
        }

    def _prepare(self, job: _Job, order: _Order, arguments: Mapping[str, Json]) -> Path:
        """The job's folder: its request, and the customer's scripts where `f.<customer>` finds them."""
        folder = self._home / job.job_id
        _, customer, name = order.script.path.split("/")
        package = folder / "f" / customer
        package.mkdir(parents=True)
        module = name.replace("-", "_").lower()
        shutil.copyfile(order.script.file, package / f"{module}.py")
        for path, other in self.scripts.items():
            if path.startswith(f"f/{customer}/") and path != order.script.path:
                (package / other.file.name.replace("-", "_")).symlink_to(other.file.resolve())
        request = {
            "folder": str(folder),
            "module": f"f.{customer}.{module}",
            "arguments": jsonb.to_text(dict(arguments)),
            "preprocess": order.preprocess,
            "environment": dict(job.environment),
        }
        (folder / child.REQUEST).write_text(json.dumps(request), encoding="ascii")
        return folder


_EMPTY_VARIABLES = (
    "WM_FLOW_JOB_ID",
    "WM_ROOT_FLOW_JOB_ID",
    "WM_FLOW_PATH",
    "WM_FLOW_STEP_ID",
    "WM_END_USER_EMAIL",
    "WM_TESTED_RUNNABLE",
)


@dataclass(frozen=True, slots=True)
class _Job:
    job_id: str
    reader: Reader
    environment: Mapping[str, str] = field(repr=False)


def _robot(path: str, username: str, token_prefix: str = "") -> Reader:
    customer = path.split("/")[1]
    return Reader(
        username, f"robot-{customer}@robots.invalid", f"u/robot{customer}", customer, token_prefix[:10]
    )


def _username(trigger: Trigger, path: str) -> str:
    match trigger.kind:
        case "http":
            return f"HTTP-{trigger.path}"
        case "schedule":
            return f"schedule-{trigger.path.replace('/', '-')}"
        case "api":
            return f"robot{path.split('/')[1]}"


def _content_type(headers: Headers) -> str | None:
    return next((value for name, value in headers if name.lower() == "content-type"), None)


@dataclass(frozen=True, slots=True)
class _RunOptions:
    raw: bool
    wrap_body: bool
    skip_preprocessor: bool


def _run_options(query: str) -> _RunOptions:
    given = events.query_map(query)
    if unknown := sorted(set(given) - {"raw", "wrap_body", "skip_preprocessor", "token"}):
        raise answers.bad_request(
            f"the local runtime does not know the query parameters {', '.join(unknown)}"
        )
    return _RunOptions(*(given.get(name) == "true" for name in ("raw", "wrap_body", "skip_preprocessor")))


def _webhook_event(body: events.Body, headers: Headers, query: str) -> dict[str, Json]:
    return {
        "event": {
            "kind": "webhook",
            "body": body.value,
            "raw_string": body.raw_string,
            "headers": events.header_map(headers),
            "query": events.query_map(query),
        }
    }
