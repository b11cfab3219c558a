"""A flow that waits for people: whether it was answered, how long it waits, what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from platform_cli.local.windmill.flows import statuses
from platform_cli.local.windmill.flows.lifecycle import JobState
from platform_cli.local.windmill.flows.model import Module, Suspend
from platform_cli.local.windmill.flows.state import NIL, FlowRow, Q, read_json
from platform_cli.local.windmill.flows.statuses import Entry
from platform_cli.local.windmill.flows.turn import Ended, Turn
from platform_cli.local.windmill.jsonb import Json


@dataclass(frozen=True, slots=True)
class Answers:
    """What people answered, the oldest first. Expressions see it as `resumes`, `resume` and `approvers`."""

    values: tuple[Json, ...] = field(default=(), repr=False)
    approvers: tuple[str, ...] = ()

    @property
    def last(self) -> Json:
        """The newest answer, or null."""
        return self.values[-1] if self.values else None


@dataclass(frozen=True, slots=True)
class StillWaiting:
    """The flow does not go on now; `ended` says so when it never will."""

    ended: Ended | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    value: Json
    approver: str | None
    resume_id: int
    approved: bool


def answers(turn: Turn, flow: FlowRow, modules: Sequence[Module], entry: Entry) -> Answers | StillWaiting:
    """What was answered to the step before this one, if it asks; else let the flow wait, or end it."""
    asking = _asking(flow, modules)
    if asking is None:
        return Answers()
    suspend, job_id = asking
    given = _given(turn, job_id, flow.id)
    values = tuple(one.value for one in given)
    refusal = next((one for one in given if not one.approved), None)
    enough = refusal is None and len(given) >= suspend.required_events
    waited = entry["type"] == statuses.FOR_EVENTS
    if not enough and not waited and refusal is None:
        return _wait(turn, flow, suspend, job_id, len(given))
    if not enough:
        error = _refused(refusal)
        if not suspend.continue_on_disapprove_timeout:
            turn.log(flow, str(error["message"]))
            return StillWaiting(Ended(flow.id, NIL, False, {"error": error}))
        values = (*values, {"error": error})
    flow.status["modules"][flow.status["step"] - 1]["approvers"] = [
        {"resume_id": one.resume_id, "approver": one.approver or "unknown"} for one in given
    ]
    return Answers(values, tuple(one.approver or "anonymous" for one in given))


def _asking(flow: FlowRow, modules: Sequence[Module]) -> tuple[Suspend, str] | None:
    """The rule of the step before, and its job, when it ended well and asks for answers."""
    number = flow.status["step"] - 1
    if not 0 <= number < len(modules):
        return None
    suspend, entry = modules[number].suspend, flow.status["modules"][number]
    if suspend is None or not suspend.required_events:
        return None
    if entry["type"] != statuses.SUCCESS or entry.get("skipped"):
        return None
    return suspend, entry["job"]


def _given(turn: Turn, step_job: str, flow_id: str) -> list[_Answer]:
    rows = turn.tx.execute(Q["resume_find_all"], {"step_job": step_job, "flow_id": flow_id}).fetchall()
    return [_Answer(read_json(row[0]), row[1], row[2], row[3]) for row in rows]


def _wait(turn: Turn, flow: FlowRow, suspend: Suspend, job_id: str, given: int) -> StillWaiting:
    entry = statuses.entry_of(flow.status)
    flow.state = JobState.SUSPENDED
    flow.suspend = suspend.required_events - given
    flow.suspend_until = turn.now + timedelta(seconds=suspend.timeout_s)
    statuses.put_entry(
        flow.status,
        {"type": statuses.FOR_EVENTS, "id": entry["id"], "count": suspend.required_events, "job": job_id},
    )
    turn.moved.append((flow.id, flow.path, JobState.SUSPENDED))
    turn.waits = True
    return StillWaiting()


def _refused(refusal: _Answer | None) -> dict[str, Json]:
    if refusal is None:
        return {"name": "SuspendedTimedOut", "message": "Timed out waiting to be resumed"}
    return {"name": "SuspendedDisapproved", "message": f"Disapproved by {refusal.approver or 'unknown'}"}
