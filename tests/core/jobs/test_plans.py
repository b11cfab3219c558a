"""What the queue costs: index scans only, whatever the statistics believe, and HOT claims."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from platform_core.db import Tx
from platform_core.jobs import queue
from platform_core.jobs.contracts import DeadCause, NewJob, RunCounts
from platform_core.jobs.execution import Settlement
from platform_core.jobs.settlement import claim_suspect, exchange
from platform_core.values import Actor, Done
from tests.support.databases import TenantDatabase
from tests.support.queues import AT_ONCE, change, look, make_runner, wait_until

BACKLOG = 100_000
BATCH = 50
FILL = """
    INSERT INTO jobs.job (kind, payload, entity, run_at)
    SELECT 'later', '{"n": 1}', 'e:' || n, now() + interval '1 day' + n * interval '1 second'
    FROM generate_series(1, %s) AS n
"""
READ = """
    SELECT seq_scan, seq_tup_read, idx_tup_fetch
    FROM pg_stat_xact_all_tables WHERE schemaname = 'jobs' AND relname = 'job'
"""


@pytest.fixture
def crowded(tenant_db: TenantDatabase) -> TenantDatabase:
    """A queue analysed while empty, then filled: the statistics say that nothing is there."""
    change(tenant_db, "ALTER TABLE jobs.job SET (autovacuum_enabled = off)")
    change(tenant_db, "ANALYZE jobs.job")
    change(tenant_db, FILL, BACKLOG)
    with tenant_db.connect() as tx:
        queue.enqueue_many(tx, [NewJob("due", {}, key=f"k{n}", entity="mine") for n in range(4 * BATCH)])
    return tenant_db


def reads(tx: Tx) -> tuple[int, int, int]:
    """Sequential scans, rows they read, and rows fetched through an index, in this transaction so far."""
    row = tx.execute(READ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2])


def test_no_verb_of_the_runner_walks_the_table(crowded: TenantDatabase) -> None:
    """Each reads what its batch needs, with 100,000 others in the way."""
    costs: dict[str, tuple[int, int, int]] = {}
    with crowded.admin() as tx, tx.transaction():
        last = reads(tx)

        def spent(what: str) -> None:
            nonlocal last
            now = reads(tx)
            costs[what] = (now[0] - last[0], now[1] - last[1], now[2] - last[2])
            last = now

        holder = tx.execute("SELECT jobs.open_lease('w', 60)").fetchone()
        assert holder is not None
        lease = holder[0]
        rows = exchange(tx, lease, [], batch=BATCH, backoff=AT_ONCE).claimed
        spent("claim")
        outcomes = ("done", "retried", "snoozed", "handed_back", "dead")
        settlements = [
            Settlement(row.id, outcomes[n % 5], delay_s=9999.0, cause=DeadCause.REFUSED)  # type: ignore[arg-type]  # a str of the list
            for n, row in enumerate(rows)
        ]
        settled = exchange(tx, lease, settlements, batch=BATCH, backoff=AT_ONCE)
        spent("settle and claim")
        tx.execute("SELECT * FROM jobs.beat(%s, 60)", (lease,))
        spent("beat")
        tx.execute("UPDATE jobs.lease SET expires_at = now() - interval '1 s'")
        tx.execute("SELECT * FROM jobs.bury_leases()")
        spent("bury")
        claim_suspect(tx, tx.execute("SELECT jobs.open_lease('w', 60)").fetchone()[0])  # type: ignore[index]  # it returns a row
        spent("claim a suspect")
        queue.redrive(tx, rows[4].id, Actor("user", "ops-1", "ops"))
        spent("redrive")
        counts = queue.cancel(tx, entity="mine")
        spent("cancel")

    assert len(rows) == BATCH
    assert len(settled.settled) == BATCH
    assert len(settled.claimed) == BATCH
    assert counts.queued > BATCH
    assert {what: cost[:2] for what, cost in costs.items()} == dict.fromkeys(costs, (0, 0))
    assert max(cost[2] for cost in costs.values()) <= 20 * BATCH


def test_looking_at_one_job_and_at_the_health_walks_nothing_either(crowded: TenantDatabase) -> None:
    """People look while the queue is full."""
    with crowded.admin() as tx, tx.transaction():
        queue.get_job(tx, BACKLOG // 2)
        queue.list_jobs(tx, limit=20)
        health = queue.read_health(tx)
        scans, _, _ = reads(tx)

    assert (health.due, health.waiting) == (4 * BATCH, 10_000)
    assert scans == 0


def test_a_claim_is_a_hot_update(tenant_db: TenantDatabase) -> None:
    """It writes no index entry: nothing that it changes is in an index or an index predicate."""
    jobs = 4000
    with tenant_db.connect() as tx:
        queue.enqueue_many(tx, [NewJob("a", {"event": n}, entity=f"e{n}") for n in range(jobs)])
    assert make_runner(tenant_db, {"a": lambda _: Done()}).run_until_empty() == RunCounts(done=jobs)

    def updates() -> tuple[int, int]:
        (row,) = look(
            tenant_db,
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables "
            "WHERE schemaname = 'jobs' AND relname = 'job'",
        )
        return row[0], row[1]

    wait_until(lambda: updates()[0] >= jobs, "the statistics have arrived")
    claims, hot = updates()
    assert hot / claims >= 0.9


def test_what_a_claim_changes_is_in_no_index(tenant_db: TenantDatabase) -> None:
    """The reason of the above, in case somebody adds an index."""
    definitions = " ".join(
        row[0]
        for row in look(
            tenant_db, "SELECT indexdef FROM pg_indexes WHERE schemaname = 'jobs' AND tablename = 'job'"
        )
    )

    assert [column for column in ("lease_id", "attempt", "errors", "cancel") if column in definitions] == []


def test_a_claim_costs_the_same_while_an_old_snapshot_keeps_dead_entries(tenant_db: TenantDatabase) -> None:
    """The floor skips what was claimed before, which nobody may vacuum."""
    with tenant_db.connect() as tx:
        queue.enqueue_many(tx, [NewJob("a", {})] * 5000)
    with tenant_db.admin() as old, old.transaction(), tenant_db.admin() as tx:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT count(*) FROM jobs.job")
        row = tx.execute("SELECT jobs.open_lease('w', 60)").fetchone()
        assert row is not None
        lease, floor, blocks = row[0], (None, None), []
        for _ in range(40):
            blocks.append(blocks_of_claim(tx, lease, floor))
            held = tx.execute(
                "SELECT id, run_at FROM jobs.job WHERE lease_id = %s ORDER BY id", (lease,)
            ).fetchall()
            floor = (held[-1][1], held[-1][0])
            done = [Settlement(job_id, "done") for job_id, _ in held]
            exchange(tx, lease, done, batch=0, backoff=AT_ONCE)
        without_floor = blocks_of_claim(tx, lease, (None, None))

    assert max(blocks[1:]) <= 2 * blocks[1]
    assert without_floor > 2 * blocks[-1]


def blocks_of_claim(tx: Tx, lease: int, floor: tuple[datetime | None, int | None]) -> int:
    """How many blocks a claim of 100 jobs looks at."""
    plan = tx.execute(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)"
        " SELECT count(*) FROM jobs.claim(%s, 100, false, %s, %s, %s, %s)",
        (lease, [None, floor[0]], [None, floor[1]], [], []),
    ).fetchone()
    assert plan is not None
    return int(plan[0][0]["Plan"]["Shared Hit Blocks"])


def test_future_jobs_cost_a_claim_nothing(crowded: TenantDatabase) -> None:
    """Rows fetched do not depend on the backlog behind the due ones."""
    soon = datetime.now(UTC) + timedelta(days=400)
    with crowded.connect() as tx:
        queue.enqueue_many(tx, [NewJob("a", {}, run_at=soon)] * 100)
    with crowded.admin() as tx, tx.transaction():
        row = tx.execute("SELECT jobs.open_lease('w', 60)").fetchone()
        assert row is not None
        exchange(tx, row[0], [], batch=10, backoff=AT_ONCE)
        cost = reads(tx)

    assert cost[:2] == (0, 0)
    assert cost[2] <= 40
