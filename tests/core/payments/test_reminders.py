from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from platform_core.errors import InvalidInput
from platform_core.messaging import outbound
from platform_core.messaging.contracts import Party
from platform_core.payments import reminders
from platform_core.payments.ledger import Obligation
from platform_core.payments.lifecycle import Action, ObligationState, ReminderState
from platform_core.payments.reminders import (
    Drop,
    Hold,
    Reminder,
    Send,
    Skip,
    Verdict,
    Wait,
    decide_reminder,
    decide_send_at,
)
from platform_core.values import Cancelled, Dead, Done, Outcome, Snooze
from tests.support.databases import TenantDatabase
from tests.support.payments import BRUNO, Treasury, clp

DUE = datetime(2026, 3, 7, 12, tzinfo=UTC)  # nine in the morning in Santiago
LATER = DUE + timedelta(days=4)
REMINDER = Reminder(
    id=1,
    obligation_id=7,
    step="D-3",
    local_time=time(9),
    timezone="America/Santiago",
    due_at=DUE,
    send_at=DUE,
    round=1,
    state=ReminderState.SCHEDULED,
    next_due_at=LATER,
)
DEBT = Obligation(7, 1, "Sofía", "Mensualidad", date(2026, 3, 10), 45_000, "CLP", 0, ObligationState.OPEN)


def but(thing: Any, **changes: object) -> Any:
    """The same thing with some fields changed."""
    return type(thing)(**{name: getattr(thing, name) for name in thing.__slots__} | changes)


@pytest.mark.parametrize(
    ("reminder", "debt", "waiting", "now", "expected"),
    [
        (REMINDER, DEBT, [], DUE, Send()),
        (REMINDER, DEBT, [], DUE + timedelta(hours=6), Send()),
        (REMINDER, DEBT, [12], DUE, Hold(12)),
        (REMINDER, but(DEBT, paid_minor=45_000, state="paid"), [], DUE, Drop("O7 is paid")),
        (REMINDER, but(DEBT, state="cancelled"), [12], DUE, Drop("O7 is cancelled")),
        (but(REMINDER, state="queued"), DEBT, [], DUE, Drop("the reminder is queued")),
        (but(REMINDER, state="suspended"), DEBT, [], DUE, Drop("the reminder is suspended")),
        (REMINDER, DEBT, [], DUE + timedelta(hours=7), Wait(DUE + timedelta(days=1))),
        (REMINDER, DEBT, [], LATER, Skip()),
        (but(REMINDER, next_due_at=DUE + timedelta(days=1)), DEBT, [], DUE + timedelta(hours=7), Skip()),
    ],
)
def test_what_a_reminder_does_follows_from_debt_claims_and_time(
    reminder: Reminder, debt: Obligation, waiting: list[int], now: datetime, expected: Verdict
) -> None:
    """Paid: nothing. Under review: held. Hours late: tomorrow at nine, unless the next step says the same."""
    assert decide_reminder(reminder, debt, waiting, grace_days=0, now=now) == expected


@pytest.mark.parametrize(
    ("now", "grace_days", "next_due_at", "expected"),
    [
        (DUE - timedelta(days=1), 0, LATER, DUE),
        (DUE, 0, LATER, DUE + timedelta(days=1)),
        (DUE + timedelta(hours=30), 0, LATER, DUE + timedelta(days=2)),
        (DUE + timedelta(days=3, hours=1), 0, LATER, None),
        (DUE + timedelta(days=3, hours=1), 0, None, LATER),
        (DUE + timedelta(days=3, hours=1), 2, None, DUE + timedelta(days=6)),
        (DUE + timedelta(days=40), 2, None, datetime(2026, 4, 16, 13, tzinfo=UTC)),
    ],
    ids=[
        "in time",
        "at once",
        "next nine o'clock",
        "next step",
        "no next step",
        "after grace",
        "winter time",
    ],
)
def test_a_held_reminder_goes_out_at_its_hour_of_the_day_or_never(
    now: datetime, grace_days: int, next_due_at: datetime | None, expected: datetime | None
) -> None:
    """In time it keeps its plan; days of grace are left in peace."""
    reminder = but(REMINDER, next_due_at=next_due_at)

    assert decide_send_at(reminder, DEBT.due_on, grace_days=grace_days, now=now) == expected


# --- With the database ------------------------------------------------------------------------------------


def at_step(treasury: Treasury, obligation: int, step: int = 0) -> int:
    """Move the clock to a step of the plan; its reminder comes back."""
    found = treasury.reminders_of(obligation)[step]
    treasury.clock.at = found.send_at
    return found.id


