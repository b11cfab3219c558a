"""The states of a claim, an obligation, a reminder and a receipt, and the moves between them.

A claim says "I paid". A receipt is a picture of that, not a payment: a person checks the bank and decides.

received         A message with a receipt came; its bytes are being fetched. Left when they are stored or when
                 fetching is given up.
evidence_failed  The receipt cannot be read: too large, not a picture, gone. The contact was asked to send it
                 again. Redriving the job may still bring it (pending_review); staff may close it (withdrawn).
pending_review   Staff owe an answer; reminders are suspended. A clock tells staff when they take too long,
                 and never decides. Left by a decision only.
needs_info       Staff asked the contact something. The contact's next message returns the claim to review; no
                 answer in time expires it.
awaiting_second  One member approved an amount above the policy's limit, or a bank movement that another claim
                 already used. A second member must agree.
approved         The money was seen at the bank and allocated to obligations; what is left over is credit.
reconciled       The approved claim was linked to a line of the bank statement.
rejected         Staff say it was not paid, with a reason. Final.
duplicate        It claims what another claim claims, which it names. Final.
withdrawn        Taken back before a decision. Final.
expired          The contact never answered what staff asked. Final; the only state time alone leads to.
reversed         An approval was undone by another member, with a reason: compensating rows restore the
                 obligations and take back the credit. Final.

Final means final: a new receipt opens a new claim that names the old one in `supersedes`.
"""

from __future__ import annotations

from enum import StrEnum


class ClaimState(StrEnum):
    """Where a claim stands."""

    RECEIVED = "received"
    EVIDENCE_FAILED = "evidence_failed"
    PENDING_REVIEW = "pending_review"
    NEEDS_INFO = "needs_info"
    AWAITING_SECOND = "awaiting_second"
    APPROVED = "approved"
    RECONCILED = "reconciled"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    REVERSED = "reversed"


class Action(StrEnum):
    """What a member may decide about a claim."""

    APPROVE = "approve"
    REJECT = "reject"
    NEEDS_INFO = "needs_info"
    DUPLICATE = "duplicate"
    WITHDRAW = "withdraw"
    REVERSE = "reverse"
    RECONCILE = "reconcile"


class ObligationState(StrEnum):
    """Where a debt stands. Partly paid is `open` with something in `paid_minor`."""

    OPEN = "open"
    PAID = "paid"
    CANCELLED = "cancelled"


class ReminderState(StrEnum):
    """Where a reminder stands.

    scheduled  Its job will send it at its time.      suspended  A claim of the contact waits for staff.
    queued     Its message is in the outbox. Final unless the outbox withdrew it at the last moment.
    cancelled  The obligation is paid or cancelled; a reversal schedules it again.
    skipped    Its time passed while it could not be sent, and a later one says the same. Final.
    """

    SCHEDULED = "scheduled"
    SUSPENDED = "suspended"
    QUEUED = "queued"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class ApprovalState(StrEnum):
    """Where a flow stands that waits for a decision about a claim.

    waiting   It asked staff and is suspended.        settling  The claim was decided elsewhere: it is let go.
    answered  It was answered, and the answer was a decision. Final.
    lapsed    Nobody answered it in time, or it was sent away; the claim stays as it is. Final.
    settled   It went on, or was gone, after the claim had been decided elsewhere. Final.
    """

    WAITING = "waiting"
    SETTLING = "settling"
    ANSWERED = "answered"
    LAPSED = "lapsed"
    SETTLED = "settled"


class ReceiptState(StrEnum):
    """Where the evidence of one message stands: being fetched, stored, or not to be had."""

    FETCHING = "fetching"
    CAPTURED = "captured"
    FAILED = "failed"


_C, _O, _R, _E, _A = ClaimState, ObligationState, ReminderState, ReceiptState, ApprovalState

FINAL = frozenset({_C.REJECTED, _C.DUPLICATE, _C.WITHDRAWN, _C.EXPIRED, _C.REVERSED})

WAITING = frozenset({_C.RECEIVED, _C.PENDING_REVIEW, _C.NEEDS_INFO, _C.AWAITING_SECOND})
"""The contact says it is paid and nobody has said otherwise: reminders are held back."""

