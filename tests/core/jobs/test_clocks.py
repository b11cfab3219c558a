"""Workers whose clocks are wrong: PostgreSQL's clock alone says what is due and whose lease is over."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from platform_core.jobs import queue
from platform_core.jobs.contracts import HandlerSpec, JobContext, Limit, NewJob, RunCounts
from platform_core.jobs.tracing import Span
from platform_core.values import Done, Outcome
from tests.support.databases import TenantDatabase
from tests.support.queues import add, look, make_runner

HOUR_S = 3600.0


def test_workers_an_hour_apart_run_nothing_early_and_nothing_twice(tenant_db: TenantDatabase) -> None:
    """Three at once, over the open line, a capped and an ordered kind."""
    ran: Counter[int] = Counter()
    order: list[int] = []
    lock = threading.Lock()

    def handle(context: JobContext) -> Outcome:
        with lock:
            ran[context.job.id] += 1
            if context.job.kind == "ordered":
                order.append(context.job.id)
        threading.Event().wait(0.002)
        return Done()

    soon = datetime.now(UTC) + timedelta(minutes=30)
    with tenant_db.connect() as tx:
        new = [NewJob(kind, {}) for _ in range(60) for kind in ("free", "capped", "ordered")]
        ids = [made.job_id for made in queue.enqueue_many(tx, new)]
        later = queue.enqueue(tx, "free", {}, run_at=soon).job_id
    specs = {
        "free": HandlerSpec(handle),
        "capped": HandlerSpec(handle, limit=Limit(max_running=3)),
        "ordered": HandlerSpec(handle, ordered=True),
    }
    workers = [
        threading.Thread(
            target=make_runner(
                tenant_db, specs, monotonic=lambda skew_s=skew_s: time.monotonic() + skew_s
            ).run_until_empty
        )
        for skew_s in (-HOUR_S, 0.0, HOUR_S)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert ran == Counter(ids)
    assert order == sorted(order)
    assert look(tenant_db, "SELECT id, attempt FROM jobs.job") == [(later, 0)]


@pytest.mark.parametrize("jump_s", [-HOUR_S, HOUR_S])
def test_a_clock_that_jumps_while_a_job_runs_costs_no_job(tenant_db: TenantDatabase, jump_s: float) -> None:
    """At worst the worker believes that its time or its lease is over, and ends in order."""
    ahead_s = [0.0]
    ran: Counter[int] = Counter()

    def handle(context: JobContext) -> Outcome:
        ran[context.job.id] += 1
        if len(ran) == 3:
            ahead_s[0] = jump_s
        return Done()

    ids = add(tenant_db, *["a"] * 9)
    spec = {"a": HandlerSpec(handle, timeout_s=2 * HOUR_S)}
    first = make_runner(
        tenant_db, spec, concurrency=1, monotonic=lambda: time.monotonic() + ahead_s[0]
    ).run_until_empty()
    second = make_runner(tenant_db, spec).run_until_empty()

    assert first.done + second.done == 9
    assert (first.lost, second.lost, ran) == (0, 0, Counter(ids))
    assert look(tenant_db, "SELECT max(attempt), count(*) FROM jobs.done") == [(1, 9)]


def test_a_span_begins_when_the_machines_clock_says(tenant_db: TenantDatabase) -> None:
    """Whatever the monotonic clock counts from."""
    spans: list[Span] = []
    add(tenant_db, "a")
    counts = make_runner(
        tenant_db,
        {"a": lambda _: Done()},
        record_spans=spans.extend,
        monotonic=lambda: time.monotonic() + HOUR_S,
    ).run_until_empty()
    now_s = datetime.now(UTC).timestamp()

    assert counts == RunCounts(done=1)
    assert [abs(span.began_ns / 1e9 - now_s) < 10 and span.waited_s < 10 for span in spans] == [True]
