"""Seven days, four weeks, six months, and all of the last day."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from platform_core.backups.copies import prune
from platform_core.backups.place import Copy, Place
from platform_core.backups.retention import DAILY, MONTHLY, WEEKLY, YOUNG, kept
from platform_core.backups.segments import Segment

NOW = datetime(2026, 6, 30, 4, tzinfo=UTC)
MOMENTS = st.lists(
    st.integers(0, 545 * 24 * 60).map(lambda minutes: NOW - timedelta(minutes=minutes)), max_size=60
)


def _daily(count: int) -> list[datetime]:
    return [NOW - timedelta(days=day, hours=1) for day in range(count)]


def test_a_year_of_daily_copies_leaves_these() -> None:
    """Seven days, then the last of two more weeks, then the last of five more months."""
    stayed = sorted(kept(_daily(365), NOW).all, reverse=True)

    assert " ".join(f"{at:%m-%d}" for at in stayed) == (
        "06-30 06-29 06-28 06-27 06-26 06-25 06-24 06-21 06-14 05-31 04-30 03-31 02-28 01-31"
    )


@given(MOMENTS)
def test_the_newest_always_stays_and_nothing_is_made_up(made: list[datetime]) -> None:
    """Also when nothing was made for a year."""
    found = kept(made, NOW)

    assert found.daily <= found.all <= set(made)
    assert not made or max(made) in found.daily


@given(MOMENTS)
def test_what_stays_is_bounded_and_young_ones_all_stay(made: list[datetime]) -> None:
    """However many are made a day."""
    found = kept(made, NOW)
    young = {at for at in made if at > NOW - YOUNG}

    assert young <= found.daily
    assert len(found.all - young) <= DAILY + WEEKLY + MONTHLY


@given(MOMENTS)
def test_deciding_again_takes_nothing_more(made: list[datetime]) -> None:
    """What stayed once stays until something newer comes."""
    once = kept(made, NOW)

    assert kept(once.all, NOW) == once


@given(MOMENTS, st.integers(0, 400))
def test_time_alone_takes_away_young_ones_only(made: list[datetime], days: int) -> None:
    """A backup that fails for months loses no day, week or month that it had."""
    later = kept(made, NOW + timedelta(days=days)).all
    lost = kept(made, NOW).all - later

    assert all(at > NOW - YOUNG for at in lost)


class _Now:
    """A clock that stands."""

    def now(self) -> datetime:
        """Always the same."""
        return NOW


def test_the_log_stays_for_the_seven_days_and_no_longer(tmp_path: Path) -> None:
    """Older copies are had as they were taken; what only they would need of the log goes."""
    place = Place(
        tmp_path / "b", tmp_path / "s", tmp_path / "d", tmp_path / "x", tmp_path / "p", "host=x", time(3, 10)
    )
    place.prepare()
    place.wal("7").mkdir()
    for day, at in enumerate(_daily(40)):
        copy = Copy(f"{at:%Y%m%dT%H%M%SZ}-daily", "daily", at, at, 1, "7", 40 - day, 1, 1, "0" * 64, 170006)
        place.sealed_copy(copy).touch()
        (place.copies / f"{copy.name}.json").write_text(json.dumps(copy.as_json()), encoding="ascii")
        segment = Segment(1, 41 - day, at + timedelta(minutes=1), "0" * 64)
        (place.wal("7") / segment.file_name).touch()
    prune(place, _Now())

    assert {copy.ended_at for copy in place.list_copies()} == kept(_daily(40), NOW).all
    assert [reach.until - reach.anchor.ended_at for reach in place.reaches()][-7:] == [
        timedelta(days=behind, minutes=1) for behind in range(6, -1, -1)
    ]
    assert len(place.list_segments()["7"]) == 7
