"""What the names of the log say, and which time the copies cover."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_core.backups.segments import (
    SEGMENT_BYTES,
    Anchor,
    Covered,
    Reach,
    Segment,
    choose,
    covered,
    is_anchored,
    name_of,
    parse_lsn,
    reaches,
    said,
    segment_of,
)
from platform_core.errors import StateConflict

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SHA = "0f" * 32


def _at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def _copy(name: str, last_segment: int, minute: float, *, timeline: int = 1, system: str = "7") -> Anchor:
    return Anchor(name, system, timeline, last_segment, _at(minute))


def _segment(number: int, minute: float, *, timeline: int = 1) -> Segment:
    return Segment(timeline, number, _at(minute), SHA)


@pytest.mark.parametrize(
    ("timeline", "number", "name"),
    [
        (1, 1, "000000010000000000000001"),
        (1, 255, "0000000100000000000000FF"),
        (1, 256, "000000010000000100000000"),
        (10, 256 * 17 + 3, "0000000A0000001100000003"),
    ],
)
def test_a_segment_is_named_as_postgresql_names_it(timeline: int, number: int, name: str) -> None:
    """A recovering server asks by these names."""
    assert name_of(timeline, number) == name


def test_a_place_in_the_log_lies_in_its_segment() -> None:
    """As PostgreSQL writes places."""
    assert segment_of(parse_lsn("0/16F0AD0")) == 1
    assert segment_of(parse_lsn("1/FF000000")) == 256 + 255
    assert parse_lsn("1/0") == 256 * SEGMENT_BYTES


@given(
    st.integers(1, 2**31),
    st.integers(0, 2**40 - 1),
    st.integers(0, 10**9),
    st.text("0123456789abcdef", min_size=64, max_size=64),
)
def test_a_stored_name_says_again_what_it_was_made_from(
    timeline: int, number: int, second: int, digest: str
) -> None:
    """Nothing beside the file has to be believed."""
    one = Segment(timeline, number, datetime.fromtimestamp(second, UTC), digest)

    assert Segment.parse(one.file_name) == one


@pytest.mark.parametrize(
    "name",
    [
        "00000002.history",
        ".000000010000000000000001.part",
        "000000010000000000000001",
        f"x-{SHA}.zst.age",
        "drill.json",
    ],
)
def test_another_name_is_no_segment(name: str) -> None:
    """A half written file has no such name."""
    assert Segment.parse(name) is None


def test_the_log_after_a_copy_is_followed_to_the_first_gap() -> None:
    """What is behind a gap is of no use to this copy."""
    found = reaches([_copy("a", 3, 0)], {"7": [_segment(4, 1), _segment(5, 2), _segment(7, 4)]})

    assert found == (Reach(_copy("a", 3, 0), (_segment(4, 1), _segment(5, 2))),)
    assert (found[0].until, found[0].next_segment) == (_at(2), 6)


def test_another_timeline_and_another_cluster_continue_nothing() -> None:
    """Their segments have the same numbers and another content."""
    found = reaches(
        [_copy("a", 3, 0), _copy("b", 3, 1, system="8")],
        {"7": [_segment(4, 1, timeline=2)], "9": [_segment(4, 2)]},
    )

    assert [reach.segments for reach in found] == [(), ()]


def test_copies_on_one_unbroken_log_cover_one_stretch() -> None:
    """And a gap or a new timeline begins another."""
    found = reaches(
        [_copy("a", 3, 0), _copy("b", 5, 2.5), _copy("c", 9, 6), _copy("d", 10, 8, timeline=2)],
        {"7": [_segment(4, 1), _segment(5, 2), _segment(6, 3), _segment(10, 7), _segment(11, 9, timeline=2)]},
    )

    assert covered(found) == (
        Covered(_at(0), _at(3), 1, "7"),
        Covered(_at(6), _at(7), 1, "7"),
        Covered(_at(8), _at(9), 2, "7"),
    )


def test_the_newest_copy_before_the_instant_is_chosen_with_the_log_it_takes() -> None:
    """And no more of it."""
    found = reaches(
        [_copy("a", 3, 0), _copy("b", 5, 2.5)],
        {"7": [_segment(4, 1), _segment(5, 2), _segment(6, 3), _segment(7, 4)]},
    )

    assert choose(found, _at(2.9)) == Reach(_copy("b", 5, 2.5), (_segment(6, 3),))
    assert choose(found, _at(1)) == Reach(_copy("a", 3, 0), (_segment(4, 1),))
    assert choose(found, _at(2.5)) == Reach(_copy("b", 5, 2.5), (_segment(6, 3),))


@pytest.mark.parametrize("minute", [-1, 3.1, 5, 7.1])
def test_an_instant_that_no_copy_reaches_is_refused_with_what_is_covered(minute: float) -> None:
    """Before the first copy, in a gap, after the end."""
    found = reaches([_copy("a", 3, 0), _copy("c", 9, 6)], {"7": [_segment(4, 3), _segment(10, 7)]})

    with pytest.raises(StateConflict) as refused:
        choose(found, _at(minute))

    assert refused.value.one_line() == (
        f"The copies do not reach {said(_at(minute))}. Choose an instant within: "
        "2026-03-02T12:00:00Z to 2026-03-02T12:03:00Z; 2026-03-02T12:06:00Z to 2026-03-02T12:07:00Z."
    )


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=6, unique=True),
    st.sets(st.integers(1, 40)),
    st.integers(-10, 500),
)
def test_an_instant_is_given_exactly_when_it_is_covered(
    copied: list[int], stored: set[int], tenth: int
) -> None:
    """And then by a copy before it and every segment until one that ends after it."""
    anchors = [_copy(f"c{number}", number, number + 0.5) for number in copied]
    found = reaches(anchors, {"7": [_segment(number, number) for number in stored]})
    wanted = _at(tenth / 10)
    is_covered = any(one.begin <= wanted <= one.end for one in covered(found))

    if not is_covered:
        with pytest.raises(StateConflict):
            choose(found, wanted)
        return
    chosen = choose(found, wanted)
    assert chosen.anchor.ended_at <= wanted <= chosen.until
    assert [one.number for one in chosen.segments] == [
        chosen.anchor.last_segment + step for step in range(1, len(chosen.segments) + 1)
    ]
    assert all(one.sealed_at < wanted for one in chosen.segments[:-1])


def test_what_comes_next_is_anchored_while_a_copy_reaches_it() -> None:
    """Not over a gap, not on another timeline."""
    found = reaches([_copy("a", 3, 0)], {"7": [_segment(4, 1)]})

    assert [is_anchored(found, system="7", timeline=1, next_segment=number) for number in (3, 4, 5, 6)] == [
        True,
        True,
        True,
        False,
    ]
    assert not is_anchored(found, system="7", timeline=2, next_segment=5)
    assert not is_anchored(found, system="8", timeline=1, next_segment=5)
