"""Ticks by a clock that is only a variable: weeks pass in milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from platform_cli.local.windmill.config import Schedule
from platform_cli.local.windmill.schedules.agenda import Agenda, Tick
from platform_core.errors import NotFound, StateConflict

NOON = datetime(2027, 1, 10, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def _schedule(cron: str = "0 * * * * *", **fields: object) -> Schedule:
    whole = {
        "path": "f/acme/tick", "script_path": "f/acme/work", "schedule": cron, "timezone": "UTC",
        "enabled": True, "args": {}, **fields,
    }  # fmt: skip
    return Schedule(**whole)  # type: ignore[arg-type]  # the values above are of the right types


def _played(schedule: Schedule, start: datetime, end: datetime, takes: timedelta) -> list[datetime]:
    """When a schedule whose runs take so long is started between two instants."""
    agenda, now, begun = Agenda(), start, []
    agenda.adopt([schedule], now)
    while (due := agenda.next_instant()) is not None and (now := max(now, due)) < end:
        for tick in agenda.take_due(now):
            begun.append(now)
            agenda.ended(tick.schedule.path, now + takes)
        now += takes
    return begun


def test_a_script_never_runs_beside_itself_and_what_it_missed_is_dropped() -> None:
    """A run of two and a half minutes every minute: it starts at every third."""
    begun = _played(_schedule(), NOON, NOON + 10 * MINUTE, timedelta(minutes=2, seconds=30))

    assert [f"{instant:%H:%M:%S}" for instant in begun] == ["12:01:00", "12:04:00", "12:07:00", "12:10:00"]


def test_the_night_the_clocks_go_back_an_hour_of_minutes_is_skipped() -> None:
    """As on the server: in Santiago on 3 April 2027 the hour from 23:00 is shown twice and counted once."""
    start, end = datetime(2027, 4, 4, 2, 57, tzinfo=UTC), datetime(2027, 4, 4, 4, 2, tzinfo=UTC)
    here = _played(_schedule(timezone="America/Santiago"), start, end, timedelta(seconds=50))
    in_utc = _played(_schedule(), start, end, timedelta(seconds=50))

    assert [f"{instant:%H:%M}" for instant in here] == ["02:58", "02:59", "04:00", "04:01"]
    assert len(in_utc) == 64


def test_a_run_that_ends_inside_the_repeated_hour_is_started_again_at_once() -> None:
    """The next tick is then computed to be an hour ago: the server has this trap, and so it is shown here."""
    agenda = Agenda()
    inside = datetime(2027, 4, 4, 3, 10, tzinfo=UTC)
    agenda.adopt([_schedule(timezone="America/Santiago")], inside)

    assert agenda.next_instant() == datetime(2027, 4, 4, 2, 11, tzinfo=UTC)
    assert len(agenda.take_due(inside)) == 1


def test_a_week_around_the_skipped_hour_has_its_daily_tick_each_day() -> None:
    """At 00:15 in Santiago; on the day without that time, when the clocks come back at 01:00."""
    start, end = datetime(2027, 9, 2, tzinfo=UTC), datetime(2027, 9, 8, tzinfo=UTC)
    begun = _played(_schedule("0 15 0 * * *", timezone="America/Santiago"), start, end, MINUTE)

    assert [f"{instant:%d %H:%M}" for instant in begun] == [
        "02 04:15", "03 04:15", "04 04:15", "05 04:00", "06 03:15", "07 03:15",
    ]  # fmt: skip


def test_a_schedule_that_is_off_does_nothing_until_it_is_switched_on() -> None:
    """Then it counts from that moment; switched off again, its tick is gone."""
    agenda = Agenda()
    agenda.adopt([_schedule(enabled=False)], NOON)
    off = agenda.next_ticks()
    agenda.adopt([_schedule()], NOON + 5 * MINUTE)
    on = agenda.next_ticks()
    agenda.adopt([_schedule(enabled=False)], NOON + 5 * MINUTE)

    assert off == []
    assert [tick.scheduled_for for tick in on] == [datetime(2027, 1, 10, 12, 6, tzinfo=UTC)]
    assert agenda.take_due(NOON + 60 * MINUTE) == []


def test_a_changed_schedule_counts_anew_and_an_unchanged_one_keeps_its_tick() -> None:
    """Adopting the same again moves nothing, however late."""
    agenda, other = Agenda(), _schedule("0 0 * * * *", path="f/acme/hourly")
    agenda.adopt([_schedule(), other], NOON)
    agenda.adopt([_schedule("30 * * * * *"), other], NOON + 5 * MINUTE)

    assert [(tick.schedule.path, f"{tick.scheduled_for:%H:%M:%S}") for tick in agenda.next_ticks()] == [
        ("f/acme/tick", "12:06:30"),
        ("f/acme/hourly", "13:00:00"),
    ]


def test_runs_of_a_flow_may_stand_side_by_side_unless_it_says_no() -> None:
    """The next tick is computed as soon as one has begun."""
    free, single = Agenda(), Agenda()
    free.adopt([_schedule(is_flow=True)], NOON)
    single.adopt([_schedule(is_flow=True, no_flow_overlap=True)], NOON)
    taken: dict[str, list[Tick]] = {"free": [], "single": []}
    for minute in range(1, 4):
        taken["free"] += free.take_due(NOON + minute * MINUTE)
        taken["single"] += single.take_due(NOON + minute * MINUTE)
        if minute == 2:
            single.ended("f/acme/tick", NOON + minute * MINUTE)

    assert [tick.overlaps for tick in taken["free"]] == [False, False, False]
    assert [tick.overlaps for tick in taken["single"]] == [False, True, False]


def test_a_tick_out_of_turn_runs_what_is_off_but_nothing_beside_itself() -> None:
    """And an unknown schedule is named with the ones there are."""
    agenda, off = Agenda(), _schedule(enabled=False)
    agenda.adopt([off], NOON)
    first = agenda.take_now("f/acme/tick", [off], NOON)
    with pytest.raises(StateConflict, match="f/acme/tick is running"):
        agenda.take_now("f/acme/tick", [off], NOON)
    agenda.ended("f/acme/tick", NOON)

    assert first == Tick(off, NOON)
    assert agenda.take_now("f/acme/tick", [off], NOON) == first
    with pytest.raises(NotFound, match="There is no schedule f/acme/none"):
        agenda.take_now("f/acme/none", [off], NOON)


def test_a_schedule_taken_away_while_it_runs_is_not_counted_on() -> None:
    """Its run may end; nothing follows."""
    agenda = Agenda()
    agenda.adopt([_schedule()], NOON)
    taken = agenda.take_due(NOON + MINUTE)
    agenda.adopt([], NOON + MINUTE)
    agenda.ended("f/acme/tick", NOON + 2 * MINUTE)

    assert len(taken) == 1
    assert agenda.next_instant() is None
