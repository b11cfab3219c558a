"""What the panel costs with a year behind it: indexes only for a page, and days alone for a refresh."""

from __future__ import annotations

from datetime import timedelta

import pytest

from platform_core.dashboards.refresh import refresh
from platform_core.db import Tx
from tests.support.databases import TenantDatabase
from tests.support.messaging import NOON
from tests.support.payments import Treasury
from tests.support.visitors import ZONE, Visitor
from tests.support.years import fill, forget_old_runs

BIG = (
    *("claim", "claim_event", "outbox", "message", "contact", "session", "result", "alert"),
    *("tally", "latency", "flag", "decision", "allocation", "receipt", "obligation", "reminder"),
)
SCANS = """
    SELECT relname, seq_scan, seq_tup_read, coalesce(idx_tup_fetch, 0)
    FROM pg_stat_xact_all_tables
    WHERE schemaname IN ('payments', 'messaging', 'jobs', 'attendance', 'alerts', 'dashboards')
"""
PAGES = (
    *("", "claims", "claims?state=asked", "claims?state=settled", "claims?state=settled&before=C5000"),
    *("claims/C9", "attendance", "attendance?before=L2000", "messages", "messages?before=S9000"),
    *("runs", "runs?before=J9000", "errors", "use"),
)


@pytest.fixture
def busy(treasury: Treasury) -> Treasury:
    """Twenty thousand claims, forty thousand messages, a hundred thousand runs, all counted."""
    with treasury.tenant_db.admin() as admin:
        fill(admin, now=NOON, claims=20_000, runs=100_000)
    with treasury.tx() as tx:
        refresh(tx, timezone=ZONE, now=NOON)
    with treasury.tenant_db.admin() as admin:
        forget_old_runs(admin, NOON)
        admin.execute("VACUUM ANALYZE dashboards.tally")
    return treasury


def reads(tx: Tx) -> dict[str, tuple[int, int, int]]:
    """Sequential scans, rows they read, and rows fetched through an index, by table, so far."""
    return {row[0]: row[1:] for row in tx.execute(SCANS)}


def spent(
    now: dict[str, tuple[int, int, int]], before: dict[str, tuple[int, int, int]]
) -> dict[str, tuple[int, ...]]:
    """What was read in between."""
    return {
        name: tuple(after - former for after, former in zip(cost, before.get(name, (0, 0, 0)), strict=True))
        for name, cost in now.items()
    }


def test_no_page_walks_a_table_that_grows(busy: Treasury, tenant_db: TenantDatabase) -> None:
    """Nor reads more rows than a screen and a month of days need."""
    walked: dict[str, dict[str, tuple[int, ...]]] = {}
    fetched: dict[str, int] = {}
    with tenant_db.admin() as admin:
        visitor = Visitor(Treasury.on(busy, admin))
        for path in PAGES:
            with admin.transaction():
                before = reads(admin)
                visitor.open(path)
                found = spent(reads(admin), before)
            walked[path] = {name: cost for name, cost in found.items() if name in BIG and cost[1] > 100}
            fetched[path] = sum(cost[2] for cost in found.values())

    assert {path: tables for path, tables in walked.items() if tables} == {}
    assert {path: rows for path, rows in fetched.items() if rows > 20_000} == {}


def test_a_refresh_reads_the_days_that_changed(busy: Treasury, tenant_db: TenantDatabase) -> None:
    """Not the year: one receipt today costs today."""
    busy.clock.move(timedelta(minutes=5))
    busy.receipt_from()
    with tenant_db.admin() as admin, admin.transaction():
        before = reads(admin)
        counted = refresh(admin, timezone=ZONE, now=busy.clock.now())
        found = spent(reads(admin), before)

    assert counted.whole is False
    assert {name: cost for name, cost in found.items() if name in BIG[:8] and cost[1] > 1_000} == {}
    assert sum(cost[1] for name, cost in found.items() if name.startswith("done")) < 5_000
