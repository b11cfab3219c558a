"""Handlers that are coroutine functions: run to their end, cancelled when their time is over."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from platform_core.errors import NotFound, RateLimited
from platform_core.jobs import queue
from platform_core.jobs.backoff import Backoff
from platform_core.jobs.contracts import AsyncHandler, HandlerSpec, JobContext, RunCounts
from platform_core.values import Dead, Done, Outcome, Retry, Snooze
from tests.support.databases import TenantDatabase
from tests.support.queues import add, look, make_runner, wait_until

SLOW = Backoff(base_s=100.0, cap_s=3600.0)


def raising(error: BaseException) -> AsyncHandler:
    """A handler that fails after a moment."""

    async def handle(_context: JobContext) -> Outcome:
        await asyncio.sleep(0)
        raise error

    return handle


def giving(outcome: Outcome) -> AsyncHandler:
    """A handler with that answer."""

    async def handle(_context: JobContext) -> Outcome:
        await asyncio.sleep(0)
        return outcome

    return handle


def test_every_outcome_of_a_coroutine_ends_where_it_should(tenant_db: TenantDatabase) -> None:
    """Answers and exceptions alike, a SystemExit too; the loop goes on with the next."""
    handlers = {
        "done": giving(Done("a note")),
        "retry": giving(Retry("again")),
        "snooze": giving(Snooze("later")),
        "dead": giving(Dead("never")),
        "missing": raising(NotFound("There is no claim C1")),
        "limited": raising(RateLimited("slow down", retry_after_s=3000)),
        "foreign": raising(ValueError("+56 9 1234 5678 is secret")),
        "exits": raising(SystemExit(3)),
        "interrupts": raising(KeyboardInterrupt()),
        "last": giving(Done()),
    }
    add(tenant_db, *handlers)
    specs = {kind: HandlerSpec(handler) for kind, handler in handlers.items()}
    counts = make_runner(tenant_db, specs, backoff=SLOW, concurrency=1).run_until_empty()

    assert counts == RunCounts(done=2, retried=4, snoozed=2, dead=2)
    assert look(tenant_db, "SELECT kind, attempt FROM jobs.job ORDER BY id") == [
        ("retry", 1),
        ("snooze", 0),
        ("limited", 0),
        ("foreign", 1),
        ("exits", 1),
        ("interrupts", 1),
    ]
    assert "1234" not in str(look(tenant_db, "SELECT errors FROM jobs.job"))


def test_a_coroutine_over_its_time_is_cancelled_and_retried(tenant_db: TenantDatabase) -> None:
    """It may clean up; the next job of the thread runs."""
    cleaned: list[str] = []

    async def endless(_context: JobContext) -> Outcome:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("yes")
        return Done()

    add(tenant_db, "endless", "good")
    specs = {"endless": HandlerSpec(endless, timeout_s=0.2), "good": HandlerSpec(giving(Done()))}
    counts = make_runner(tenant_db, specs, backoff=SLOW, concurrency=1, grace_s=10.0).run_until_empty()

    assert (counts, cleaned) == (RunCounts(done=1, retried=1), ["yes"])
    ((errors,),) = look(tenant_db, "SELECT errors FROM jobs.job")
    assert [(error["attempt"], error["error"]) for error in errors] == [
        (1, "it did not end within its 0.2 s")
    ]


@pytest.mark.parametrize("listens", [True, False])
def test_a_coroutine_whose_job_a_person_cancels_is_cancelled(
    tenant_db: TenantDatabase, *, listens: bool
) -> None:
    """Through the heartbeat; it need not ask. One that ends well all the same is done."""
    running = threading.Event()

    async def waits(_context: JobContext) -> Outcome:
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if listens:
                raise
        return Done("it was too late to stop")

    (job_id,) = add(tenant_db, "a", entity="claim:1")
    results: list[RunCounts] = []
    runner = make_runner(tenant_db, {"a": HandlerSpec(waits)}, lease_s=0.8)
    thread = threading.Thread(target=lambda: results.append(runner.run_until_empty()))
    thread.start()
    wait_until(running.is_set, "it runs")
    with tenant_db.connect() as tx:
        queue.cancel(tx, entity="claim:1")
    thread.join(15)

    assert results == [RunCounts(cancelled=1) if listens else RunCounts(done=1)]
    assert look(tenant_db, "SELECT job_id, outcome, note FROM jobs.done") == [
        (job_id, "cancelled", "cancelled while it ran")
        if listens
        else (job_id, "done", "it was too late to stop")
    ]


def test_a_coroutine_that_blocks_its_loop_is_given_up(tenant_db: TenantDatabase) -> None:
    """It cannot be cancelled; its thread is abandoned and the others run."""
    release = threading.Event()

    async def blocks(_context: JobContext) -> Outcome:
        release.wait(20)
        return Done()

    add(tenant_db, "blocks", "good")
    specs = {"blocks": HandlerSpec(blocks, timeout_s=0.1), "good": HandlerSpec(giving(Done()))}
    began_s = time.monotonic()
    counts = make_runner(tenant_db, specs, backoff=SLOW, concurrency=1, grace_s=0.2).run_until_empty()
    took_s = time.monotonic() - began_s
    release.set()

    assert (counts.done, counts.retried, took_s < 10) == (1, 1, True)
    assert look(tenant_db, "SELECT kind, lease_id FROM jobs.job") == [("blocks", None)]


def test_a_coroutine_that_ignores_its_cancellation_is_given_up(tenant_db: TenantDatabase) -> None:
    """However often it is told."""
    release = threading.Event()

    async def stubborn(_context: JobContext) -> Outcome:
        while not release.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue
        return Done()

    add(tenant_db, "stubborn", "good")
    specs = {"stubborn": HandlerSpec(stubborn, timeout_s=0.1), "good": HandlerSpec(giving(Done()))}
    counts = make_runner(tenant_db, specs, backoff=SLOW, grace_s=0.3).run_until_empty()
    release.set()

    assert (counts.done, counts.retried) == (1, 1)
    assert look(tenant_db, "SELECT kind, attempt, lease_id FROM jobs.job") == [("stubborn", 1, None)]


def test_a_coroutine_uses_transactions_as_any_handler_does(tenant_db: TenantDatabase) -> None:
    """What it enqueues is there when it committed."""

    async def enqueues(context: JobContext) -> Outcome:
        await asyncio.sleep(0)
        with context.tx() as tx:
            queue.enqueue(tx, "good", {"from": context.job.id})
        return Done()

    (job_id,) = add(tenant_db, "first")
    specs = {"first": HandlerSpec(enqueues), "good": HandlerSpec(giving(Done()))}
    counts = make_runner(tenant_db, specs).run_until_empty()

    assert counts == RunCounts(done=2)
    assert look(tenant_db, "SELECT payload FROM jobs.done WHERE kind = 'good'") == [({"from": job_id},)]


def test_a_task_that_a_coroutine_leaves_behind_does_not_outlive_the_run(tenant_db: TenantDatabase) -> None:
    """It is cancelled when the thread's loop is closed."""
    ended: list[str] = []

    async def lingers() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def leaves(_context: JobContext) -> Outcome:
        left.append(asyncio.create_task(lingers()))
        await asyncio.sleep(0)
        return Done()

    left: list[asyncio.Task[None]] = []
    add(tenant_db, "a")
    counts = make_runner(tenant_db, {"a": HandlerSpec(leaves)}).run_until_empty()

    assert (counts, ended) == (RunCounts(done=1), ["cancelled"])
