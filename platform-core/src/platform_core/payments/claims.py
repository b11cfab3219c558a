"""Claims: opened by a message or at the desk, decided by members, and what follows in the same transaction.

    open -> review -> decide -> claim and history, debts, credit, reminders, message, decision, audit entry

`decide` is the one verb behind the panel, the approval step of a flow, the scripts and `wmctl claim`. It
locks the claim, then the bank movement, then the contact's debts, and writes the audit entry last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from psycopg import errors as pg
from psycopg.types.json import Jsonb

from platform_core import audit
from platform_core.db import Queries, Tx
from platform_core.errors import IdempotencyConflict, InvalidInput, InvalidMoney, StateConflict
from platform_core.jobs.contracts import JobContext
from platform_core.messaging import contacts, outbound
from platform_core.messaging.attention import raise_alert
from platform_core.payments import ledger, reminders
from platform_core.payments.allocation import Split, decide_split
from platform_core.payments.contracts import (
    Allocated,
    AllocationRequest,
    ClaimOpened,
    ClaimOpening,
    DecisionRequest,
    DecisionResult,
    Verification,
    claim_ref,
    to_spanish,
)
from platform_core.payments.decisions import (
    Claim,
    Surroundings,
    decide_duplicate_of,
    decide_message,
    decide_outcome,
    fingerprint,
    movement_key,
    permission_for,
)
from platform_core.payments.ledger import Obligation
from platform_core.payments.lifecycle import Action, ClaimState
from platform_core.payments.moves import lock_claim, move, start_clock
from platform_core.payments.opening import PLATFORM, NewClaim, insert, return_to_review, review
from platform_core.payments.people import people_of
from platform_core.tenancy import members
from platform_core.tenancy.members import Permission
from platform_core.tenancy.policy import Policy
from platform_core.values import Actor, Cancelled, Done, Money, Outcome

Q = Queries(Path(__file__).with_name("claims.sql"))
D = Queries(Path(__file__).with_name("decisions.sql"))

_NOTHING_CHECKED = Verification(method="other")  # its empty fields are what such a decision says


# --- Opening ----------------------------------------------------------------------------------------------


def report_payment(
    tx: Tx, opening: ClaimOpening, *, actor: Actor, policy: Policy, now: datetime
) -> ClaimOpened:
    """A member opens a claim for a payment reported at the desk; it waits for another member's review.

    Idempotency: the same request answers the claim it opened. Raises: IdempotencyConflict when the request
    opened another claim, InvalidMoney, NotFound (contact), PermissionDenied.
    """
    actor = members.require(tx, actor, Permission.CLAIM_DECIDE)
    if opening.claimed.amount_minor <= 0:
        raise InvalidMoney(
            f"A claim of {opening.claimed} claims nothing", next_step="Write an amount above zero."
        )
    new = NewClaim(
        open_key=f"desk:{opening.request_id}",
        origin="desk",
        contact_id=contacts.get_contact(tx, opening.contact_id).id,
        currency=opening.claimed.currency,
        claimed_minor=opening.claimed.amount_minor,
        note=opening.note,
    )
    claim_id = insert(tx, new, creator=actor, now=now)
    if claim_id is None:
        return _opened_before(tx, new, actor)
    claim = lock_claim(tx, claim_id)
    version = review(tx, claim, actor=actor, policy=policy, now=now)
    audit.record(tx, "claim.opened", actor, ("claim", claim_ref(claim_id)), detail=_amounts(new))
    return ClaimOpened(claim_id=claim_id, state=ClaimState.PENDING_REVIEW, version=version, created=True)


def _opened_before(tx: Tx, new: NewClaim, creator: Actor) -> ClaimOpened:
    row = tx.execute(Q["claim_find_opened"], {"open_key": new.open_key}).fetchone()
    if row is None:
        raise AssertionError("the key was taken")
    claim_id, contact_id, creator_id, currency, claimed_minor, state, version = row
    asked = (creator.id, new.currency, new.claimed_minor)
    if (creator_id, currency, claimed_minor) != asked or contact_id not in people_of(tx, new.contact_id):
        raise IdempotencyConflict(
            f"The request {new.open_key.removeprefix('desk:')} opened {claim_ref(claim_id)}, another claim",
            next_step="Use one request id per payment.",
            claim_id=claim_id,
        )
    return ClaimOpened(claim_id=claim_id, state=ClaimState(state), version=version, created=False)


def _amounts(new: NewClaim) -> dict[str, object]:
    return {"origin": new.origin, "claimed_minor": new.claimed_minor, "currency": new.currency}


def resume_review(
    tx: Tx, claim_id: int, *, actor: Actor, policy: Policy, now: datetime, note: str = ""
) -> int:
    """A member takes the contact's answer by telephone or at the desk: the claim is reviewed again.

    Idempotency: a claim under review is left as it is. Returns its version.
    Raises: NotFound, StateConflict, PermissionDenied.
    """
    actor = members.require(tx, actor, Permission.CLAIM_DECIDE)
    claim = lock_claim(tx, claim_id)
    if claim.state is ClaimState.PENDING_REVIEW:
        return claim.version
    if claim.state is not ClaimState.NEEDS_INFO:
        raise StateConflict(
            f"{claim_ref(claim_id)} is {claim.state}: nobody was asked anything",
            next_step=f"Look at {claim_ref(claim_id)}.",
        )
    version = return_to_review(tx, claim, actor=actor, policy=policy, now=now, note=note[:500])
    audit.record(tx, "claim.answered", actor, ("claim", claim_ref(claim.id)), detail={"version": version})
    return version


# --- Deciding ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Deciding:
    """One decision being taken: what is asked, about what, by whom."""

    request: DecisionRequest
    claim: Claim
    around: Surroundings
    actor: Actor
    policy: Policy
    now: datetime

    @property
    def id(self) -> str:
        """The decider's own id."""
        return self.request.decision_id


