"""Local wall time and instants. Pure.

`zoneinfo` accepts a local time that never happens and takes the first of two that happen twice, both without
a word: in America/New_York 2026-03-08 02:30 does not exist and 2026-11-01 01:30 is two instants.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from platform_core.errors import ConfigurationError, InvalidTime

_ONE_DAY = timedelta(days=1)


def get_zone(name: str) -> ZoneInfo:
    """The IANA zone of that name. Raises: ConfigurationError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"{name[:60]!r} is not a time zone", next_step="Write an IANA name such as America/Lima."
        ) from error


def to_instant(day: date, at: time, zone: ZoneInfo, *, fold: int | None = None) -> datetime:
    """The instant of a local wall time, aware, UTC.

    A time that does not exist is refused; one that happens twice needs `fold` (0 the first, 1 the second).
    Raises: InvalidTime.
    """
    first, second = _instants(day, at, zone)
    wall = datetime.combine(day, at)
    if first.astimezone(zone).replace(tzinfo=None) != wall:
        raise InvalidTime(
            f"{wall:%Y-%m-%d %H:%M} does not exist in {zone.key}: clocks go forward over it",
            next_step="Choose another hour.",
        )
    if first == second:
        return first
    if fold is None:
        raise InvalidTime(
            f"{wall:%Y-%m-%d %H:%M} happens twice in {zone.key}: clocks go back over it",
            next_step="Say which of the two is meant.",
        )
    return second if fold else first


def to_reminder_instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """The instant of a plan's local time on a day, aware, UTC; never refuses.

    Of two it is the first; one that does not exist becomes the first instant after the gap. A reminder an
    hour off troubles nobody, while a debt that cannot be entered because of a clock change is not reminded at
    all.
    """
    first, second = _instants(day, at, zone)
    wall = datetime.combine(day, at)
    if first.astimezone(zone).replace(tzinfo=None) == wall:
        return first
    # Inside a gap the two folds read the clock before and after the change; both are away from the gap's end
    # by as much as the wall time is from its edges, so the end is found by walking the real minutes between.
    start, end = sorted((first, second))
    instant = start
    while instant < end and _offset(instant, zone) == _offset(start, zone):
        instant += timedelta(minutes=1)
    return instant


def next_at(at: time, zone: ZoneInfo, *, after: datetime) -> datetime:
    """The next instant strictly after `after` at which clocks in the zone show `at`."""
    day = after.astimezone(zone).date()
    candidate = to_reminder_instant(day, at, zone)
    return candidate if candidate > after else to_reminder_instant(day + _ONE_DAY, at, zone)


def _instants(day: date, at: time, zone: ZoneInfo) -> tuple[datetime, datetime]:
    wall = datetime.combine(day, at, tzinfo=zone)
    return wall.replace(fold=0).astimezone(UTC), wall.replace(fold=1).astimezone(UTC)


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()