MOVES: frozenset[tuple[ClaimState, ClaimState]] = frozenset(
    {
        (_C.RECEIVED, _C.EVIDENCE_FAILED),
        (_C.RECEIVED, _C.PENDING_REVIEW),
        (_C.EVIDENCE_FAILED, _C.PENDING_REVIEW),
        (_C.EVIDENCE_FAILED, _C.WITHDRAWN),
        (_C.PENDING_REVIEW, _C.NEEDS_INFO),
        (_C.PENDING_REVIEW, _C.AWAITING_SECOND),
        (_C.PENDING_REVIEW, _C.APPROVED),
        (_C.PENDING_REVIEW, _C.REJECTED),
        (_C.PENDING_REVIEW, _C.DUPLICATE),
        (_C.PENDING_REVIEW, _C.WITHDRAWN),
        (_C.NEEDS_INFO, _C.PENDING_REVIEW),
        (_C.NEEDS_INFO, _C.REJECTED),
        (_C.NEEDS_INFO, _C.DUPLICATE),
        (_C.NEEDS_INFO, _C.WITHDRAWN),
        (_C.NEEDS_INFO, _C.EXPIRED),
        (_C.AWAITING_SECOND, _C.APPROVED),
        (_C.AWAITING_SECOND, _C.REJECTED),
        (_C.AWAITING_SECOND, _C.DUPLICATE),
        (_C.AWAITING_SECOND, _C.WITHDRAWN),
        (_C.APPROVED, _C.RECONCILED),
        (_C.APPROVED, _C.REVERSED),
        (_C.RECONCILED, _C.REVERSED),
    }
)

ACTION_TARGETS: dict[Action, frozenset[ClaimState]] = {
    Action.APPROVE: frozenset({_C.APPROVED, _C.AWAITING_SECOND}),
    Action.REJECT: frozenset({_C.REJECTED}),
    Action.NEEDS_INFO: frozenset({_C.NEEDS_INFO}),
    Action.DUPLICATE: frozenset({_C.DUPLICATE}),
    Action.WITHDRAW: frozenset({_C.WITHDRAWN}),
    Action.REVERSE: frozenset({_C.REVERSED}),
    Action.RECONCILE: frozenset({_C.RECONCILED}),
}
"""Where a decision leads. What time and the contact's messages do is not a decision."""

OBLIGATION_MOVES: frozenset[tuple[ObligationState, ObligationState]] = frozenset(
    {
        (_O.OPEN, _O.PAID),
        (_O.OPEN, _O.CANCELLED),
        (_O.PAID, _O.OPEN),
    }
)

REMINDER_MOVES: frozenset[tuple[ReminderState, ReminderState]] = frozenset(
    {
        (_R.SCHEDULED, _R.SUSPENDED),
        (_R.SCHEDULED, _R.QUEUED),
        (_R.SCHEDULED, _R.CANCELLED),
        (_R.SCHEDULED, _R.SKIPPED),
        (_R.SUSPENDED, _R.SCHEDULED),
        (_R.SUSPENDED, _R.CANCELLED),
        (_R.SUSPENDED, _R.SKIPPED),
        (_R.CANCELLED, _R.SCHEDULED),
        (_R.CANCELLED, _R.SKIPPED),
        (_R.QUEUED, _R.SCHEDULED),
        (_R.QUEUED, _R.SKIPPED),
    }
)

RECEIPT_MOVES: frozenset[tuple[ReceiptState, ReceiptState]] = frozenset(
    {
        (_E.FETCHING, _E.CAPTURED),
        (_E.FETCHING, _E.FAILED),
        (_E.FAILED, _E.CAPTURED),
    }
)


APPROVAL_MOVES: frozenset[tuple[ApprovalState, ApprovalState]] = frozenset(
    {
        (_A.WAITING, _A.ANSWERED),
        (_A.WAITING, _A.LAPSED),
        (_A.WAITING, _A.SETTLING),
        (_A.SETTLING, _A.SETTLED),
    }
)

STAFF_OWE = frozenset({_C.PENDING_REVIEW, _C.AWAITING_SECOND})
"""Staff are asked about a claim in these states, by a flow where the customer has one."""


def sources_of(action: Action) -> frozenset[ClaimState]:
    """The states an action may start from: those with a move to one of its targets."""
    return frozenset(source for source, target in MOVES if target in ACTION_TARGETS[action])