def decide(
    tx: Tx, decision: DecisionRequest, *, actor: Actor, policy: Policy, now: datetime
) -> DecisionResult:
    """Take one decision about a claim, with everything that follows from it.

    Idempotency: the same decision id with the same content answers the stored result (`already`), and changes
    nothing. A second decision about a decided claim raises StateConflict naming who decided and when.
    Raises: PermissionDenied, NotFound, StateConflict, IdempotencyConflict, InvalidInput, Refused.
    """
    actor = members.require(tx, actor, permission_for(decision.action))
    claim = lock_claim(tx, decision.claim_id)
    stored = _find_stored(tx, decision, actor)
    if stored is not None:
        return stored
    around = _look_around(tx, decision, claim, now=now)
    limit = Money(policy.payments.second_approver_above_minor, policy.customer.currency)
    state = decide_outcome(decision, claim, around, actor=actor, second_above=limit, now=now)

    taking = _Deciding(decision, claim, around, actor, policy, now)
    people = people_of(tx, claim.contact_id)
    allocations, credit = _settle(tx, taking, state, people)
    version = _move(tx, taking, state)
    start_clock(tx, claim.id, version, state, policy=policy, now=now)
    touched = reminders.align(tx, people, policy=policy, now=now)
    result = DecisionResult(
        decision_id=taking.id,
        claim_id=claim.id,
        state=state,
        version=version,
        second_approver_needed=state is ClaimState.AWAITING_SECOND,
        allocations=allocations,
        credit=credit,
        messages=_tell(tx, taking, state, version, allocations),
        reminders=touched,
        decided_by=actor.id,
        decided_at=now,
    )
    _store(tx, taking, result)
    _audit(tx, taking, result)
    return result


def _find_stored(tx: Tx, decision: DecisionRequest, actor: Actor) -> DecisionResult | None:
    row = tx.execute(D["decision_find"], {"decision_id": decision.decision_id}).fetchone()
    if row is None:
        return None
    claim_id, decided_by, decided_at, request_sha256, result = row
    if request_sha256 != fingerprint(decision, actor):
        raise IdempotencyConflict(
            f"The decision {decision.decision_id} was taken about {claim_ref(claim_id)} by {decided_by} at "
            f"{decided_at:%Y-%m-%d %H:%M} UTC, with other content",
            next_step="Use a new decision id for a new decision.",
            claim_id=claim_id,
        )
    return DecisionResult.model_validate({**result, "already": True})


def _look_around(tx: Tx, decision: DecisionRequest, claim: Claim, *, now: datetime) -> Surroundings:
    one = {"claim_id": claim.id}
    mover = tx.execute(Q["claim_find_mover"], {**one, "version": claim.version}).fetchone()
    flagged = tuple(int(row[0]) for row in tx.execute(D["flag_list_connected"], one).fetchall())
    duplicate_state = None
    if decision.action is Action.DUPLICATE:
        other = {"claim_id": decide_duplicate_of(decision, flagged)}
        row = tx.execute(Q["claim_find_state"], other).fetchone()
        duplicate_state = ClaimState(row[0]) if row else None
    return Surroundings(
        moved_by=mover[0] if mover else "somebody",
        evidence=frozenset(row[0] for row in tx.execute(D["evidence_list"], one).fetchall()),
        movement_claims=_name_movement(tx, decision, claim, now=now),
        flagged=flagged,
        duplicate_state=duplicate_state,
    )


