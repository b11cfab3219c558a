from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from platform_core.errors import (
    InvalidInput,
    InvalidMoney,
    PermissionDenied,
    PlatformError,
    Refused,
    StateConflict,
)
from platform_core.payments.contracts import DecisionRequest, Verification
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
from platform_core.payments.lifecycle import Action, ClaimState
from platform_core.tenancy.members import Permission
from platform_core.values import Actor, Money

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LIMIT = Money(300_000, "CLP")
BANK = Verification(method="bank_app", bank_reference="TRX-1")
REVIEW = Claim(
    id=12,
    contact_id=1,
    origin="whatsapp",
    creator_type="contact",
    creator_id="1",
    currency="CLP",
    claimed_minor=None,
    verified_minor=None,
    state=ClaimState.PENDING_REVIEW,
    version=2,
    first_approver_id=None,
    approver_id=None,
    opened_at=NOW,
    state_at=NOW,
)
AWAITING = replace(REVIEW, state=ClaimState.AWAITING_SECOND, first_approver_id="ana", verified_minor=400_000)
APPROVED = replace(REVIEW, state=ClaimState.APPROVED, approver_id="ana", verified_minor=45_000)


def request(action: Action = Action.APPROVE, **fields: Any) -> DecisionRequest:
    """A decision about REVIEW, complete unless `fields` differ."""
    approving = {"verified": Money(45_000, "CLP"), "verification": BANK} if action is Action.APPROVE else {}
    plain = {"decision_id": "d-1", "claim_id": 12, "claim_version": 2, "action": action, "reason": "no está"}
    return DecisionRequest.model_validate(plain | approving | fields)


def outcome(
    asked: DecisionRequest, claim: Claim = REVIEW, *, by: str = "bruno", around: Surroundings | None = None
) -> ClaimState:
    """Where the decision leads, with a limit of 300.000 pesos."""
    return decide_outcome(
        asked,
        claim,
        around or Surroundings(moved_by="ana"),
        actor=Actor("user", by, "ops"),
        second_above=LIMIT,
        now=NOW,
    )


@pytest.mark.parametrize(
    ("amount", "movement_claims", "expected"),
    [
        (Money(1, "CLP"), (), ClaimState.APPROVED),
        (Money(300_000, "CLP"), (), ClaimState.APPROVED),
        (Money(300_001, "CLP"), (), ClaimState.AWAITING_SECOND),
        (Money(1, "CLP"), (9,), ClaimState.AWAITING_SECOND),
    ],
    ids=["small", "at the limit", "above the limit", "a movement another claim used"],
)
def test_a_second_approver_is_needed_above_the_limit(
    amount: Money, movement_claims: tuple[int, ...], expected: ClaimState
) -> None:
    """And for a bank movement that another claim already used: a sign that a person looks at twice."""
    around = Surroundings(moved_by="ana", movement_claims=movement_claims)

    assert outcome(request(verified=amount), around=around) is expected


def test_an_amount_that_cannot_be_compared_with_the_limit_needs_a_second_approver() -> None:
    """No rate is guessed: unknown is above."""
    claim = replace(REVIEW, currency="CLF")

    assert outcome(request(verified=Money(1, "CLF")), claim) is ClaimState.AWAITING_SECOND


def test_the_second_approval_approves() -> None:
    """When another member saw the same amount."""
    assert outcome(request(verified=Money(400_000, "CLP")), AWAITING) is ClaimState.APPROVED


@pytest.mark.parametrize(
    ("asked", "claim", "by", "error", "message"),
    [
        (request(), APPROVED, "bruno", StateConflict, "C12 is approved since 2026-03-02 12:00 UTC, by ana"),
        (request(claim_version=1), REVIEW, "bruno", StateConflict, "at version 2; version 1 was looked at"),
        (request(verification=None), REVIEW, "bruno", InvalidInput, "without saying what was checked"),
        (request(verified=None), REVIEW, "bruno", InvalidMoney, "without the amount seen"),
        (request(verified=Money(0, "CLP")), REVIEW, "bruno", InvalidMoney, "is no payment"),
        (request(verified=Money(-1, "CLP")), REVIEW, "bruno", InvalidMoney, "is no payment"),
        (request(verified=Money(1, "USD")), REVIEW, "bruno", Refused, "in CLP and USD was verified"),
        (
            request(verification=Verification(method="bank_app", value_date=date(2026, 3, 4))),
            REVIEW,
            "bruno",
            InvalidInput,
            "in the future",
        ),
        (request(), replace(REVIEW, creator_id="bruno"), "bruno", PermissionDenied, "bruno opened it"),
        (
            request(verified=Money(400_000, "CLP")),
            AWAITING,
            "ana",
            PermissionDenied,
            "ana gave the first approval",
        ),
        (
            request(verified=Money(400_001, "CLP")),
            AWAITING,
            "bruno",
            Refused,
            "ana verified CLP 400000 for C12, not CLP 400001",
        ),
        (request(Action.REJECT, reason=""), REVIEW, "bruno", InvalidInput, "reject without a reason"),
        (request(Action.NEEDS_INFO, reason=" "), REVIEW, "bruno", InvalidInput, "without a reason"),
        (request(Action.REVERSE, reason=""), APPROVED, "bruno", InvalidInput, "without a reason"),
        (request(Action.REVERSE), APPROVED, "ana", PermissionDenied, "ana approved it"),
        (request(Action.RECONCILE), APPROVED, "bruno", InvalidInput, "without the movement's bank reference"),
        (
            request(Action.RECONCILE, verification=BANK, verified=Money(1, "CLP")),
            APPROVED,
            "bruno",
            Refused,
            "approved for CLP 45000, not CLP 1",
        ),
        (request(Action.DUPLICATE, duplicate_of=12), REVIEW, "bruno", InvalidInput, "no duplicate of itself"),
        (request(Action.DUPLICATE, duplicate_of=99), REVIEW, "bruno", Refused, "There is no claim C99"),
        (request(Action.DUPLICATE), REVIEW, "bruno", InvalidInput, "duplicate of no claim"),
        (request(evidence_sha256=("ab" * 32,)), REVIEW, "bruno", Refused, "are not those of C12"),
    ],
)
def test_a_decision_that_may_not_be_taken_says_why_and_what_to_do(
    asked: DecisionRequest, claim: Claim, by: str, error: type[PlatformError], message: str
) -> None:
    """One line each: the claim, the reason, the next step."""
    with pytest.raises(error, match=message) as refused:
        outcome(asked, claim, by=by)

    assert refused.value.next_step


