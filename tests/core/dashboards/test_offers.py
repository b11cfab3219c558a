"""What a person may do with a claim: every state by every role, cell by cell."""

from __future__ import annotations

import pytest

from platform_core.dashboards.offers import Act, Standing, decide_offers
from platform_core.payments.lifecycle import ClaimState, sources_of
from platform_core.tenancy.members import Role

S = ClaimState
REVIEW = ("approve", "reject", "needs_info", "duplicate", "withdraw")

BY_STATE: dict[ClaimState, tuple[str, ...]] = {
    S.RECEIVED: (),
    S.EVIDENCE_FAILED: ("withdraw",),
    S.PENDING_REVIEW: REVIEW,
    S.NEEDS_INFO: ("reject", "duplicate", "withdraw", "resume"),
    S.AWAITING_SECOND: ("approve", "reject", "duplicate", "withdraw"),
    S.APPROVED: ("reverse", "reconcile"),
    S.RECONCILED: ("reverse",),
    S.REJECTED: (),
    S.DUPLICATE: (),
    S.WITHDRAWN: (),
    S.EXPIRED: (),
    S.REVERSED: (),
}
DECIDES = {Role.OWNER: True, Role.OPS: True, Role.VIEWER: False, Role.SUPPORT: False}


def offered(standing: Standing, member: str, role: Role) -> dict[str, str]:
    """The acts shown, with why one is barred."""
    return {offer.act.value: offer.barred for offer in decide_offers(standing, member=member, role=role)}


@pytest.mark.parametrize("state", list(ClaimState))
@pytest.mark.parametrize("role", list(Role))
def test_a_state_shows_exactly_what_may_be_done_to_those_who_decide(state: ClaimState, role: Role) -> None:
    """And nothing to those who only look."""
    shown = offered(Standing(state, "carla", "carla", "carla"), "ana", role)

    assert tuple(shown) == (BY_STATE[state] if DECIDES[role] else ())
    assert set(shown.values()) <= {""}


def test_the_table_agrees_with_the_life_cycle() -> None:
    """Every act is offered in each state that it may start from, and in no other."""
    for act in Act:
        sources = {S.NEEDS_INFO} if act.action is None else sources_of(act.action)
        assert {state for state, acts in BY_STATE.items() if act.value in acts} == sources


@pytest.mark.parametrize(
    ("standing", "member", "barred"),
    [
        (Standing(S.PENDING_REVIEW, "ana"), "ana", {"approve": "opened"}),
        (Standing(S.PENDING_REVIEW, "ana"), "bruno", {}),
        (Standing(S.AWAITING_SECOND, "", "ana"), "ana", {"approve": "approved_first"}),
        (Standing(S.AWAITING_SECOND, "", "ana"), "bruno", {}),
        (Standing(S.AWAITING_SECOND, "bruno", "ana"), "bruno", {"approve": "opened"}),
        (Standing(S.APPROVED, "", None, "ana"), "ana", {"reverse": "approved"}),
        (Standing(S.APPROVED, "", "bruno", "ana"), "bruno", {"reverse": "approved"}),
        (Standing(S.APPROVED, "", "bruno", "ana"), "carla", {}),
        (Standing(S.RECONCILED, "", None, "ana"), "ana", {"reverse": "approved"}),
    ],
)
def test_who_opened_or_approved_a_claim_is_told_that_another_must(
    standing: Standing, member: str, barred: dict[str, str]
) -> None:
    """Four eyes: the form is not shown, and the reason is."""
    shown = offered(standing, member, Role.OWNER)

    assert {act: why for act, why in shown.items() if why} == barred
