"""What a flow does next: wait for people or the clock, skip, try again, begin a step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from platform_cli.local.windmill import jsonb
from platform_cli.local.windmill.flows import statuses, waiting
from platform_cli.local.windmill.flows.containers import (
    Item,
    begin_branch,
    begin_branches,
    begin_loop,
    begin_turn,
)
from platform_cli.local.windmill.flows.expressions import ExpressionFailed
from platform_cli.local.windmill.flows.judging import retry_distance_s
from platform_cli.local.windmill.flows.model import (
    BranchAll,
    BranchOne,
    Flow,
    ForLoop,
    Identity,
    JavaScript,
    Module,
    Transform,
    WhileLoop,
)
from platform_cli.local.windmill.flows.state import NIL, FlowRow
from platform_cli.local.windmill.flows.statuses import Entry
from platform_cli.local.windmill.flows.step import Plan, Step, arguments_of, begin, kind_of, path_of
from platform_cli.local.windmill.flows.turn import Ended, FlowProblem, Turn
from platform_cli.local.windmill.flows.waiting import Answers
from platform_cli.local.windmill.jsonb import Json

_EMPTY = "{}"
"""What the server takes for a result that is not there: this text, not an object."""
_AFTER_THE_STEP_BEFORE = (statuses.WAITING, statuses.FOR_EVENTS)


def push(
    turn: Turn, flow: FlowRow, last: Json | None, *, has_last: bool, unrecoverable: bool = False
) -> Ended | None:
    """Begin the flow's next step, or let it wait; gives what ended at once, such as a loop over nothing.

    Raises: FlowProblem when something that decides about the step cannot be evaluated.
    """
    status, modules, definition = flow.status, turn.modules(flow), turn.definition(flow)
    entry = statuses.entry_of(status)
    if not modules or entry["type"] == statuses.SUCCESS:
        return _nothing_to_do(flow, modules, entry, last if has_last else _EMPTY)
    if _is_not_wanted(turn, flow, definition):
        return Ended(flow.id, NIL, True, "stopped early", stop=True)
    last = _last_result(turn, flow, entry, last, has_last=has_last)
    answers = Answers()
    if entry["type"] in _AFTER_THE_STEP_BEFORE:
        found = waiting.answers(turn, flow, modules, entry)
        if not isinstance(found, Answers):
            return found.ended
        answers = found
    step = _step_at(turn, flow, last, answers)
    return _begin(_chosen(step, unrecoverable=unrecoverable))


def _is_not_wanted(turn: Turn, flow: FlowRow, definition: Flow) -> bool:
    """A flow that does not begin at all, by its own `skip_expr`."""
    condition = definition.skip_expression
    if not condition or flow.parent_id is not None or flow.status["step"] != 0:
        return False
    return turn.holds(condition, turn.scope(flow, {"result": _EMPTY, "previous_result": _EMPTY}))


def _nothing_to_do(flow: FlowRow, modules: Sequence[Module], entry: Entry, last: Json) -> Ended:
    if not modules:
        result: Json = flow.args
    elif entry.get("branch_chosen") is not None:
        result = last
    else:
        result = []
    return Ended(flow.id, NIL, True, result)


def _last_result(turn: Turn, flow: FlowRow, entry: Entry, last: Json, *, has_last: bool) -> Json:
    if entry["type"] == statuses.FAILURE:
        return last if has_last else _EMPTY
    if flow.status["step"] == 0:
        return flow.args
    return last if has_last else previous_result(turn, flow)


def previous_result(turn: Turn, flow: FlowRow) -> Json:
    """The result of the step before the one the flow stands at, when it ended well."""
    entry = flow.status["modules"][flow.status["step"] - 1]
    jobs = statuses.jobs_of(entry)
    if entry["type"] != statuses.SUCCESS or jobs is None or jobs == NIL:
        return _EMPTY
    return turn.results(jobs) if isinstance(jobs, list) else turn.results([jobs])[0]


def _step_at(turn: Turn, flow: FlowRow, last: Json, answers: Answers) -> Step:
    """The step at the flow's place, after the time that the step before it asks to sleep."""
    number, modules, definition = flow.status["step"], turn.modules(flow), turn.definition(flow)
    in_failure = number >= len(modules)
    module = definition.failure_module if in_failure else modules[number]
    if module is None:
        raise FlowProblem("missing failure module")
    entry = statuses.entry_of(flow.status)
    before = modules[number - 1] if 0 < number < len(modules) else None
    step = Step(turn, flow, definition, module, entry, last, before.id if before else "", answers, turn.now)
    step.in_failure_module = in_failure
    if before is not None and before.sleep is not None and entry["type"] in _AFTER_THE_STEP_BEFORE:
        step.at = turn.now + _sleep(turn, flow, before.sleep, last)
    return step