def test_both_approvers_are_barred_from_reversing() -> None:
    """A reversal takes a third person when two had approved."""
    both = replace(APPROVED, first_approver_id="bruno")

    for by in ("ana", "bruno"):
        with pytest.raises(PermissionDenied):
            outcome(request(Action.REVERSE), both, by=by)
    assert outcome(request(Action.REVERSE), both, by="carla") is ClaimState.REVERSED


def test_the_claimant_may_withdraw_but_not_approve() -> None:
    """Who opened a claim at the desk may take it back."""
    own = replace(REVIEW, creator_type="user", creator_id="bruno")

    assert outcome(request(Action.WITHDRAW), own) is ClaimState.WITHDRAWN
    with pytest.raises(PermissionDenied):
        outcome(request(), own)


def test_a_duplicate_names_its_other_or_the_only_flagged_one() -> None:
    """Two signs to different claims decide nothing; a duplicate is never chained to a duplicate."""
    asked = request(Action.DUPLICATE)
    assert decide_duplicate_of(asked, [9]) == decide_duplicate_of(asked, [9, 9]) == 9
    with pytest.raises(InvalidInput):
        decide_duplicate_of(asked, [8, 9])
    assert decide_duplicate_of(request(Action.REJECT), [9]) is None

    pending = Surroundings(moved_by="ana", flagged=(9,), duplicate_state=ClaimState.PENDING_REVIEW)
    assert outcome(asked, around=pending) is ClaimState.DUPLICATE
    with pytest.raises(Refused, match="C9 is a duplicate itself"):
        outcome(asked, around=replace(pending, duplicate_state=ClaimState.DUPLICATE))


def test_evidence_that_was_looked_at_must_be_the_claims() -> None:
    """All of it, in any order."""
    around = Surroundings(moved_by="ana", evidence=frozenset({"ab" * 32, "cd" * 32}))

    assert outcome(request(evidence_sha256=("cd" * 32, "ab" * 32)), around=around) is ClaimState.APPROVED
    with pytest.raises(Refused):
        outcome(request(evidence_sha256=("cd" * 32,)), around=around)


def test_what_a_contact_is_told_follows_from_the_state() -> None:
    """Silence is a choice: see the docstring of decide_message."""
    told = {state.value: decide_message(state, something_remains=False) for state in ClaimState}

    assert {state: purpose for state, purpose in told.items() if purpose} == {
        "approved": "claim.approved",
        "rejected": "claim.rejected",
        "needs_info": "claim.needs_info",
        "reversed": "claim.reversed",
    }
    assert decide_message(ClaimState.APPROVED, something_remains=True) == "claim.partial"


def test_a_reversal_needs_a_permission_of_its_own() -> None:
    """Every other decision needs the ordinary one."""
    assert {
        action: permission_for(action) for action in Action if action is not Action.REVERSE
    } == dict.fromkeys((action for action in Action if action is not Action.REVERSE), Permission.CLAIM_DECIDE)
    assert permission_for(Action.REVERSE) is Permission.CLAIM_REVERSE


@pytest.mark.parametrize("text", ["TRX-001 9", "trx0019", " TRX 0019 ", "trx.001.9"])
def test_a_bank_reference_is_compared_without_what_people_vary(text: str) -> None:
    """Capitals, spaces and marks say nothing."""
    assert movement_key(text) == "TRX0019"


def test_two_requests_are_one_decision_only_when_everything_is_equal() -> None:
    """Also who decides."""
    ana, bruno = Actor("user", "ana", "owner"), Actor("user", "bruno", "ops")
    first = fingerprint(request(), ana)

    assert first == fingerprint(request(), Actor("user", "ana", "ops"))
    assert first not in {
        fingerprint(request(), bruno),
        fingerprint(request(verified=Money(45_001, "CLP")), ana),
        fingerprint(request(claim_version=3), ana),
        fingerprint(request(reason="otra"), ana),
    }
