"""Workers of two threads over lanes, killed or stopped: at most a batch runs again, nothing is lost."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
from functools import partial
from pathlib import Path

import psycopg
import pytest

from tests.support.databases import TenantDatabase
from tests.support.killing import Moment, run_and_kill, run_and_stop
from tests.support.queues import add, expire_leases, look, wait_until
from tests.support.toil import (
    BATCH,
    CAP,
    Toil,
    count_starts,
    fill,
    kill,
    most_running,
    out_of_order,
    start,
    starts_of,
    toil,
)

HELD = "SELECT count(*) FROM jobs.job WHERE lease_id IS NOT NULL"
OVER = "SELECT bool_and(expires_at < clock_timestamp()) FROM jobs.lease"
ENDED = "SELECT count(*), count(DISTINCT job_id), bool_and(outcome = 'done') FROM jobs.done"


def has_started(folder: Path, starts: int) -> bool:
    """Whether so many handlers have started."""
    return count_starts(folder) >= starts


@pytest.mark.timeout(1200)
def test_random_kills_rerun_at_most_the_batch_that_was_held(
    tenant_db: TenantDatabase, tmp_path: Path, *, is_short: bool
) -> None:
    """Measured kill by kill: what is held is at most a batch, and only what was held starts again."""
    kills, jobs = (8, 900) if is_short else (150, 15_000)
    dice = random.SystemRandom()
    with tenant_db.connect() as tx, tenant_db.admin() as admin:
        ids = fill(tx, jobs)
        held_at_death, most_of_a_lane = [], 0
        for _ in range(kills):
            enough = count_starts(tmp_path) + dice.randrange(1, 80)
            worker = start(tenant_db, tmp_path, Toil())
            wait_until(partial(has_started, tmp_path, enough), "it is at work")
            most_of_a_lane = max(most_of_a_lane, most_running(admin))
            kill(worker, tenant_db)
            held_at_death.append(look(tenant_db, HELD)[0][0])
            expire_leases(tenant_db)
        toil(tenant_db.dsn, str(tmp_path), Toil(pause_s=0.0, seconds=600.0))
    starts = starts_of(tmp_path)

    assert max(held_at_death) <= BATCH
    assert len(starts) - jobs <= sum(held_at_death)
    assert {one.job_id for one in starts} == set(ids)
    assert look(tenant_db, ENDED) == [(jobs, jobs, True)]
    assert out_of_order(starts) == []
    assert most_of_a_lane <= CAP
    assert look(tenant_db, "SELECT count(*) FROM jobs.lease") == [(0,)]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("moment", ["before", "during"])
def test_killed_at_any_statement_two_threads_lose_nothing_and_keep_every_order(
    tenant_db: TenantDatabase, tmp_path: Path, moment: Moment, *, is_short: bool
) -> None:
    """A small queue for each statement of a run; every seventh statement in the short form."""
    with tenant_db.connect() as tx:
        fill(tx, 18, lanes=2)
        folder = tmp_path / "whole"
        folder.mkdir()
        statements = run_and_kill(
            tenant_db.dsn, toil, (str(folder), Toil(pause_s=0.0)), kill_at=0, moment=moment
        )
        for kill_at in range(1, statements + 4, 7 if is_short else 1):
            folder = tmp_path / str(kill_at)
            folder.mkdir()
            ids = fill(tx, 18, lanes=2)
            run_and_kill(
                tenant_db.dsn, toil, (str(folder), Toil(pause_s=0.0)), kill_at=kill_at, moment=moment
            )
            wait_until(
                lambda: look(tenant_db, WORKING, tenant_db.name) == [(0,)],
                "PostgreSQL has noticed",
            )
            expire_leases(tenant_db)
            toil(tenant_db.dsn, str(folder), Toil(pause_s=0.0))
            starts = starts_of(folder)
            runs = [sum(one.job_id == job_id for one in starts) for job_id in ids]

            assert (min(runs), max(runs) <= 2) == (1, True), kill_at
            assert out_of_order(starts) == [], kill_at
            assert look(tenant_db, "SELECT count(*) FROM jobs.job") == [(0,)], kill_at

    assert look(tenant_db, "SELECT count(*) = count(DISTINCT job_id) FROM jobs.done") == [(True,)]


@pytest.mark.timeout(1200)
def test_stopped_at_any_statement_a_worker_changes_nothing_that_is_anothers_by_then(
    tenant_db: TenantDatabase, tmp_path: Path, *, is_short: bool
) -> None:
    """SIGSTOP before the statement, its leases over, another worker takes what it can, SIGCONT."""

    def take_over(folder: Path) -> None:
        with tenant_db.admin() as admin, contextlib.suppress(psycopg.errors.LockNotAvailable):
            admin.execute(
                "SET lock_timeout = '200ms'"
            )  # what it holds in the middle of a commit stays its own
            admin.execute("UPDATE jobs.lease SET expires_at = clock_timestamp() - interval '1 second'")
        other = start(tenant_db, folder, Toil(pause_s=0.0))
        other.join(60)
        assert other.exitcode == 0

    with tenant_db.connect() as tx:
        fill(tx, 18, lanes=2)
        counted = tmp_path / "whole"
        counted.mkdir()
        statements = run_and_kill(
            tenant_db.dsn, toil, (str(counted), Toil(pause_s=0.0)), kill_at=0, moment="before"
        )
        for stop_at in range(1, statements, 7 if is_short else 1):
            folder = tmp_path / str(stop_at)
            folder.mkdir()
            ids = fill(tx, 18, lanes=2)
            run_and_stop(
                tenant_db.dsn,
                toil,
                (str(folder), Toil(pause_s=0.0)),
                stop_at=stop_at,
                meanwhile=partial(take_over, folder),
            )
            toil(tenant_db.dsn, str(folder), Toil(pause_s=0.0))  # what neither could take
            ended = look(tenant_db, f"{ENDED} WHERE job_id >= %s", min(ids))

            assert ended == [(18, 18, True)], stop_at
            assert {one.job_id for one in starts_of(folder)} == set(ids), stop_at
            assert look(tenant_db, "SELECT count(*) FROM jobs.job") == [(0,)], stop_at
            assert look(tenant_db, "SELECT count(*) FROM jobs.lease") == [(0,)], stop_at


WORKING = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'job-%%'"


def test_two_threads_stopped_past_their_leases_change_nothing_and_say_so(
    tenant_db: TenantDatabase, tmp_path: Path
) -> None:
    """SIGSTOP, another worker takes over what both held, SIGCONT: each says that its job was lost."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "go").touch()
    ids = add(tenant_db, *["waits"] * 12)
    worker = start(tenant_db, tmp_path, Toil(lease_s=1.0))
    assert worker.pid is not None
    wait_until(lambda: count_starts(tmp_path) == 2, "both threads run a job")
    os.kill(worker.pid, signal.SIGSTOP)
    wait_until(
        lambda: look(tenant_db, OVER) == [(True,)],
        "their leases are over",
    )
    toil(tenant_db.dsn, str(other), Toil())
    (tmp_path / "go").touch()
    os.kill(worker.pid, signal.SIGCONT)
    worker.join(30)
    said = json.loads((tmp_path / f"counts.{worker.pid}").read_text(encoding="ascii"))

    assert (said["lost"], said["done"]) == (2, 0)
    assert sorted(one.job_id for one in starts_of(other)) == ids
    assert look(tenant_db, ENDED) == [(12, 12, True)]
    assert look(tenant_db, "SELECT max(attempt) FROM jobs.done") == [(2,)]
    assert look(tenant_db, "SELECT count(*) FROM jobs.lease") == [(0,)]
