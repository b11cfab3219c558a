"""A step ended: how it went, whether its flow goes on, and with what. Decided as the server decides it."""

from __future__ import annotations

from dataclasses import dataclass, field

from platform_cli.local.windmill.flows import statuses
from platform_cli.local.windmill.flows.model import (
    NO_RETRY,
    BranchAll,
    Flow,
    FlowStep,
    ForLoop,
    Module,
    StopIf,
    WhileLoop,
)
from platform_cli.local.windmill.flows.state import FlowRow, Q
from platform_cli.local.windmill.flows.statuses import Entry
from platform_cli.local.windmill.flows.turn import Ended, FlowProblem, Turn
from platform_cli.local.windmill.jsonb import Json


@dataclass(slots=True)
class Stop:
    """Whether the flow ends early: as `skipped`, or with `message` as its error."""

    asked: bool = False
    skipped: bool = False
    message: str | None = None
    include_result: bool = False

    def by(self, rule: StopIf) -> None:
        """Stop as a rule says whose condition holds."""
        self.asked, self.skipped, self.message, self.include_result = True, rule.skip, None, False
        if not rule.skip and rule.error_message is not None:
            self.message = rule.error_message or f"stop after if: {rule.when}"
            self.include_result = rule.include_result

    def nothing(self) -> None:
        """Forget it: a loop that was left early is no flow that ended early."""
        self.asked, self.skipped, self.message, self.include_result = False, False, None, False

    @property
    def is_error(self) -> bool:
        """Whether stopping makes the step a failure."""
        return self.asked and self.message is not None and not self.skipped


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the flow."""

    goes_on: bool
    ok: bool
    result: Json = field(repr=False)
    stop: Stop
    in_failure_module: bool
    handled: bool


@dataclass(slots=True)
class _Case:
    """Everything that is looked at to judge one end."""

    turn: Turn
    flow: FlowRow
    ended: Ended
    definition: Flow
    entry: Entry
    module: Module | None
    stop: Stop = field(default_factory=Stop)
    ok: bool = False
    handled: bool = False
    collected: Json = None
    advances: bool = False
    new_entry: Entry | None = None

    @property
    def in_progress(self) -> bool:
        return bool(self.entry["type"] == statuses.IN_PROGRESS)

    @property
    def is_loop(self) -> bool:
        return self.in_progress and "iterator" in self.entry

    @property
    def is_branchall(self) -> bool:
        return self.in_progress and "branchall" in self.entry

    @property
    def is_parallel(self) -> bool:
        return self.in_progress and bool(self.entry.get("parallel"))

    @property
    def skips_failures(self) -> bool:
        """A loop that goes on after a turn that failed."""
        work = self.module.work if self.module else None
        return self.is_loop and isinstance(work, ForLoop | WhileLoop) and work.skip_failures

    @property
    def skips_branch(self) -> bool:
        """A branch, one of several in a row, whose failure does not matter."""
        work = self.module.work if self.module else None
        if not self.is_branchall or self.is_parallel or not isinstance(work, BranchAll):
            return False
        number: int = self.entry["branchall"]["branch"]
        return work.branches[number].skip_failure

    @property
    def was_skipped(self) -> bool:
        """The step itself did not run, for its `skip_if` held."""
        return bool(self.module and self.module.skip_if and self.ended.kind == "identity")

    @property
    def continues_on_error(self) -> bool:
        inside = self.ended.stop is not None and self.stop.asked
        return bool(self.module and self.module.continue_on_error) and not inside


def judge(turn: Turn, flow: FlowRow, ended: Ended) -> Verdict | None:
    """What comes after `ended`; None while other jobs of the same step still run.

    Changes the flow's status. Raises: FlowProblem when a condition cannot be evaluated, before any change.
    """
    definition, status = turn.definition(flow), flow.status
    step, modules = status["step"], turn.modules(flow)
    module = modules[step] if 0 <= step < len(modules) else None
    is_flow_step = module is not None and isinstance(module.work, FlowStep)
    case = _Case(turn, flow, ended, definition, statuses.entry_of(status), module, ok=ended.ok)
    case.handled = ended.handled and not is_flow_step
    in_failure_module = step >= len(status["modules"]) > 0
    if ended.stop is not None and not is_flow_step and not case.is_parallel:
        case.stop.asked, case.stop.skipped = True, ended.stop
    elif module is not None:
        _stop_after(case, module)
    if case.is_parallel:
        if not _parallel_turn(case):
            return None
    elif _has_another_turn(case):
        _note(case)
    else:
        _last_turn(case)
    return _verdict(case, step, in_failure_module=in_failure_module)


def _stop_after(case: _Case, module: Module) -> None:
    rule = module.stop_after_if
    if rule is None or not case.ok or case.is_branchall or (case.is_loop and case.is_parallel):
        return
    if case.was_skipped:
        return
    variables = {"result": case.ended.result, "previous_result": case.ended.result}
    if "all_iters" in rule.when and case.entry.get("flow_jobs") is not None:
        variables["all_iters"] = case.turn.results(case.entry["flow_jobs"])
    try:
        if case.turn.holds(rule.when, case.turn.scope(case.flow, variables, previous_id="")):
            case.stop.by(rule)
    except FlowProblem as problem:
        case.turn.log_root(
            case.flow,
            f"Error evaluating stop_after_if of module '{module.id}' expression `{rule.when}`: {problem}\n",
        )
        raise


def _note(case: _Case) -> None:
    ended = case.ended
    statuses.note_turn(
        case.entry, ended.job_id, ok=case.ok, started_at=ended.started_at, duration_ms=ended.duration_ms
    )


# --- Loops and branches -----------------------------------------------------------------------------------


def _parallel_turn(case: _Case) -> bool:
    """Note the end of one of several jobs that run at once; whether it was the last."""
    _note(case)
    entry = case.entry
    if case.is_loop:
        entry["iterator"]["index"] += 1
        so_far, of = entry["iterator"]["index"], entry["iterator"]["itered_len"]
    else:
        entry["branchall"]["branch"] += 1
        so_far, of = entry["branchall"]["branch"], entry["branchall"]["len"]
    if so_far < of:
        released = case.turn.tx.execute(
            Q["job_release"], {"parent_id": case.flow.id, "ended": so_far}
        ).fetchall()
        case.turn.ready.extend((row[0], row[1]) for row in released)
        return False
    _stop_after_all(case)
    ok = not case.stop.is_error and (case.skips_failures or case.turn.succeeded(_that_matter(case)))
    case.ok, case.advances = ok, ok
    case.new_entry = statuses.ended(
        entry, case.ended.job_id, ok=ok, skipped=case.stop.asked and case.stop.skipped, failed_retries=()
    )
    case.handled = not ok and case.definition.failure_module is not None
    return True


def _that_matter(case: _Case) -> list[str]:
    jobs: list[str] = case.entry["flow_jobs"]
    work = case.module.work if case.module else None
    if not isinstance(work, BranchAll):
        return jobs
    return [job for job, branch in zip(jobs, work.branches, strict=True) if not branch.skip_failure]


def _has_another_turn(case: _Case) -> bool:
    if case.stop.asked:
        return False
    if case.is_loop:
        iterator = case.entry["iterator"]
        more = case.entry.get("while_loop") or iterator["index"] + 1 < iterator["itered_len"]
        return bool(more) and (case.ok or case.skips_failures)
    if case.is_branchall:
        state = case.entry["branchall"]
        return bool(state["branch"] < state["len"] - 1) and (case.ok or case.skips_branch)
    return False


def _last_turn(case: _Case) -> None:
    """A step of one job ended, or the last turn of a loop or of branches in a row."""
    if case.stop.asked and case.is_loop:
        case.stop.nothing()
    if case.is_loop or (case.is_branchall and not case.stop.asked):
        _stop_after_all(case)
    _note(case)
    retries = case.flow.status.get("retry", {}).get("failed_jobs", [])
    some_may_fail = case.entry.get("flow_jobs") is not None and (case.skips_failures or case.skips_branch)
    if (case.ok or some_may_fail) and not case.stop.is_error:
        skipped = (case.stop.asked and case.stop.skipped) or case.was_skipped
        case.ok, case.advances = True, True
    else:
        skipped, case.advances = False, _leaves_error_behind(case)
        case.ok = False if case.stop.is_error else case.ok
    # a step that failed for stopping with a message is a failure whatever its script said
    ok = case.ok and not case.stop.is_error
    case.new_entry = statuses.ended(
        case.entry, case.ended.job_id, ok=ok, skipped=skipped, failed_retries=retries
    )


def _leaves_error_behind(case: _Case) -> bool:
    """A failed step whose flow goes on with the next one: told to, and not to be tried again."""
    if case.ended.unrecoverable or not case.continues_on_error:
        return False
    return retry_distance_s(case.turn, case.flow, case.module, case.ended.result) is None


def _stop_after_all(case: _Case) -> None:
    rule = case.module.stop_after_all_iters_if if case.module else None
    if rule is None:
        return
    case.collected = case.turn.results(case.entry.get("flow_jobs") or [])
    variables = {"result": case.collected, "previous_result": case.collected}
    try:
        if case.turn.holds(rule.when, case.turn.scope(case.flow, variables, previous_id="")):
            case.stop.by(rule)
    except FlowProblem as problem:
        case.stop.asked, case.stop.skipped = True, False
        case.stop.message = f"Error evaluating stop_after_all_iters_if expression `{rule.when}`: {problem}"


# --- The verdict ------------------------------------------------------------------------------------------


def _verdict(case: _Case, step: int, *, in_failure_module: bool) -> Verdict:
    flow, status, result = case.flow, case.flow.status, case.collected
    if case.stop.asked and case.stop.message is not None:
        error: dict[str, Json] = {"name": "EarlyStopError", "message": case.stop.message}
        if case.stop.include_result:
            error["result"] = case.ended.result if result is None else result
        result = {"error": error}
    entry = case.new_entry
    if entry is not None:
        statuses.put_entry(status, entry)
        if not in_failure_module and step >= 0:
            case.turn.keep_leaf(flow, entry)
        if entry["type"] == statuses.SUCCESS:
            status.pop("retry", None)
    if case.advances:
        status["step"] = step + 1
    if result is None:
        jobs = entry.get("flow_jobs") if entry else None
        result = case.ended.result if jobs is None else case.turn.results(jobs)
    is_last = not 0 <= status["step"] < len(status["modules"])
    tolerated = case.skips_branch or case.skips_failures or case.continues_on_error
    goes_on = _goes_on(case, is_last=is_last, tolerated=tolerated, in_failure=in_failure_module)
    ok = case.ok or (is_last and tolerated and not case.ended.unrecoverable)
    return Verdict(goes_on, ok, result, case.stop, in_failure_module, case.handled)


def _goes_on(case: _Case, *, is_last: bool, tolerated: bool, in_failure: bool) -> bool:
    has_handler = case.definition.failure_module is not None
    to_handler = not in_failure and not case.handled and has_handler
    if case.stop.asked:
        return case.stop.message is not None and has_handler
    if case.flow.canceled_by is not None:
        return False
    if case.ok:
        return not is_last
    if case.ended.unrecoverable:
        return to_handler
    if tolerated:
        return not is_last
    tried = case.definition.failure_module if in_failure else case.module
    return retry_distance_s(case.turn, case.flow, tried, case.ended.result) is not None or to_handler


def retry_distance_s(turn: Turn, flow: FlowRow, module: Module | None, result: Json) -> int | None:
    """Seconds until the step is tried again; None when it is not. Raises: FlowProblem."""
    retry = module.retry if module else NO_RETRY
    if retry.when:
        variables = {"result": result, "previous_result": result}
        if not turn.holds(retry.when, turn.scope(flow, variables)):
            return None
    return retry.distance_s(flow.status.get("retry", {}).get("fail_count", 0))
