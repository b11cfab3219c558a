"""Real worker processes that are killed or stopped: nothing is lost, and little is run twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from platform_core.jobs import queue
from platform_core.jobs.contracts import NewJob, RunCounts
from platform_core.jobs.lifecycle import JobState
from platform_core.values import Done
from tests.support.databases import TenantDatabase
from tests.support.killing import Moment, run_and_kill
from tests.support.queues import (
    add,
    expire_leases,
    look,
    make_runner,
    runs_of,
    wait_until,
    work_queue,
)

BATCH = 5
_context = multiprocessing.get_context("forkserver")

HELD_UP = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = %s AND application_name = 'job-runner' AND wait_event_type = 'Lock'
"""


def start_worker(db: TenantDatabase, folder: Path, lease_s: float = 60.0, after_crash: str = "retry") -> int:
    """A worker process; its pid. It is waited for by the one who kills it."""
    worker = _context.Process(
        target=work_queue, args=(db.dsn, str(folder), lease_s, after_crash), daemon=True
    )
    worker.start()
    assert worker.pid is not None
    return worker.pid


def drain(db: TenantDatabase, runs: list[int]) -> RunCounts:
    """What a healthy worker does afterwards, under the eyes of the test."""

    def handle(context: object) -> Done:
        runs.append(context.job.id)  # type: ignore[attr-defined]  # a JobContext
        return Done()

    expire_leases(db)
    return make_runner(db, dict.fromkeys(("plain", "dies", "waits"), handle)).run_until_empty()


def test_killed_after_the_claim_or_in_a_handler_only_the_batch_runs_again(
    tenant_db: TenantDatabase, tmp_path: Path
) -> None:
    """The second job of the batch kills its worker; the worker was never told to finish the first."""
    ids = add(tenant_db, "plain", "dies", "plain", "plain", "plain")
    start_worker(tenant_db, tmp_path)
    wait_until(lambda: runs_of(tmp_path) == ids[:2] and not is_working(tenant_db), "the worker is dead")
    held = look(tenant_db, "SELECT id, attempt FROM jobs.job WHERE lease_id IS NOT NULL ORDER BY id")
    again: list[int] = []
    counts = drain(tenant_db, again)

    assert held == [(job_id, 1) for job_id in ids]
    assert counts == RunCounts(done=BATCH)
    assert again == ids
    assert look(tenant_db, "SELECT job_id, attempt FROM jobs.done ORDER BY job_id") == [(i, 2) for i in ids]