def test_a_due_reminder_is_queued_once_with_what_remains(treasury: Treasury) -> None:
    """Three more runs of its job change nothing; the words name concept, amount and date."""
    obligation = treasury.owe(clp(45_000))
    treasury.approve(treasury.receipt_from(), clp(20_000))
    reminder = at_step(treasury, obligation)

    outcomes = [treasury.remind(reminder, round_=2) for _ in range(4)]

    assert outcomes == [
        Done(f"reminder D-3 of O{obligation} is in the outbox"),
        *[Cancelled("the reminder is queued")] * 3,
    ]
    assert treasury.rows(
        "SELECT values, recheck, obligation_id FROM messaging.outbox WHERE purpose = 'reminder'"
    ) == [
        {
            "values": {
                "concept": "Mensualidad marzo · Sofía",
                "amount": "$25.000 CLP",
                "due_on": "10-03-2026",
            },
            "recheck": "reminder",
            "obligation_id": obligation,
        }
    ]
    assert treasury.reminder_states(obligation) == ["queued", "scheduled", "scheduled"]


def test_a_reminder_is_held_back_while_a_claim_waits_and_comes_back_after_a_refusal(
    treasury: Treasury,
) -> None:
    """Its first job finds it suspended; a new one is planned for the next nine o'clock."""
    obligation = treasury.owe(clp(45_000))
    claim_id = treasury.receipt_from()
    reminder = at_step(treasury, obligation)
    assert treasury.remind(reminder) == Cancelled("the reminder is suspended")

    result = treasury.decide(treasury.request(Action.REJECT, claim_id))

    assert (result.reminders.resumed, result.reminders.skipped) == (3, 0)
    found = treasury.reminders_of(obligation)
    assert [(one.state, one.round) for one in found] == [("scheduled", 2)] * 3
    assert found[0].send_at == found[0].due_at + timedelta(days=1)
    assert treasury.remind(reminder) == Cancelled("the reminder was scheduled again, round 2")
    treasury.clock.at = found[0].send_at
    assert isinstance(treasury.remind(reminder, round_=2), Done)


def test_a_reminder_that_a_later_one_replaces_is_skipped(treasury: Treasury) -> None:
    """Two reminders on one morning help nobody."""
    obligation = treasury.owe(clp(45_000))
    claim_id = treasury.receipt_from()
    at_step(treasury, obligation, 1)

    treasury.decide(treasury.request(Action.REJECT, claim_id))

    assert treasury.reminder_states(obligation) == ["skipped", "scheduled", "scheduled"]


@pytest.mark.parametrize("action", [Action.REJECT, Action.WITHDRAW, Action.DUPLICATE])
def test_a_claim_that_ends_without_money_lets_reminders_go_on(treasury: Treasury, action: Action) -> None:
    """Unless another claim of the same person still waits."""
    obligation = treasury.owe(clp(45_000))
    one, two = treasury.receipt_from(), treasury.receipt_from()

    treasury.decide(treasury.request(action, two))
    assert treasury.reminder_states(obligation) == ["suspended"] * 3
    treasury.decide(treasury.request(Action.REJECT, one))
    assert treasury.reminder_states(obligation) == ["scheduled"] * 3


def test_only_debts_covered_in_full_lose_their_reminders(treasury: Treasury) -> None:
    """The other debt of the same family is still reminded of, and one of another family never stopped."""
    paid, open_ = treasury.owe(clp(45_000)), treasury.owe(clp(30_000))
    other = treasury.owe(clp(1), contact_id=_another_parent(treasury))

    treasury.approve(treasury.receipt_from(), clp(45_000))

    assert [treasury.reminder_states(one) for one in (paid, open_, other)] == [
        ["cancelled"] * 3,
        ["scheduled"] * 3,
        ["scheduled"] * 3,
    ]
    assert [one.round for one in treasury.reminders_of(other)] == [1] * 3


def _send_after(treasury: Treasury, between: Action | None) -> Outcome:
    """Queue a reminder, let something happen, then run the message's own job."""
    obligation = treasury.owe(clp(45_000))
    reminder = at_step(treasury, obligation)
    treasury.remind(reminder)
    if between is not None:
        claim_id = treasury.receipt_from()
        if between is Action.APPROVE:
            treasury.approve(claim_id, clp(45_000))
        elif between is Action.REJECT:
            treasury.decide(treasury.request(Action.REJECT, claim_id))
    found = treasury.rows("SELECT id FROM messaging.outbox WHERE purpose = 'reminder'")
    return treasury.run(outbound.send, {"outbox": found[0]["id"]})


