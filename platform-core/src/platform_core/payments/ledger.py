"""Money put to debts and taken back. Rows only grow; a reversal is the same rows with a minus sign.

Whoever changes a person's debts holds all of them first, in the order of their ids (`lock_debts`), so that
two decisions about one person wait for each other and never deadlock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from psycopg.rows import class_row

from platform_core.db import Tx, load_queries
from platform_core.errors import NotFound
from platform_core.messaging import contacts
from platform_core.payments.allocation import Debt, Split
from platform_core.payments.contracts import Allocated, obligation_ref
from platform_core.payments.decisions import Claim
from platform_core.payments.lifecycle import ObligationState
from platform_core.values import Money

Q = load_queries(__file__)


@dataclass(frozen=True, slots=True)
class Obligation:
    """A debt as it stands. Amounts are in `currency`'s minor unit."""

    id: int
    contact_id: int
    pupil: str
    concept: str
    due_on: date
    amount_minor: int
    currency: str
    paid_minor: int
    state: ObligationState

    def __post_init__(self) -> None:
        """Name the state; an unknown one is a schema newer than this code."""
        object.__setattr__(self, "state", ObligationState(self.state))

    @property
    def remaining(self) -> Money:
        """What is still owed."""
        return Money(self.amount_minor - self.paid_minor, self.currency)


@dataclass(frozen=True, slots=True)
class Difference:
    """A debt or claim whose amount is not the sum of its rows."""

    kind: str
    id: int
    expected_minor: int
    found_minor: int


def lock_debts(tx: Tx, people: Sequence[int]) -> list[Obligation]:
    """All open and paid debts of a person, held until the transaction ends."""
    with tx.cursor(row_factory=class_row(Obligation)) as cursor:
        return cursor.execute(Q["obligation_lock_of_people"], {"people": list(people)}).fetchall()


def lock_obligation(tx: Tx, obligation_id: int) -> Obligation:
    """One debt, held until the transaction ends. Raises: NotFound."""
    with tx.cursor(row_factory=class_row(Obligation)) as cursor:
        found = cursor.execute(Q["obligation_lock"], {"obligation_id": obligation_id}).fetchone()
    if found is None:
        raise NotFound(
            f"There is no obligation {obligation_ref(obligation_id)}",
            next_step="See `wmctl obligation list`.",
        )
    return found


def to_debts(obligations: Sequence[Obligation]) -> list[Debt]:
    """What remains of the open ones."""
    return [
        Debt(one.id, one.due_on, one.remaining) for one in obligations if one.state is ObligationState.OPEN
    ]


def put(
    tx: Tx,
    split: Split,
    debts: Mapping[int, Obligation],
    *,
    claim_id: int,
    decision_id: str,
    now: datetime,
) -> tuple[Allocated, ...]:
    """Put a split to debts that the caller holds, each with its allocation."""
    done = []
    for part in split.parts:
        debt = debts[part.obligation_id]
        left = debt.remaining.amount_minor - part.amount_minor
        row = tx.execute(
            Q["obligation_pay_off" if left == 0 else "obligation_pay_part"],
            {
                "obligation_id": debt.id,
                "amount_minor": part.amount_minor,
                "currency": debt.currency,
                "claim_id": claim_id,
                "decision_id": decision_id,
                "now": now,
            },
        ).fetchone()
        if row is None:
            raise AssertionError(f"{obligation_ref(debt.id)} changed under its lock")
        amount = Money(part.amount_minor, debt.currency)
        done.append(Allocated(obligation_id=debt.id, amount=amount, remaining=Money(left, debt.currency)))
    return tuple(done)


def add_credit(tx: Tx, credit: Money, *, claim: Claim, decision_id: str, now: datetime) -> None:
    """Remember verified money of a claim that no debt took."""
    tx.execute(
        Q["credit_insert"],
        {
            "contact_id": contacts.get_contact(tx, claim.contact_id).id,
            "claim_id": claim.id,
            "decision_id": decision_id,
            "amount_minor": credit.amount_minor,
            "currency": credit.currency,
            "now": now,
        },
    )


def take_back(
    tx: Tx, *, claim_id: int, decision_id: str, now: datetime
) -> tuple[tuple[Allocated, ...], Money | None]:
    """Undo what a claim had put to debts, which the caller holds, and to credit. Amounts are below zero."""
    facts = {"claim_id": claim_id, "decision_id": decision_id, "now": now}
    rows = tx.execute(Q["obligation_restore"], facts).fetchall()
    restored = tuple(
        Allocated(
            obligation_id=obligation_id,
            amount=Money(amount_minor, currency),
            remaining=Money(remaining_minor, currency),
        )
        for obligation_id, amount_minor, remaining_minor, currency in sorted(rows)
    )
    credit = tx.execute(Q["credit_reverse"], facts).fetchone()
    return restored, Money(*credit) if credit else None


def find_differences(tx: Tx) -> list[Difference]:
    """Prove the ledger: empty when every debt and every claim adds up to its rows."""
    with tx.cursor(row_factory=class_row(Difference)) as cursor:
        return cursor.execute(Q["ledger_difference"]).fetchall()
