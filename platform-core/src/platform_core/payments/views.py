"""What people look at: claims with their history, debts, and the money in one line. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TypeVar

from psycopg.rows import class_row

from platform_core.db import Queries, Tx
from platform_core.errors import NotFound
from platform_core.payments.contracts import claim_ref
from platform_core.payments.lifecycle import ClaimState, ObligationState
from platform_core.payments.people import people_of
from platform_core.values import Money

Q = Queries(Path(__file__).with_name("views.sql"))
R = Queries(Path(__file__).with_name("reminders.sql"))

MAX_LISTED = 1000
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class ClaimSummary:
    """One claim on a list. `contact_name` is for the customer's staff, never for a log."""

    id: int
    state: ClaimState
    version: int
    origin: str
    contact_id: int
    contact_name: str
    currency: str
    claimed_minor: int | None
    verified_minor: int | None
    reason: str
    first_approver_id: str | None
    approver_id: str | None
    supersedes: int | None
    duplicate_of: int | None
    opened_at: datetime
    state_at: datetime
    flags: int

    def __post_init__(self) -> None:
        """Name the state; an unknown one is a schema newer than this code."""
        object.__setattr__(self, "state", ClaimState(self.state))

    @property
    def claimed(self) -> Money | None:
        """What the contact or the desk said was paid."""
        return None if self.claimed_minor is None else Money(self.claimed_minor, self.currency)

    @property
    def verified(self) -> Money | None:
        """What a member saw at the bank."""
        return None if self.verified_minor is None else Money(self.verified_minor, self.currency)


@dataclass(frozen=True, slots=True)
class ClaimEvent:
    """One line of a claim's history: the move that reached `version`."""

    version: int
    from_state: str | None
    to_state: str
    actor_type: str
    actor_id: str
    actor_role: str
    decision_id: str | None
    note: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """What a member decided, and what was checked."""

    id: str
    claim_version: int
    action: str
    outcome: str
    actor_id: str
    actor_role: str
    verified_minor: int | None
    currency: str
    method: str | None
    rail: str
    bank_reference: str
    value_date: date | None
    note: str
    reason: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Receipt:
    """One piece of evidence; `receipts.get_media` has its bytes. `sha256` is hex; None without bytes."""

    message_id: int
    state: str
    sha256: str | None
    mime_type: str | None
    size_bytes: int | None
    filename: str
    failure: str
    seen_at: datetime
    captured_at: datetime | None


@dataclass(frozen=True, slots=True)
class Flag:
    """A sign that another claim is about the same payment."""

    kind: str
    other_claim_id: int
    raised_at: datetime


@dataclass(frozen=True, slots=True)
class Allocation:
    """Money put to a debt, or taken back below zero."""

    obligation_id: int
    amount_minor: int
    currency: str
    decision_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Credit:
    """Money no debt took, or taken back below zero."""

    amount_minor: int
    currency: str
    decision_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ClaimDetail:
    """Everything about one claim, each part in the order it happened."""

    summary: ClaimSummary
    history: tuple[ClaimEvent, ...]
    receipts: tuple[Receipt, ...]
    flags: tuple[Flag, ...]
    decisions: tuple[Decision, ...]
    allocations: tuple[Allocation, ...]
    credits: tuple[Credit, ...]


@dataclass(frozen=True, slots=True)
class ObligationSummary:
    """One debt on a list."""

    id: int
    reference: str
    contact_id: int
    pupil: str
    concept: str
    due_on: date
    amount_minor: int
    paid_minor: int
    currency: str
    state: ObligationState

    def __post_init__(self) -> None:
        """Name the state; an unknown one is a schema newer than this code."""
        object.__setattr__(self, "state", ObligationState(self.state))

    @property
    def remaining(self) -> Money:
        """What is still owed."""
        return Money(self.amount_minor - self.paid_minor, self.currency)


@dataclass(frozen=True, slots=True)
class MoneySummary:
    """The money of one currency. `overdue_minor` is the part of `owed_minor` that was due before today."""

    currency: str
    owed_minor: int
    overdue_minor: int
    paid_minor: int
    credit_minor: int
    claims_waiting: int


@dataclass(frozen=True, slots=True)
class ReminderSummary:
    """One reminder of a debt. `send_at` is when its job runs; `outbox_id` its message, once there is one."""

    id: int
    step: str
    due_at: datetime
    send_at: datetime
    round: int
    state: str
    outbox_id: int | None


def list_claims(tx: Tx, *, state: ClaimState | None = None, limit: int = 50) -> list[ClaimSummary]:
    """Claims, those that wait longest first; of one state, or of all."""
    return _list(tx, "claim_list", ClaimSummary, {"state": state, "claim_id": None, "limit": _bounded(limit)})


def get_claim(tx: Tx, claim_id: int) -> ClaimDetail:
    """Everything about one claim. Raises: NotFound."""
    found = _list(tx, "claim_list", ClaimSummary, {"state": None, "claim_id": claim_id, "limit": 1})
    if not found:
        raise NotFound(f"There is no claim {claim_ref(claim_id)}", next_step="See `wmctl claim list`.")
    one = {"claim_id": claim_id}
    return ClaimDetail(
        summary=found[0],
        history=tuple(_list(tx, "claim_event_list", ClaimEvent, one)),
        receipts=tuple(_list(tx, "receipt_list", Receipt, one)),
        flags=tuple(_list(tx, "flag_list", Flag, one)),
        decisions=tuple(_list(tx, "decision_list", Decision, one)),
        allocations=tuple(_list(tx, "allocation_list", Allocation, one)),
        credits=tuple(_list(tx, "credit_list", Credit, one)),
    )


def find_claim_of_message(tx: Tx, wamid: str) -> int | None:
    """The claim that a parent's message is evidence for; None when it is none, or not yet looked at."""
    row = tx.execute(Q["claim_find_of_message"], {"wamid": wamid}).fetchone()
    return None if row is None else int(row[0])


def list_obligations(
    tx: Tx, *, contact_id: int | None = None, state: ObligationState | None = None, limit: int = 50
) -> list[ObligationSummary]:
    """Debts, oldest due first; of one contact and those merged into it, of one state, or all."""
    people = None if contact_id is None else people_of(tx, contact_id)
    facts = {"people": people, "state": state, "limit": _bounded(limit)}
    return _list(tx, "obligation_list", ObligationSummary, facts)


def list_reminders(tx: Tx, obligation_id: int) -> list[ReminderSummary]:
    """The reminders of one debt, in the plan's order."""
    with tx.cursor(row_factory=class_row(ReminderSummary)) as cursor:
        return cursor.execute(R["reminder_list"], {"obligation_id": obligation_id}).fetchall()


def summarize_money(tx: Tx, *, today: date) -> list[MoneySummary]:
    """What is owed, overdue, paid and held as credit, by currency. `today` is the customer's own day."""
    return _list(tx, "money_summarize", MoneySummary, {"today": today})


def credit_balance(tx: Tx, contact_id: int) -> list[Money]:
    """What a person has paid beyond its debts, by currency."""
    rows = tx.execute(Q["credit_balance"], {"people": people_of(tx, contact_id)}).fetchall()
    return [Money(amount_minor, currency) for amount_minor, currency in rows]


def _bounded(limit: int) -> int:
    return max(1, min(limit, MAX_LISTED))


def _list(tx: Tx, name: str, kind: type[Row], facts: Mapping[str, object]) -> list[Row]:
    with tx.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(Q[name], facts).fetchall()
