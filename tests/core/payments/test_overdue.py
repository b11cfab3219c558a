from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest

from platform_core.errors import InvalidInput, NotFound
from platform_core.payments import overdue, reminders
from platform_core.payments.contracts import read_contract
from platform_core.payments.overdue import LatePlan
from tests.support.databases import TenantDatabase
from tests.support.payments import Treasury, clp

# NOON is the second of March 2026, nine in the morning in Santiago.
LONG_AGO = date(2026, 2, 1)
PLAN: Mapping[str, Any] = {"after_days": 12, "every_days": 7, "times": 3, "at": "10:00"}


def _plan(**changed: object) -> LatePlan:
    return read_contract(LatePlan, {**PLAN, **changed})


def _list(treasury: Treasury, **changed: object) -> list[int]:
    with treasury.tx() as tx:
        return overdue.list_overdue(tx, _plan(**changed), policy=treasury.policy, now=treasury.clock.now())


def _remind(treasury: Treasury, debt: int, **changed: object) -> bool:
    with treasury.tx() as tx:
        return overdue.remind_late(
            tx, debt, _plan(**changed), policy=treasury.policy, now=treasury.clock.now()
        )


def _late(treasury: Treasury, debt: int) -> list[tuple[str, str]]:
    return [(one.step, one.state) for one in treasury.reminders_of(debt) if one.step.startswith("late")]


def test_a_debt_is_reminded_of_once_for_each_stretch_and_no_more_than_the_plan_says(
    treasury: Treasury,
) -> None:
    """Seven days apart, three times; asked again in between, nothing is planned."""
    debt = treasury.owe(clp(45_000), due_on=LONG_AGO)
    planned = []
    for _ in range(40):
        planned.append((_list(treasury), _remind(treasury, debt)))
        treasury.clock.move(timedelta(days=1))

    assert [day for day, (listed, done) in enumerate(planned) if listed == [debt] and done] == [0, 7, 14]
    assert all(done is bool(listed) for listed, done in planned)
    assert _late(treasury, debt) == [
        ("late-1", "scheduled"),
        ("late-2", "scheduled"),
        ("late-3", "scheduled"),
    ]


@pytest.mark.parametrize(("days", "listed"), [(11, False), (12, True), (40, True)])
def test_only_what_is_long_overdue_is_reminded_of(treasury: Treasury, days: int, listed: bool) -> None:
    """The policy's own plan comes first, and its last step keeps its distance too."""
    debt = treasury.owe(clp(45_000), due_on=date(2026, 3, 2) - timedelta(days=days))

    assert (_list(treasury) == [debt]) is listed
    assert _remind(treasury, debt) is listed


def test_a_reminder_of_the_policys_plan_counts_as_lately(treasury: Treasury) -> None:
    """Nobody hears of a debt twice in one stretch because two plans met."""
    treasury.clock.move(timedelta(days=-20))
    debt = treasury.owe(clp(45_000), due_on=date(2026, 2, 24))
    treasury.clock.move(timedelta(days=20))

    assert _list(treasury, after_days=1) == []
    assert _list(treasury, after_days=1, every_days=1) == [debt]


def test_a_change_of_the_flows_parameter_is_followed(treasury: Treasury) -> None:
    """What ops write into the flow decides the next run; what was sent is not sent again."""
    debt = treasury.owe(clp(45_000), due_on=LONG_AGO)
    _remind(treasury, debt)
    treasury.clock.move(timedelta(days=3))

    assert not _remind(treasury, debt)
    assert _remind(treasury, debt, every_days=3)
    assert _late(treasury, debt) == [("late-1", "scheduled"), ("late-2", "scheduled")]


def test_a_claim_that_waits_holds_a_late_reminder_back(treasury: Treasury) -> None:
    """As every other."""
    debt = treasury.owe(clp(45_000), due_on=LONG_AGO)
    claim_id = treasury.receipt_from()
    _remind(treasury, debt)
    held = _late(treasury, debt)
    treasury.approve(claim_id, clp(45_000))

    assert held == [("late-1", "suspended")]
    assert _late(treasury, debt) == [("late-1", "cancelled")]


def test_nobody_is_reminded_of_what_was_paid_or_silenced(treasury: Treasury) -> None:
    """A person who stopped the reminders of a debt stopped these too."""
    paid, silenced = (treasury.owe(clp(45_000), due_on=LONG_AGO) for _ in range(2))
    treasury.approve(treasury.receipt_from(), clp(45_000))
    with treasury.tx() as tx:
        reminders.stop(tx, silenced, now=treasury.clock.now())

    assert _list(treasury) == []
    assert [_remind(treasury, one) for one in (paid, silenced)] == [False, False]


def test_two_runs_at_the_same_moment_plan_one_reminder(treasury: Treasury, tenant_db: TenantDatabase) -> None:
    """The second waits for the debt, and finds that it was reminded of."""
    debt = treasury.owe(clp(45_000), due_on=LONG_AGO)

    def work(_: int) -> bool:
        with tenant_db.connect() as connection:
            return _remind(treasury.on(connection), debt)

    with ThreadPoolExecutor(4) as pool:
        planned = list(pool.map(work, range(4)))

    assert sorted(planned) == [False, False, False, True]
    assert _late(treasury, debt) == [("late-1", "scheduled")]


def test_a_late_reminder_is_sent_at_its_hour_and_once(treasury: Treasury) -> None:
    """Its job is the one of every reminder."""
    debt = treasury.owe(clp(45_000), due_on=LONG_AGO)
    _remind(treasury, debt)
    (late,) = [one for one in treasury.reminders_of(debt) if one.step == "late-1"]
    treasury.clock.move(timedelta(hours=1))

    for _ in range(2):
        treasury.remind(late.id)

    assert treasury.messages() == [("reminder", "queued")]


@pytest.mark.parametrize(
    "changed",
    [{"after_days": 0}, {"every_days": 0}, {"times": 13}, {"times": "3"}, {"at": "25:00"}, {"at": "10"},
     {"other": 1}],
)  # fmt: skip
def test_a_plan_that_makes_no_sense_is_refused_by_its_field(changed: dict[str, object]) -> None:
    """Ops wrote it into a form: the step fails, and says which field."""
    with pytest.raises(InvalidInput, match=next(iter(changed))):
        _plan(**changed)


def test_a_debt_that_is_not_there_is_named(treasury: Treasury) -> None:
    """The next step of the refusal says where to look."""
    with pytest.raises(NotFound, match="O99"):
        _remind(treasury, 99)


def test_staff_hear_once_a_day_that_much_is_overdue(treasury: Treasury) -> None:
    """However often the flow runs."""
    for _ in range(3):
        with treasury.tx() as tx:
            overdue.tell_staff(tx, 21, now=treasury.clock.now())

    assert [
        (row["key"], row["payload"])
        for row in treasury.rows("SELECT key, payload FROM jobs.job WHERE kind = 'alert.raised'")
    ] == [
        (
            "alert:obligations.overdue:2026-03-02",
            {
                "kind": "obligations.overdue", "severity": "P3", "subject": "obligations",
                "detail": {"count": 21}, "dedupe": "obligations.overdue",
            },
        )
    ]  # fmt: skip
