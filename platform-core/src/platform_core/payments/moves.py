"""One move of a claim: the row under its lock, the guarded statement, and what waits before and after it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from psycopg.rows import class_row

from platform_core.db import Queries, Tx
from platform_core.errors import NotFound
from platform_core.jobs import queue
from platform_core.payments.contracts import claim_ref
from platform_core.payments.decisions import Claim
from platform_core.payments.lifecycle import STAFF_OWE, ClaimState
from platform_core.tenancy.policy import Policy
from platform_core.values import Actor

Q = Queries(Path(__file__).with_name("moves.sql"))
C = Queries(Path(__file__).with_name("claims.sql"))
A = Queries(Path(__file__).with_name("approvals.sql"))

STATEMENTS: dict[tuple[ClaimState, ClaimState], str] = {
    (ClaimState.RECEIVED, ClaimState.EVIDENCE_FAILED): "claim_fail_evidence",
    (ClaimState.RECEIVED, ClaimState.PENDING_REVIEW): "claim_review",
    (ClaimState.EVIDENCE_FAILED, ClaimState.PENDING_REVIEW): "claim_review",
    (ClaimState.EVIDENCE_FAILED, ClaimState.WITHDRAWN): "claim_withdraw",
    (ClaimState.PENDING_REVIEW, ClaimState.NEEDS_INFO): "claim_ask",
    (ClaimState.PENDING_REVIEW, ClaimState.AWAITING_SECOND): "claim_await_second",
    (ClaimState.PENDING_REVIEW, ClaimState.APPROVED): "claim_approve",
    (ClaimState.PENDING_REVIEW, ClaimState.REJECTED): "claim_reject",
    (ClaimState.PENDING_REVIEW, ClaimState.DUPLICATE): "claim_mark_duplicate",
    (ClaimState.PENDING_REVIEW, ClaimState.WITHDRAWN): "claim_withdraw",
    (ClaimState.NEEDS_INFO, ClaimState.PENDING_REVIEW): "claim_answer",
    (ClaimState.NEEDS_INFO, ClaimState.REJECTED): "claim_reject",
    (ClaimState.NEEDS_INFO, ClaimState.DUPLICATE): "claim_mark_duplicate",
    (ClaimState.NEEDS_INFO, ClaimState.WITHDRAWN): "claim_withdraw",
    (ClaimState.NEEDS_INFO, ClaimState.EXPIRED): "claim_expire",
    (ClaimState.AWAITING_SECOND, ClaimState.APPROVED): "claim_approve",
    (ClaimState.AWAITING_SECOND, ClaimState.REJECTED): "claim_reject",
    (ClaimState.AWAITING_SECOND, ClaimState.DUPLICATE): "claim_mark_duplicate",
    (ClaimState.AWAITING_SECOND, ClaimState.WITHDRAWN): "claim_withdraw",
    (ClaimState.APPROVED, ClaimState.RECONCILED): "claim_reconcile",
    (ClaimState.APPROVED, ClaimState.REVERSED): "claim_reverse",
    (ClaimState.RECONCILED, ClaimState.REVERSED): "claim_reverse",
}
"""The statement of each move; a test proves it equal to MOVES and to the statements' own headers."""


def lock_claim(tx: Tx, claim_id: int) -> Claim:
    """One claim, held until the transaction ends: the first lock of every move. Raises: NotFound."""
    with tx.cursor(row_factory=class_row(Claim)) as cursor:
        found = cursor.execute(C["claim_lock"], {"claim_id": claim_id}).fetchone()
    if found is None:
        raise NotFound(f"There is no claim {claim_ref(claim_id)}", next_step="See `wmctl claim list`.")
    return found


def move(tx: Tx, claim: Claim, target: ClaimState, *, actor: Actor, now: datetime, **columns: object) -> int:
    """Move a claim that the caller holds, and write its history. Returns the new version.

    `columns` are what the move's statement sets, and `note` and `decision_id` of the line of history. Flows
    that asked about the version before are let go by jobs of the same transaction.
    """
    row = tx.execute(
        Q[STATEMENTS[claim.state, target]],
        {
            "claim_id": claim.id,
            "version": claim.version,
            "from_state": claim.state,
            "actor_type": actor.type,
            "actor_id": actor.id,
            "actor_role": actor.role,
            "decision_id": None,
            "note": "",
            "now": now,
            **columns,
        },
    ).fetchone()
    if row is None:
        raise AssertionError(f"{claim_ref(claim.id)} changed under its lock")
    if claim.state in STAFF_OWE:
        _release_flows(tx, claim.id)
    return int(row[0])


def _release_flows(tx: Tx, claim_id: int) -> None:
    for (wait_id,) in tx.execute(A["approval_release"], {"claim_id": claim_id}).fetchall():
        queue.enqueue(
            tx,
            "approval.settled",
            {"wait": wait_id},
            key=f"approval.settled:{wait_id}",
            entity=f"claim:{claim_id}",
        )


def start_clock(
    tx: Tx, claim_id: int, version: int, state: ClaimState, *, policy: Policy, now: datetime
) -> None:
    """Have somebody look when this version of a claim still waits after the policy's hours.

    Staff who owe an answer are told; a contact who owes one loses the claim. Nothing else ends by time. Where
    the policy names a review flow, staff are asked by it at once.
    """
    if state in STAFF_OWE and policy.payments.review_flow is not None:
        queue.enqueue(
            tx,
            "approval.wanted",
            {"claim": claim_id, "version": version},
            key=f"approval.wanted:{claim_id}:{version}",
            entity=f"claim:{claim_id}",
        )
    hours = {
        ClaimState.PENDING_REVIEW: policy.payments.review_sla_hours,
        ClaimState.AWAITING_SECOND: policy.payments.review_sla_hours,
        ClaimState.NEEDS_INFO: policy.payments.answer_within_hours,
    }.get(state)
    if hours is None:
        return
    queue.enqueue(
        tx,
        "claim.overdue",
        {"claim": claim_id, "version": version},
        key=f"claim.overdue:{claim_id}:{version}",
        entity=f"claim:{claim_id}",
        run_at=now + timedelta(hours=hours),
    )
