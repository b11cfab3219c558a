"""Which copies stay: the newest of each of seven days, four weeks and six months, and all of the last day."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

DAILY, WEEKLY, MONTHLY = 7, 4, 6
YOUNG = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays. `daily` are those that the log is kept for: any instant since the oldest of them."""

    daily: frozenset[datetime]
    all: frozenset[datetime]


def kept(made_at: Iterable[datetime], now: datetime) -> Kept:
    """Decide for copies by when they were made (UTC). Days, weeks and months without a copy do not count.

    The newest always stays, so that a clock that is wrong or a backup that fails for long takes nothing away.
    """
    newest_first = sorted(set(made_at), reverse=True)
    young = {at for at in newest_first if at > now - YOUNG}
    daily = young | _newest_of(newest_first, lambda at: at.date(), DAILY)
    weekly = _newest_of(newest_first, lambda at: at.isocalendar()[:2], WEEKLY)
    monthly = _newest_of(newest_first, lambda at: (at.year, at.month), MONTHLY)
    return Kept(frozenset(daily), frozenset(daily | weekly | monthly))


def _newest_of(
    newest_first: Sequence[datetime], period: Callable[[datetime], Hashable], count: int
) -> set[datetime]:
    first: dict[Hashable, datetime] = {}
    for at in newest_first:
        first.setdefault(period(at), at)
    return set(list(first.values())[:count])
