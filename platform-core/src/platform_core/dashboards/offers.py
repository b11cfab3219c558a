"""What a person may do with a claim as it stands, and why something else may not be done. Pure.

The verbs judge again, and only their judgement counts: this says which forms a page shows, so that nobody
fills in one that would be refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from platform_core.panel.rights import Right, may
from platform_core.payments.decisions import permission_for
from platform_core.payments.lifecycle import Action, ClaimState, sources_of
from platform_core.tenancy.members import PERMISSIONS, Permission, Role


class Act(StrEnum):
    """What the panel offers about a claim: every decision, and taking the contact's answer by another way."""

    APPROVE = "approve"
    REJECT = "reject"
    NEEDS_INFO = "needs_info"
    DUPLICATE = "duplicate"
    WITHDRAW = "withdraw"
    RESUME = "resume"
    REVERSE = "reverse"
    RECONCILE = "reconcile"

    @property
    def action(self) -> Action | None:
        """The decision it is; None for what is no decision."""
        return None if self is Act.RESUME else Action(self.value)


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a claim decides who may do what."""

    state: ClaimState
    creator_id: str
    first_approver_id: str | None = None
    approver_id: str | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """One act. `barred` is why this very person may not: the key of its words; empty when they may."""

    act: Act
    barred: str = ""


def decide_offers(standing: Standing, *, member: str, role: Role) -> tuple[Offer, ...]:
    """What to show to a member: nothing to those who decide nothing, and only what the state allows."""
    if not may(role, Right.DECIDE_CLAIMS):
        return ()
    return tuple(
        Offer(act, _barred(act, standing, member))
        for act in Act
        if standing.state in _sources(act) and _permission(act) in PERMISSIONS[role]
    )


def _sources(act: Act) -> frozenset[ClaimState]:
    return frozenset({ClaimState.NEEDS_INFO}) if act.action is None else sources_of(act.action)


def _permission(act: Act) -> Permission:
    return Permission.CLAIM_DECIDE if act.action is None else permission_for(act.action)


def _barred(act: Act, standing: Standing, member: str) -> str:
    if act is Act.APPROVE and member == standing.creator_id:
        return "opened"
    if act is Act.APPROVE and standing.state is ClaimState.AWAITING_SECOND:
        return "approved_first" if member == standing.first_approver_id else ""
    if act is Act.REVERSE and member in (standing.approver_id, standing.first_approver_id):
        return "approved"
    return ""
