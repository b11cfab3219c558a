"""One job: identity, arguments, folder, process, result. What ran it, and for whom, is in its `Order`.

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
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from platform_cli.local.windmill import child, events, jsonb, references
from platform_cli.local.windmill.items import Script
from platform_cli.local.windmill.jsonb import Json
from platform_cli.local.windmill.processes import Mode, Starter, Stop
from platform_cli.local.windmill.references import OWNER, Reader
from platform_cli.local.windmill.results import JobResult, execution_error, job_result

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MILLISECONDS = 1000
_REMEMBERED_JOBS = 10_000
_SLOT_POLL_S = 0.1

JobKind = Literal["script", "flowscript", "identity", "flow"]
"""A deployed script, a script written inside a flow, a step that passes its input on, and a flow."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """What started a job: `path` is the route's or schedule's, `scheduled_for` an aware instant."""

    kind: Literal["api", "http", "schedule"] = "api"
    path: str = ""
    scheduled_for: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobStarted:
    """A job's process exists. `pid` can be killed alone. The last two are empty outside flows."""

    pid: int
    job_id: str
    path: str
    trigger: Trigger
    flow_job_id: str = ""
    step_id: str = ""


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A script, a step or a whole flow has ended; for a step, `flow_job_id` and `step_id` say where.

    Every script and step that was told as JobStarted is told here once, unless the runtime itself died.
    """

    job_id: str
    path: str
    kind: JobKind
    ok: bool
    duration_ms: int
    flow_job_id: str = ""
    step_id: str = ""


@dataclass(frozen=True, slots=True)
class FlowPlace:
    """Where in a flow a job stands: the flow's job, the flow that collects its results, the outermost one."""

    flow_job_id: str
    scope_job_id: str
    root_job_id: str
    flow_path: str
    step_id: str


@dataclass(frozen=True, slots=True)
class Order:
    """One job before its process exists. `beside` are the customer's scripts that it may import."""

    script: Script
    arguments: Mapping[str, Json] = field(repr=False)
    preprocess: bool
    reader: Reader
    trigger: Trigger
    timeout_s: float
    beside: Sequence[Script] = field(default=(), repr=False)
    kind: JobKind = "script"
    mode: Mode | None = None
    step: FlowPlace | None = None
    job_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class _Job:
    job_id: str
    reader: Reader
    environment: Mapping[str, str] = field(repr=False)


