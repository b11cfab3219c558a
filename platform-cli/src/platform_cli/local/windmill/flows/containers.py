"""Steps that hold other steps: branches and loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from platform_cli.local.windmill import jsonb
from platform_cli.local.windmill.flows import statuses
from platform_cli.local.windmill.flows.expressions import ExpressionFailed
from platform_cli.local.windmill.flows.model import (
    BranchAll,
    BranchOne,
    ForLoop,
    RawScriptStep,
    ScriptStep,
)
from platform_cli.local.windmill.flows.state import NIL
from platform_cli.local.windmill.flows.statuses import Entry
from platform_cli.local.windmill.flows.step import Plan, Step, arguments_of, begin, kind_of, queue_job
from platform_cli.local.windmill.flows.turn import Ended, FlowProblem, described
from platform_cli.local.windmill.jsonb import Json
from platform_cli.sync.yaml12 import Place

_ITERATOR_AT = "@worker_flow.rs:5784:21"


@dataclass(frozen=True, slots=True)
class Item:
    """What one turn of a loop is about; `of` is how many turns there are, 0 when nobody knows."""

    index: int
    of: int
    value: Json
    of_while: bool = False


def begin_branch(step: Step, work: BranchOne) -> Ended | None:
    """Go the first way whose condition holds."""
    if step.entry["type"] not in statuses.NOT_BEGUN:
        raise FlowProblem(f"Bad request: Unrecognized module status for BranchOne {step.entry['type']}")
    try:
        number = _number_of_branch(step, work)
    except FlowProblem as problem:
        error: Json = {"error": {"name": "Anyhow", "message": str(problem)}}
        return Ended(step.flow.id, NIL, False, error)
    taken = work.branches[number - 1] if number else work.default
    chosen: Entry = {"type": "branch", "branch": number - 1} if number else {"type": "default"}
    if not step.definition.modules(taken.place):
        return _empty(step, chosen)
    plan = Plan("flownode", f"{step.flow.path}/branchone-{number}", step.flow.args, taken.place)
    return begin(step, plan, {"branch_chosen": chosen})


def _number_of_branch(step: Step, work: BranchOne) -> int:
    """The branch that is gone, counted from one; zero is the default."""
    variables = {**step.variables, "result": step.last}
    scope = step.turn.scope(step.flow, variables, previous_id=step.previous_id)
    for index, branch in enumerate(work.branches):
        try:
            if step.turn.holds(branch.when, scope):
                return index + 1
        except FlowProblem as problem:
            where = f"branchone branch {index} of module '{step.module.id}'"
            step.turn.log_root(step.flow, f"Error evaluating {where} expression `{branch.when}`: {problem}\n")
            raise
    return 0


def _empty(step: Step, chosen: Entry | None) -> Ended:
    statuses.put_entry(step.flow.status, statuses.nothing_inside(step.entry, chosen))
    return Ended(step.flow.id, NIL, True, step.last if chosen is not None else [])


def begin_branches(step: Step, work: BranchAll) -> Ended | None:
    """Go every way at once, or the next one of them."""
    flow, entry = step.flow, step.entry
    if entry["type"] in statuses.NOT_BEGUN:
        if not work.branches:
            return _empty(step, None)
        if work.parallel:
            jobs = [
                queue_job(step, Plan("flownode", f"{flow.path}/branchall-{index}", flow.args, branch.place))
                for index, branch in enumerate(work.branches)
            ]
            _note_all(step, jobs, {"branchall": {"branch": 0, "len": len(jobs)}})
            return None
        number = 0
    elif entry["type"] == statuses.IN_PROGRESS and not work.parallel:
        number = entry["branchall"]["branch"] + 1
    else:
        raise FlowProblem(f"Bad request: Unrecognized module status for BranchAll {entry['type']}")
    plan = Plan("flownode", f"{flow.path}/branchall-{number}", flow.args, work.branches[number].place)
    return begin(step, plan, {"branchall": {"branch": number, "len": len(work.branches)}}, is_turn=True)


def _note_all(step: Step, jobs: Sequence[str], inside: Entry) -> None:
    entry = {
        "type": statuses.IN_PROGRESS,
        "id": step.entry["id"],
        "job": step.flow.id,
        "parallel": True,
        **inside,
        **statuses.all_turns(jobs),
    }
    statuses.put_entry(step.flow.status, entry)


def begin_loop(step: Step, work: ForLoop) -> Ended | None:
    """Begin every turn at once, or the next one of them."""
    flow, entry = step.flow, step.entry
    if entry["type"] in statuses.NOT_BEGUN:
        items = _items(step, work)
        if not items or not step.definition.modules(work.place):
            return _empty(step, None)
        if work.parallel:
            _all_turns(step, work, items)
            return None
        flow.items = items
        return begin_turn(step, work.place, Item(0, len(items), items[0]))
    if entry["type"] == statuses.IN_PROGRESS and not work.parallel and flow.items is not None:
        index = entry["iterator"]["index"] + 1
        return begin_turn(step, work.place, Item(index, len(flow.items), flow.items[index]))
    raise FlowProblem(f"Bad request: Unrecognized module status for ForloopFlow {entry['type']}")


def _items(step: Step, work: ForLoop) -> list[Json]:
    variables = {**step.variables, "result": step.last}
    scope = step.turn.scope(step.flow, variables, previous_id=step.previous_id)
    try:
        found = step.turn.value(work.iterator, scope)
    except ExpressionFailed as error:
        raise FlowProblem(f"Error: {error} {_ITERATOR_AT}") from error
    if not isinstance(found, list):
        text = jsonb.to_text(found)
        column = 0 if isinstance(found, dict) else len(text)
        raise FlowProblem(
            f"Expected an array value in the iterator expression, found: {described(found)}, "
            f"expected a sequence at line 1 column {column}"
        )
    return found


def _all_turns(step: Step, work: ForLoop, items: Sequence[Json]) -> None:
    flow, turn = step.flow, step.turn
    at_once = len(items)
    if work.parallelism is not None:
        variables = {"result": step.last, "previous_result": step.last}
        scope = turn.scope(flow, variables, previous_id=step.previous_id)
        at_once = turn.whole_number(work.parallelism, scope)
    jobs = [
        queue_job(
            step,
            Plan(
                "flownode",
                f"{flow.path}/forloop-{index}",
                with_item(flow.args, index, item),
                work.place,
                own_scope=True,
                waits=max(0, index - at_once + 1),
            ),
        )
        for index, item in enumerate(items)
    ]
    _note_all(step, jobs, {"iterator": {"index": 0, "itered_len": len(items)}})


def with_item(arguments: Mapping[str, Json], index: int, value: Json) -> dict[str, Json]:
    """The input of one turn: `iter` is added, and that of a loop around it becomes `iter_parent`."""
    found, name, moved = dict(arguments), "iter", {"index": Decimal(index), "value": value}
    incoming: Json = moved
    while name in found:
        found[name], incoming, name = incoming, found[name], f"{name}_parent"
    found[name] = incoming
    return found


def begin_turn(step: Step, place: Place, item: Item) -> Ended | None:
    """Begin one turn of a loop whose turns follow one another."""
    flow, modules = step.flow, step.definition.modules(place)
    if not modules:
        return _empty(step, None)
    inside: Entry = {"iterator": {"index": item.index, "itered_len": item.of}}
    if item.of_while:
        inside["while_loop"] = True
    path, arguments = f"{flow.path}/loop-{item.index}", with_item(flow.args, item.index, item.value)
    plan, only = Plan("flownode", path, arguments, place), modules[0]
    if len(modules) == 1 and only.is_plain and step.definition.failure_module is None:
        work = only.work
        if isinstance(work, ScriptStep | RawScriptStep):
            given, problem = arguments_of(step, work, loop=arguments)
            path = work.path if isinstance(work, ScriptStep) else path
            plan = Plan(kind_of(work), path, given, (*place, 0), problem)
    return begin(step, plan, inside, is_turn=True)
