"""Six cron fields in a time zone, with the instants the server computes (cron version 2, croner).

cronsim finds the next wall clock; how a wall clock becomes an instant is the server's own rule, kept with
its edges because what runs here has to run at the same time there. A time the clocks skip is moved to the
end of the gap. A time they show twice is the first of the two, and only that: between the first and the
second showing nothing is due, and who asks *during* the second is told an instant that is already over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from platform_core.errors import InvalidInput

FIELDS = ("second", "minute", "hour", "day of month", "month", "day of week")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_PLAIN = r"(?:\*|\d{1,2}(?:-\d{1,2})?)(?:/\d{1,2})?"
_TERMS = {
    "day of month": re.compile(rf"{_PLAIN}|l", re.ASCII),
    "day of week": re.compile(rf"{_PLAIN}|[0-6]l|[0-7]#[1-5]", re.ASCII),
}
_TERM = re.compile(_PLAIN, re.ASCII)
_SERVERS = re.compile(r"[0-9*/#lw+-]+", re.ASCII)
_LONGEST_GAP_S = 3600
_SECOND = timedelta(seconds=1)
_NEXT_STEP = "Write second, minute, hour, day of month, month, day of week, such as 0 */5 * * * *."


class BadCron(InvalidInput):
    """An expression the server refuses, or one whose meaning is not the same here and there.

    The fact `may_be_known` says that a server may know it although the local runtime does not.
    """

    code = "bad_cron"
    default_next_step = _NEXT_STEP


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression that was read. `fields` is it in numbers, as cronsim takes it."""

    expression: str
    fields: str

    def next_after(self, instant: datetime, zone: ZoneInfo) -> datetime:
        """The next tick as the server computes it when `instant` is now; UTC, to the second.

        During the second showing of a repeated hour it may lie before `instant`: see the module.
        Raises: BadCron when there is none within fifty years, or the clocks skip more than an hour.
        """
        return self._after(_wall(instant, zone), zone)

    def upcoming(self, instant: datetime, zone: ZoneInfo, count: int) -> list[datetime]:
        """The ticks from `instant` on, one of them perhaps at `instant` itself, as a preview shows them."""
        found: list[datetime] = []
        for _ in range(count):
            wall = _wall(found[-1] + _SECOND if found else instant, zone).replace(microsecond=0)
            found.append(self._after(wall - _SECOND, zone))
        return found

    def _after(self, wall: datetime, zone: ZoneInfo) -> datetime:
        try:
            found: datetime = next(CronSim(self.fields, wall))
        except StopIteration:
            raise BadCron(f"{self.expression!r} never comes") from None
        return _to_instant(found, zone)


def parse(expression: str) -> Cron:
    """Read an expression. Raises: BadCron naming the field."""
    named = expression.lower().replace("?", "*")
    parts = named.split()
    if len(parts) != len(FIELDS):
        raise BadCron(f"{expression!r} has {len(parts)} fields, not six")
    read = [_field(name, part) for name, part in zip(FIELDS, parts, strict=True)]
    cron = Cron(expression, " ".join(read))
    try:
        cron.next_after(datetime(2000, 1, 1, tzinfo=UTC), ZoneInfo("UTC"))
    except CronSimError as error:
        raise BadCron(
            f"{expression!r}: {str(error).removeprefix('Bad ') or 'a field'} is out of range"
        ) from None
    return cron


def _field(name: str, text: str) -> str:
    """A field in numbers. `*/n` of a day is written out: a day left partly free is not free there."""
    numbered = text
    if name == "month":
        numbered = _numbered(text, _MONTHS, 1)
    elif name == "day of week":
        numbered = _numbered(text.replace("-sun", "-7"), _DAYS, 0)
    pattern = _TERMS.get(name, _TERM)
    for term in numbered.split(","):
        if not pattern.fullmatch(term):
            raise BadCron(
                f"{text!r} is no {name} the local runtime knows",
                may_be_known=_SERVERS.fullmatch(term) is not None,
            )
    if name == "day of month":
        return re.sub(r"\*/", "1-31/", numbered)
    return re.sub(r"\*/", "0-7/", numbered) if name == "day of week" else numbered


def _numbered(text: str, names: tuple[str, ...], first: int) -> str:
    for number, name in enumerate(names, first):
        text = text.replace(name, str(number))
    return text


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    """What the clocks of `zone` show, written as if they were UTC: cronsim then counts on without turns."""
    return instant.astimezone(zone).replace(tzinfo=UTC)


def _to_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first instant at which the clocks of `zone` show `wall`, or the end of the gap that skips it."""
    for seconds in range(_LONGEST_GAP_S + 1):
        shown = wall + seconds * _SECOND
        instant = shown.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if _wall(instant, zone) == shown:
            return instant
    raise BadCron(f"The clocks of {zone.key} skip more than an hour at {wall:%Y-%m-%d %H:%M}")
