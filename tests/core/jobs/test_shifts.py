"""Several threads in one runner: what they share, what they keep from each other, and a suspect's solo."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from platform_core.jobs import queue
from platform_core.jobs.contracts import HandlerSpec, JobContext, NewJob, RunCounts
from platform_core.jobs.runner import MAX_GIVEN_UP
from platform_core.jobs.solo import Solo
from platform_core.jobs.tracing import Span
from platform_core.values import Done, Outcome
from tests.support.claims import bury, claim_ids, lease_row
from tests.support.databases import TenantDatabase
from tests.support.queues import add, expire_leases, look, make_runner, wait_until

HELD = "SELECT coalesce(sum(cardinality(holding)), 0) FROM jobs.lease"


def fill(db: TenantDatabase, jobs: int) -> None:
    """So many jobs of kind a."""
    with db.connect() as tx:
        queue.enqueue_many(tx, [NewJob("a", {})] * jobs)


def test_all_threads_together_hold_at_most_one_batch(tenant_db: TenantDatabase) -> None:
    """That is what a crash reruns; and they do run side by side."""
    fill(tenant_db, 600)
    held: list[int] = []
    threads: set[int] = set()

    def handle(context: JobContext) -> Outcome:
        threads.add(threading.get_ident())
        if context.job.id % 20 == 0:
            with tenant_db.connect() as tx:
                (row,) = tx.execute(HELD).fetchall()
            held.append(row[0])
        return Done()

    counts = make_runner(tenant_db, {"a": handle}, max_batch=30, concurrency=3).run_until_empty()

    assert counts == RunCounts(done=600)
    assert (max(held) <= 30, len(threads) >= 2) == (True, True)


def test_a_thread_that_is_stuck_stops_no_other(tenant_db: TenantDatabase) -> None:
    """Its job is given up, all others are done by the rest."""
    release = threading.Event()
    done_meanwhile: list[int] = []

    def handle(context: JobContext) -> Outcome:
        if context.job.kind == "deaf":
            release.wait(20)
        else:
            threading.Event().wait(0.002)
            done_meanwhile.append(context.job.id)
        return Done()

    add(tenant_db, "deaf")
    fill(tenant_db, 200)
    specs = {"deaf": HandlerSpec(handle, timeout_s=1.0, max_attempts=1), "a": HandlerSpec(handle)}
    counts = make_runner(tenant_db, specs, grace_s=0.5).run_until_empty()
    release.set()

    assert counts.done == 200
    assert (counts.dead, counts.lost) == (1, 0)
    assert len(done_meanwhile) == 200
    assert look(tenant_db, "SELECT count(*) FROM jobs.lease") == [(0,)]


def test_a_process_with_too_many_stuck_threads_ends_in_order(tenant_db: TenantDatabase) -> None:
    """It is ill; the queue is left to a healthy one."""
    release = threading.Event()

    def deaf(_context: JobContext) -> Outcome:
        release.wait(20)
        return Done()

    fill(tenant_db, 10)
    spec = HandlerSpec(deaf, timeout_s=0.1, max_attempts=1)
    counts = make_runner(tenant_db, {"a": spec}, grace_s=0.1, concurrency=1).run_until_empty()
    release.set()

    assert counts.dead == MAX_GIVEN_UP
    assert look(tenant_db, "SELECT count(*), max(attempt) FROM jobs.job WHERE lease_id IS NULL") == [
        (10 - MAX_GIVEN_UP, 0)
    ]


def test_a_failure_in_one_thread_ends_the_run_in_order_and_is_raised(tenant_db: TenantDatabase) -> None:
    """The others settle what they ran and hand back the rest; nothing is left to expire."""
    fill(tenant_db, 100)
    ran: list[int] = []

    def handle(context: JobContext) -> Outcome:
        ran.append(context.job.id)
        threading.Event().wait(0.002)
        return Done()

    failed = threading.Event()

    def fail(_spans: object) -> None:
        if len(ran) > 20 and not failed.is_set():
            failed.set()
            raise RuntimeError("cannot record")

    with pytest.raises(RuntimeError, match="cannot record"):
        make_runner(tenant_db, {"a": handle}, max_batch=20, record_spans=fail).run_until_empty()

    assert look(tenant_db, "SELECT count(*) FROM jobs.lease") == [(0,)]
    assert look(tenant_db, "SELECT count(*) FROM jobs.done") == [(len(ran),)]
    assert look(tenant_db, "SELECT count(*), max(attempt) FROM jobs.job") == [(100 - len(ran), 0)]


def test_stop_hands_back_what_no_thread_has_started(tenant_db: TenantDatabase) -> None:
    """All of them end, with their attempts as they were."""
    fill(tenant_db, 200)
    ran: list[int] = []

    def handle(context: JobContext) -> Outcome:
        ran.append(context.job.id)
        threading.Event().wait(0.005)
        if len(ran) == 30:
            runner.stop()
        return Done()

    runner = make_runner(tenant_db, {"a": handle}, max_batch=60, concurrency=3)
    counts = runner.run_until_empty()

    assert (counts.done, counts.lost) == (len(ran), 0)
    assert look(tenant_db, "SELECT count(*), max(attempt) FROM jobs.job WHERE lease_id IS NULL") == [
        (200 - len(ran), 0)
    ]


def test_a_suspect_has_the_process_to_itself(tenant_db: TenantDatabase) -> None:
    """No other thread holds a job while it runs, so one that kills takes nothing along."""
    (suspect,) = add(tenant_db, "b")
    with tenant_db.connect() as tx:
        claim_ids(tx, lease_row(tx), 1)
        expire_leases(tenant_db)
        bury(tx)
    fill(tenant_db, 300)
    beside: list[int] = []
    during: Counter[str] = Counter()

    def handle(context: JobContext) -> Outcome:
        if context.job.id == suspect:
            with tenant_db.connect() as tx:
                (row,) = tx.execute(HELD).fetchall()
            beside.append(row[0])
            during["before"] = during["others"]
            threading.Event().wait(0.1)
            during["after"] = during["others"]
        else:
            during["others"] += 1
            threading.Event().wait(0.002)
        return Done()

    counts = make_runner(tenant_db, dict.fromkeys("ab", handle), max_batch=40).run_until_empty()

    assert counts == RunCounts(done=301)
    assert beside == [1]
    assert during["before"] == during["after"]


def test_those_who_want_to_be_alone_take_turns() -> None:
    """Two at once, while a third comes and goes; all end."""
    solo = Solo()
    alone: list[int] = []
    most: list[int] = []

    def member(number: int) -> None:
        solo.enter(number)
        for _ in range(20):
            if number < 2:
                with solo.alone(number, lambda: False) as granted:
                    assert granted
                    alone.append(number)
                    most.append(len(alone))
                    alone.remove(number)
            elif solo.wanted:
                solo.step_aside(number)
        solo.leave(number)

    threads = [threading.Thread(target=member, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert [thread.is_alive() for thread in threads] == [False] * 3
    assert most == [1] * 40


def test_whoever_waits_to_be_alone_gives_up_when_the_time_is_over() -> None:
    """Somebody holds jobs and does not step aside."""
    solo = Solo()
    solo.enter("stuck")
    solo.enter("waiting")
    with solo.alone("waiting", lambda: True) as granted:
        pass

    assert (granted, solo.wanted) == (False, False)


def test_no_job_starts_after_the_deadline_and_the_last_ends_within_its_time_and_grace(
    tenant_db: TenantDatabase,
) -> None:
    """The time box of a cron run: deadline, plus one timeout, plus grace."""
    fill(tenant_db, 40)
    release = threading.Event()
    spans: list[Span] = []

    def deaf(_context: JobContext) -> Outcome:
        release.wait(20)
        return Done()

    began_s = time.monotonic()
    make_runner(
        tenant_db,
        {"a": HandlerSpec(deaf, timeout_s=0.4)},
        deadline_s=0.5,
        grace_s=0.2,
        record_spans=spans.extend,
    ).run_until_empty()
    took_s = time.monotonic() - began_s
    release.set()

    assert took_s < 0.5 + 0.4 + 0.2 + 1.5
    assert max(span.began_ns for span in spans) - min(span.began_ns for span in spans) <= 0.6e9
    assert look(tenant_db, "SELECT count(*) FROM jobs.lease") == [(0,)]


def test_two_overlapping_cron_runs_share_the_work(tenant_db: TenantDatabase) -> None:
    """The second starts while the first still runs; each job runs once."""
    fill(tenant_db, 400)
    ran: Counter[int] = Counter()
    results: list[RunCounts] = []
    lock = threading.Lock()

    def handle(context: JobContext) -> Outcome:
        with lock:
            ran[context.job.id] += 1
        threading.Event().wait(0.002)
        return Done()

    def run() -> None:
        results.append(make_runner(tenant_db, {"a": handle}, max_batch=20).run_until_empty())

    first, second = threading.Thread(target=run), threading.Thread(target=run)
    first.start()
    wait_until(lambda: len(ran) > 20, "the first is at it")
    second.start()
    first.join()
    second.join()

    assert sum(result.done for result in results) == 400
    assert min(result.done for result in results) > 0
    assert set(ran.values()) == {1}