@pytest.mark.parametrize("between", [Action.APPROVE, Action.NEEDS_INFO])
def test_a_reminder_whose_debt_was_paid_after_it_was_queued_never_goes_out(
    treasury: Treasury, between: Action
) -> None:
    """The last look is in the transaction that commits it to being sent; cancelling alone loses this race."""
    assert _send_after(treasury, between) == Cancelled("not needed any more: reminder")
    assert treasury.client.sent == []


@pytest.mark.parametrize("between", [None, Action.REJECT])
def test_a_reminder_that_is_still_due_goes_out(treasury: Treasury, between: Action | None) -> None:
    """Also when a claim came and was refused in between."""
    assert _send_after(treasury, between) == Done("accepted by the provider")
    assert len(treasury.client.sent) == 1


def test_a_reminder_withdrawn_at_the_last_moment_comes_back_when_the_claim_is_refused(
    treasury: Treasury,
) -> None:
    """Its message was cancelled, not sent: the debt still stands, so it is planned again."""
    _send_after(treasury, Action.NEEDS_INFO)
    obligation = treasury.rows("SELECT max(id) AS id FROM payments.obligation")[0]["id"]
    claim_id = treasury.rows("SELECT max(id) AS id FROM payments.claim")[0]["id"]
    assert isinstance(obligation, int)
    assert isinstance(claim_id, int)
    assert treasury.reminder_states(obligation)[0] == "queued"

    treasury.decide(treasury.request(Action.REJECT, claim_id))

    assert treasury.reminder_states(obligation)[0] == "scheduled"
    assert treasury.reminders_of(obligation)[0].round == 2


def test_a_reminder_waits_for_an_approval_that_is_being_made(
    treasury: Treasury, tenant_db: TenantDatabase
) -> None:
    """The sender holds the debt: it sees the whole decision or none of it."""
    obligation = treasury.owe(clp(45_000))
    reminder = at_step(treasury, obligation)
    treasury.remind(reminder)
    claim_id = treasury.receipt_from()
    request = treasury.request(Action.APPROVE, claim_id)

    with tenant_db.connect() as connection, ThreadPoolExecutor(1) as pool:
        other = treasury.on(connection)
        with treasury.tx() as tx:
            assert not reminders.still_due(tx, str(reminder))
            deciding = pool.submit(other.decide, request, by=BRUNO)
        deciding.result(timeout=20)

    with treasury.tx() as tx:
        assert not reminders.still_due(tx, str(reminder))
        assert not reminders.still_due(tx, "999")


def test_a_reminder_hours_late_waits_for_the_morning(treasury: Treasury) -> None:
    """An outage must not write to families at night; snoozing costs no attempt."""
    obligation = treasury.owe(clp(45_000))
    reminder = at_step(treasury, obligation)
    planned = treasury.clock.at
    treasury.clock.move(timedelta(hours=15))

    outcome = treasury.remind(reminder)

    assert outcome == Snooze("late by hours: it waits for its hour of the day", timedelta(hours=9))
    treasury.clock.at = planned + timedelta(days=1)
    assert isinstance(treasury.remind(reminder), Done)


def test_a_reminder_days_late_is_skipped(treasury: Treasury) -> None:
    """The next step says the same, and says it today."""
    obligation = treasury.owe(clp(45_000))
    reminder = at_step(treasury, obligation)
    treasury.clock.move(timedelta(days=5))

    assert treasury.remind(reminder) == Cancelled("too late: the next step says the same")
    assert treasury.reminder_states(obligation)[0] == "skipped"


def test_a_job_that_names_no_reminder_is_dead(treasury: Treasury) -> None:
    """Or refused at once when its payload is not one."""
    assert treasury.remind(999) == Dead("there is no reminder 999")
    with pytest.raises(InvalidInput, match="names no reminder"):
        treasury.run(reminders.remind, {"round": 1})


def test_aligning_again_changes_nothing(treasury: Treasury) -> None:
    """In every situation: nothing claimed, under review, paid, reversed."""
    treasury.owe(clp(45_000))
    claim_id = treasury.receipt_from()
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: treasury.approve(claim_id, clp(45_000)),
        lambda: treasury.decide(treasury.request(Action.REVERSE, claim_id), by=BRUNO),
    ]
    for step in steps:
        step()
        before = (
            treasury.counts(),
            treasury.rows("SELECT id, state, round FROM payments.reminder ORDER BY id"),
        )
        with treasury.tx() as tx:
            counts = reminders.align(
                tx, [treasury.contact()], policy=treasury.policy, now=treasury.clock.now()
            )

        assert set(counts.model_dump().values()) == {0}
        after = treasury.counts(), treasury.rows("SELECT id, state, round FROM payments.reminder ORDER BY id")
        assert after == before


def _another_parent(treasury: Treasury) -> int:
    return treasury.contact(Party(phone="+56900000002"))
