"""One transaction in which flows move on: what it reads, what it stores, and what is to be done after it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from platform_cli.local.windmill import references
from platform_cli.local.windmill.flows import expressions, statuses
from platform_cli.local.windmill.flows.expressions import ExpressionFailed, NotAvailable, Scope
from platform_cli.local.windmill.flows.lifecycle import JobState, Outcome
from platform_cli.local.windmill.flows.model import Flow, JavaScript, Module, Static, Transform
from platform_cli.local.windmill.flows.state import (
    FlowRow,
    NewJob,
    Q,
    find_flow,
    find_results,
    finish_job,
    insert_job,
    read_json,
    save_flow,
)
from platform_cli.local.windmill.jsonb import Json
from platform_cli.local.windmill.references import NotReadable, Reader
from platform_core.db import Tx
from platform_core.errors import NotFound

_BOOLEAN_AT = "@worker_flow.rs:2460:11"
"""Where the server says that a condition failed; part of the text that a failure module may look at."""
_MILLISECONDS = 1000


class World(Protocol):
    """What a turn knows of the rest: definitions, and what customers' resources and variables are."""

    @property
    def store(self) -> references.Store:
        """The resources and variables of this moment."""
        ...

    def definition(self, tx: Tx, home_id: str) -> Flow:
        """The flow a job was started with."""

    def reader(self, tx: Tx, root_id: str) -> Reader:
        """On whose behalf it runs."""

    def flow_at(self, path: str) -> Flow | None:
        """A flow as it is in the customer's folder now."""


class FlowProblem(Exception):
    """A flow cannot go on; the message is the server's."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A job below a flow ended, or the flow itself has to be told of a failure that no job had.

    `stop` says that a step inside asked to stop: True when as skipped. `handled` says that a failure module
    has seen the error. `unrecoverable` errors are never tried again.
    """

    flow_id: str
    job_id: str
    ok: bool
    result: Json = field(repr=False)
    kind: str = ""
    stop: bool | None = None
    handled: bool = False
    unrecoverable: bool = False
    started_at: datetime | None = None
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class FlowDone:
    """A whole flow ended, to be told after the transaction."""

    job_id: str
    path: str
    ok: bool
    duration_ms: int
    parent_id: str
    step_id: str


