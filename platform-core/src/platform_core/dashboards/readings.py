"""What the panel's pages read: tallies of the past, and what stands now. Reads only.

The past comes from the read models (`refresh.py`), the present from the rows themselves, so a claim that was
decided a moment ago is gone from the list although the numbers of the day are some minutes old.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeVar

from psycopg.rows import class_row

from platform_core.attendance.lifecycle import Verdict
from platform_core.dashboards.refresh import PROMPT_KINDS
from platform_core.db import Tx, load_queries
from platform_core.messaging.lifecycle import OutboxState
from platform_core.payments.lifecycle import ClaimState
from platform_core.values import Money

Q = load_queries(__file__)

PAGE_ROWS = 20
COUNT_BOUND = 1000
"""Where counting stops: beyond it people read "more than"."""

ALERTS_SHOWN = 30
BEYOND_ALL = 2**63 - 1
_LATELY, _AS_LONG_AS_IT_IS_KEPT = timedelta(days=2), timedelta(days=400)
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days of the customer's zone, both included."""

    first: date
    last: date

    @classmethod
    def of_days(cls, last: date, days: int) -> Period:
        """So many days up to the last."""
        return cls(last - timedelta(days=days - 1), last)

    @property
    def days(self) -> list[date]:
        """Each of them."""
        return [self.first + timedelta(days=ahead) for ahead in range((self.last - self.first).days + 1)]

    @property
    def before(self) -> Period:
        """As many days that came before."""
        return Period.of_days(self.first - timedelta(days=1), len(self.days))


@dataclass(frozen=True, slots=True)
class Tally:
    """How many, and of money how much in the minor unit."""

    label: str
    outcome: str
    count: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class DayTally:
    """How many of an outcome on one day, or in the month that begins with it."""

    day: date
    outcome: str
    count: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One claim on a list. `name` is what the contact calls themselves."""

    id: int
    state: ClaimState
    name: str
    origin: str
    currency: str
    claimed_minor: int | None
    verified_minor: int | None
    opened_at: datetime
    state_at: datetime
    first_approver_id: str | None
    flagged: bool

    def __post_init__(self) -> None:
        """Name the state; an unknown one is a schema newer than this code."""
        object.__setattr__(self, "state", ClaimState(self.state))

    @property
    def amount(self) -> Money | None:
        """What was verified, or else what is claimed; a receipt alone says nothing that can be read."""
        minor = self.claimed_minor if self.verified_minor is None else self.verified_minor
        return None if minor is None else Money(minor, self.currency)


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One message we send, on a list. Never its words."""

    id: int
    purpose: str
    state: OutboxState
    name: str
    queued_at: datetime
    error_code: str
    paused_code: str

    def __post_init__(self) -> None:
        """Name the state; an unknown one is a schema newer than this code."""
        object.__setattr__(self, "state", OutboxState(self.state))


@dataclass(frozen=True, slots=True)
class RunRow:
    """One job that ended: done, cancelled or failed."""

    id: int
    kind: str
    outcome: str
    attempt: int
    created_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One trouble that needs a person."""

    id: int
    kind: str
    severity: str
    subject: str
    occurrences: int
    first_at: datetime
    last_at: datetime
    acknowledged_by: str | None


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One class with the version of its result that counts; empty before it was computed."""

    id: int
    course: str
    starts_at: datetime
    ends_at: datetime
    state: str
    version: int | None
    verdict: Verdict | None
    attended: int | None
    counted: int | None

    def __post_init__(self) -> None:
        """Name the verdict; an unknown one is a schema newer than this code."""
        if self.verdict is not None:
            object.__setattr__(self, "verdict", Verdict(self.verdict))


@dataclass(frozen=True, slots=True)
class ClaimCounts:
    """How many claims wait for staff, and for the contact; COUNT_BOUND means that many or more."""

    to_decide: int
    asked: int


def find_as_of(tx: Tx) -> datetime | None:
    """Up to when the tallies are complete; None before the first refresh."""
    row = tx.execute(Q["refreshed_find"]).fetchone()
    return row[0] if row else None


def sum_tallies(tx: Tx, noun: str, period: Period) -> list[Tally]:
    """The numbers of one noun over a period."""
    return _rows(tx, "tally_sum", Tally, _facts(noun, period))


def tallies_by_day(tx: Tx, noun: str, period: Period, *, label: str | None = None) -> list[DayTally]:
    """The numbers of one noun day by day; of one label, or of all together."""
    return _rows(tx, "tally_by_day", DayTally, {**_facts(noun, period), "label": label})


