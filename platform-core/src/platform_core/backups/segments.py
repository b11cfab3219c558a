"""The write-ahead log as files: numbers, names, and which time the copies cover. No file is touched here.

A segment is 16 MiB of the log. Its stored name says what it is, when its last byte was written and what its
sealed bytes hash to: `000000010000000000000003-20260131T030102Z-<sha256>.zst.age`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from platform_core.errors import StateConflict

SEGMENT_BYTES = 16 * 1024 * 1024
_PER_NAME = 0x1_0000_0000 // SEGMENT_BYTES
_STAMP = "%Y%m%dT%H%M%SZ"
SEALED = ".zst.age"
SHA256_HEX = r"[0-9a-f]{64}"
_STORED = re.compile(rf"([0-9A-F]{{24}})-(\d{{8}}T\d{{6}}Z)-({SHA256_HEX}){re.escape(SEALED)}", re.ASCII)


def stamp_of(at: datetime) -> str:
    """An instant as names carry it: UTC, whole seconds, rounded down."""
    return at.astimezone(UTC).strftime(_STAMP)


def instant_of(stamp: str) -> datetime:
    """The instant a name carries. Raises: ValueError."""
    return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)


def parse_lsn(text: str) -> int:
    """A place in the log, as PostgreSQL writes it: `0/16F0AD0`. Raises: ValueError."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def segment_of(place: int) -> int:
    """The number of the segment that holds the byte at a place."""
    return place // SEGMENT_BYTES


def name_of(timeline: int, number: int) -> str:
    """A segment's file name as PostgreSQL gives it."""
    return f"{timeline:08X}{number // _PER_NAME:08X}{number % _PER_NAME:08X}"


@dataclass(frozen=True, slots=True)
class Segment:
    """One stored segment. `sealed_at` is the server's time when its last byte was sent, whole seconds."""

    timeline: int
    number: int
    sealed_at: datetime
    sha256: str

    @property
    def name(self) -> str:
        """As PostgreSQL calls it."""
        return name_of(self.timeline, self.number)

    @property
    def file_name(self) -> str:
        """As it is stored."""
        return f"{self.name}-{stamp_of(self.sealed_at)}-{self.sha256}{SEALED}"

    @classmethod
    def parse(cls, file_name: str) -> Segment | None:
        """What a stored name says; None for any other name."""
        found = _STORED.fullmatch(file_name)
        if found is None:
            return None
        name, stamp, digest = found.groups()
        number = int(name[8:16], 16) * _PER_NAME + int(name[16:], 16)
        return cls(int(name[:8], 16), number, instant_of(stamp), digest)


@dataclass(frozen=True, slots=True)
class Anchor:
    """What of a copy matters here: a cluster can be brought forward from its end, on its timeline.

    `last_segment` is the last one that the copy itself holds.
    """

    name: str
    system: str
    timeline: int
    last_segment: int
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Reach:
    """A copy and the unbroken log after it: any instant from the copy's end until `until` can be had."""

    anchor: Anchor
    segments: tuple[Segment, ...]

    @property
    def until(self) -> datetime:
        """The last instant; the copy's own end where no log follows it."""
        return max([self.anchor.ended_at, *(segment.sealed_at for segment in self.segments[-1:])])

    @property
    def next_segment(self) -> int:
        """The number of the first segment that is not there."""
        return self.anchor.last_segment + len(self.segments) + 1

    def cut(self, at: datetime) -> Reach:
        """The part that is needed for an instant: whatever was committed by then."""
        needed = next(
            (n for n, segment in enumerate(self.segments, 1) if segment.sealed_at >= at), len(self.segments)
        )
        return Reach(self.anchor, self.segments[:needed])


@dataclass(frozen=True, slots=True)
class Covered:
    """A stretch of time without a gap, on one timeline of one cluster."""

    begin: datetime
    end: datetime
    timeline: int
    system: str


def reaches(anchors: Iterable[Anchor], segments: Mapping[str, Sequence[Segment]]) -> tuple[Reach, ...]:
    """How far each copy reaches, oldest copy first. `segments` are those of each system."""
    kept = {
        (system, segment.timeline, segment.number): segment
        for system, those in segments.items()
        for segment in sorted(those, key=lambda one: one.sealed_at, reverse=True)
    }
    found = []
    for anchor in sorted(anchors, key=lambda one: (one.ended_at, one.name)):
        chain: list[Segment] = []
        while after := kept.get((anchor.system, anchor.timeline, anchor.last_segment + len(chain) + 1)):
            chain.append(after)
        found.append(Reach(anchor, tuple(chain)))
    return tuple(found)


def covered(found: Sequence[Reach]) -> tuple[Covered, ...]:
    """The stretches that any instant may be chosen from, oldest first."""
    merged: list[Covered] = []
    for reach in found:
        last = merged[-1] if merged else None
        one = Covered(reach.anchor.ended_at, reach.until, reach.anchor.timeline, reach.anchor.system)
        if last is None or (last.system, last.timeline) != (one.system, one.timeline) or one.begin > last.end:
            merged.append(one)
        else:
            merged[-1] = replace(last, end=max(last.end, one.end))
    return tuple(merged)


def choose(found: Sequence[Reach], at: datetime) -> Reach:
    """The newest copy from which the cluster as of an instant can be had, with the log that takes.

    Raises: StateConflict, naming what is covered.
    """
    for reach in reversed(found):
        if reach.anchor.ended_at <= at <= reach.until:
            return reach.cut(at)
    spans = "; ".join(f"{said(one.begin)} to {said(one.end)}" for one in covered(found)) or "nothing"
    raise StateConflict(
        f"The copies do not reach {said(at)}", next_step=f"Choose an instant within: {spans}.", covered=spans
    )


def is_anchored(found: Sequence[Reach], *, system: str, timeline: int, next_segment: int) -> bool:
    """Whether what comes next in the log continues a copy. If not, a copy must be taken at once."""
    return any(
        reach.anchor.system == system
        and reach.anchor.timeline == timeline
        and next_segment <= reach.next_segment
        for reach in found
    )


def said(at: datetime) -> str:
    """An instant as people and JSON get it: RFC 3339, UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
