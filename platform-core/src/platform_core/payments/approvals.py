"""Flows that ask staff about a claim: started once per version, let go when the claim was decided elsewhere.

    staff owe an answer ── approval.wanted ──▶ Windmill starts the customer's review flow
    its first step asks ─▶ WAITING ── answered there, and decided by `claims.decide` ──▶ answered
                              ├────── nobody answered in time, or sent it away ────────▶ lapsed
                              └────── the claim moved ─▶ SETTLING ── approval.settled ─▶ settled

A suspended flow notifies and nothing else: what is true of a claim is in its row, and time decides nothing.
Whoever moves a claim releases its flows in the same transaction (`moves.move`), so whichever of two deciders
comes first, no flow is left hanging and none decides twice.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from platform_core.db import Queries, Tx
from platform_core.errors import InvalidInput, StateConflict
from platform_core.jobs.contracts import JobContext, Resumption
from platform_core.messaging.attention import raise_alert
from platform_core.payments.contracts import claim_ref
from platform_core.payments.decisions import Claim
from platform_core.payments.lifecycle import STAFF_OWE, ApprovalState
from platform_core.payments.moves import lock_claim
from platform_core.settings import Secret
from platform_core.values import Cancelled, Done, Outcome, Snooze

Q = Queries(Path(__file__).with_name("approvals.sql"))

DECIDED_ELSEWHERE = {"decided": "elsewhere"}
"""What a flow is told that is let go: it ends, and decides nothing."""

_ELSEWHERE = timedelta(minutes=10)
"""How long a job waits that was claimed by a runner without Windmill, for one that Windmill starts."""


class Asking(NamedTuple):
    """A flow's step that asks: whose flow it is, and what lets it go on."""

    flow_job: UUID
    resumption: Resumption


class Asked(NamedTuple):
    """What a flow asks about. `waiting` is false when nobody owes an answer: the flow has nothing to do."""

    claim_id: int
    version: int
    waiting: bool


def ask(tx: Tx, claim_id: int, asking: Asking, *, now: datetime) -> Asked:
    """A flow asks staff about a claim as it stands: kept with the claim, and staff are alerted.

    Idempotency: a step that is tried again takes the place of its attempt before. Raises: NotFound,
    StateConflict when this flow has asked before and its wait is over.
    """
    claim = lock_claim(tx, claim_id)
    if claim.state not in STAFF_OWE:
        return Asked(claim.id, claim.version, waiting=False)
    row = tx.execute(
        Q["approval_ask"],
        {
            "claim_id": claim.id,
            "version": claim.version,
            "flow_job": asking.flow_job,
            "step_job": asking.resumption.job_id,
            "resume_id": asking.resumption.resume_id,
            "signature": asking.resumption.signature.reveal(),
            "now": now,
        },
    ).fetchone()
    if row is None:
        raise StateConflict(
            f"This flow has asked about {claim_ref(claim.id)} before, and its wait is over",
            next_step="Start another flow for the claim as it stands.",
        )
    _tell_staff(tx, claim)
    return Asked(claim.id, claim.version, waiting=True)


def take_answer(tx: Tx, claim_id: int, flow_job: UUID, *, now: datetime) -> None:
    """The flow was answered, and the caller decides in this transaction: nothing is left to let go.

    Holds the claim. Idempotency: a wait that is over stays as it is. Raises: NotFound.
    """
    lock_claim(tx, claim_id)
    tx.execute(Q["approval_answer"], {"flow_job": flow_job, "now": now})


def lapse(tx: Tx, flow_job: UUID, *, now: datetime) -> bool:
    """Nobody answered the flow in time, or somebody sent it away: the claim stays as it is.

    False when the wait was over before. Idempotency: a second call finds nothing waiting.
    """
    return tx.execute(Q["approval_lapse"], {"flow_job": flow_job, "now": now}).fetchone() is not None


def _tell_staff(tx: Tx, claim: Claim) -> None:
    raise_alert(
        tx,
        "claim.waits",
        severity="P3",
        subject=claim_ref(claim.id),
        once=f"{claim.id}:{claim.version}",
        dedupe="claim.waits",
        detail={"claim": claim_ref(claim.id), "state": claim.state},
    )


# --- What the runner does ---------------------------------------------------------------------------------


def start_review(context: JobContext) -> Outcome:
    """Start the customer's review flow for a claim that waits for staff. Job kind `approval.wanted`.

    The flow is given the claim's number only. Idempotency: the flow's own number follows from the claim's
    version, so Windmill starts it once however often it is asked.
    """
    claim_id, version = _named(context, "claim"), _named(context, "version")
    policy = context.policy()
    flow, slug = policy.payments.review_flow, policy.customer.slug
    if flow is None:
        return Cancelled("the policy names no review flow any more")
    if context.flows is None:
        return Snooze("waits for a runner that Windmill starts", _ELSEWHERE)
    with context.tx() as tx:
        claim = lock_claim(tx, claim_id)
    if claim.version != version:
        return Cancelled(f"{claim_ref(claim_id)} moved on: it is {claim.state}")
    context.flows.start(
        f"f/{slug}/{flow}", {"claim": claim_ref(claim_id)}, job_id=number_of_flow(slug, claim)
    )
    return Done(f"{flow} asks about {claim_ref(claim_id)}")


def number_of_flow(customer: str, claim: Claim) -> UUID:
    """The number of the flow that asks about this version of a claim; never that of another database's."""
    return uuid5(
        NAMESPACE_URL,
        f"platform:{customer}:claim:{claim.id}:{claim.version}:{claim.state_at.isoformat()}",
    )


class _Wait(NamedTuple):
    """One flow's wait, as it is to be let go."""

    claim_id: int
    state: ApprovalState
    flow_job: UUID
    step_job: UUID
    resume_id: int
    signature: str | None


def settle(context: JobContext) -> Outcome:
    """Let a flow go whose claim was decided elsewhere. Job kind `approval.settled`.

    Idempotency: Windmill takes one answer per step; having one already, or being gone, is what we want.
    """
    wait_id = _named(context, "wait")
    if context.flows is None:
        return Snooze("waits for a runner that Windmill starts", _ELSEWHERE)
    with context.tx() as tx:
        wait = _find(tx, wait_id)
    if wait.state is not ApprovalState.SETTLING or wait.signature is None:
        return Done(f"nothing to let go: the wait is {wait.state}")
    resumption = Resumption(wait.step_job, wait.resume_id, Secret(wait.signature))
    resumed = context.flows.resume(resumption, DECIDED_ELSEWHERE)
    with context.tx() as tx:
        tx.execute(Q["approval_settle"], {"wait_id": wait_id, "now": context.clock.now()})
    said = "was let go" if resumed else "had gone on before"
    return Done(f"the flow that asked about {claim_ref(wait.claim_id)} {said}")


def _find(tx: Tx, wait_id: int) -> _Wait:
    row = tx.execute(Q["approval_find"], {"wait_id": wait_id}).fetchone()
    if row is None:
        raise InvalidInput(f"There is no wait {wait_id}")
    claim_id, state, *rest = row
    return _Wait(claim_id, ApprovalState(state), *rest)


def _named(context: JobContext, name: str) -> int:
    value = context.job.payload.get(name)
    if not isinstance(value, int):
        raise InvalidInput(f"Job {context.job.id} names no {name}", next_step=f"Its payload lacks `{name}`.")
    return value
