"""People's word on a flow: signed URLs, approval, refusal, cancellation. Each answer counts once."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from urllib.parse import quote
from uuid import UUID

from platform_cli.local.windmill import jsonb
from platform_cli.local.windmill.flows import moving, statuses
from platform_cli.local.windmill.flows.lifecycle import RESTART_LIMIT, JobState, Outcome
from platform_cli.local.windmill.flows.state import NIL, FlowRow, Q, State, find_results
from platform_cli.local.windmill.flows.turn import Ended, Turn
from platform_cli.local.windmill.jsonb import Json

LARGEST_RESUME_ID = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody says to a step: its number, who, yes or no, and anything they send along."""

    resume_id: int
    approver: str | None
    approved: bool
    value: Json = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of an answer: kept, given before, or too late because the flow is over."""

    kept: bool = False
    given_before: bool = False


@dataclass(frozen=True, slots=True)
class Canceled:
    """What became of a cancellation. `running` are jobs whose processes have to be killed."""

    found: bool = False
    was_done: bool = False
    running: tuple[str, ...] = ()


def sign(key: str, job_id: str, resume_id: int, approver: str | None) -> str:
    """The signature in a URL, as the server makes it: of the job, the number and who may use it."""
    signed = UUID(job_id).bytes + resume_id.to_bytes(4, "big") + (approver or "").encode()
    return hmac.new(key.encode(), signed, hashlib.sha256).hexdigest()


def sign_page(key: str, flow_id: str) -> str:
    """The token of a flow's approval page."""
    return hmac.new(key.encode(), b"approval" + UUID(flow_id).bytes, hashlib.sha256).hexdigest()


def urls(
    state: State, base_url: str, workspace: str, job_id: str, resume_id: int, approver: str | None
) -> dict[str, Json]:
    """The URLs that approve and refuse, and that of the page for people. No token is needed to use them."""
    signature = sign(state.signing_key, job_id, resume_id, approver)
    asked = "" if approver is None else f"?approver={quote(approver, safe='')}"
    tail = f"{job_id}/{resume_id}/{signature}{asked}"
    page = flow_of(state, job_id) or job_id
    token = sign_page(state.signing_key, page)
    return {
        "approvalPage": f"{base_url}/approve/{workspace}/{page}?token={token}",
        "cancel": f"{base_url}/api/w/{workspace}/jobs_u/cancel/{tail}",
        "resume": f"{base_url}/api/w/{workspace}/jobs_u/resume/{tail}",
    }


def flow_of(state: State, job_id: str) -> str | None:
    """The flow a job is a step of, or the job itself when it is a flow; None when it is over or unknown."""
    with state.turn() as tx:
        row = tx.execute(Q["resume_target"], {"id": job_id}).fetchone()
    return row[0] if row else None


def answer(turn: Turn, job_id: str, given: Answer) -> Answered:
    """Keep an answer and, when it is the last one a waiting flow needs, let the flow go on."""
    row = turn.tx.execute(Q["resume_target"], {"id": job_id}).fetchone()
    if row is None:
        return Answered()
    flow, for_whole_flow = turn.flow(row[0]), row[1]
    stored = turn.tx.execute(
        Q["resume_insert"],
        {
            "job_id": job_id,
            "resume_id": given.resume_id,
            "flow_id": flow.id,
            "value": jsonb.to_text(given.value),
            "approver": given.approver,
            "approved": given.approved,
            "now": turn.now,
        },
    ).fetchone()
    if stored is None:
        return Answered(given_before=True)
    if flow.state is JobState.SUSPENDED:
        _count(flow, job_id, approved=given.approved, for_whole_flow=for_whole_flow)
        if flow.suspend == 0:
            turn.ready.append((flow.id, flow.kind))
    return Answered(kept=True)


def _count(flow: FlowRow, job_id: str, *, approved: bool, for_whole_flow: bool) -> None:
    """One answer less to wait for; a refusal is the last one."""
    if not approved:
        flow.suspend = 0
    elif for_whole_flow or statuses.entry_of(flow.status).get("job") == job_id:
        flow.suspend = max(0, flow.suspend - 1)


def cancel(turn: Turn, job_id: str, *, by: str, reason: str | None) -> Canceled:
    """End a job and all below it: what has no process now, the rest when its process is killed."""
    found = turn.tx.execute(Q["job_show"], {"id": job_id}).fetchone()
    if found is None:
        return Canceled()
    if found[2] == JobState.DONE:
        return Canceled(found=True, was_done=True)
    below = turn.tx.execute(Q["job_find_open"], {"id": job_id}).fetchall()
    for one, _, _ in below:
        turn.tx.execute(Q["job_cancel"], {"id": one, "by": by, "reason": reason})
    running = []
    for one, kind, state in reversed(below):
        if state == JobState.RUNNING and kind in {"script", "flowscript"}:
            running.append(one)
        elif state == JobState.SUSPENDED or (kind in {"flow", "flownode"} and state == JobState.QUEUED):
            moving.cancel_flow(turn, one)
        elif kind not in {"flow", "flownode"}:
            _end_step(turn, one, canceled_step(by, reason), Outcome.CANCELED)
    return Canceled(found=True, running=tuple(running))


def cancellation(turn: Turn, job_id: str) -> tuple[str | None, str | None] | None:
    """Who canceled a job, and why; None when nobody did."""
    row = turn.tx.execute(Q["cancellation_find"], {"id": job_id}).fetchone()
    return (row[0], row[1]) if row else None


def canceled_step(by: str | None, reason: str | None) -> str:
    """What the server says of a step that was ended on somebody's word."""
    why = f" (reason: {reason})" if reason else ""
    return f"execution error:\njob process terminated due to cancelled by {by}{why}"


def give_up(turn: Turn, job_id: str) -> None:
    """End a step whose process died with its runtime every time it was started."""
    why = f"job will be processed as an error since all {RESTART_LIMIT} restart attempts failed"
    _end_step(turn, job_id, why, Outcome.FAILURE)


def _end_step(turn: Turn, job_id: str, why: str, outcome: Outcome) -> None:
    row = turn.tx.execute(Q["job_show"], {"id": job_id}).fetchone()
    if row is None:
        return
    result: Json = {"error": {"name": "ExecutionErr", "message": why, "step_id": row[7]}}
    moving.job_ended(turn, Ended(row[5] or NIL, job_id, False, result, row[1]), outcome)


def is_done(state: State, job_id: str) -> bool:
    """Whether a job has ended."""
    with state.turn() as tx:
        return job_id in find_results(tx, [job_id])