class Jobs:
    """Runs orders. `base_url` is where jobs find the server, empty while there is none."""

    def __init__(
        self,
        *,
        workspace: str,
        mode: Mode,
        store: Callable[[], references.Store],
        max_jobs: int,
        on_start: Callable[[JobStarted], None] | None,
        on_end: Callable[[JobEnded], None] | None,
    ) -> None:
        self.workspace = workspace
        self.base_url = ""
        self._store = store
        self.admin_token = secrets.token_urlsafe(32)
        self._on_start = on_start
        self._on_end = on_end
        self._readers = {self.admin_token: Reader(OWNER, f"{OWNER}@windmill.dev", f"u/{OWNER}", None)}
        self._reserved: dict[str, Mapping[str, str]] = {}
        self._stops: dict[str, Stop] = {}
        self._over: deque[str] = deque(maxlen=_REMEMBERED_JOBS)
        self._slots = threading.BoundedSemaphore(max_jobs)
        self._home = Path(tempfile.mkdtemp(prefix="wm-"))
        self._starter = Starter(mode, self._home)

    def warm_up(self) -> None:
        """Start the process jobs come from, without waiting for it."""
        self._starter.warm_up()

    def stop(self) -> None:
        """End every job's process and start no other. Safe to call twice."""
        self._starter.close()

    def forget(self) -> None:
        """Remove what jobs left on disk, once nobody runs one any more."""
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
        self._readers[token] = robot(f"f/{customer}/", f"robot{customer}", token)
        return token

    # --- One job ------------------------------------------------------------------------------------------

    def run(self, order: Order) -> JobResult:
        """Run one job to its end.

        Raises: RequestRefused for arguments that cannot be stored, StarterGone when the runtime is closing.
        """
        storable(order.arguments)
        started = time.monotonic()
        ok = False
        stop = self._stops.setdefault(order.job_id, Stop())
        try:
            if not self._wait_for_slot(stop):
                return JobResult(False, _cancelled_before(stop.why), "", 0, 0)
            try:
                with self._job(order) as job:
                    result = self._run(order, job, stop)
            finally:
                self._slots.release()
            ok = result.ok
            return result
        finally:
            self._over.append(order.job_id)
            del self._stops[order.job_id]
            self._tell_end(order, ok=ok, duration_ms=round((time.monotonic() - started) * _MILLISECONDS))

    def cancel(self, job_id: str, who: str, reason: str = "") -> Literal["ending", "over", "unknown"]:
        """End a job that runs or waits; its caller gets a failure that says who ended it, and why."""
        stop = self._stops.get(job_id)
        if stop is None:
            return "over" if job_id in self._over else "unknown"
        stop.ask(f"{who} (reason: {reason})" if reason else who)
        return "ending"

    def cancel_soon(self, job_id: str, who: str, reason: str = "") -> None:
        """The same for a job that is certain to be run, and perhaps is not yet known here."""
        self._stops.setdefault(job_id, Stop()).ask(f"{who} (reason: {reason})" if reason else who)

    def _wait_for_slot(self, stop: Stop) -> bool:
        """True with a place among the jobs that run, False when the job was cancelled while it waited."""
        while not self._slots.acquire(timeout=_SLOT_POLL_S):
            if stop.why:
                return False
        if stop.why:
            self._slots.release()
        return not stop.why

    def _run(self, order: Order, job: _Job, stop: Stop) -> JobResult:
        started = time.monotonic()
        try:
            arguments = references.resolve_arguments(
                order.arguments, self._store(), job.reader, job.environment
            )
        except references.Unresolvable as error:
            return JobResult(False, execution_error(f"execution error:\n{error}"), "", 0, 0)
        folder = self._prepare(job, order, arguments)
        timeout_s = min(order.timeout_s, order.script.timeout_s or order.timeout_s)
        ended = self._starter.run(
            folder, timeout_s, lambda pid: self._tell_start(pid, order), stop=stop, mode=order.mode
        )
        return job_result(ended, folder, job.job_id, round((time.monotonic() - started) * _MILLISECONDS))

    def _tell_start(self, pid: int, order: Order) -> None:
        if self._on_start is not None:
            flow, step = _place(order)
            self._on_start(JobStarted(pid, order.job_id, order.script.path, order.trigger, flow, step))

    def _tell_end(self, order: Order, *, ok: bool, duration_ms: int) -> None:
        if self._on_end is not None:
            place = _place(order)
            self._on_end(JobEnded(order.job_id, order.script.path, order.kind, ok, duration_ms, *place))

    @contextmanager
    def _job(self, order: Order) -> Iterator[_Job]:
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

    def _environment(self, order: Order, job_id: str, token: str) -> dict[str, str]:
        """Windmill's own set, nothing of this process's. What belongs to apps stays empty."""
        path, trigger, reader = order.script.path, order.trigger, order.reader
        schedule = trigger.path if trigger.kind == "schedule" else ""
        scheduled_for = (trigger.scheduled_for or datetime.now(UTC)).astimezone(UTC)
        origin = (schedule or "manual").replace("/", "_")
        stamp = round(time.time() * _MILLISECONDS)
        owner = reader.username if schedule else "user"
        return {
            "WM_WORKSPACE": self.workspace,
            "WM_TOKEN": token,
            "WM_EMAIL": reader.email,
            "WM_USERNAME": reader.username,
            "WM_BASE_URL": self.base_url,
            "WM_JOB_ID": job_id,
            "WM_JOB_PATH": path,
            "WM_ROOT_JOB_ID": order.step.root_job_id if order.step else job_id,
            "WM_SCHEDULE_PATH": schedule,
            "WM_SCHEDULED_FOR": scheduled_for.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "WM_PERMISSIONED_AS": reader.permissioned_as,
            "WM_STATE_PATH": f"{path}/{owner}",
            "WM_OBJECT_PATH": f"{path.replace('/', '_')}/{origin}/{stamp}_{job_id}",
            "WM_WORKER_GROUP": "default",
            "WM_RUNNABLE_ID": "",
            **dict.fromkeys(_EMPTY_VARIABLES, ""),
            **(_of_flow(order.step, owner, origin, f"{stamp}_{job_id}") if order.step else {}),
            "BASE_INTERNAL_URL": self.base_url,
            "PATH": _PATH,
            "HOME": str(self._home),
            "TZ": "",
            "PYTHONPATH": "",
            "LC_CTYPE": "C.UTF-8",
        }

    def _prepare(self, job: _Job, order: Order, arguments: Mapping[str, Json]) -> Path:
        """The job's folder: its request, and the customer's scripts where `f.<customer>` finds them."""
        folder = self._home / job.job_id
        _, customer, *names = order.script.path.replace("-", "_").split("/")
        package, module = folder / "f" / customer, ".".join(names).lower()
        source = package / f"{module.replace('.', '/')}.py"
        source.parent.mkdir(parents=True)
        if order.script.content is None:
            shutil.copyfile(order.script.file, source)
        else:
            source.write_text(order.script.content, encoding="utf-8")
        for other in order.beside:
            if other.path != order.script.path:
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


