"""Fairness: one noisy customer and fifty quiet ones, served by one process."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest

from platform_core.jobs import queue
from platform_core.jobs.contracts import HandlerSpec, JobContext, NewJob
from platform_core.jobs.rounds import Post, Rounds
from platform_core.values import Done, Outcome
from tests.support.databases import Databases, TenantDatabase
from tests.support.queues import add, build_context, look, wait_until

WAITED = "SELECT extract(epoch FROM finished_at - created_at)::float FROM jobs.done WHERE kind = 'quiet'"
P95_S = 4.0
"""Two hands, slices of half a second, a look a second, and a slow machine."""


@pytest.mark.timeout(900)
def test_fifty_quiet_customers_hardly_wait_for_a_noisy_one(databases: Databases, *, is_short: bool) -> None:
    """95 of 100 of their jobs are done within seconds, while hours of the noisy one's work are waiting."""
    quiet, rounds_of_jobs = (15, 3) if is_short else (50, 20)

    def noisy(_context: JobContext) -> Outcome:
        threading.Event().wait(0.005)
        return Done()

    specs = {"noisy": HandlerSpec(noisy), "quiet": HandlerSpec(lambda _: Done())}
    with ExitStack() as stack:
        tenants = [stack.enter_context(databases.tenant()) for _ in range(quiet + 1)]
        with tenants[0].connect() as tx:
            queue.enqueue_many(tx, [NewJob("noisy", {})] * 50_000)
        posts = {db.slug: Post(db.slug, db.dsn, specs, build_context) for db in tenants}
        rounds = Rounds(lambda: posts, hands=2)
        server = threading.Thread(target=rounds.serve)
        server.start()
        try:
            wait_until(lambda: look(tenants[0], "SELECT count(*) FROM jobs.done") != [(0,)], "it serves")
            began_s = time.monotonic()
            for _ in range(rounds_of_jobs):
                for db in tenants[1:]:
                    add(db, "quiet")
                wait_until(lambda: not any(map(has_jobs, tenants[1:])), "all quiet ones are served")
            took_s = time.monotonic() - began_s
        finally:
            rounds.stop()
            server.join(60)
        waits = sorted(row[0] for db in tenants[1:] for row in look(db, WAITED))
        noisy_done = look(tenants[0], "SELECT count(*) FROM jobs.done")[0][0]

    assert len(waits) == quiet * rounds_of_jobs
    assert waits[int(len(waits) * 0.95)] <= P95_S, waits[-5:]
    assert noisy_done >= 20 * took_s  # and the noisy one is not starved in its turn


def has_jobs(db: TenantDatabase) -> bool:
    """Whether it waits for anything."""
    return look(db, "SELECT count(*) FROM jobs.job") != [(0,)]
