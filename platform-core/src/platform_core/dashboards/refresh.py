"""Read models kept up to date: days that were touched are counted again. Job kind `dashboard.refresh`.

    a change -- trigger, same transaction --> touched -- refresh --> tally, latency

A refresh takes the marks away, counts their days anew and says up to when it is complete, all in one
transaction: killed anywhere it has done nothing, run twice it changes nothing. `rebuild` counts every day
whose rows are still there; both end in the same numbers. History of jobs is kept 60 days: older days of runs
stay as they were counted while it was there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from platform_core.db import Queries, Tx
from platform_core.jobs import queue
from platform_core.jobs.contracts import JobContext
from platform_core.jobs.cron import enqueue_tick
from platform_core.payments.local_time import get_zone, to_reminder_instant
from platform_core.values import Done, Outcome

R = Queries(Path(__file__).with_name("recount.sql"))

JOB = "dashboard.refresh"
EVERY = timedelta(minutes=5)
"""How often cron asks for a refresh."""

STALE_AFTER = timedelta(minutes=20)
"""When people are told that the numbers are old: several refreshes did not happen."""

PROMPT_KINDS = ("inbox.received", "message.received", "outbox.queued")
"""Jobs that are due the moment they are asked for: what they take is what people wait."""

OVERLAP = timedelta(hours=1)
"""History is read again from so long before the last refresh: more than a commit or a clock can be late."""

KEPT_DAYS = 60
"""How long the queue keeps its history (jobs.maintain)."""

_MARGIN, _ONE_DAY = timedelta(hours=3), timedelta(days=1)

_COUNTS: Mapping[str, str] = {
    "incoming": "incoming_count",
    "outgoing": "outgoing_count",
    "claim": "claim_count",
    "payment": "payment_count",
    "reminder": "reminder_count",
    "session": "session_count",
}
"""What triggers mark, and the statement that counts it on given days."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh counted: how many days, summed over what is counted, and whether it was all of them."""

    days: int
    whole: bool


def request_refresh(tx: Tx, *, now: datetime) -> bool:
    """Ask for the refresh of this stretch of EVERY; false when it was asked for already."""
    stretch_s = int(EVERY.total_seconds())
    tick = datetime.fromtimestamp(int(now.timestamp()) // stretch_s * stretch_s, UTC)
    return enqueue_tick(tx, "dashboard", tick, JOB, {}).created


def request_refresh_after(tx: Tx, cause: str) -> bool:
    """Ask for a refresh because of an act, so that who acted sees its effect; once an act."""
    return queue.enqueue(tx, JOB, {}, key=f"dashboard:after:{cause}").created


def handle(context: JobContext) -> Outcome:
    """Refresh, or rebuild when the job says so. Job kind `dashboard.refresh`."""
    zone, now = context.policy().customer.timezone, context.clock.now()
    whole = context.job.payload.get("whole") is True
    with context.tx() as tx:
        counted = rebuild(tx, timezone=zone, now=now) if whole else refresh(tx, timezone=zone, now=now)
    return Done(f"{counted.days} days counted{', all there are' if counted.whole else ''}")


def refresh(tx: Tx, *, timezone: str, now: datetime) -> Refreshed:
    """Count again the days that were touched since the last refresh.

    The first one, and the first after the customer's zone changed, counts everything. Idempotency: a repeat
    finds nothing touched.
    """
    tx.execute(R["refreshed_begin"], {"timezone": timezone})
    row = tx.execute(R["refreshed_lock"]).fetchone()
    if row is None:
        raise AssertionError("the row was begun above")
    as_of, counted_for = row
    if as_of.year <= 2000 or counted_for != timezone:  # noqa: PLR2004 - where refreshed_begin begins
        return rebuild(tx, timezone=timezone, now=now)
    touched: dict[str, list[date]] = {}
    for noun, day in tx.execute(R["touched_take"], {"timezone": timezone}):
        touched.setdefault(noun, []).append(day)
    facts = {"timezone": timezone, "since": as_of - OVERLAP}
    run_days = [row[0] for row in tx.execute(R["run_days_list"], facts)]
    _recount(tx, touched, run_days, timezone=timezone)
    tx.execute(R["refreshed_end"], {"timezone": timezone, "now": now})
    return Refreshed(len(run_days) + sum(len(days) for days in touched.values()), whole=False)


def rebuild(tx: Tx, *, timezone: str, now: datetime) -> Refreshed:
    """Count every day whose rows are still there, as if nothing had been counted before."""
    tx.execute(R["refreshed_begin"], {"timezone": timezone})
    tx.execute(R["refreshed_lock"])
    tx.execute(R["touched_take"], {"timezone": timezone})
    days = _days(tx, "days_find", timezone)
    run_days = _days(tx, "run_days_find", timezone)
    if run_days and run_days[0] <= now.date() - timedelta(days=KEPT_DAYS - 1):
        run_days = run_days[2:]  # a part of it is dropped already: it stays as it was counted when whole
    _recount(tx, dict.fromkeys(_COUNTS, days), run_days, timezone=timezone)
    tx.execute(R["refreshed_end"], {"timezone": timezone, "now": now})
    return Refreshed(len(run_days) + len(days) * len(_COUNTS), whole=True)


def _days(tx: Tx, edges: str, timezone: str) -> list[date]:
    """Every day there is, and one more at both ends: under another zone rows stood there."""
    row = tx.execute(R[edges], {"timezone": timezone}).fetchone()
    if row is None or row[0] is None:
        return []
    first, last = row
    return [first + timedelta(days=ahead) for ahead in range(-1, (last - first).days + 2)]


def _recount(tx: Tx, touched: Mapping[str, Iterable[date]], run_days: list[date], *, timezone: str) -> None:
    for noun, days in sorted(touched.items()):
        _store(tx, noun, _COUNTS[noun], _facts(list(days), timezone))
    if run_days:
        facts = _facts(run_days, timezone)
        # Two plain instants: days of history outside are not even opened.
        facts |= {"since": min(facts["begins"]), "until": max(facts["ends"])}
        _store(tx, "run", "run_count", facts, outcomes=["done", "cancelled"])
        tx.execute(R["latency_recount"], {**facts, "prompt_kinds": list(PROMPT_KINDS)})
    _store(tx, "run", "failure_count", {"timezone": timezone}, outcomes=["failed"])


def _store(
    tx: Tx, noun: str, count: str, facts: Mapping[str, Any], *, outcomes: list[str] | None = None
) -> None:
    """Count, and make the tallies so: of the days and outcomes named, or of all where none are."""
    columns = ("day", "label", "outcome", "count", "amount_minor")
    counted = tx.execute(R[count], facts).fetchall()
    values = {column: [row[at] for row in counted] for at, column in enumerate(columns)}
    tx.execute(R["tally_store"], {"noun": noun, "days": facts.get("days"), "outcomes": outcomes, **values})


def _facts(days: list[date], timezone: str) -> dict[str, Any]:
    """Days with instants that surely stand before and after each, whatever its midnight does."""
    zone = get_zone(timezone)
    return {
        "days": days,
        "begins": [to_reminder_instant(day, time(), zone) - _MARGIN for day in days],
        "ends": [to_reminder_instant(day + _ONE_DAY, time(), zone) + _MARGIN for day in days],
        "timezone": timezone,
    }
