from __future__ import annotations

from datetime import timedelta

import pytest

from platform_core.bookings import bookings
from platform_core.bookings.asking import ask_staff
from platform_core.bookings.contracts import DeclineRequest, EnrolmentRequest
from platform_core.errors import NotFound
from tests.support.bookings import BRUNO, Academy, Calendar


def _ask(academy: Academy, booking_id: int) -> bool:
    with academy.tx() as tx:
        return ask_staff(tx, booking_id, now=academy.clock.now())


def _asked(academy: Academy) -> list[object]:
    return [
        row["key"] for row in academy.rows("SELECT key FROM jobs.job WHERE key LIKE 'alert:booking.waits%'")
    ]


def test_staff_are_asked_about_a_trial_class_once_a_day(academy: Academy) -> None:
    """However often the flow runs."""
    booking_id = academy.booked()
    answers = [_ask(academy, booking_id) for _ in range(3)]
    academy.clock.move(timedelta(days=1))
    answers.append(_ask(academy, booking_id))

    assert answers == [True] * 4
    assert _asked(academy) == [
        f"alert:booking.waits:{booking_id}:2026-03-02",
        f"alert:booking.waits:{booking_id}:2026-03-03",
    ]


@pytest.mark.parametrize("settled", ["enrolled", "declined", "canceled"])
def test_nobody_is_asked_about_a_booking_that_is_settled(academy: Academy, settled: str) -> None:
    """Staff or the calendar said it meanwhile."""
    calendar = Calendar()
    academy.hears(calendar.made())
    (booking,) = academy.bookings()
    now, policy = academy.clock.now(), academy.policy
    with academy.tx() as tx:
        if settled == "enrolled":
            request = EnrolmentRequest(booking_id=booking.id)
            bookings.enrol(tx, request, actor=BRUNO, policy=policy, now=now)
        elif settled == "declined":
            bookings.decline(tx, DeclineRequest(booking_id=booking.id), actor=BRUNO, now=now)
    if settled == "canceled":
        academy.hears(calendar.canceled())

    assert not _ask(academy, booking.id)
    assert _asked(academy) == []


def test_a_booking_that_is_not_there_is_named(academy: Academy) -> None:
    """As everywhere."""
    with pytest.raises(NotFound, match="B99"):
        _ask(academy, 99)