def _name_movement(tx: Tx, decision: DecisionRequest, claim: Claim, *, now: datetime) -> tuple[int, ...]:
    """Flag the claims that named this bank reference; those of the very same movement come back."""
    seen, verified = decision.verification, decision.verified
    if decision.action is not Action.APPROVE or seen is None or verified is None:
        return ()
    reference = movement_key(seen.bank_reference)
    if not reference:
        return ()
    facts = {
        "claim_id": claim.id,
        "reference_key": reference,
        "rail": seen.rail,
        "currency": verified.currency,
        "verified_minor": verified.amount_minor,
        "value_date": seen.value_date,
        "now": now,
    }
    key = "|".join(
        (seen.rail, reference, verified.currency, str(verified.amount_minor), str(seen.value_date))
    )
    tx.execute(D["movement_lock"], {"key": key, "now": now})
    tx.execute(D["flag_raise_for_movement"], facts)
    return tuple(int(row[0]) for row in tx.execute(D["movement_list_claims"], facts).fetchall())


def _wishes(tx: Tx, decision: DecisionRequest, claim: Claim) -> tuple[AllocationRequest, ...] | None:
    """How the money is to be allocated: as this decision says, or else as the first approver said."""
    if decision.allocations is None and claim.state is ClaimState.AWAITING_SECOND:
        row = tx.execute(D["decision_find_first_approval"], {"claim_id": claim.id}).fetchone()
        if row is not None and row[0] is not None:
            return tuple(AllocationRequest.model_validate(one) for one in row[0])
    return decision.allocations


def _settle(
    tx: Tx, taking: _Deciding, state: ClaimState, people: Sequence[int]
) -> tuple[tuple[Allocated, ...], Money | None]:
    """Put the money to debts and credit, or take it back. A first approval only proves that it could be."""
    decision, claim = taking.request, taking.claim
    if decision.action is not Action.APPROVE and decision.allocations is not None:
        raise InvalidInput(
            f"Allocations say nothing in a decision to {decision.action}", next_step="Leave them out."
        )
    if state not in (ClaimState.APPROVED, ClaimState.AWAITING_SECOND, ClaimState.REVERSED):
        return (), None
    debts = ledger.lock_debts(tx, people)
    if state is ClaimState.REVERSED:
        return ledger.take_back(tx, claim_id=claim.id, decision_id=taking.id, now=taking.now)
    if decision.verified is None:
        raise AssertionError("an approval without an amount is refused before")
    split = decide_split(decision.verified, ledger.to_debts(debts), _wishes(tx, decision, claim))
    if state is ClaimState.AWAITING_SECOND:
        return (), None
    return _put(tx, taking, split, debts)


def _put(
    tx: Tx, taking: _Deciding, split: Split, debts: Sequence[Obligation]
) -> tuple[tuple[Allocated, ...], Money | None]:
    by_id = {debt.id: debt for debt in debts}
    done = ledger.put(tx, split, by_id, claim_id=taking.claim.id, decision_id=taking.id, now=taking.now)
    if split.credit_minor == 0:
        return done, None
    credit = Money(split.credit_minor, taking.claim.currency)
    ledger.add_credit(tx, credit, claim=taking.claim, decision_id=taking.id, now=taking.now)
    return done, credit


def _move(tx: Tx, taking: _Deciding, state: ClaimState) -> int:
    decision = taking.request
    return move(
        tx,
        taking.claim,
        state,
        actor=taking.actor,
        now=taking.now,
        note=decision.reason,
        decision_id=taking.id,
        reason=decision.reason,
        verified_minor=decision.verified.amount_minor if decision.verified else None,
        duplicate_of=decide_duplicate_of(decision, taking.around.flagged),
    )


