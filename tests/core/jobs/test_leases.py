"""Who may do what to a job: explicit interleavings on two connections, as the customer's own login."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
import pytest

from platform_core.db import Tx, load_queries
from platform_core.jobs import queue, settlement
from platform_core.jobs.connections import Connections
from platform_core.jobs.contracts import CancelCounts, HandlerSpec, JobContext, NewJob, RunCounts
from platform_core.jobs.execution import Settled, Settlement
from platform_core.jobs.lease import Lease, open_lease
from platform_core.jobs.lifecycle import JobState
from platform_core.jobs.settlement import Exchange, exchange
from platform_core.values import Done, Outcome, Retry
from tests.support.databases import TenantDatabase
from tests.support.queues import AT_ONCE, add, change, expire_leases, look, make_runner, wait_until

Q = load_queries(queue.__file__)


def lease(tx: Tx, lease_s: float = 60.0) -> int:
    """A lease row without a heartbeat."""
    row = tx.execute("SELECT jobs.open_lease('test', %s)", (lease_s,)).fetchone()
    assert row is not None
    return int(row[0])


def claim(tx: Tx, holder: int, batch: int = 10) -> list[int]:
    """The ids of the jobs claimed."""
    answer = exchange(tx, holder, [], batch=batch, backoff=AT_ONCE)
    return [row.id for row in answer.claimed]


def settle(tx: Tx, holder: int, *settlements: Settlement) -> Exchange:
    """Settle without claiming."""
    return exchange(tx, holder, settlements, batch=0, backoff=AT_ONCE)


def bury(tx: Tx) -> list[tuple[int, str]]:
    """What became of the jobs of expired leases."""
    return [(row[0], row[1]) for row in tx.execute(Q["lease_bury"])]


@contextmanager
def two(db: TenantDatabase) -> Iterator[tuple[Tx, Tx]]:
    """Two connections that give up waiting for locks soon."""
    with db.connect() as one, db.connect() as other:
        for tx in (one, other):
            tx.execute("SET lock_timeout = '200ms'")
        yield one, other


def test_two_workers_never_claim_one_job(tenant_db: TenantDatabase) -> None:
    """Not while the first claim is open, and not after it."""
    ids = add(tenant_db, *["a"] * 6)
    with two(tenant_db) as (one, other):
        mine, theirs = lease(one), lease(other)
        with one.transaction():
            first = claim(one, mine, 3)
            second = claim(other, theirs, 10)
        third = claim(other, theirs, 10)

    assert (first, second, third) == (ids[:3], ids[3:], [])


def test_a_lease_opened_during_a_claim_is_alive_to_it(tenant_db: TenantDatabase) -> None:
    """No claim asks which leases live, so one that is not seen yet cannot be taken for dead."""
    add(tenant_db, "a", "a")
    with two(tenant_db) as (one, other), one.transaction():
        one.execute("SELECT count(*) FROM jobs.lease")
        young = lease(other)
        taken = claim(other, young, 1)
        rest = claim(one, lease(one), 10)

    assert (len(taken), len(rest)) == (1, 1)


def test_an_expired_or_unknown_lease_claims_nothing_and_is_not_revived(tenant_db: TenantDatabase) -> None:
    """Even while nobody has buried it."""
    add(tenant_db, "a")
    with tenant_db.connect() as tx:
        holder = lease(tx)
        expire_leases(tenant_db)
        beat = tx.execute(Q["lease_beat"], {"lease": holder, "lease_s": 60}).fetchone()
        answer = exchange(tx, holder, [], batch=10, backoff=AT_ONCE)
        unknown = exchange(tx, 999, [], batch=10, backoff=AT_ONCE)
        unasked = tx.execute(Q["job_claim"], settlement.reach_facts(holder, 9, settlement.ANYWHERE))
        change(tenant_db, "UPDATE jobs.job SET suspect = true")
        alone = settlement.claim_suspect(tx, holder)

    assert beat == (False, [])
    assert (answer.lease, answer.claimed) == ("expired", [])
    assert (unknown.lease, unknown.claimed) == ("gone", [])
    assert (unasked.fetchall(), alone) == ([], None)
    assert look(tenant_db, "SELECT attempt FROM jobs.job") == [(0,)]


def test_a_beat_being_committed_wins_over_a_burial(tenant_db: TenantDatabase) -> None:
    """And a beat after the expiry is too late, whether or not the burial is committed."""
    with two(tenant_db) as (one, other):
        holder = lease(one, 0.3)
        with one.transaction():
            alive = one.execute(Q["lease_beat"], {"lease": holder, "lease_s": 60}).fetchone()
            wait_until(
                lambda: (
                    look(tenant_db, "SELECT expires_at <= clock_timestamp() FROM jobs.lease") == [(True,)]
                ),
                "the committed expiry has passed",
            )
            buried_meanwhile = bury(other)
        still_there = look(tenant_db, "SELECT id FROM jobs.lease")
        expire_leases(tenant_db)
        with one.transaction():
            bury(one)
            late = other.execute(Q["lease_beat"], {"lease": holder, "lease_s": 60}).fetchone()

    assert (alive, buried_meanwhile, still_there, late) == ((True, []), [], [(holder,)], (False, []))


def test_a_completion_after_burial_changes_nothing_and_says_so(tenant_db: TenantDatabase) -> None:
    """Whatever it wants to make of the job."""
    ids = add(tenant_db, "a", "a", "a", "a", "a")
    outcomes: list[Settled] = ["done", "retried", "snoozed", "handed_back", "dead"]
    with two(tenant_db) as (zombie, other):
        old, new = lease(zombie), lease(other)
        claim(zombie, old)
        change(tenant_db, "UPDATE jobs.lease SET expires_at = now() - interval '1 s' WHERE id = %s", old)
        buried = bury(other)
        row = settlement.claim_suspect(other, new)
        late = settle(
            zombie, old, *(Settlement(job_id, outcome) for job_id, outcome in zip(ids, outcomes, strict=True))
        )

    assert sorted(buried) == [(job_id, "suspect") for job_id in ids]
    assert row is not None
    assert row.id == ids[0]
    assert (late.lease, late.settled) == ("gone", {})
    assert look(tenant_db, "SELECT id, lease_id, attempt FROM jobs.job ORDER BY id") == [
        (ids[0], new, 2),
        *((job_id, None, 1) for job_id in ids[1:]),
    ]
    assert look(tenant_db, "SELECT count(*) FROM jobs.done") == [(0,)]


def test_a_completion_of_another_leases_job_changes_nothing(tenant_db: TenantDatabase) -> None:
    """A valid lease does not help with a job it does not hold."""
    (job_id,) = add(tenant_db, "a")
    with two(tenant_db) as (one, other):
        claim(one, lease(one))
        stolen = settle(other, lease(other), Settlement(job_id, "done"))

    assert (stolen.lease, stolen.settled) == ("valid", {})
    assert look(tenant_db, "SELECT count(*) FROM jobs.job") == [(1,)]


def test_work_done_just_after_expiry_counts_if_nobody_took_it(tenant_db: TenantDatabase) -> None:
    """Better than running it twice; but nothing new is claimed under that lease."""
    first, second = add(tenant_db, "a", "a")
    with tenant_db.connect() as tx:
        holder = lease(tx)
        claim(tx, holder, 1)
        expire_leases(tenant_db)
        answer = exchange(tx, holder, [Settlement(first, "done")], batch=10, backoff=AT_ONCE)

    assert (answer.lease, answer.settled, answer.claimed) == ("expired", {first: "done"}, [])
    assert look(tenant_db, "SELECT id, attempt FROM jobs.job") == [(second, 0)]


def test_a_burial_waits_for_nobody_and_takes_nothing_from_a_completion_in_flight(
    tenant_db: TenantDatabase,
) -> None:
    """The lease row is locked first by both."""
    (job_id,) = add(tenant_db, "a")
    with two(tenant_db) as (one, other):
        holder = lease(one)
        claim(one, holder)
        expire_leases(tenant_db)
        with one.transaction():
            done = settle(one, holder, Settlement(job_id, "done"))
            buried = bury(other)
        after = bury(other)

    assert (done.settled, buried, after) == ({job_id: "done"}, [], [])
    assert look(tenant_db, "SELECT outcome FROM jobs.done") == [("done",)]


def test_cancel_waits_for_a_claim_in_flight_and_then_knows_who_runs(tenant_db: TenantDatabase) -> None:
    """A queued job is ended, a claimed one is told by the next beat."""
    first, second = add(tenant_db, "a", "a", entity="e")
    with two(tenant_db) as (one, other):
        holder = lease(one)
        with one.transaction():
            claim(one, holder, 1)
            with pytest.raises(psycopg.errors.LockNotAvailable):
                queue.cancel(other, entity="e")
        counts = queue.cancel(other, entity="e")
        beat = one.execute(Q["lease_beat"], {"lease": holder, "lease_s": 60}).fetchone()
        states = [queue.get_job(one, job_id).state for job_id in (first, second)]

    assert counts == CancelCounts(queued=1, running=1)
    assert beat == (True, [first])
    assert states == [JobState.RUNNING, JobState.CANCELLED]


def test_a_claim_passes_over_jobs_that_are_being_cancelled(tenant_db: TenantDatabase) -> None:
    """It does not wait, and it takes the others."""
    ids = add(tenant_db, "a", "a", entity="e")
    (other_job,) = add(tenant_db, "b")
    with two(tenant_db) as (one, other), one.transaction():
        queue.cancel(one, entity="e")
        claimed = claim(other, lease(other))

    assert claimed == [other_job]
    assert look(tenant_db, "SELECT job_id, outcome FROM jobs.done ORDER BY job_id") == [
        (job_id, "cancelled") for job_id in ids
    ]


def test_cancel_and_finish_meet_in_either_order(tenant_db: TenantDatabase) -> None:
    """What was finished first stays done; what was cancelled first and is done anyway says done."""
    first, second = add(tenant_db, "a", "a", entity="e")
    with two(tenant_db) as (one, other):
        holder = lease(one)
        claim(one, holder)
        with one.transaction():
            settle(one, holder, Settlement(first, "done"))
            with pytest.raises(psycopg.errors.LockNotAvailable):
                queue.cancel(other, entity="e")
        counts = queue.cancel(other, entity="e")
        late = settle(one, holder, Settlement(second, "done"))

    assert counts == CancelCounts(queued=0, running=1)
    assert late.settled == {second: "done"}
    assert look(tenant_db, "SELECT outcome FROM jobs.done") == [("done",), ("done",)]


@pytest.mark.parametrize("outcome", ["retried", "snoozed", "handed_back"])
def test_a_cancelled_job_that_is_put_back_ends_as_cancelled(tenant_db: TenantDatabase, outcome: str) -> None:
    """However it is put back, also by a burial."""
    first, second = add(tenant_db, "a", "a", entity="e")
    with tenant_db.connect() as tx:
        holder = lease(tx)
        claim(tx, holder)
        queue.cancel(tx, entity="e")
        answer = settle(tx, holder, Settlement(first, outcome))  # type: ignore[arg-type]  # a parameter is a str
        expire_leases(tenant_db)
        buried = bury(tx)

    assert answer.settled == {first: "cancelled"}
    assert buried == [(second, "cancelled")]
    assert look(tenant_db, "SELECT count(*) FROM jobs.job") == [(0,)]


def test_closing_a_lease_returns_what_a_claim_took_whose_answer_never_came(tenant_db: TenantDatabase) -> None:
    """With the attempt, and in the old place."""
    ids = add(tenant_db, "a", "a")
    with tenant_db.connect() as tx:
        holder = lease(tx)
        claim(tx, holder)
        closed = [tuple(row) for row in tx.execute(Q["lease_close"], {"lease": holder})]
        again = tx.execute(Q["lease_close"], {"lease": holder}).fetchall()
        next_claim = claim(tx, lease(tx))

    assert sorted(closed) == [(job_id, "handed_back") for job_id in ids]
    assert again == []
    assert next_claim == ids
    assert look(tenant_db, "SELECT DISTINCT attempt, suspect FROM jobs.job") == [(1, False)]


def test_only_the_last_job_of_a_dead_worker_or_the_one_it_announced_is_proven_guilty(
    tenant_db: TenantDatabase,
) -> None:
    """The others are suspects; a batch claim takes none of them."""
    ids = add(tenant_db, "a", "a", "a")
    (alone,) = add(tenant_db, "b")
    with tenant_db.connect() as tx:
        batch, single = lease(tx), lease(tx)
        claim(tx, batch, 3)
        claim(tx, single, 1)
        started = tx.execute(Q["job_start"], {"lease": batch, "job_id": ids[1]}).fetchone()
        expire_leases(tenant_db)
        bury(tx)
        refused = tx.execute(Q["job_start"], {"lease": batch, "job_id": ids[1]}).fetchone()
        claimed = claim(tx, lease(tx))

    assert (started, refused, claimed) == (("go",), ("lost",), [])
    assert look(tenant_db, "SELECT id, suspect, crashed, attempt FROM jobs.job ORDER BY id") == [
        (ids[0], True, False, 1),
        (ids[1], True, True, 1),
        (ids[2], True, False, 1),
        (alone, True, True, 1),
    ]


def test_suspects_run_one_at_a_time_under_a_lease_that_holds_nothing_else(tenant_db: TenantDatabase) -> None:
    """Also the one at its last attempt: it was only in the same batch."""
    ids = add(tenant_db, "a", "a", "a", max_attempts=1)
    held: list[tuple[list[int], int]] = []

    def handle(context: JobContext) -> Outcome:
        with context.tx() as tx:
            rows = tx.execute("SELECT holding FROM jobs.lease WHERE holding <> '{}'").fetchall()
        held.extend((row[0], context.job.attempt) for row in rows)
        return Done()

    with tenant_db.connect() as tx:
        claim(tx, lease(tx))
    expire_leases(tenant_db)
    counts = make_runner(tenant_db, {"a": handle}).run_until_empty()

    assert counts == RunCounts(done=3)
    assert held == [([job_id], 2) for job_id in ids]


def test_a_suspect_that_fails_without_killing_is_an_ordinary_job_again(tenant_db: TenantDatabase) -> None:
    """Its history says what happened."""
    (job_id,) = add(tenant_db, "a")
    with tenant_db.connect() as tx:
        claim(tx, lease(tx))
        expire_leases(tenant_db)
        answers: Iterator[Outcome] = iter((Retry("not yet"), Done()))
        counts = make_runner(tenant_db, {"a": lambda _: next(answers)}).run_until_empty()
        job = queue.get_job(tx, job_id)

    assert counts == RunCounts(retried=1, done=1)
    assert (job.state, job.attempt) == (JobState.DONE, 3)
    assert [error.error for error in job.errors] == [
        "the worker test stopped while it held this job",
        "not yet",
    ]


@pytest.mark.parametrize(
    ("spec", "crashes", "expected"),
    [
        (HandlerSpec(lambda _: Done(), max_attempts=2), 1, RunCounts(done=1)),
        (HandlerSpec(lambda _: Done(), max_attempts=2), 2, RunCounts(dead=1)),
        (HandlerSpec(lambda _: Done(), max_attempts=9, after_crash="dead"), 1, RunCounts(dead=1)),
    ],
)
def test_a_job_that_keeps_killing_its_worker_dies(
    tenant_db: TenantDatabase, spec: HandlerSpec, crashes: int, expected: RunCounts
) -> None:
    """After its attempts, or after the first when its kind must not be repeated."""
    add(tenant_db, "a")
    with tenant_db.connect() as tx:
        claim(tx, lease(tx))
        for _ in range(crashes - 1):
            expire_leases(tenant_db)
            bury(tx)
            settlement.claim_suspect(tx, lease(tx))
    expire_leases(tenant_db)
    counts = make_runner(tenant_db, {"a": spec}).run_until_empty()

    assert counts == expected
    dead = [("crashed", crashes)] if expected.dead else []
    assert look(tenant_db, "SELECT cause, attempt FROM jobs.dead") == dead


def test_a_worker_that_was_too_slow_says_what_it_lost_and_goes_on_under_a_new_lease(
    tenant_db: TenantDatabase,
) -> None:
    """Its late transaction is refused, its completion changes nothing, its suspect is run again."""
    first, second = add(tenant_db, "a", "b")
    seen: list[tuple[str, int]] = []

    def loses_its_lease(context: JobContext) -> Outcome:
        seen.append(("a", context.job.attempt))
        if context.job.attempt == 1:
            with tenant_db.connect() as other:
                expire_leases(tenant_db)
                bury(other)
            wait_until(context.cancelled, "the lease is known to be lost")
            with context.tx():
                raise AssertionError("a transaction without a lease")
        return Done()

    def notes_itself(context: JobContext) -> Outcome:
        seen.append(("b", context.job.attempt))
        return Done()

    counts = make_runner(tenant_db, {"a": loses_its_lease, "b": notes_itself}, lease_s=1.0).run_until_empty()

    assert counts == RunCounts(done=2, lost=1)
    assert seen == [("a", 1), ("a", 2), ("b", 2)]
    assert look(tenant_db, "SELECT job_id, outcome FROM jobs.done ORDER BY job_id") == [
        (first, "done"),
        (second, "done"),
    ]


def test_a_long_job_keeps_its_lease_even_if_the_heartbeats_connection_is_cut(
    tenant_db: TenantDatabase,
) -> None:
    """The beat reconnects; nobody buries the lease."""
    add(tenant_db, "long")
    cut: list[int] = []

    def long(context: JobContext) -> Outcome:
        with tenant_db.connect() as other:
            for _ in range(2):
                wait_until(
                    lambda: bool(look(tenant_db, BEATING, tenant_db.name)),
                    "the heart beats on a connection of its own",
                )
                cut.extend(row[0] for row in look(tenant_db, CUT, tenant_db.name, "job-lease"))
            ends = time.monotonic() + 1.5
            wait_until(lambda: time.monotonic() > ends, "more than a lease's time has passed")
            assert bury(other) == []
        return Retry("lost") if context.cancelled() else Done()

    assert make_runner(tenant_db, {"long": long}, lease_s=1.2).run_until_empty() == RunCounts(done=1)
    assert len(cut) >= 2


def test_a_runner_whose_connection_is_cut_again_and_again_loses_and_doubles_nothing(
    tenant_db: TenantDatabase,
) -> None:
    """Each cut costs a lease; results are settled on the next connection."""
    jobs = 400
    with tenant_db.connect() as tx:
        queue.enqueue_many(tx, [NewJob("a", {})] * jobs)
    ended = threading.Event()

    def slowly(_context: JobContext) -> Outcome:
        threading.Event().wait(0.003)
        return Done()

    def cut_now_and_then() -> None:
        while not ended.wait(0.15):
            look(tenant_db, CUT, tenant_db.name, "job-runner")

    cutter = threading.Thread(target=cut_now_and_then)
    cutter.start()
    try:
        handler = HandlerSpec(slowly, max_attempts=100)
        counts = make_runner(tenant_db, {"a": handler}, deadline_s=60.0, lease_s=2.0).run_until_empty()
    finally:
        ended.set()
        cutter.join()

    assert look(tenant_db, "SELECT count(*), count(DISTINCT job_id) FROM jobs.done") == [(jobs, jobs)]
    assert look(tenant_db, "SELECT count(*) FROM jobs.job") == [(0,)]
    assert (counts.done, counts.lost, counts.dead) == (jobs, 0, 0)


def test_a_connection_cut_while_a_lease_is_asked_for_costs_nothing(tenant_db: TenantDatabase) -> None:
    """The next connection asks again; a run ends only when no connection is to be had."""

    class CutTwice(Connections):
        """Its first two connections are dead when they are handed over."""

        cuts = 0

        def take(self) -> Tx:
            """One to PostgreSQL, which may already have hung up."""
            connection = super().take()
            if self.cuts < 2:
                self.cuts += 1
                look(tenant_db, "SELECT pg_terminate_backend(%s, 5000)", connection.info.backend_pid)
            return connection

    add(tenant_db, "a")
    runner = make_runner(
        tenant_db, {"a": lambda _: Done()}, connections=CutTwice(tenant_db.dsn), preparing=False
    )

    assert runner.run_until_empty() == RunCounts(done=1)


def test_a_job_that_commits_late_is_found_before_the_queue_is_believed_empty(
    tenant_db: TenantDatabase,
) -> None:
    """It lies below the floor: its run time is older than what was claimed already."""
    with tenant_db.connect() as late:
        late.execute("BEGIN")
        queue.enqueue(late, "late", {})
        add(tenant_db, *["a"] * 3)
        seen: list[str] = []

        def handle(context: JobContext) -> Outcome:
            seen.append(context.job.kind)
            if len(seen) == 3:
                late.execute("COMMIT")
            return Done()

        counts = make_runner(tenant_db, {"a": handle, "late": handle}).run_until_empty()

    assert counts == RunCounts(done=4)
    assert seen == ["a", "a", "a", "late"]


def test_a_lease_is_lost_by_our_own_clock_before_anybody_may_take_it(tenant_db: TenantDatabase) -> None:
    """Even when PostgreSQL cannot be asked; and it stays lost when the clock looks young again."""
    now = [time.monotonic()]
    with tenant_db.connect() as tx:
        held: Lease = open_lease(tenant_db.dsn, tx, worker="w", lease_s=30.0, monotonic=lambda: now[0])
        young = held.lost
        now[0] += 30.0
        old = held.lost
        now[0] -= 30.0
        after = held.lost
        held.stop_beating()

    assert (young, old, after) == (False, True, True)


def test_a_worker_with_a_wrong_clock_runs_nothing_early_or_twice(tenant_db: TenantDatabase) -> None:
    """Times are compared by PostgreSQL alone: a job due in a minute stays, whatever this machine believes."""
    with tenant_db.connect() as tx:
        queue.enqueue(tx, "now", {})
        queue.enqueue(tx, "later", {}, run_at=datetime.now(UTC).replace(year=2100))
    for skew in (-3600.0, 3600.0):
        make_runner(
            tenant_db,
            {"now": lambda _: Done(), "later": lambda _: Done()},
            monotonic=lambda s=skew: time.monotonic() + s,
        ).run_until_empty()

    assert look(tenant_db, "SELECT kind, attempt FROM jobs.done") == [("now", 1)]
    assert look(tenant_db, "SELECT kind, attempt FROM jobs.job") == [("later", 0)]


BEATING = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name = 'job-lease'"
CUT = (
    "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name = %s"
)