@pytest.mark.parametrize("locked", ["jobs.lease", "jobs.done"])
def test_killed_during_the_finish_the_server_ends_it_whole(
    tenant_db: TenantDatabase, tmp_path: Path, locked: str
) -> None:
    """The finish is one statement, and PostgreSQL has it: the jobs were done, so nothing runs again."""
    add(tenant_db, *["plain"] * (BATCH - 1), "waits")
    pid = start_worker(tenant_db, tmp_path)
    with tenant_db.admin() as admin, admin.transaction():
        wait_until(lambda: len(runs_of(tmp_path)) == BATCH, "the last job runs")
        admin.execute(f"LOCK TABLE {locked} IN ACCESS EXCLUSIVE MODE".encode())
        (tmp_path / "go").touch()
        wait_until(lambda: look(tenant_db, HELD_UP, tenant_db.name) == [(1,)], "the finish is held up")
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_working(tenant_db), "PostgreSQL has noticed")
    survivors = look(tenant_db, "SELECT id FROM jobs.job ORDER BY id")
    again: list[int] = []
    counts = drain(tenant_db, again)

    assert survivors == []
    assert counts == RunCounts()
    assert again == []
    assert look(tenant_db, "SELECT count(*), count(DISTINCT job_id) FROM jobs.done") == [(BATCH, BATCH)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("moment", ["before", "during"])
def test_killed_at_any_statement_nothing_is_lost_and_nothing_runs_a_third_time(
    tenant_db: TenantDatabase, tmp_path: Path, moment: Moment
) -> None:
    """Every statement of a whole run, one death each."""
    statements = (
        run_and_kill(tenant_db.dsn, work_queue, (str(tmp_path),), kill_at=0, moment=moment) + 3 * BATCH
    )
    killed = 0
    for kill_at in range(1, statements):
        folder = tmp_path / str(kill_at)
        folder.mkdir()
        with tenant_db.connect() as tx:
            made = queue.enqueue_many(tx, [NewJob("plain", {})] * 3)
        ids = [job.job_id for job in made]
        seen = run_and_kill(tenant_db.dsn, work_queue, (str(folder),), kill_at=kill_at, moment=moment)
        killed += seen >= kill_at
        runs = runs_of(folder)
        again: list[int] = []
        wait_until(lambda: not is_working(tenant_db), "PostgreSQL has noticed")
        drain(tenant_db, again)
        ended = look(
            tenant_db, "SELECT job_id, outcome FROM jobs.done WHERE job_id = ANY (%s) ORDER BY 1", ids
        )

        assert ended == [(job_id, "done") for job_id in ids], kill_at
        assert set(runs) | set(again) == set(ids), kill_at
        assert max((runs + again).count(job_id) for job_id in ids) <= 2, kill_at
        assert look(tenant_db, "SELECT count(*) FROM jobs.lease") == [(0,)], kill_at

    assert killed >= 3 * BATCH


def test_a_payload_that_kills_its_worker_dies_and_its_batch_mates_live(
    tenant_db: TenantDatabase, tmp_path: Path
) -> None:
    """A crash loop ends by itself: first in a batch, then alone until its attempts are used up."""
    ids = add(tenant_db, "plain", "dies", "plain")
    for deaths in (1, 2, 3):
        start_worker(tenant_db, tmp_path)
        wait_until(
            lambda deaths=deaths: runs_of(tmp_path).count(ids[1]) == deaths and not is_working(tenant_db),  # type: ignore[misc]  # a lambda cannot be annotated
            "the worker is dead",
        )
        expire_leases(tenant_db)
    start_worker(tenant_db, tmp_path)
    wait_until((tmp_path / "counts").exists, "a worker has ended in order")
    with tenant_db.connect() as tx:
        states = [queue.get_job(tx, job_id) for job_id in ids]

    assert [job.state for job in states] == [JobState.DONE, JobState.DEAD, JobState.DONE]
    assert (states[1].cause, states[1].attempt) == ("crashed", 3)
    assert runs_of(tmp_path).count(ids[1]) == 3
    assert max(runs_of(tmp_path).count(job_id) for job_id in (ids[0], ids[2])) <= 2


def test_what_must_not_be_repeated_is_not_run_again_after_a_crash(
    tenant_db: TenantDatabase, tmp_path: Path
) -> None:
    """Only the job that had started is for a person; its unstarted batch mates run."""
    first, second, third = add(tenant_db, "plain", "dies", "plain")
    start_worker(tenant_db, tmp_path, after_crash="dead")
    wait_until(lambda: has_ended(tenant_db, tmp_path), "the worker is dead")
    expire_leases(tenant_db)
    start_worker(tenant_db, tmp_path, after_crash="dead")
    wait_until((tmp_path / "counts").exists, "the next worker is done")
    with tenant_db.connect() as tx:
        states = [queue.get_job(tx, job_id).state for job_id in (first, second, third)]

    assert states == [JobState.DONE, JobState.DEAD, JobState.DONE]
    assert runs_of(tmp_path) == [first, second, third]


def test_a_worker_stopped_past_its_lease_finds_that_its_completion_changes_nothing(
    tenant_db: TenantDatabase, tmp_path: Path
) -> None:
    """SIGSTOP, another worker takes over, SIGCONT: the zombie says what it lost and ends in order."""
    (job_id,) = add(tenant_db, "waits")
    pid = start_worker(tenant_db, tmp_path, lease_s=1.0)
    wait_until(lambda: runs_of(tmp_path) == [job_id], "the job runs")
    os.kill(pid, signal.SIGSTOP)
    wait_until(
        lambda: look(tenant_db, "SELECT expires_at < clock_timestamp() FROM jobs.lease") == [(True,)],
        "the lease is over",
    )
    again: list[int] = []
    counts = drain(tenant_db, again)
    (tmp_path / "go").touch()
    os.kill(pid, signal.SIGCONT)
    wait_until((tmp_path / "counts").exists, "the zombie has ended")

    assert (counts, again) == (RunCounts(done=1), [job_id])
    assert json.loads((tmp_path / "counts").read_text())["lost"] == 1
    assert look(tenant_db, "SELECT job_id, attempt FROM jobs.done") == [(job_id, 2)]
    assert look(tenant_db, "SELECT count(*) FROM jobs.lease") == [(0,)]


def is_working(db: TenantDatabase) -> bool:
    """Whether any worker has a connection."""
    return look(
        db,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'job-%%'",
        db.name,
    ) != [(0,)]


def has_ended(db: TenantDatabase, folder: Path) -> bool:
    """Whether the worker wrote its counts, or began and is gone."""
    return (folder / "counts").exists() or (bool(runs_of(folder)) and not is_working(db))
