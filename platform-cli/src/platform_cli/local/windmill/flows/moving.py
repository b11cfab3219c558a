"""Flows move on: one begins, a job below one ended, one was answered, waited too long or was canceled."""

from __future__ import annotations

from platform_cli.local.windmill.flows.judging import Verdict, judge
from platform_cli.local.windmill.flows.lifecycle import JobState, Outcome
from platform_cli.local.windmill.flows.pushing import push
from platform_cli.local.windmill.flows.state import NIL, FlowRow, finish_job
from platform_cli.local.windmill.flows.turn import Ended, FlowProblem, Turn
from platform_cli.local.windmill.jsonb import Json

_WORKER_AT = "@worker.rs:3825:21"
_MILLISECONDS = 1000


def enter(turn: Turn, flow_id: str) -> None:
    """Begin a queued flow, or go on with one that waited for people or for the clock."""
    flow = turn.flow(flow_id)
    if not _is_due(turn, flow):
        return
    flow.state, flow.suspend, flow.suspend_until = JobState.RUNNING, 0, None
    flow.started_at = flow.started_at or turn.now
    turn.moved.append((flow.id, flow.path, JobState.RUNNING))
    try:
        ended = push(turn, flow, None, has_last=False)
    except FlowProblem as problem:
        error: Json = {"error": {"name": "Anyhow", "message": f"Error: {problem} {_WORKER_AT}"}}
        ended = Ended(flow.id, NIL, False, error)
    _settle_all(turn, ended)


def _is_due(turn: Turn, flow: FlowRow) -> bool:
    match flow.state:
        case JobState.QUEUED:
            return flow.suspend == 0 and flow.scheduled_for <= turn.now
        case JobState.SUSPENDED:
            return flow.suspend == 0 or (flow.suspend_until is not None and flow.suspend_until <= turn.now)
        case _:
            return False


def job_ended(turn: Turn, ended: Ended, outcome: Outcome, logs: str = "") -> bool:
    """Store how a step ended and move its flow on; False when its end was stored before."""
    started_at = finish_job(turn.tx, ended.job_id, outcome, ended.result, logs, turn.now)
    if started_at is None:
        return False
    duration_ms = round((turn.now - started_at).total_seconds() * _MILLISECONDS)
    _settle_all(
        turn,
        Ended(
            ended.flow_id,
            ended.job_id,
            ended.ok,
            ended.result,
            ended.kind,
            started_at=started_at,
            duration_ms=duration_ms,
        ),
    )
    return True


def cancel_flow(turn: Turn, flow_id: str) -> None:
    """End a flow that was marked as canceled and has nothing running below it."""
    flow = turn.flow(flow_id)
    if flow.state is not JobState.DONE:
        flow.state = JobState.RUNNING
        _settle_all(turn, Ended(flow.id, NIL, False, canceled_error(flow)))


def canceled_error(flow: FlowRow) -> Json:
    """The result of a flow that was canceled."""
    by, reason = flow.canceled_by, flow.canceled_reason
    return {
        "error": {
            "name": "Canceled",
            "reason": reason,
            "message": f"Job canceled: {reason} by {by}",
            "canceler": by,
        }
    }


def _settle_all(turn: Turn, ended: Ended | None) -> None:
    """Follow an end upwards, and the ends of jobs that failed before they began."""
    while ended is not None or turn.failed:
        if ended is None:
            job, result = turn.failed.pop(0)
            started_at = finish_job(turn.tx, job.id, Outcome.FAILURE, result, "", turn.now)
            ended = Ended(str(job.parent_id), job.id, False, result, job.kind, started_at=started_at)
        ended = _settle(turn, ended)


def _settle(turn: Turn, ended: Ended) -> Ended | None:
    flow = turn.flow(ended.flow_id)
    if flow.state is JobState.DONE:
        return None
    try:
        verdict = judge(turn, flow, ended)
    except FlowProblem as problem:
        again = Ended(
            ended.flow_id,
            ended.job_id,
            False,
            {"error": str(problem)},
            ended.kind,
            ended.stop,
            ended.handled,
            unrecoverable=True,
        )
        return _decided(turn, flow, again, judge(turn, flow, again))
    return _decided(turn, flow, ended, verdict)


def _decided(turn: Turn, flow: FlowRow, ended: Ended, verdict: Verdict | None) -> Ended | None:
    if verdict is None:
        return None
    if not verdict.goes_on:
        return _end(turn, flow, verdict)
    try:
        return push(turn, flow, verdict.result, has_last=True, unrecoverable=ended.unrecoverable)
    except FlowProblem as problem:
        error: Json = {"error": {"name": "InternalError", "message": str(problem)}}
        turn.log(flow, f"Unexpected error during flow chaining:\n{problem}\n")
        duration_ms = turn.finish(flow, Outcome.FAILURE, error)
        return _upwards(flow, verdict, ok=False, duration_ms=duration_ms)


def _end(turn: Turn, flow: FlowRow, verdict: Verdict) -> Ended | None:
    ok = verdict.ok and (not verdict.in_failure_module or _recovers(verdict.result))
    turn.log(flow, _last_words(flow, verdict))
    if flow.canceled_by is not None:
        outcome, result = Outcome.CANCELED, canceled_error(flow)
    elif ok:
        skipped = verdict.stop.asked and verdict.stop.skipped
        outcome, result = Outcome.SKIPPED if skipped else Outcome.SUCCESS, verdict.result
    else:
        outcome, result = Outcome.FAILURE, verdict.result
    duration_ms = turn.finish(flow, outcome, result)
    return _upwards(flow, verdict, ok=verdict.ok and flow.canceled_by is None, duration_ms=duration_ms)


def _upwards(flow: FlowRow, verdict: Verdict, *, ok: bool, duration_ms: int) -> Ended | None:
    """What the flow around this one is told; None at the outermost."""
    if flow.parent_id is None:
        return None
    return Ended(
        flow.parent_id,
        flow.id,
        ok and not verdict.in_failure_module,
        verdict.result,
        flow.kind,
        stop=verdict.stop.skipped if verdict.stop.asked else None,
        handled=verdict.handled or verdict.in_failure_module,
        started_at=flow.started_at,
        duration_ms=duration_ms,
    )


def _recovers(result: Json) -> bool:
    """A failure module says so itself: `recover: true`."""
    return isinstance(result, dict) and result.get("recover") is True


def _last_words(flow: FlowRow, verdict: Verdict) -> str:
    how = "success" if verdict.ok else "error"
    if flow.canceled_by is not None:
        return "Flow job canceled\n"
    if verdict.stop.asked:
        return "Flow job stopped early because of a stop early predicate returning true\n"
    if verdict.in_failure_module:
        recovers = str(_recovers(verdict.result)).lower()
        return (
            "Flow job completed with error, and error handler was triggered.\n"
            f"It completed with {how}, and with recover: {recovers}\n"
        )
    return f"Flow job completed with {how}\n"
