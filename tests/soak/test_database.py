"""A drain through sessions that are cut and a server that crashes: it resumes, and every job ends once."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from platform_core.errors import PlatformError
from tests.support.databases import TenantDatabase
from tests.support.queues import look, wait_until
from tests.support.toil import SESSIONS, Toil, count_starts, fill, out_of_order, starts_of, toil

CUT_ONE = """
    SELECT pg_terminate_backend(pid)
    FROM (
        SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'job-%%'
        ORDER BY random() LIMIT 1
    ) AS unlucky
"""


def drain(db: TenantDatabase, folder: Path) -> int:
    """Run again whenever a run could not go on, as a schedule does; how often that was."""
    failures = 0
    while look_again(db, "SELECT count(*) FROM jobs.job") != [(0,)]:
        try:
            toil(db.dsn, str(folder), Toil(lease_s=2.0, pause_s=0.001))
        except (PlatformError, psycopg.OperationalError):
            failures += 1
        assert failures < 200
    return failures


def look_again(db: TenantDatabase, statement: str) -> list[tuple[object, ...]]:
    """Look, also at a server that is just coming back."""
    found: list[list[tuple[object, ...]]] = []

    def answered() -> bool:
        try:
            found.append(look(db, statement))
        except (PlatformError, psycopg.OperationalError):
            return False
        return True

    wait_until(answered, "the server answers")
    return found[0]


def while_harming(harm: Callable[[], object], every_s: float, drained: Callable[[], int]) -> int:
    """Do harm now and then until the drain is over; how often."""
    ended = threading.Event()
    harms: list[object] = []

    def go_on() -> None:
        while not ended.wait(every_s):
            harms.append(harm())

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        drained()
    finally:
        ended.set()
        thread.join()
    return len(harms)


@pytest.mark.timeout(600)
def test_a_drain_whose_sessions_are_cut_at_random_ends_exactly(
    tenant_db: TenantDatabase, tmp_path: Path, *, is_short: bool
) -> None:
    """Sessions of threads and of heartbeats alike, several a second."""
    jobs = 2_400 if is_short else 30_000
    with tenant_db.connect() as tx:
        fill(tx, jobs)
    cuts = while_harming(
        lambda: look(tenant_db, CUT_ONE, tenant_db.name), 0.15, lambda: drain(tenant_db, tmp_path)
    )

    assert look(tenant_db, "SELECT count(*), count(DISTINCT job_id) FROM jobs.done") == [(jobs, jobs)]
    assert look(tenant_db, "SELECT count(*) FROM jobs.dead") == [(0,)]
    assert out_of_order(starts_of(tmp_path)) == []
    assert cuts >= 5


@pytest.mark.timeout(900)
def test_a_drain_through_crashes_of_the_server_ends_exactly(
    mortal_db: TenantDatabase, tmp_path: Path, *, is_short: bool
) -> None:
    """A session's process is killed, so PostgreSQL ends all others and recovers from its log."""
    jobs, dice = (3_000 if is_short else 40_000), random.SystemRandom()
    with mortal_db.connect() as tx:
        fill(tx, jobs)

    def crash() -> None:
        look_again(mortal_db, "SELECT 1")
        pids = [row[0] for row in look(mortal_db, SESSIONS, mortal_db.name)]
        if pids:
            crashed.append(dice.choice(pids))
            os.kill(crashed[-1], signal.SIGKILL)

    crashed: list[int] = []
    while_harming(crash, 1.5 if is_short else 4.0, lambda: drain(mortal_db, tmp_path))

    assert look_again(mortal_db, "SELECT count(*), count(DISTINCT job_id) FROM jobs.done") == [(jobs, jobs)]
    assert look(mortal_db, "SELECT count(*) FROM jobs.dead") == [(0,)]
    assert count_starts(tmp_path) >= jobs
    assert len(crashed) >= 1
