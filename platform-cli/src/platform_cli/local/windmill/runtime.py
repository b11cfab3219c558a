"""One machine's Windmill without HTTP: a request or a call becomes a job, its result an answer.

What a job is, and how it runs, is in `jobs`; what can be run is in `items`.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from platform_cli.local.windmill import answers, events, jsonb, references
from platform_cli.local.windmill import routes as routing
from platform_cli.local.windmill.answers import HttpAnswer, RequestRefused
from platform_cli.local.windmill.flows import api
from platform_cli.local.windmill.flows.api import Request
from platform_cli.local.windmill.flows.engine import Engine, FlowMoved
from platform_cli.local.windmill.flows.model import Flow
from platform_cli.local.windmill.flows.state import State
from platform_cli.local.windmill.items import HttpRoute, Schedule, Script
from platform_cli.local.windmill.jobs import (
    JobEnded,
    Jobs,
    JobStarted,
    Order,
    Trigger,
    robot,
    storable,
    username_of,
)
from platform_cli.local.windmill.jsonb import Json
from platform_cli.local.windmill.processes import Mode
from platform_cli.local.windmill.references import Reader
from platform_cli.local.windmill.results import JobResult
from platform_cli.local.windmill.shelf import Shelf, Shelved
from platform_core.errors import ConfigurationError, InvalidInput, Unavailable
from platform_core.values import Clock, SystemClock

__all__ = ["FlowMoved", "JobEnded", "JobStarted", "Runtime", "Trigger"]

DEFAULT_TIMEOUT_S = 600.0
_CANCEL = re.compile(r"jobs_u/queue/cancel/([^/]+)")
_NOT_FOUND = 404

Headers = Sequence[tuple[str, str]]


class Runtime:
    """Runs the scripts of every customer below `customers_root`. A context manager; `close` ends every job.

    `resources` (by path, such as `f/acme/database`) and `variables` stand beside those in the customers'
    folders, and win over them. `mode` warm forks each job from a process that has imported what scripts use;
    cold starts a fresh interpreter for each. With `follow` a change in a customer's folder is there at
    the next use, and what is broken is refused alone; without it everything is read once and has to be whole.

    Flows need a database for what they remember, `state_dsn` (see `flows.state.prepare_database`), and go on
    where another runtime left them there. `clock` decides when what waits is due.
    """

    def __init__(  # noqa: PLR0913 - each one is a choice of the caller, and most are by keyword
        self,
        customers_root: Path,
        resources: Mapping[str, object],
        workspace: str = "prod",
        mode: Mode = "warm",
        on_start: Callable[[JobStarted], None] | None = None,
        *,
        on_end: Callable[[JobEnded], None] | None = None,
        on_move: Callable[[FlowMoved], None] | None = None,
        state_dsn: str = "",
        clock: Clock | None = None,
        variables: Mapping[str, str] | None = None,
        max_jobs: int = 16,
        follow: bool = False,
    ) -> None:
        self._shelf = Shelf(
            customers_root,
            workspace,
            resources={path: jsonb.from_python(value) for path, value in resources.items()},
            variables=variables or {},
            follow=follow,
        )
        self.workspace = workspace
        self.mode: Mode = mode
        self.jobs = Jobs(
            workspace=workspace,
            mode=mode,
            store=lambda: self._shelf.current().store,
            max_jobs=max_jobs,
            on_start=on_start,
            on_end=on_end,
        )
        self._unwatched: list[threading.Thread] = []
        self._engine: Engine | None = None
        if state_dsn:
            self._engine = Engine(
                State(state_dsn),
                self.jobs,
                self,
                clock or SystemClock(),
                max_jobs=max_jobs,
                on_end=on_end,
                on_move=on_move,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every job and remove what jobs left on disk. Safe to call twice."""
        self.jobs.stop()
        if self._engine is not None:
            self._engine.close()
        for waiting in self._unwatched:
            waiting.join()
        self._unwatched.clear()
        self.jobs.forget()

    def shelved(self) -> Shelved:
        """Everything that can be run and served at this moment, and what is broken."""
        return self._shelf.current()

    @property
    def scripts(self) -> Mapping[str, Script]:
        """The scripts of every customer, by path."""
        return self._shelf.current().scripts

    @property
    def flows(self) -> Mapping[str, Flow]:
        """The flows of every customer, by path."""
        return self._shelf.current().flows

    @property
    def routes(self) -> tuple[HttpRoute, ...]:
        """The routes of every customer."""
        return self._shelf.current().routes

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """The schedules of every customer."""
        return self._shelf.current().schedules

    @property
    def store(self) -> references.Store:
        """The resources and variables of every customer."""
        return self._shelf.current().store

    def give(self, path: str, value: object) -> None:
        """Put a resource beside those of the customers' folders; jobs that start from now on read it."""
        self._shelf.give(path, jsonb.from_python(value))

    def warm_up(self) -> None:
        """Start the process that jobs are forked from now, so that the first job need not wait for it."""
        self.jobs.warm_up()

    @property
    def starter_pid(self) -> int:
        """The process every job is a child of; 0 before the first job."""
        return self.jobs.starter_pid

    @property
    def admin_token(self) -> str:
        """The token that may do everything."""
        return self.jobs.admin_token

    @property
    def base_url(self) -> str:
        """Where this runtime is served; empty while it is not."""
        return self.jobs.base_url

    @base_url.setter
    def base_url(self, url: str) -> None:
        self.jobs.base_url = url

    def reader(self, token: str) -> Reader | None:
        """Whose token this is: the administrator's, or that of a job that still runs. None for any other."""
        return self.jobs.reader(token)

    def reserved_variables(self, token: str) -> Mapping[str, str] | None:
        """The `WM_*` variables of the job this token belongs to."""
        return self.jobs.reserved_variables(token)

    def token_for(self, customer: str) -> str:
        """A lasting token with the rights of the customer's robot: it reads and runs `f/<customer>/` only."""
        return self.jobs.token_for(customer)

    # --- What can be asked --------------------------------------------------------------------------------

    def run_script(
        self,
        path: str,
        args: Mapping[str, object],
        *,
        timeout_s: float | None = None,
        trigger: Trigger | None = None,
        mode: Mode | None = None,
    ) -> JobResult:
        """Run `main` of a script with `args`, as the customer's robot and without preprocessor.

        Raises: NotFound for an unknown script, InvalidInput for a broken one, RequestRefused for
        arguments that cannot be stored.
        """
        script = self._shelf.current().script(path)
        arguments = {name: jsonb.from_python(value) for name, value in args.items()}
        started_by = trigger or Trigger()
        reader = robot(path, username_of(started_by, path))
        return self.jobs.run(
            self._order(
                script, arguments, reader, started_by, timeout_s=timeout_s or DEFAULT_TIMEOUT_S, mode=mode
            )
        )

    @property
    def engine(self) -> Engine:
        """What runs flows. Raises: ConfigurationError when this runtime has no database for them."""
        if self._engine is None:
            raise ConfigurationError(
                "This runtime runs no flows: it has no database for what they remember",
                next_step="Open it with state_dsn.",
            )
        return self._engine

    def start_flow(self, path: str, args: Mapping[str, object], *, trigger: Trigger | None = None) -> str:
        """Begin a flow as the customer's robot; gives the id of its job.

        Raises: NotFound for an unknown flow, RequestRefused for arguments that cannot be stored.
        """
        flow = self._shelf.current().flow(path)
        arguments = {name: jsonb.from_python(value) for name, value in args.items()}
        started_by = trigger or Trigger()
        return self.begin_flow(flow, arguments, robot(path, username_of(started_by, path)), started_by)

    def run_flow(
        self,
        path: str,
        args: Mapping[str, object],
        *,
        timeout_s: float | None = None,
        trigger: Trigger | None = None,
    ) -> JobResult:
        """Begin a flow and wait for its end.

        Raises: as `start_flow`; Unavailable when it does not end in time, while it goes on.
        """
        return self.flow_result(self.start_flow(path, args, trigger=trigger), timeout_s)

    def begin_flow(
        self,
        flow: Flow,
        arguments: Mapping[str, Json],
        reader: Reader,
        trigger: Trigger,
        *,
        job_id: str | None = None,
    ) -> str:
        """Begin a flow on somebody's behalf, under a number of theirs if they give one.

        Raises: RequestRefused for arguments that cannot be stored, and for a number that was used.
        """
        storable(arguments)
        return self.engine.start(flow, arguments, reader, trigger, job_id=job_id)

    def flow_result(self, job_id: str, timeout_s: float | None = None) -> JobResult:
        """Wait for a flow. Raises: Unavailable when it does not end in time, or the runtime is closed."""
        if not self.engine.wait(job_id, timeout_s):
            raise Unavailable(
                f"The flow {job_id} has not ended", next_step="It goes on; ask for it by its id."
            )
        return self.engine.result(job_id)

    def flow_at(self, path: str) -> Flow | None:
        """A flow by its path."""
        return self.flows.get(path)

    def script_at(self, path: str) -> Script | None:
        """A script by its path."""
        return self.scripts.get(path)

    def handle_route(
        self, method: str, path: str, query: str, headers: Headers, body: bytes, *, token: str = ""
    ) -> HttpAnswer:
        """Answer a request to `/api/r/<path>`; `path` and `query` are as they stand in the request line."""
        if method.upper() in {"HEAD", "OPTIONS"}:
            return answers.text(200, "")
        try:
            raw = events.receive_body(events.content_type_of(headers), body)
            called_path = events.decode_path(path).removeprefix("/").rstrip("/")
            here = self._shelf.current()
            found = routing.find((route for route in here.routes if route.enabled), method, called_path)
            if found is None:
                return _no_route(here, called_path)
            if (refusal := self._refused_caller(found.route, token)) is not None:
                return refusal
            return self._answer_route(here, found, called_path, query, headers, raw)
        except RequestRefused as error:
            return error.answer
        except InvalidInput as error:  # of the item's own file: it is there, and broken
            return answers.plain(503, error.one_line())

    def _refused_caller(self, route: HttpRoute, token: str) -> HttpAnswer | None:
        if route.authentication_method != "windmill":
            return None
        reader = self.reader(token)
        if reader is None:
            return answers.plain(401, "Not authorized: Requires authentication")
        return None if reader.may_read(route.path) else answers.plain(401, "Not authorized: Unauthorized")

    def _answer_route(
        self,
        here: Shelved,
        found: routing.Match[HttpRoute],
        called_path: str,
        query: str,
        headers: Headers,
        raw: events.RawBody,
    ) -> HttpAnswer:
        route = found.route
        body = events.parse_body(
            raw, use_raw=route.raw_string or route.authentication_method == "custom_script"
        )
        if route.is_flow:
            return self._answer_by_flow(here, route, events.main_arguments(body, wrap=route.wrap_body))
        script = here.script(route.script_path)
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
        reader = robot(route.script_path, username_of(trigger, route.path))
        order = self._order(script, arguments, reader, trigger, preprocess=script.has_preprocessor)
        return self._begun(order) if route.is_async else self._answered(order)

    def _answer_by_flow(self, here: Shelved, route: HttpRoute, arguments: Mapping[str, Json]) -> HttpAnswer:
        trigger = Trigger("http", route.path)
        reader = robot(route.script_path, username_of(trigger, route.path))
        job_id = self.begin_flow(here.flow(route.script_path), arguments, reader, trigger)
        if route.is_async:
            return answers.text(201, job_id)
        result = self.flow_result(job_id)
        return answers.to_answer(result.text, ok=result.ok)

    def handle_run(
        self, path: str, query: str, headers: Headers, body: bytes, reader: Reader, *, wait: bool = True
    ) -> HttpAnswer:
        """Answer `jobs/run_wait_result/p/<path>`: run the script as the caller, wait, shape the answer.

        Without `wait` it is `jobs/run/p/<path>`: 201 and the job's id; nobody is told how the job ended.
        """
        try:
            raw = events.receive_body(events.content_type_of(headers), body)
            here = self._shelf.current()
            script = here.scripts.get(path)
            if script is None:
                here.require_whole(path, "script")
                return answers.plain(404, f"Not found: script not found at name {path} (lib.rs:1571)")
            if not reader.may_read(path):
                return references.forbidden("script", path, reader)
            options = events.run_options(query)
            parsed = events.parse_body(raw, use_raw=options.raw)
            preprocess = script.has_preprocessor and not options.skip_preprocessor
            arguments = (
                events.webhook_event(parsed, headers, query)
                if preprocess
                else events.main_arguments(parsed, wrap=options.wrap_body)
            )
            order = self._order(script, arguments, reader, Trigger(), preprocess=preprocess)
            return self._answered(order) if wait else self._begun(order)
        except RequestRefused as error:
            return error.answer
        except InvalidInput as error:  # of the script's own file
            return answers.plain(503, error.one_line())

    def handle_run_flow(
        self, path: str, query: str, headers: Headers, body: bytes, reader: Reader, *, wait: bool = True
    ) -> HttpAnswer:
        """Answer `jobs/run_wait_result/f/<path>`, or `jobs/run/f/<path>` without `wait`: 201 and the id."""
        try:
            raw = events.receive_body(events.content_type_of(headers), body)
            flow = self.flow_at(path)
            if flow is None:
                self._shelf.current().require_whole(path, "flow")
                return answers.plain(404, f"Not found: flow not found at name {path} (lib.rs:1778)")
            if not reader.may_read(path):
                return references.forbidden("flow", path, reader)
            options = events.run_options(query, "job_id")
            parsed = events.parse_body(raw, use_raw=options.raw)
            arguments = events.main_arguments(parsed, wrap=options.wrap_body)
            job_id = self.begin_flow(flow, arguments, reader, Trigger(), job_id=options.job_id)
            if not wait:
                return answers.text(201, job_id)
            result = self.flow_result(job_id)
            return answers.to_answer(result.text, ok=result.ok)
        except RequestRefused as error:
            return error.answer
        except InvalidInput as error:  # of the flow's own file
            return answers.plain(503, error.one_line())

    def handle_jobs(self, request: Request) -> HttpAnswer | None:
        """Answer what is asked about jobs; None for another path. Without flows: cancelling alone."""
        answer = None
        if self._engine is not None:
            answer = api.handle(self._engine, self.workspace, self.base_url, request)
        canceled = _CANCEL.fullmatch(request.tail)
        if canceled is None or (answer is not None and answer.status != _NOT_FOUND):
            return answer
        return self._cancel(canceled.group(1), request)

    def _cancel(self, job_id: str, request: Request) -> HttpAnswer:
        """End a job outside flows that waits or runs. The body may hold a `reason`."""
        if request.method != "POST":
            return HttpAnswer(405, (("allow", "POST"),), b"")
        try:
            uuid.UUID(job_id)
            given = json.loads(request.body or b"{}")
        except ValueError:
            return answers.text(400, f"Invalid URL: Cannot parse `id` with value `{job_id}`")
        reason = given.get("reason") if isinstance(given, dict) else None
        who = request.reader.permissioned_as.removeprefix("u/") if request.reader else "anonymous"
        match self.jobs.cancel(job_id, who, reason if isinstance(reason, str) else ""):
            case "ending":
                return answers.text(200, job_id)
            case "over":
                return answers.text(200, f"queued job id {job_id} is already completed")
            case "unknown":
                return answers.plain(404, f"Not found: queued job id {job_id} does not exist")

    def handle_page(self, path: str, request: Request) -> HttpAnswer | None:
        """The page on which people answer a flow; None for another path."""
        if self._engine is None:
            return None
        return api.handle_page(self._engine, self.workspace, path, request)

    def _order(  # noqa: PLR0913 - what a job is made of
        self,
        script: Script,
        arguments: Mapping[str, Json],
        reader: Reader,
        trigger: Trigger,
        *,
        preprocess: bool = False,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        mode: Mode | None = None,
    ) -> Order:
        beside = self.beside(script.path)
        return Order(script, arguments, preprocess, reader, trigger, timeout_s, beside, mode=mode)

    def beside(self, path: str) -> tuple[Script, ...]:
        """The scripts of the customer whose item `path` is: what a script of theirs may import."""
        customer = path.split("/")[1]
        return tuple(one for one in self.scripts.values() if one.path.startswith(f"f/{customer}/"))

    def _begun(self, order: Order) -> HttpAnswer:
        def run() -> None:
            with suppress(RequestRefused, Unavailable):  # the caller has its answer and left
                self.jobs.run(order)

        job = threading.Thread(target=run, name=f"job-{order.job_id}")
        self._unwatched = [one for one in self._unwatched if one.is_alive()]
        self._unwatched.append(job)
        job.start()
        return answers.text(201, order.job_id)

    def _answered(self, order: Order) -> HttpAnswer:
        result = self.jobs.run(order)
        return answers.to_answer(result.text, ok=result.ok)


def _no_route(here: Shelved, called_path: str) -> HttpAnswer:
    """404 in the server's words; but a route that is broken may have been meant, and is told instead."""
    broken = [one.error.one_line() for one in here.broken.values() if one.kind == "http_trigger"]
    if broken:
        return answers.plain(
            503, f"No route answers /{called_path}, and not all can be read: {' '.join(broken)}"
        )
    return answers.plain(404, f"Not found: Trigger not found at name /{called_path} (handler.rs:142)")
