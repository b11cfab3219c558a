"""What contacts owe: entering a debt with its reminders, and cancelling one that is not owed after all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from platform_core import audit
from platform_core.db import Tx, load_queries
from platform_core.errors import IdempotencyConflict, InvalidInput, InvalidMoney, Refused, StateConflict
from platform_core.messaging import contacts
from platform_core.payments import reminders
from platform_core.payments.contracts import NewObligation, ReminderCounts, obligation_ref
from platform_core.payments.ledger import lock_obligation
from platform_core.payments.lifecycle import ObligationState
from platform_core.payments.people import people_of
from platform_core.tenancy import members
from platform_core.tenancy.members import Permission
from platform_core.tenancy.policy import Policy
from platform_core.values import Actor, Money

Q = load_queries(__file__)

_MAX_REASON_CHARS = 500


@dataclass(frozen=True, slots=True)
class Added:
    """A debt that was entered. `created` is false when its reference had been entered before."""

    obligation_id: int
    created: bool


def add_obligation(tx: Tx, new: NewObligation, *, actor: Actor, policy: Policy, now: datetime) -> Added:
    """Enter a debt and plan its reminders, as the policy says, at local wall time of the customer.

    A claim of the contact that waits for staff holds the new reminders back at once.
    Idempotency: unique reference. Raises: IdempotencyConflict when the reference names another debt,
    InvalidMoney, NotFound (contact), PermissionDenied.
    """
    actor = _require(tx, actor)
    if new.amount.amount_minor <= 0:
        raise InvalidMoney(
            f"The obligation {new.reference} is of {new.amount}", next_step="Write an amount above zero."
        )
    contact_id = contacts.get_contact(tx, new.contact_id).id
    row = tx.execute(
        Q["obligation_insert"],
        {
            **new.model_dump(exclude={"amount", "contact_id"}),
            "contact_id": contact_id,
            "amount_minor": new.amount.amount_minor,
            "currency": new.amount.currency,
            "now": now,
        },
    ).fetchone()
    if row is None:
        return Added(_entered_before(tx, new, contact_id), created=False)
    obligation = lock_obligation(tx, int(row[0]))
    reminders.schedule(tx, obligation, policy=policy, now=now)
    reminders.align(tx, people_of(tx, contact_id), policy=policy, now=now)
    audit.record(
        tx,
        "obligation.added",
        actor,
        ("obligation", obligation_ref(obligation.id)),
        detail={"amount_minor": obligation.amount_minor, "currency": obligation.currency},
    )
    return Added(obligation.id, created=True)


def cancel_obligation(
    tx: Tx, obligation_id: int, *, actor: Actor, reason: str, now: datetime
) -> ReminderCounts:
    """A debt is not owed after all: it and its reminders are cancelled.

    Idempotency: a cancelled debt stays as it is and nothing is recorded again.
    Raises: NotFound, StateConflict when it is paid, Refused when something was paid to it, PermissionDenied.
    """
    actor = _require(tx, actor)
    name = obligation_ref(obligation_id)
    if not 1 <= len(reason.strip()) <= _MAX_REASON_CHARS:
        raise InvalidInput(
            f"{name} cannot be cancelled without a reason", next_step="Write it in one sentence."
        )
    obligation = lock_obligation(tx, obligation_id)
    match obligation.state:
        case ObligationState.CANCELLED:
            return ReminderCounts()
        case ObligationState.PAID:
            raise StateConflict(f"{name} is paid", next_step="Reverse the claim that paid it first.")
        case ObligationState.OPEN if obligation.paid_minor:
            raise Refused(
                f"{Money(obligation.paid_minor, obligation.currency)} was paid to {name}",
                next_step="Reverse the claim that paid it first.",
            )
        case ObligationState.OPEN:
            tx.execute(
                Q["obligation_cancel"],
                {"obligation_id": obligation_id, "reason": reason.strip(), "now": now},
            )
    cancelled = reminders.cancel(tx, [obligation_id], now=now)
    audit.record(tx, "obligation.cancelled", actor, ("obligation", name), detail={"reminders": cancelled})
    return ReminderCounts(cancelled=cancelled)


def _entered_before(tx: Tx, new: NewObligation, contact_id: int) -> int:
    row = tx.execute(Q["obligation_find_by_reference"], {"reference": new.reference}).fetchone()
    if row is None:
        raise AssertionError("the reference was taken")
    obligation_id, known_contact, *known = row
    asked = [new.pupil, new.concept, new.due_on, new.amount.amount_minor, new.amount.currency]
    if known != asked or known_contact not in people_of(tx, contact_id):
        raise IdempotencyConflict(
            f"The reference {new.reference} names {obligation_ref(obligation_id)}, which is another debt",
            next_step="Use one reference per debt; cancel the old one if it was wrong.",
        )
    return int(obligation_id)


def _require(tx: Tx, actor: Actor) -> Actor:
    # The customer's own loaders (`system`) enter debts from its school system; people need the permission.
    return actor if actor.type == "system" else members.require(tx, actor, Permission.CLAIM_DECIDE)
