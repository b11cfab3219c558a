"""What a decision about a claim leads to, and why it may not be taken. Pure: every rule here is a table test.

In the order a refusal is met: the claim has moved on, the request lacks what it needs, the person may not,
the amounts disagree. What is expected is a state; everything else is an error that names the next step.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from platform_core.errors import InvalidInput, InvalidMoney, PermissionDenied, Refused, StateConflict
from platform_core.payments.contracts import DecisionRequest, claim_ref
from platform_core.payments.lifecycle import ACTION_TARGETS, Action, ClaimState, sources_of
from platform_core.tenancy.members import Permission
from platform_core.values import Actor, Money

_TOMORROW = timedelta(days=1)  # a bank east of us may already write tomorrow's date


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim as it stands. Amounts are in `currency`'s minor unit."""

    id: int
    contact_id: int
    origin: str
    creator_type: str
    creator_id: str
    currency: str
    claimed_minor: int | None
    verified_minor: int | None
    state: ClaimState
    version: int
    first_approver_id: str | None
    approver_id: str | None
    opened_at: datetime
    state_at: datetime

    def __post_init__(self) -> None:
        """Name the state; an unknown one is a schema newer than this code."""
        object.__setattr__(self, "state", ClaimState(self.state))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a decision must know beside the claim.

    `moved_by` is who brought the claim to its state. `evidence` are the hashes of its receipts, in hex.
    `movement_claims` are other claims whose approval named the same bank movement. `flagged` are claims that
    a sign connects with this one; `duplicate_state` is the state of the one it would duplicate, if any.
    """

    moved_by: str
    evidence: frozenset[str] = frozenset()
    movement_claims: tuple[int, ...] = ()
    flagged: tuple[int, ...] = ()
    duplicate_state: ClaimState | None = None


def permission_for(action: Action) -> Permission:
    """What a member needs to take such a decision."""
    return Permission.CLAIM_REVERSE if action is Action.REVERSE else Permission.CLAIM_DECIDE


def movement_key(bank_reference: str) -> str:
    """A bank reference without what people and apps vary: capitals, spaces, dashes."""
    return re.sub(r"[^0-9A-Z]", "", bank_reference.upper())


def fingerprint(request: DecisionRequest, actor: Actor) -> bytes:
    """What makes two requests the same decision: every field, and who decides."""
    return hashlib.sha256(f"{actor.type}:{actor.id}\n{request.model_dump_json()}".encode()).digest()


def decide_duplicate_of(request: DecisionRequest, flagged: Sequence[int]) -> int | None:
    """The claim a duplicate duplicates: the one named, or the only one a sign points to.

    Raises: InvalidInput when neither says it. None for other actions.
    """
    if request.action is not Action.DUPLICATE:
        return None
    if request.duplicate_of is not None:
        return request.duplicate_of
    if len(set(flagged)) == 1:
        return flagged[0]
    raise InvalidInput(
        f"{claim_ref(request.claim_id)} cannot be a duplicate of no claim",
        next_step="Name the other claim, such as C9.",
    )


def decide_outcome(
    request: DecisionRequest,
    claim: Claim,
    around: Surroundings,
    *,
    actor: Actor,
    second_above: Money,
    now: datetime,
) -> ClaimState:
    """The state this decision leads to.

    Raises: StateConflict naming who moved the claim and when, InvalidInput, PermissionDenied, Refused.
    """
    _require_current(request, claim, around)
    _require_evidence(request, claim, around)
    if request.verified is not None and request.verified.amount_minor <= 0:
        raise InvalidMoney(
            f"{request.verified} is no payment", next_step="Write an amount above zero, or none."
        )
    match request.action:
        case Action.APPROVE:
            return _approve(request, claim, around, actor=actor, second_above=second_above, now=now)
        case Action.REJECT | Action.NEEDS_INFO:
            _require_reason(request)
        case Action.DUPLICATE:
            _require_duplicate(request, claim, around)
        case Action.WITHDRAW:
            pass
        case Action.REVERSE:
            _require_reason(request)
            _require_another(actor, claim, {claim.approver_id, claim.first_approver_id}, "approved it")
        case Action.RECONCILE:
            _require_movement(request, claim)
        case _:
            assert_never(request.action)
    (target,) = ACTION_TARGETS[request.action]
    return target


def _require_current(request: DecisionRequest, claim: Claim, around: Surroundings) -> None:
    name = claim_ref(claim.id)
    stands = f"{name} is {claim.state} since {claim.state_at:%Y-%m-%d %H:%M} UTC, by {around.moved_by}"
    facts: Mapping[str, object] = {"claim_id": claim.id, "state": claim.state, "version": claim.version}
    if claim.state not in sources_of(request.action):
        raise StateConflict(
            f"{stands}; it cannot be decided with {request.action}",
            next_step=f"Look at {name}; a new receipt opens a new claim.",
            **facts,
        )
    if claim.version != request.claim_version:
        raise StateConflict(
            f"{stands}, at version {claim.version}; version {request.claim_version} was looked at",
            next_step=f"Look at {name} again and decide with version {claim.version}.",
            **facts,
        )


def _require_evidence(request: DecisionRequest, claim: Claim, around: Surroundings) -> None:
    if request.evidence_sha256 is not None and frozenset(request.evidence_sha256) != around.evidence:
        raise Refused(
            f"The receipts looked at are not those of {claim_ref(claim.id)}",
            next_step="Look at the claim again.",
        )


def _approve(
    request: DecisionRequest,
    claim: Claim,
    around: Surroundings,
    *,
    actor: Actor,
    second_above: Money,
    now: datetime,
) -> ClaimState:
    verified = _require_verified(request, claim, now)
    _require_another(actor, claim, {claim.creator_id}, "opened it")
    if claim.state is ClaimState.AWAITING_SECOND:
        _require_another(actor, claim, {claim.first_approver_id}, "gave the first approval")
        if verified.amount_minor != claim.verified_minor:
            raise Refused(
                f"{claim.first_approver_id} verified {Money(claim.verified_minor or 0, claim.currency)} for "
                f"{claim_ref(claim.id)}, not {verified}",
                next_step="Agree on the amount, or reject the claim.",
            )
        return ClaimState.APPROVED
    comparable = verified.currency == second_above.currency
    above = not comparable or verified.amount_minor > second_above.amount_minor
    return ClaimState.AWAITING_SECOND if above or around.movement_claims else ClaimState.APPROVED


def _require_verified(request: DecisionRequest, claim: Claim, now: datetime) -> Money:
    if request.verification is None:
        raise InvalidInput(
            f"{claim_ref(claim.id)} cannot be approved without saying what was checked",
            next_step="Look at the bank and name the method: bank_app, statement, cep, cash or other.",
        )
    verified = request.verified
    if verified is None:
        raise InvalidMoney(
            f"{claim_ref(claim.id)} cannot be approved without the amount seen",
            next_step="Write the amount that reached the account.",
        )
    if verified.currency != claim.currency:
        raise Refused(
            f"{claim_ref(claim.id)} is in {claim.currency} and {verified.currency} was verified",
            next_step="Ask the contact with needs_info.",
        )
    value_date = request.verification.value_date
    if value_date is not None and value_date > (now + _TOMORROW).date():
        raise InvalidInput(f"The value date {value_date} is in the future", next_step="Check the date.")
    return verified


def _require_reason(request: DecisionRequest) -> None:
    if not request.reason:
        raise InvalidInput(
            f"{claim_ref(request.claim_id)} cannot be decided with {request.action} without a reason",
            next_step="Write the reason in one sentence.",
        )


def _require_another(actor: Actor, claim: Claim, others: set[str | None], did: str) -> None:
    if actor.id in others:
        raise PermissionDenied(
            f"{actor.id} {did}: {claim_ref(claim.id)} needs another member",
            next_step="Ask another member who may decide claims.",
        )


def _require_duplicate(request: DecisionRequest, claim: Claim, around: Surroundings) -> None:
    other = decide_duplicate_of(request, around.flagged)
    if other == claim.id:
        raise InvalidInput(
            f"{claim_ref(claim.id)} is no duplicate of itself", next_step="Name the other claim."
        )
    if around.duplicate_state is None:
        raise Refused(f"There is no claim {claim_ref(other or 0)}", next_step="Name a claim that exists.")
    if around.duplicate_state is ClaimState.DUPLICATE:
        raise Refused(
            f"{claim_ref(other or 0)} is a duplicate itself", next_step="Name the claim that it duplicates."
        )


def _require_movement(request: DecisionRequest, claim: Claim) -> None:
    if request.verification is None or not movement_key(request.verification.bank_reference):
        raise InvalidInput(
            f"{claim_ref(claim.id)} cannot be reconciled without the movement's bank reference",
            next_step="Write the method and the reference on the statement.",
        )
    if request.verified is not None and request.verified != Money(claim.verified_minor or 0, claim.currency):
        raise Refused(
            f"{claim_ref(claim.id)} was approved for {Money(claim.verified_minor or 0, claim.currency)}, not "
            f"{request.verified}",
            next_step="Reverse the claim if the amount was wrong.",
        )


# --- What the contact is told ----------------------------------------------------------------------------


def decide_message(state: ClaimState, *, something_remains: bool) -> str | None:
    """The purpose of the message a claim's new state is worth, or None.

    A duplicate is silent: the other claim speaks for both. So are what staff do among themselves (a second
    approval, a reconciliation), what the contact took back, and an expiry: reminders resume.
    """
    match state:
        case ClaimState.APPROVED:
            return "claim.partial" if something_remains else "claim.approved"
        case ClaimState.REJECTED | ClaimState.NEEDS_INFO | ClaimState.REVERSED:
            return f"claim.{state}"
        case _:
            return None
