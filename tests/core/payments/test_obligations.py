from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from platform_core.errors import (
    IdempotencyConflict,
    InvalidInput,
    InvalidMoney,
    NotFound,
    PermissionDenied,
    Refused,
    StateConflict,
)
from platform_core.messaging.contracts import Party
from platform_core.payments import ledger, obligations, views
from platform_core.payments.contracts import NewObligation, ReminderCounts
from platform_core.payments.lifecycle import ClaimState, ObligationState
from platform_core.payments.views import MoneySummary
from platform_core.values import Actor, Money
from tests.support.payments import ANA, DIEGO, LOADER, Treasury, clp


def add(treasury: Treasury, *, actor: Actor = LOADER, **changes: object) -> obligations.Added:
    """Enter the debt 2026-03/118, complete unless `changes` differ."""
    plain: dict[str, object] = {
        "reference": "2026-03/118",
        "contact_id": treasury.contact(),
        "pupil": "Sofía",
        "concept": "Mensualidad marzo",
        "due_on": date(2026, 3, 10),
        "amount": clp(45_000),
    }
    with treasury.tx() as tx:
        new = NewObligation.model_validate(plain | changes)
        return obligations.add_obligation(
            tx, new, actor=actor, policy=treasury.policy, now=treasury.clock.now()
        )


def cancel(
    treasury: Treasury, obligation_id: int, reason: str = "error de carga", by: Actor = ANA
) -> ReminderCounts:
    """Cancel a debt in a transaction of its own."""
    with treasury.tx() as tx:
        return obligations.cancel_obligation(
            tx, obligation_id, actor=by, reason=reason, now=treasury.clock.now()
        )


def test_a_debt_is_entered_with_its_reminders_at_local_time(treasury: Treasury) -> None:
    """The plan's hours are the customer's; the job is due at the instant they mean."""
    added = add(treasury)

    assert added.created
    assert [(one.step, one.state, one.due_at) for one in treasury.reminders_of(added.obligation_id)] == [
        ("D-3", "scheduled", datetime(2026, 3, 7, 12, tzinfo=UTC)),
        ("D+1", "scheduled", datetime(2026, 3, 11, 13, tzinfo=UTC)),
        ("D+5", "scheduled", datetime(2026, 3, 15, 13, tzinfo=UTC)),
    ]
    assert [payload["round"] for payload in treasury.jobs("reminder.due")] == [1, 1, 1]


def test_entering_a_debt_again_changes_nothing(treasury: Treasury) -> None:
    """The same reference answers the same debt; another content is a conflict."""
    first = add(treasury)
    before = treasury.counts()

    for _ in range(3):
        assert add(treasury) == obligations.Added(first.obligation_id, created=False)
    other = treasury.contact(Party(phone="+56900000002"))
    for change in (
        {"amount": clp(1)},
        {"pupil": "Tomás"},
        {"due_on": date(2026, 3, 11)},
        {"contact_id": other},
    ):
        with pytest.raises(IdempotencyConflict, match=f"names O{first.obligation_id}"):
            add(treasury, **change)
    assert treasury.counts() == before


def test_reminders_cross_the_clock_change_of_chile(treasury: Treasury) -> None:
    """A step in the hour that never happens on 2026-09-06 goes out when clocks show one o'clock."""
    treasury.with_policy(
        "reminders",
        grace_days=0,
        plan=[
            {"step": "D-1", "offset_days": -1, "local_time": "00:30"},
            {"step": "D0", "offset_days": 0, "local_time": "00:30"},
            {"step": "D+1", "offset_days": 1, "local_time": "00:30"},
        ],
    )

    added = add(treasury, due_on=date(2026, 9, 6))

    assert [one.due_at for one in treasury.reminders_of(added.obligation_id)] == [
        datetime(2026, 9, 5, 4, 30, tzinfo=UTC),
        datetime(2026, 9, 6, 4, 0, tzinfo=UTC),
        datetime(2026, 9, 7, 3, 30, tzinfo=UTC),
    ]


def test_a_debt_entered_late_skips_the_reminders_whose_time_has_passed(treasury: Treasury) -> None:
    """They are kept, so that people see why nothing was sent."""
    added = add(treasury, due_on=date(2026, 3, 1))

    assert treasury.reminder_states(added.obligation_id) == ["skipped", "scheduled", "scheduled"]
    assert len(treasury.jobs("reminder.due")) == 2


def test_a_debt_entered_while_a_claim_waits_is_not_reminded_of(treasury: Treasury) -> None:
    """The receipt may be for it."""
    treasury.receipt_from()

    assert treasury.reminder_states(add(treasury).obligation_id) == ["suspended"] * 3


@pytest.mark.parametrize("amount", [clp(0), clp(-1)])
def test_a_debt_of_nothing_is_refused(treasury: Treasury, amount: Money) -> None:
    """Before anything is written."""
    with pytest.raises(InvalidMoney, match="2026-03/118"):
        add(treasury, amount=amount)