def tallies_by_month(tx: Tx, noun: str, period: Period) -> list[DayTally]:
    """The numbers of one noun month by month."""
    return _rows(tx, "tally_by_month", DayTally, _facts(noun, period))


def latencies(tx: Tx, period: Period) -> dict[str, dict[int, int]]:
    """Histograms of how long prompt jobs took, by kind."""
    facts = {"kinds": list(PROMPT_KINDS), "first": period.first, "last": period.last}
    found: dict[str, dict[int, int]] = {}
    for kind, bucket, count in tx.execute(Q["latency_sum"], facts):
        found.setdefault(kind, {})[bucket] = count
    return found


def count_claims(tx: Tx) -> ClaimCounts:
    """How many claims wait."""
    row = tx.execute(Q["claim_count"], {"bound": COUNT_BOUND}).fetchone()
    if row is None:
        raise AssertionError("counts always make one row")
    return ClaimCounts(*row)


CLAIM_LISTS: Mapping[str, tuple[str, int]] = {
    "to_decide": ("claim_list_to_decide", 0),
    "asked": ("claim_list_asked", BEYOND_ALL),
    "settled": ("claim_list_settled", BEYOND_ALL),
}
"""The lists of claims, each with its statement and where it begins."""


def list_claims(tx: Tx, view: str, *, beyond: int | None, limit: int = PAGE_ROWS + 1) -> list[ClaimRow]:
    """One page of a list of claims, and one row more when there are more."""
    statement, start = CLAIM_LISTS[view]
    return _rows(tx, statement, ClaimRow, {"beyond": start if beyond is None else beyond, "limit": limit})


def list_messages(
    tx: Tx, *, troubled: bool = False, beyond: int | None = None, limit: int = PAGE_ROWS + 1
) -> list[MessageRow]:
    """One page of messages, newest first: all, or those that did not arrive."""
    statement = "outbox_list_troubled" if troubled else "outbox_list_page"
    facts = {"beyond": BEYOND_ALL if beyond is None else beyond, "limit": limit}
    return _rows(tx, statement, MessageRow, facts)


def list_runs(
    tx: Tx, *, now: datetime, beyond: int | None = None, limit: int = PAGE_ROWS + 1
) -> list[RunRow]:
    """One page of jobs that ended well or were not needed, newest first.

    History is sixty tables, and the last days nearly always hold the page: the others are opened only when
    they do not.
    """
    facts: dict[str, object] = {"beyond": BEYOND_ALL if beyond is None else beyond, "limit": limit}
    found = _rows(tx, "run_list_done", RunRow, {**facts, "since": now - _LATELY})
    if len(found) == limit:
        return found
    return _rows(tx, "run_list_done", RunRow, {**facts, "since": now - _AS_LONG_AS_IT_IS_KEPT})


def list_failures(tx: Tx, *, limit: int = PAGE_ROWS) -> list[RunRow]:
    """Jobs that failed and that a person must look at, the latest first."""
    return _rows(tx, "run_list_failed", RunRow, {"limit": limit})


def list_alerts(tx: Tx, *, limit: int = ALERTS_SHOWN) -> list[AlertRow]:
    """What needs a person, the gravest first."""
    return _rows(tx, "alert_list_open", AlertRow, {"limit": limit})


def list_sessions(
    tx: Tx, *, now: datetime, beyond: int | None = None, limit: int = PAGE_ROWS + 1
) -> list[SessionRow]:
    """One page of classes that began, newest first."""
    before_at, before_id = now, BEYOND_ALL
    if beyond is not None:
        row = tx.execute(Q["session_find_start"], {"session_id": beyond}).fetchone()
        if row is not None:
            before_at, before_id = row[0], beyond
    facts = {"before_at": before_at, "before_id": before_id, "limit": limit}
    return _rows(tx, "session_list_page", SessionRow, facts)


def list_waiting_sessions(tx: Tx, *, after: datetime, limit: int = PAGE_ROWS) -> list[SessionRow]:
    """Classes that ended after an instant and wait for a person, newest first."""
    return _rows(tx, "session_list_waiting", SessionRow, {"after": after, "limit": limit})


def _facts(noun: str, period: Period) -> dict[str, object]:
    return {"noun": noun, "first": period.first, "last": period.last}


def _rows(tx: Tx, name: str, kind: type[Row], facts: Mapping[str, object]) -> list[Row]:
    with tx.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(Q[name], facts).fetchall()
