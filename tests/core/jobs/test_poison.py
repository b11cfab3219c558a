"""Jobs that harm: they end as dead letters, and their batch mates do not notice."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from platform_core.errors import InvalidInput
from platform_core.jobs import queue
from platform_core.jobs.contracts import HandlerSpec, JobContext, NewJob, RunCounts
from platform_core.jobs.queue import MAX_PAYLOAD_BYTES
from platform_core.jobs.runner import Runner
from platform_core.values import Dead, Done, Outcome, Retry
from tests.support.databases import TenantDatabase
from tests.support.queues import AT_ONCE, add, build_context, expire_leases, look, make_runner, wait_until

WORKING = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'job-%%'"
ATTEMPTS = 3
_context = multiprocessing.get_context("forkserver")


def work(dsn: str, folder: str, way: str) -> None:
    """A worker of two threads whose process ends when it meets a job of kind `ends`."""

    def handle(context: JobContext) -> Outcome:
        with Path(folder, "runs").open("a", encoding="ascii") as runs:
            runs.write(f"{context.job.id}\n")
        if context.job.kind == "ends":
            if way == "exit":
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
        return Done()

    specs = {kind: HandlerSpec(handle, max_attempts=ATTEMPTS) for kind in ("ends", "mate")}
    Runner(dsn, specs, build_context, deadline_s=60.0, max_batch=40, backoff=AT_ONCE).run_until_empty()
    Path(folder, "over").touch()


def start(db: TenantDatabase, folder: Path, way: str) -> ForkServerProcess:
    """That worker."""
    worker = _context.Process(target=work, args=(db.dsn, str(folder), way), daemon=True)
    worker.start()
    return worker


@pytest.mark.parametrize("way", ["exit", "kill"])
def test_a_job_that_ends_its_process_among_two_threads_takes_only_itself_along(
    tenant_db: TenantDatabase, tmp_path: Path, way: str
) -> None:
    """It ends the worker as often as it may; a mate runs again at most once, and all of them are done."""
    with tenant_db.connect() as tx:
        kinds = ["mate"] * 60 + ["ends"] + ["mate"] * 60
        made = queue.enqueue_many(tx, [NewJob(kind, {}) for kind in kinds])
    killer, deaths = made[60].job_id, 0
    while not (tmp_path / "over").exists() and deaths <= ATTEMPTS:
        worker = start(tenant_db, tmp_path, way)
        worker.join(30)
        wait_until(lambda: look(tenant_db, WORKING, tenant_db.name) == [(0,)], "PostgreSQL has noticed")
        deaths += not (tmp_path / "over").exists()
        expire_leases(tenant_db)
    runs = Counter(map(int, (tmp_path / "runs").read_text(encoding="ascii").split()))

    assert (deaths, runs.pop(killer)) == (ATTEMPTS, ATTEMPTS)
    assert look(tenant_db, "SELECT job_id, cause, attempt FROM jobs.dead") == [(killer, "crashed", ATTEMPTS)]
    assert (len(runs), max(runs.values()) <= 2, sum(runs.values()) <= 120 + 40) == (120, True, True)
    assert look(tenant_db, "SELECT count(*), count(DISTINCT job_id) FROM jobs.done") == [(120, 120)]


def test_the_largest_payload_runs_and_a_larger_one_is_refused(tenant_db: TenantDatabase) -> None:
    """In Python and in PostgreSQL, which does not trust the first."""
    sizes: list[int] = []

    def measure(context: JobContext) -> Outcome:
        sizes.append(len(str(context.job.payload.get("text", ""))))
        return Done()

    largest = MAX_PAYLOAD_BYTES - len('{"text": ""}')
    with tenant_db.connect() as tx:
        queue.enqueue_many(tx, [NewJob("a", {}), NewJob("a", {"text": "x" * largest}), NewJob("a", {})])
        with pytest.raises(InvalidInput):
            queue.enqueue(tx, "a", {"text": "x" * (largest + 1)})
        with pytest.raises(psycopg.Error, match="larger than 256 KiB"):
            tx.execute(
                "SELECT jobs.enqueue('a', jsonb_build_object('t', repeat('x', %s)), NULL, NULL, NULL, NULL)",
                (MAX_PAYLOAD_BYTES,),
            )
    counts = make_runner(tenant_db, {"a": measure}, concurrency=1).run_until_empty()

    assert (counts, sizes) == (RunCounts(done=3), [0, largest, 0])


def test_an_answer_that_is_no_outcome_is_for_a_person(tenant_db: TenantDatabase) -> None:
    """Nobody guesses what it meant; the mates are done."""
    garbage: list[Any] = [None, 7, "done", Done, {"done": True}, iter(()), [Done()], print]
    add(tenant_db, *["mate", "garbage"] * len(garbage))

    def answer(_context: JobContext) -> Any:
        return garbage.pop()

    specs = {"mate": HandlerSpec(lambda _: Done()), "garbage": HandlerSpec(answer)}
    counts = make_runner(tenant_db, specs).run_until_empty()

    assert counts == RunCounts(done=8, dead=8)
    assert look(tenant_db, "SELECT DISTINCT kind, cause FROM jobs.dead") == [("garbage", "invalid_outcome")]


def test_any_text_of_an_outcome_is_stored(tenant_db: TenantDatabase) -> None:
    """Cut and cleaned, never refused: one batch holds all of them."""
    texts = ("\x00", "\ud800", "x" * 100_000, "\U0001f600" * 3000, "'; DROP TABLE x; --", "{}", "\\")
    outcomes = [make(text) for make in (Done, Retry, Dead) for text in texts]
    add(tenant_db, *["a"] * len(outcomes))
    spec = HandlerSpec(lambda _: outcomes.pop(), max_attempts=1)
    counts = make_runner(tenant_db, {"a": spec}).run_until_empty()

    assert counts == RunCounts(done=7, dead=14)
    assert look(tenant_db, "SELECT DISTINCT cause FROM jobs.dead ORDER BY 1") == [
        ("attempts_exhausted",),
        ("refused",),
    ]
    assert look(tenant_db, "SELECT count(*) FROM jobs.job") == [(0,)]