def test_who_may_not_decide_enters_and_cancels_no_debt(treasury: Treasury) -> None:
    """A viewer looks; a contact does not even that."""
    added = add(treasury, actor=ANA)

    for actor in (DIEGO, Actor("contact", "1")):
        with pytest.raises(PermissionDenied):
            add(treasury, actor=actor, reference="other")
        with pytest.raises(PermissionDenied):
            cancel(treasury, added.obligation_id, by=actor)


def test_an_unknown_contact_owes_nothing(treasury: Treasury) -> None:
    """The contact is named by number, never by telephone."""
    with pytest.raises(NotFound, match="There is no contact 999"):
        add(treasury, contact_id=999)


def test_cancelling_a_debt_cancels_its_reminders_once(treasury: Treasury) -> None:
    """With a reason, for good."""
    added = add(treasury)

    assert cancel(treasury, added.obligation_id) == ReminderCounts(cancelled=3)
    before = treasury.counts()
    assert [cancel(treasury, added.obligation_id) for _ in range(3)] == [ReminderCounts()] * 3
    assert treasury.counts() == before
    assert treasury.debt(added.obligation_id).state is ObligationState.CANCELLED
    assert treasury.reminder_states(added.obligation_id) == ["cancelled"] * 3


def test_a_debt_that_took_money_is_not_cancelled(treasury: Treasury) -> None:
    """The money would be nobody's; the claim is reversed first."""
    part, whole = treasury.owe(clp(45_000)), treasury.owe(clp(30_000))
    treasury.approve(treasury.receipt_from(), clp(31_000), allocations=((part, 1_000), (whole, 30_000)))

    with pytest.raises(Refused, match="CLP 1000 was paid to"):
        cancel(treasury, part)
    with pytest.raises(StateConflict, match="is paid"):
        cancel(treasury, whole)
    with pytest.raises(InvalidInput, match="without a reason"):
        cancel(treasury, part, reason=" ")
    with pytest.raises(NotFound, match="O999"):
        cancel(treasury, 999)


def test_money_never_goes_to_a_cancelled_debt(treasury: Treasury) -> None:
    """It becomes credit."""
    cancel(treasury, add(treasury).obligation_id)

    assert treasury.approve(treasury.receipt_from(), clp(45_000)).credit == clp(45_000)


# --- What people look at ----------------------------------------------------------------------------------


def test_the_money_in_one_line_per_currency(treasury: Treasury) -> None:
    """Owed, overdue, paid, credit, claims that wait."""
    treasury.owe(clp(45_000), due_on=date(2026, 2, 1))
    treasury.owe(clp(30_000))
    treasury.owe(Money(500, "USD"))
    treasury.approve(treasury.receipt_from(), clp(100_000))
    treasury.owe(clp(10_000), due_on=date(2026, 3, 1))
    treasury.receipt_from()

    with treasury.tx() as tx:
        assert views.summarize_money(tx, today=date(2026, 3, 2)) == [
            MoneySummary("CLP", 10_000, 10_000, 75_000, 25_000, 1),
            MoneySummary("USD", 500, 0, 0, 0, 0),
        ]
        assert ledger.find_differences(tx) == []


def test_lists_are_bounded_ordered_and_filtered(treasury: Treasury) -> None:
    """Claims that wait longest first; debts oldest due first; of one state, of one contact."""
    late, soon = treasury.owe(clp(1), due_on=date(2026, 4, 1)), treasury.owe(clp(2))
    other = treasury.owe(clp(3), contact_id=treasury.contact(Party(phone="+56900000002")))
    first, second = treasury.receipt_from(), treasury.at_the_desk(clp(5))
    treasury.approve(first, clp(2))

    with treasury.tx() as tx:
        assert [one.id for one in views.list_claims(tx)] == [first, second]
        assert [one.id for one in views.list_claims(tx, limit=1)] == [first]
        waiting = views.list_claims(tx, state=ClaimState.PENDING_REVIEW)
        assert [(one.id, one.claimed, one.contact_name) for one in waiting] == [(second, clp(5), "Ana")]
        assert [one.id for one in views.list_obligations(tx)] == [soon, other, late]
        mine = views.list_obligations(tx, contact_id=treasury.contact(), state=ObligationState.OPEN)
        assert [one.id for one in mine] == [late]
        with pytest.raises(NotFound, match="There is no claim C999"):
            views.get_claim(tx, 999)


def test_rows_of_a_merged_contact_belong_to_the_one_that_stayed(treasury: Treasury) -> None:
    """Known by user id first, by telephone later: one person, one set of debts."""
    hidden = treasury.contact(Party(user_id="CL.1"))
    obligation = treasury.owe(clp(45_000), contact_id=hidden)
    phone = treasury.contact(Party(phone="+56900000003"))
    treasury.contact(Party(phone="+56900000003", user_id="CL.1"))

    claim_id = treasury.receipt_from(Party(phone="+56900000003"))

    assert treasury.reminder_states(obligation) == ["suspended"] * 3
    assert treasury.approve(claim_id, clp(45_000)).allocations[0].obligation_id == obligation
    with treasury.tx() as tx:
        assert [one.id for one in views.list_obligations(tx, contact_id=phone)] == [obligation]