@dataclass(slots=True)
class Turn:
    """One transaction. `ready` jobs may begin after it; `failed` are those queued with an error already.

    `done` flows, `passed` steps of type identity and `moved` flows are told after it; `waits` says that
    something new waits for the clock.
    """

    tx: Tx
    now: datetime
    world: World
    ready: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[NewJob, Json]] = field(default_factory=list)
    done: list[FlowDone] = field(default_factory=list)
    passed: list[tuple[str, str, str]] = field(default_factory=list)
    moved: list[tuple[str, str, JobState]] = field(default_factory=list)
    waits: bool = False
    _flows: dict[str, FlowRow] = field(default_factory=dict)

    # --- Flows --------------------------------------------------------------------------------------------

    def flow(self, flow_id: str) -> FlowRow:
        """A flow, locked for this transaction. Raises: NotFound."""
        if flow_id not in self._flows:
            found = find_flow(self.tx, flow_id)
            if found is None:
                raise NotFound(f"There is no flow {flow_id}")
            self._flows[flow_id] = found
        return self._flows[flow_id]

    def definition(self, flow: FlowRow) -> Flow:
        """What the flow was started with."""
        return self.world.definition(self.tx, flow.home_id)

    def modules(self, flow: FlowRow) -> tuple[Module, ...]:
        """The flow's own steps."""
        return self.definition(flow).modules(flow.place)

    def save(self) -> None:
        """Store every flow that was read; called once, at the end."""
        for flow in self._flows.values():
            if flow.state is not JobState.DONE:
                save_flow(self.tx, flow)

    def log(self, flow: FlowRow, text: str) -> None:
        """Add to what a person reads of a flow."""
        flow.logs += text

    def log_root(self, flow: FlowRow, text: str) -> None:
        """Add to what a person reads of the outermost flow."""
        self.log(self.flow(flow.root_id), text)

    def finish(self, flow: FlowRow, outcome: Outcome, result: Json) -> int:
        """End a flow; gives how long it took, in milliseconds."""
        save_flow(self.tx, flow)
        flow.state = JobState.DONE
        started_at = finish_job(self.tx, flow.id, outcome, result, flow.logs, self.now) or self.now
        duration_ms = round((self.now - started_at).total_seconds() * _MILLISECONDS)
        ok = outcome in {Outcome.SUCCESS, Outcome.SKIPPED}
        if flow.kind == "flow":
            self.done.append(
                FlowDone(flow.id, flow.path, ok, duration_ms, flow.parent_id or "", flow.step_id or "")
            )
        return duration_ms

    # --- Jobs ---------------------------------------------------------------------------------------------

    def queue(self, job: NewJob) -> None:
        """Queue a job; it is ready at once unless it has to wait."""
        insert_job(self.tx, job, self.now)
        if job.problem is not None:
            self.failed.append((job, job.problem))
        elif job.scheduled_for <= self.now and not job.suspend:
            self.ready.append((job.id, job.kind))
        else:
            self.waits = True

    def new_id(self) -> str:
        """An id for a job."""
        return str(uuid.uuid4())

    def called_flow(self, path: str) -> Flow:
        """A flow that a step runs, as it is now. Raises: FlowProblem when it is gone."""
        found = self.world.flow_at(path)
        if found is None:
            raise FlowProblem(f"Not found: flow not found at name {path}")
        return found

    def arguments_of(self, job_id: str) -> dict[str, Json]:
        """The arguments a job was queued with."""
        row = self.tx.execute(Q["arguments_find"], {"id": job_id}).fetchone()
        return (read_json(row[0]) if row else None) or {}

    def results(self, job_ids: Sequence[str]) -> list[Json]:
        """The results of jobs that ended, in the order asked for."""
        found = find_results(self.tx, job_ids)
        return [found[job_id][0] if job_id in found else None for job_id in job_ids]

    def succeeded(self, job_ids: Sequence[str]) -> bool:
        """Whether all of the jobs ended well."""
        found = find_results(self.tx, job_ids)
        return all(outcome in {Outcome.SUCCESS, Outcome.SKIPPED} for _, outcome in found.values())

    # --- Expressions --------------------------------------------------------------------------------------

    def scope(
        self,
        flow: FlowRow,
        variables: Mapping[str, Json],
        *,
        previous_id: str | None = None,
        flow_input: Mapping[str, Json] | None = None,
    ) -> Scope:
        """What an expression of a flow sees. Without `previous_id` it sees no results."""
        return Scope(
            find=self._finder(flow),
            variables=variables,
            flow_input=flow.args if flow_input is None else flow_input,
            flow_env=self._env(flow),
            has_results=previous_id is not None,
            previous_id=previous_id or "",
        )

    def holds(self, condition: str, scope: Scope) -> bool:
        """Whether a condition is true. Raises: FlowProblem in the server's words."""
        try:
            return expressions.evaluate_boolean(condition, scope)
        except ExpressionFailed as error:
            raise FlowProblem(f"Error: {error} {_BOOLEAN_AT}") from error

    def value(self, transform: Transform, scope: Scope) -> Json:
        """The value of an input. Raises: ExpressionFailed."""
        match transform:
            case Static(value=value):
                return value
            case JavaScript(text=text):
                return expressions.evaluate(text, scope)

    def whole_number(self, transform: Transform, scope: Scope) -> int:
        """A whole number that may be computed. Raises: FlowProblem."""
        try:
            value = self.value(transform, scope)
        except ExpressionFailed as error:
            text = transform.text if isinstance(transform, JavaScript) else ""
            raise FlowProblem(f"Error during evaluation of expression `{text}`:\n{error}") from error
        if not isinstance(value, Decimal) or value != value.to_integral_value():
            raise FlowProblem(
                f"Error parsing result as i32: {described(value)}, expected i32. Value was: {value}"
            )
        return int(value)

    def _env(self, flow: FlowRow) -> Mapping[str, Json] | None:
        """The variables of the flow, or of the one around it, with their references replaced."""
        home: FlowRow | None = flow
        while home is not None:
            env = self.world.definition(self.tx, home.home_id).env
            if env is not None:
                return self._resolved(env, flow)
            around = self.flow(home.home_id).parent_id
            home = self.flow(around) if around else None
        return None

    def _resolved(self, env: Mapping[str, Json], flow: FlowRow) -> Mapping[str, Json]:
        try:
            reader = self.world.reader(self.tx, flow.root_id)
            return references.resolve_arguments(env, self.world.store, reader, {})
        except references.Unresolvable:
            return env

    def _finder(self, flow: FlowRow) -> Callable[[str, str], Json]:
        def find(kind: str, name: str) -> Json:
            if kind == "result":
                return self._result_of(flow, name)
            reader = self.world.reader(self.tx, flow.root_id)
            try:
                if kind == "variable":
                    return self.world.store.variable(name, reader)
                return self.world.store.resource(name, reader)
            except NotReadable as error:
                raise NotAvailable(str(error)) from error

        return find

    def _result_of(self, flow: FlowRow, step_id: str) -> Json:
        """The result of a step by its id, looked for outwards; null when it is nowhere."""
        asking: str | None = flow.id
        while asking is not None:
            row = self.tx.execute(Q["leaf_find"], {"step": step_id, "id": asking}).fetchone()
            if row is None:
                return None
            jobs, asking = row
            if isinstance(jobs, list):
                return self.results(jobs)
            if jobs is not None:
                return self.results([jobs])[0]
        return None

    def keep_leaf(self, flow: FlowRow, entry: statuses.Entry) -> None:
        """Remember which jobs did a step, where expressions look for it."""
        jobs = statuses.jobs_of(entry)
        if jobs is not None:
            parameters = {"id": flow.scope, "step": entry["id"], "jobs": json.dumps(jobs)}
            self.tx.execute(Q["leaf_keep"], parameters)


def described(value: Json) -> str:
    """How the server's reader of JSON names a value of the wrong type."""
    match value:
        case None:
            return "invalid type: null"
        case bool():
            return f"invalid type: boolean `{str(value).lower()}`"
        case str():
            return f'invalid type: string "{value}"'
        case Decimal() | float():
            kind = "integer" if value == int(value) else "floating point"
            return f"invalid type: {kind} `{value}`"
        case list():
            return "invalid type: sequence"
        case _:
            return "invalid type: map"
