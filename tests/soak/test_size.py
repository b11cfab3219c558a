"""What the queue costs beside a million waiting jobs, when the statistics say that there are none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from platform_core.db import Tx, load_queries
from platform_core.jobs import queue
from platform_core.jobs.contracts import HandlerSpec, Limit, NewJob, RunCounts
from platform_core.values import Done
from tests.support.claims import claim_ids, declare, done, lease_row, open_lanes, ruled, settle_and_claim
from tests.support.databases import TenantDatabase
from tests.support.queues import change, look, make_runner, wait_until

Q = load_queries(queue.__file__)
BATCH = 100
BLOCKS_A_JOB = 40
JOBS = 1_000_000
DUE = JOBS // 41
FILL = """
    INSERT INTO jobs.job (kind, payload, entity, lane, priority, run_at)
    SELECT CASE n %% 4 WHEN 0 THEN 'laned' ELSE 'free' END, '{"n": 1}', 'e:' || n,
        CASE n %% 4 WHEN 0 THEN 'l' || n %% 20 END, n %% 3,
        now() + CASE n %% 41 WHEN 0 THEN interval '0' ELSE interval '1 day' END + n * interval '1 microsecond'
    FROM generate_series(1, %s) AS n
"""
SCANS = "SELECT seq_scan FROM pg_stat_xact_all_tables WHERE schemaname = 'jobs' AND relname = 'job'"
BLOCKS = """
    SELECT (heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit)::bigint
    FROM pg_statio_user_tables WHERE schemaname = 'jobs' AND relname = 'job'
"""
HOT = """
    SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE schemaname = 'jobs' AND relname = 'job'
"""


@pytest.fixture
def crowded(tenant_db: TenantDatabase) -> TenantDatabase:
    """Analysed while empty, then filled; one lane is at its limit."""
    change(tenant_db, "ALTER TABLE jobs.job SET (autovacuum_enabled = off)")
    change(tenant_db, "ANALYZE jobs.job, jobs.lease, jobs.rule, jobs.lane")
    declare(tenant_db, laned=ruled(lane_limit=Limit(max_running=3)))
    change(tenant_db, FILL, JOBS)
    return tenant_db


def blocks_so_far(tx: Tx) -> int:
    """Blocks of jobs.job and its indexes that anybody looked at."""
    tx.execute("SELECT pg_stat_force_next_flush()")
    row = tx.execute(BLOCKS).fetchone()
    assert row is not None
    return int(row[0])


def test_every_statement_reads_its_batch_and_not_the_table(crowded: TenantDatabase) -> None:
    """No sequential scan, and blocks in proportion to the batch: claim, exchange, cancel and every look."""
    costs: dict[str, int] = {}
    with crowded.admin() as tx, crowded.admin() as watcher:
        holder = lease_row(tx)
        lanes = [("laned", f"l{n}") for n in range(0, 20, 4)]
        held: list[int] = []

        def exchange_all() -> None:
            nonlocal held
            held = [row.id for row in settle_and_claim(tx, holder, done(*held), BATCH, lanes).claimed]

        steps: dict[str, Callable[[], object]] = {
            "claim": exchange_all,
            "exchange": exchange_all,
            "finish": lambda: settle_and_claim(tx, holder, done(*held)),
            "list_open_lanes": lambda: open_lanes(tx),
            "has_work": lambda: tx.execute(Q["queue_has_work"]).fetchone(),
            "cancel": lambda: queue.cancel(tx, entity="e:7"),
            "suspect_due": lambda: tx.execute(Q["job_suspect_due"]).fetchone(),
        }
        for name, step in steps.items():
            tx.execute("SELECT pg_stat_force_next_flush()")
            before = blocks_so_far(watcher)
            step()
            tx.execute("SELECT pg_stat_force_next_flush()")
            tx.execute("SELECT 1")
            costs[name] = blocks_so_far(watcher) - before
        with tx.transaction():
            queue.read_health(tx)
            claim_ids(tx, lease_row(tx), BATCH, *lanes)
            scans = tx.execute(SCANS).fetchone()

    assert scans == (0,)
    assert len(held) == BATCH
    assert {name: cost for name, cost in costs.items() if cost > BLOCKS_A_JOB * BATCH} == {}
    assert costs["claim"] > 0


def test_claims_stay_hot_while_many_jobs_wait(crowded: TenantDatabase) -> None:
    """The room on each page is enough for the claimed version, with pruning and without a vacuum."""
    handlers = {"free": HandlerSpec(lambda _: Done()), "laned": ruled(lane_limit=Limit(max_running=3))}
    before, hot_before = look(crowded, HOT)[0]
    counts = make_runner(crowded, handlers, deadline_s=240.0).run_until_empty()
    wait_until(lambda: look(crowded, HOT)[0][0] >= before + DUE, "the statistics have arrived")
    updates, hot = look(crowded, HOT)[0]

    assert counts == RunCounts(done=DUE)
    assert (hot - hot_before) / (updates - before) >= 0.9


def test_an_old_snapshot_makes_no_drain_slower_than_twice(
    tenant_db: TenantDatabase, *, is_short: bool
) -> None:
    """Nothing can be vacuumed or pruned while it is open; the floors spare reading what is dead."""
    jobs = 20_000 if is_short else 100_000
    with tenant_db.admin() as old, old.transaction():
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT count(*) FROM jobs.job")
        blocks: list[int] = []
        with tenant_db.admin() as watcher:
            for _ in range(4):
                with tenant_db.connect() as tx:
                    queue.enqueue_many(tx, [NewJob("free", {})] * jobs)
                before = blocks_so_far(watcher)
                counts = make_runner(
                    tenant_db, {"free": lambda _: Done()}, deadline_s=240.0
                ).run_until_empty()
                assert counts.done == jobs
                blocks.append(blocks_so_far(watcher) - before)

    assert max(blocks[1:]) <= 2 * blocks[0], blocks
