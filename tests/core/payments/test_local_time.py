from __future__ import annotations

from datetime import UTC, date, datetime, time

import pytest

from platform_core.errors import ConfigurationError, InvalidTime
from platform_core.payments.local_time import get_zone, next_at, to_instant, to_reminder_instant

SANTIAGO = get_zone("America/Santiago")


@pytest.mark.parametrize(
    ("day", "at", "expected"),
    [
        (date(2026, 3, 10), time(9), datetime(2026, 3, 10, 12, tzinfo=UTC)),
        (date(2026, 7, 10), time(9), datetime(2026, 7, 10, 13, tzinfo=UTC)),
        (date(2026, 9, 5), time(23, 59), datetime(2026, 9, 6, 3, 59, tzinfo=UTC)),
        (date(2026, 9, 6), time(1), datetime(2026, 9, 6, 4, tzinfo=UTC)),
    ],
    ids=["summer", "winter", "before the gap", "after the gap"],
)
def test_a_local_time_is_one_instant(day: date, at: time, expected: datetime) -> None:
    """Summer and winter differ by an hour; both sides of the clock change are right."""
    assert to_instant(day, at, SANTIAGO) == to_reminder_instant(day, at, SANTIAGO) == expected


def test_a_local_time_that_never_happens_is_refused() -> None:
    """On 2026-09-06 clocks in Santiago go from 00:00 to 01:00; zoneinfo says nothing about it."""
    with pytest.raises(InvalidTime, match="2026-09-06 00:30 does not exist in America/Santiago"):
        to_instant(date(2026, 9, 6), time(0, 30), SANTIAGO)
    with pytest.raises(InvalidTime, match="does not exist"):
        to_instant(date(2026, 9, 6), time(0, 30), SANTIAGO, fold=1)


def test_a_local_time_that_happens_twice_needs_a_fold() -> None:
    """On 2026-04-04 clocks in Santiago show 23:30 twice, an hour apart."""
    day, at = date(2026, 4, 4), time(23, 30)

    with pytest.raises(InvalidTime, match="2026-04-04 23:30 happens twice"):
        to_instant(day, at, SANTIAGO)
    assert to_instant(day, at, SANTIAGO, fold=0) == datetime(2026, 4, 5, 2, 30, tzinfo=UTC)
    assert to_instant(day, at, SANTIAGO, fold=1) == datetime(2026, 4, 5, 3, 30, tzinfo=UTC)


def test_a_reminder_is_moved_out_of_the_gap_and_takes_the_first_of_two() -> None:
    """A debt that cannot be entered because of a clock change would not be reminded at all."""
    gap = to_reminder_instant(date(2026, 9, 6), time(0, 30), SANTIAGO)

    assert gap == datetime(2026, 9, 6, 4, tzinfo=UTC)
    assert gap.astimezone(SANTIAGO).time() == time(1)
    twice = to_reminder_instant(date(2026, 4, 4), time(23, 30), SANTIAGO)
    assert twice == datetime(2026, 4, 5, 2, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (datetime(2026, 3, 10, 11, 59, tzinfo=UTC), datetime(2026, 3, 10, 12, tzinfo=UTC)),
        (datetime(2026, 3, 10, 12, tzinfo=UTC), datetime(2026, 3, 11, 12, tzinfo=UTC)),
        (datetime(2026, 4, 4, 13, tzinfo=UTC), datetime(2026, 4, 5, 13, tzinfo=UTC)),
    ],
    ids=["today", "strictly after", "over a clock change"],
)
def test_the_next_hour_of_the_day_is_strictly_later(after: datetime, expected: datetime) -> None:
    """Nine in the morning stays nine in the morning, whatever clocks do."""
    assert next_at(time(9), SANTIAGO, after=after) == expected


def test_an_unknown_zone_is_a_configuration_error() -> None:
    """Not UTC by silence."""
    for name in ("America/Nowhere", "", "../etc/passwd"):
        with pytest.raises(ConfigurationError, match="is not a time zone"):
            get_zone(name)