def _tell(
    tx: Tx, taking: _Deciding, state: ClaimState, version: int, allocations: Sequence[Allocated]
) -> tuple[int, ...]:
    claim, verified = taking.claim, taking.request.verified
    remaining = sum(one.remaining.amount_minor for one in allocations)
    purpose = decide_message(state, something_remains=remaining > 0)
    if purpose is None:
        return ()
    values = {"claim": claim_ref(claim.id), "reason": taking.request.reason}
    if state is ClaimState.APPROVED and verified is not None:
        values = {
            "claim": claim_ref(claim.id),
            "amount": to_spanish(verified),
            "remaining": to_spanish(Money(remaining, claim.currency)),
        }
    queued = outbound.queue_message(
        tx,
        purpose=purpose,
        contact_id=contacts.get_contact(tx, claim.contact_id).id,
        dedupe_key=f"claim:{claim.id}:{version}:{state}",
        values=values,
        policy=taking.policy,
        now=taking.now,
        subject=("claim", claim_ref(claim.id)),
    )
    return (queued.outbox_id,)


def _store(tx: Tx, taking: _Deciding, result: DecisionResult) -> None:
    decision, claim, actor = taking.request, taking.claim, taking.actor
    seen = decision.verification or _NOTHING_CHECKED
    wishes = decision.allocations
    facts = {
        "decision_id": taking.id,
        "claim_id": claim.id,
        "claim_version": claim.version,
        "action": decision.action,
        "outcome": result.state,
        "actor_type": actor.type,
        "actor_id": actor.id,
        "actor_role": actor.role,
        "verified_minor": decision.verified.amount_minor if decision.verified else None,
        "currency": decision.verified.currency if decision.verified else claim.currency,
        "method": decision.verification.method if decision.verification else None,
        "rail": seen.rail,
        "bank_reference": seen.bank_reference,
        "reference_key": movement_key(seen.bank_reference),
        "value_date": seen.value_date,
        "note": seen.note,
        "reason": decision.reason,
        "evidence": [bytes.fromhex(one) for one in sorted(taking.around.evidence)],
        "allocations": Jsonb([one.model_dump() for one in wishes]) if wishes is not None else None,
        "request_sha256": fingerprint(decision, actor),
        "result": Jsonb(result.model_dump(mode="json")),
        "now": taking.now,
    }
    try:
        tx.execute(D["decision_insert"], facts)
    except pg.UniqueViolation as error:
        raise IdempotencyConflict(
            f"The decision id {taking.id} was used for another claim at this moment",
            next_step="Use a new decision id.",
        ) from error


def _audit(tx: Tx, taking: _Deciding, result: DecisionResult) -> None:
    verified, seen = taking.request.verified, taking.request.verification
    audit.record(
        tx,
        f"claim.{result.state}",
        taking.actor,
        ("claim", claim_ref(result.claim_id)),
        detail={
            "decision": taking.id,
            "version": result.version,
            "verified_minor": verified.amount_minor if verified else None,
            "currency": verified.currency if verified else taking.claim.currency,
            "method": seen.method if seen else None,
        },
    )


# --- Time -------------------------------------------------------------------------------------------------


def escalate_overdue(context: JobContext) -> Outcome:
    """Look at a claim whose time is over. Job kind `claim.overdue`.

    Staff who owe an answer are alerted, and the claim stays as it is. A contact who never answered lets it
    expire. Idempotency: only the version the clock was started for is looked at.
    """
    claim_id, version = context.job.payload.get("claim"), context.job.payload.get("version")
    if not isinstance(claim_id, int) or not isinstance(version, int):
        raise InvalidInput(f"Job {context.job.id} names no claim and version")
    policy, now = context.policy(), context.clock.now()
    with context.tx() as tx:
        claim = lock_claim(tx, claim_id)
        if claim.version != version:
            return Cancelled(f"{claim_ref(claim_id)} moved on: it is {claim.state}")
        if claim.state is ClaimState.NEEDS_INFO:
            _expire(tx, claim, policy=policy, now=now)
            return Done(f"{claim_ref(claim_id)} expired: the contact never answered")
        raise_alert(
            tx,
            "claim.overdue",
            severity="P3",
            subject=claim_ref(claim_id),
            once=f"{claim_id}:{version}",
            dedupe=f"claim.overdue:{claim_ref(claim_id)}",
            detail={"state": claim.state, "since": claim.state_at.isoformat()},
        )
        return Done(f"staff were told that {claim_ref(claim_id)} waits")


def _expire(tx: Tx, claim: Claim, *, policy: Policy, now: datetime) -> None:
    version = move(tx, claim, ClaimState.EXPIRED, actor=PLATFORM, now=now, note="never answered")
    reminders.align(tx, people_of(tx, claim.contact_id), policy=policy, now=now)
    audit.record(tx, "claim.expired", PLATFORM, ("claim", claim_ref(claim.id)), detail={"version": version})
