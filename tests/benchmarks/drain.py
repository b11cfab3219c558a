"""Jobs drained per second by the runner, beside the least that could work: a SKIP LOCKED loop in psycopg.

Both run in this process, on one durable server, turn by turn, so that a busy machine slows both. The plain
loop claims as many jobs at once as the runner may, and deletes them: no attempts, no leases, no history. Run
it with `python tests/benchmarks/drain.py [jobs] [rounds]`; it leaves with 1 when the ratio misses the goal.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import structlog

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from platform_cli.local import postgres
from platform_core.jobs.contracts import HandlerSpec, JobContext, NewJob
from platform_core.jobs.queue import enqueue_many
from platform_core.jobs.runner import Runner
from platform_core.values import Done
from tests.support.databases import Databases, TenantDatabase
from tests.support.queues import build_context

GOAL = 0.5
BATCH = 500
PLAIN_TABLE = """
    DROP TABLE IF EXISTS public.plain_job;
    CREATE TABLE public.plain_job (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        taken boolean NOT NULL DEFAULT false,
        payload jsonb NOT NULL
    );
"""
PLAIN_FILL = "INSERT INTO public.plain_job (payload) SELECT %s::jsonb FROM generate_series(1, %s)"
PLAIN_CLAIM = """
    UPDATE public.plain_job SET taken = true
    WHERE id = ANY (ARRAY(
        SELECT id FROM public.plain_job WHERE NOT taken ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
    ))
    RETURNING id, payload
"""
PLAIN_FINISH = "DELETE FROM public.plain_job WHERE id = ANY (%s)"
PAYLOAD = {"event": 123456, "note": "as small as most"}


def do_nothing(_context: JobContext) -> Done:
    """The handler of both."""
    return Done()


def drain_runner(db: TenantDatabase, jobs: int) -> float:
    """Jobs per second of `Runner`, from its start to its end."""
    with db.connect() as tx, tx.transaction():
        enqueue_many(tx, [NewJob("bench.nothing", PAYLOAD)] * jobs)
    with db.admin() as admin:
        admin.execute("VACUUM ANALYZE")
        admin.execute("CHECKPOINT")
    runner = Runner(
        db.dsn, {"bench.nothing": HandlerSpec(do_nothing)}, build_context, deadline_s=600, max_batch=BATCH
    )
    began_s = time.perf_counter()
    counts = runner.run_until_empty()
    elapsed_s = time.perf_counter() - began_s
    if counts.done != jobs:
        raise SystemExit(f"The runner finished {counts.done} of {jobs} jobs")
    return jobs / elapsed_s


def drain_plain(db: TenantDatabase, jobs: int) -> float:
    """Jobs per second of the plain loop, from its connection to its end."""
    with db.admin() as admin:
        admin.execute(PLAIN_TABLE)
        admin.execute(PLAIN_FILL, (json.dumps(PAYLOAD), jobs))
        admin.execute("VACUUM ANALYZE")
        admin.execute("CHECKPOINT")
    done = 0
    began_s = time.perf_counter()
    with psycopg.connect(db.admin_dsn, autocommit=True) as connection:
        while rows := connection.execute(PLAIN_CLAIM, (BATCH,)).fetchall():
            for _row in rows:
                done += 1
            connection.execute(PLAIN_FINISH, ([row[0] for row in rows],))
    elapsed_s = time.perf_counter() - began_s
    if done != jobs:
        raise SystemExit(f"The plain loop finished {done} of {jobs} jobs")
    return jobs / elapsed_s


def main(jobs: int = 50_000, rounds: int = 5) -> int:
    """Measure turn by turn and print one line each."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    ours: list[float] = []
    plain: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        cluster_folder = Path(folder) / "cluster"
        try:
            with postgres.running(cluster_folder) as cluster, Databases(cluster).tenant() as db:
                for _ in range(rounds):
                    plain.append(drain_plain(db, jobs))
                    ours.append(drain_runner(db, jobs))
        finally:
            with contextlib.suppress(OSError):
                postgres.destroy(cluster_folder)
    ratio = statistics.median(mine / theirs for mine, theirs in zip(ours, plain, strict=True))
    out = sys.stdout.write
    out(f"runner                  {statistics.median(ours):>9,.0f} jobs/s\n")
    out(f"plain SKIP LOCKED loop  {statistics.median(plain):>9,.0f} jobs/s  (batch {BATCH}, no history)\n")
    out(f"ratio                   {ratio:>9.2f}  (goal {GOAL}; median of {rounds} pairs of {jobs:,} jobs)\n")
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
