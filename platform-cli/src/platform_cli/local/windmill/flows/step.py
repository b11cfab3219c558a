"""The step that is about to begin: what its expressions see, its arguments, the job that does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from platform_cli.local.windmill.flows import statuses
from platform_cli.local.windmill.flows.expressions import ExpressionFailed
from platform_cli.local.windmill.flows.model import (
    MODULES,
    Flow,
    FlowStep,
    JavaScript,
    Module,
    RawScriptStep,
    ScriptStep,
    Work,
)
from platform_cli.local.windmill.flows.state import FlowRow, NewJob
from platform_cli.local.windmill.flows.statuses import Entry
from platform_cli.local.windmill.flows.turn import Ended, FlowProblem, Turn
from platform_cli.local.windmill.flows.waiting import Answers
from platform_cli.local.windmill.jsonb import Json
from platform_cli.sync.yaml12 import Place

_PARALLEL_PATIENCE = timedelta(days=14)
_FLOWS = ("flow", "flownode")


@dataclass(slots=True)
class Step:
    """The step that is about to begin, and what its expressions see."""

    turn: Turn
    flow: FlowRow
    definition: Flow
    module: Module
    entry: Entry
    last: Json
    previous_id: str
    answers: Answers
    at: datetime
    in_failure_module: bool = False
    repeats: str = ""

    @property
    def variables(self) -> dict[str, Json]:
        """What came before, and what people answered."""
        return {
            "previous_result": self.last,
            "resume": self.answers.last,
            "resumes": list(self.answers.values),
            "approvers": list(self.answers.approvers),
        }


def kind_of(work: Work) -> str:
    """The kind of job that does it."""
    match work:
        case ScriptStep():
            return "script"
        case RawScriptStep():
            return "flowscript"
        case FlowStep():
            return "flow"
        case _:
            return "identity"


def path_of(flow: FlowRow, module: Module) -> str:
    """The path a step's job shows."""
    work = module.work
    return work.path if isinstance(work, ScriptStep | FlowStep) else f"{flow.path}/{module.id}"


def arguments_of(
    step: Step, work: ScriptStep | RawScriptStep | FlowStep, *, loop: Mapping[str, Json] | None = None
) -> tuple[dict[str, Json], Json]:
    """The arguments of a step; none, and the error it ends with, when one cannot be computed."""
    turn, flow = step.turn, step.flow
    if step.repeats and loop is None:
        return step.turn.arguments_of(step.repeats), None
    variables = {**step.variables, "params": {}}
    if step.in_failure_module and flow.started_at is not None:
        variables["started_at"] = flow.started_at.isoformat().replace("+00:00", "Z")
        variables["flow_job_id"] = flow.id
    previous = "" if loop is not None else step.previous_id
    scope = turn.scope(flow, variables, previous_id=previous, flow_input=loop)
    found: dict[str, Json] = {}
    for name, transform in work.inputs.items():
        try:
            found[name] = turn.value(transform, scope)
        except ExpressionFailed as error:
            text = transform.text if isinstance(transform, JavaScript) else ""
            why = f"Error during isolated evaluation of expression `{text}`:\n{error}"
            if loop is not None:
                why = f"could not transform input using an expr: {why}"
            return {}, {"error": {"name": "ExecutionErr", "message": why}}
    return found, None


@dataclass(frozen=True, slots=True)
class Plan:
    """A job for a step. `place` is where the modules of a flow inside it stand; `waits` for so many turns."""

    kind: str
    path: str | None
    arguments: Mapping[str, Json]
    place: Place | None = None
    problem: Json = None
    own_scope: bool = False
    waits: int = 0


def begin(step: Step, plan: Plan, inside: Entry | None = None, *, is_turn: bool = False) -> Ended | None:
    """Queue one job for the step and note it in the flow's status; nothing has ended by it.

    `inside` is what the status tells of a step that holds others, `is_turn` that this is one turn of several.
    """
    job_id = queue_job(step, plan)
    made: Entry = {"type": statuses.FOR_EXECUTOR if inside is None else statuses.IN_PROGRESS}
    made |= {"id": step.entry["id"], "job": job_id, **(inside or {})}
    if is_turn:
        made |= statuses.add_turn(step.entry, job_id)
    if step.repeats:
        made["failed_retries"] = list(step.flow.status["retry"]["failed_jobs"])
    statuses.put_entry(step.flow.status, made)
    return None


def queue_job(step: Step, plan: Plan) -> str:
    """Queue a job for the step; gives its id."""
    turn, flow, module = step.turn, step.flow, step.module
    job_id = turn.new_id()
    work, called = module.work, None
    if isinstance(work, FlowStep) and plan.kind == "flow":
        called = turn.called_flow(work.path)
    place = MODULES if called is not None else plan.place
    inner = (called or step.definition).modules(place) if place is not None and plan.kind in _FLOWS else None
    turn.queue(
        NewJob(
            id=job_id,
            kind=plan.kind,
            path=plan.path,
            parent_id=flow.id,
            root_id=flow.root_id,
            home_id=job_id if called is not None else flow.home_id,
            scope_id=None if plan.own_scope or called is not None else flow.scope,
            step_id=module.id,
            place=place if place is not None else _place_of(step),
            args=plan.arguments,
            scheduled_for=step.at,
            status=None if inner is None else statuses.new_status(inner),
            value=called.value if called is not None else None,
            suspend=plan.waits,
            suspend_until=turn.now + _PARALLEL_PATIENCE if plan.waits else None,
            timeout_s=_timeout_s(step),
            problem=plan.problem,
        )
    )
    return job_id


def _place_of(step: Step) -> Place:
    """Where the module itself stands: what runs it reads its text there."""
    if step.in_failure_module:
        return ("failure_module",)
    return (*step.flow.place, step.flow.status["step"])


def _timeout_s(step: Step) -> int | None:
    if step.module.timeout is None:
        return None
    variables = {"result": step.last, "previous_result": step.last}
    scope = step.turn.scope(step.flow, variables, previous_id=step.previous_id)
    seconds = step.turn.whole_number(step.module.timeout, scope)
    if seconds < 0:
        raise FlowProblem("Timeout value cannot be negative")
    return seconds