def _chosen(step: Step, *, unrecoverable: bool) -> Step:
    """The step itself, the same one again, or the failure module."""
    if step.entry["type"] != statuses.FAILURE:
        return step
    distance_s = None if unrecoverable else retry_distance_s(step.turn, step.flow, step.module, step.last)
    if distance_s is not None:
        return _again(step, distance_s)
    if step.module.continue_on_error and not unrecoverable and not step.in_failure_module:
        return step
    return _to_failure_module(step)


def _again(step: Step, distance_s: int) -> Step:
    """The same step, with the same arguments, after a while."""
    turn, flow, status = step.turn, step.flow, step.flow.status
    retry = status.setdefault("retry", {"fail_count": 0, "failed_jobs": []})
    retry["fail_count"] += 1
    retry["failed_jobs"].append(step.entry["job"])
    step.repeats = step.entry["job"]
    step.at = turn.now + timedelta(seconds=distance_s)
    step.entry = statuses.waiting(step.entry["id"])
    if step.in_failure_module:
        status["failure_module"]["parent_module"] = step.module.id  # so does the server
    else:
        step.last = flow.args if status["step"] == 0 else previous_result(turn, flow)
    return step


def _to_failure_module(step: Step) -> Step:
    module = step.definition.failure_module
    if module is None:
        raise FlowProblem("missing failure module")
    status = step.flow.status
    parent = step.module.id
    step.previous_id, step.module, step.in_failure_module = parent, module, True
    step.entry = status["failure_module"]
    if module.retry.has_attempts:
        status["retry"] = {"fail_count": 0, "failed_jobs": []}
    status["step"] = len(status["modules"])
    status["failure_module"] = {**step.entry, "parent_module": parent}
    return step


def _sleep(turn: Turn, flow: FlowRow, sleep: Transform, last: Json) -> timedelta:
    try:
        value = turn.value(sleep, turn.scope(flow, {"result": last, "previous_result": last}))
    except ExpressionFailed as error:
        text = sleep.text if isinstance(sleep, JavaScript) else ""
        why = f"Error during evaluation of expression `{text}`:\n{error}"
        raise FlowProblem(f"Expected a number value, had error instead: ExecutionErr({why!r})") from error
    if isinstance(value, bool) or not isinstance(value, Decimal | float) or value < 0:
        raise FlowProblem(f"Expected an integer, found: {_debug(value)}")
    return timedelta(milliseconds=int(value * 1000))


def _debug(value: Json) -> str:
    """How the server prints a value that is not a number."""
    match value:
        case str():
            return f"String({jsonb.to_text(value)})"
        case bool():
            return f"Bool({str(value).lower()})"
        case None:
            return "Null"
        case Decimal() | float():
            return str(value)
        case list():
            return f"Array {jsonb.to_text(value)}"
        case _:
            return f"Object {jsonb.to_text(value)}"


def _begin(step: Step) -> Ended | None:
    module = step.module
    if isinstance(module.work, Identity) or (module.skip_if and _is_skipped(step)):
        return begin(step, Plan("identity", None, {"previous_result": step.last}))
    match module.work:
        case BranchOne() as work:
            return begin_branch(step, work)
        case BranchAll() as work:
            return begin_branches(step, work)
        case ForLoop() as work:
            return begin_loop(step, work)
        case WhileLoop() as work:
            index = len(step.entry.get("flow_jobs") or [])
            return begin_turn(step, work.place, Item(index, 0, Decimal(index), of_while=True))
        case work:
            arguments, problem = arguments_of(step, work)
            plan = Plan(kind_of(work), path_of(step.flow, module), arguments, problem=problem)
            return begin(step, plan)


def _is_skipped(step: Step) -> bool:
    turn, module = step.turn, step.module
    variables = {**step.variables, "result": step.last}
    try:
        return turn.holds(module.skip_if, turn.scope(step.flow, variables, previous_id=step.previous_id))
    except FlowProblem as problem:
        turn.log_root(
            step.flow,
            f"Error evaluating skip_if of module '{module.id}' expression `{module.skip_if}`: {problem}\n",
        )
        raise
