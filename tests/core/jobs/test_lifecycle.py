"""The states of a job: one definition, and its mirrors in SQL."""

from __future__ import annotations

import re

from platform_core.db import load_queries
from platform_core.jobs import queue
from platform_core.jobs.contracts import DeadCause
from platform_core.jobs.lifecycle import FINAL, MOVES, JobState
from platform_core.jobs.pace import FIRST_BATCH, SLOW_BATCH, Pace
from tests.support.databases import TenantDatabase
from tests.support.queues import look

Q = load_queries(queue.__file__)


def test_the_statements_move_jobs_exactly_as_the_life_cycle_says() -> None:
    """Every move has a statement that announces it, and no statement announces another.

    A suspect is cancelled by the same statement as a queued job.
    """
    announced = {
        (JobState(old), JobState(new))
        for name in Q
        for old, new in re.findall(r"-- moves: (\w+) -> (\w+)", Q[name].decode())
    }

    assert announced | {(JobState.SUSPECT, JobState.CANCELLED)} == MOVES
    assert {old for old, _ in MOVES} & FINAL == {JobState.DEAD}


def test_the_checks_list_the_same_words(tenant_db: TenantDatabase) -> None:
    """Outcomes of history and causes of death."""
    checks = {
        name: set(re.findall(r"'([a-z_]+)'", text))
        for name, text in look(
            tenant_db,
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE conname IN ('done_outcome_is_known', 'dead_cause_is_known') AND conparentid = 0",
        )
    }

    assert checks["done_outcome_is_known"] == {JobState.DONE.value, JobState.CANCELLED.value}
    assert checks["dead_cause_is_known"] == {cause.value for cause in DeadCause}


def test_the_batch_follows_the_speed_of_the_jobs() -> None:
    """Up by steps, down at once: half a second of work, so that a crash reruns little."""
    pace = Pace(500)
    sizes = [pace.batch]
    for jobs, elapsed_s in ((10, 0.0001), (40, 0.001), (160, 0.01), (500, 5.0), (50, 50.0), (0, 1.0)):
        pace.record(jobs, elapsed_s)
        sizes.append(pace.batch)

    assert sizes == [FIRST_BATCH, 40, 160, 500, 50, SLOW_BATCH, SLOW_BATCH]
    assert Pace(1).batch == 1