def _cancelled_before(why: str) -> str:
    """The result of a job that was cancelled before it had a process."""
    shape = {"error": {"name": "Canceled", "message": f"Job canceled: by {why}"}}
    return jsonb.to_text(jsonb.from_python(shape))


def storable(arguments: Mapping[str, Json]) -> None:
    """Refuse arguments that PostgreSQL cannot keep, as the server does. Raises: RequestRefused."""
    try:
        jsonb.to_text(dict(arguments))
    except jsonb.NotStorable as error:
        raise events.database_refusal(error) from error
    except jsonb.TooDeep as error:
        raise events.too_deep(error) from error


def _of_flow(step: FlowPlace, owner: str, origin: str, tail: str) -> dict[str, str]:
    """What a step of a flow sees beside, or instead of, what a script sees."""
    return {
        "WM_FLOW_JOB_ID": step.flow_job_id,
        "WM_ROOT_FLOW_JOB_ID": step.scope_job_id,
        "WM_FLOW_PATH": step.flow_path,
        "WM_FLOW_STEP_ID": step.step_id,
        "WM_STATE_PATH": f"{step.flow_path}/{step.step_id}_{owner}",
        "WM_OBJECT_PATH": f"{step.flow_path.replace('/', '_')}/{origin}/{step.step_id}/{tail}",
    }


def _place(order: Order) -> tuple[str, str]:
    return (order.step.flow_job_id, order.step.step_id) if order.step is not None else ("", "")


def robot(path: str, username: str, token_prefix: str = "") -> Reader:
    """The robot of the customer whose folder `path` stands in, under the name a job shows."""
    customer = path.split("/")[1]
    return Reader(
        username, f"robot-{customer}@robots.invalid", f"u/robot{customer}", customer, token_prefix[:10]
    )


def username_of(trigger: Trigger, path: str) -> str:
    """`WM_USERNAME` of a job started by `trigger`."""
    match trigger.kind:
        case "http":
            return f"HTTP-{trigger.path}"
        case "schedule":
            return f"schedule-{trigger.path.replace('/', '-')}"
        case "api":
            return f"robot{path.split('/')[1]}"
