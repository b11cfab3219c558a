"""The queue's verbs, in the caller's transaction and as the customer's own login."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import psycopg
import pytest

from platform_core.errors import InvalidInput, InvalidTime, NotFound, StateConflict
from platform_core.jobs import queue
from platform_core.jobs.contracts import CancelCounts, DeadCause, Enqueued, NewJob
from platform_core.jobs.cron import enqueue_tick
from platform_core.jobs.lifecycle import JobState
from platform_core.values import Actor, Dead, Done
from tests.support.databases import TenantDatabase
from tests.support.queues import add, change, look, make_runner

OPS = Actor("user", "ops-1", "ops")


def test_a_job_is_enqueued_with_the_callers_transaction_or_not_at_all(tenant_db: TenantDatabase) -> None:
    """Rolling back takes the job along."""
    with tenant_db.connect() as tx:
        with tx.transaction(force_rollback=True):
            queue.enqueue(tx, "a", {})
        with tx.transaction():
            kept = queue.enqueue(tx, "b", {"n": 1}, entity="claim:1", max_attempts=3)

    assert look(tenant_db, "SELECT id, kind, payload, entity, max_attempts, attempt FROM jobs.job") == [
        (kept.job_id, "b", {"n": 1}, "claim:1", 3, 0)
    ]


def test_a_key_makes_one_job_even_after_that_job_ended(tenant_db: TenantDatabase) -> None:
    """Idempotency outlives the job."""
    with tenant_db.connect() as tx:
        first = queue.enqueue(tx, "a", {"n": 1}, key="k")
        again = queue.enqueue(tx, "a", {"n": 2}, key="k")
        make_runner(tenant_db, {"a": lambda _: Done()}).run_until_empty()
        after = queue.enqueue(tx, "a", {"n": 3}, key="k")

    assert [first.created, again, after] == [
        True,
        Enqueued(first.job_id, created=False),
        Enqueued(first.job_id, created=False),
    ]
    assert look(tenant_db, "SELECT count(*) FROM jobs.job") == [(0,)]


def test_an_expired_key_is_forgotten_only_when_its_job_is_over(tenant_db: TenantDatabase) -> None:
    """A job that still lives, or is dead, keeps its key."""
    with tenant_db.connect() as tx:
        for key, kind in (("over", "done"), ("waits", "waits"), ("dead", "dead")):
            later = datetime.now(UTC) + timedelta(days=400) if kind == "waits" else None
            queue.enqueue(tx, kind, {}, key=key, run_at=later)
        make_runner(tenant_db, {"done": lambda _: Done(), "dead": lambda _: Dead("no")}).run_until_empty()
        change(tenant_db, "UPDATE jobs.key SET expires_at = now() - interval '1 day'")
        tx.execute("SELECT jobs.maintain()")

    assert look(tenant_db, "SELECT key FROM jobs.key ORDER BY key") == [("dead",), ("waits",)]


def test_two_transactions_with_one_key_make_one_job(tenant_db: TenantDatabase) -> None:
    """The second waits for the first; if the first gives up, the second makes the job."""
    with tenant_db.connect() as one, tenant_db.connect() as two:
        two.execute("SET lock_timeout = '200ms'")
        with one.transaction(force_rollback=True):
            queue.enqueue(one, "a", {}, key="k")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                queue.enqueue(two, "a", {}, key="k")
        second = queue.enqueue(two, "a", {}, key="k")

    assert second.created
    assert look(tenant_db, "SELECT id FROM jobs.job") == [(second.job_id,)]


def test_a_job_never_becomes_due_in_the_past(tenant_db: TenantDatabase) -> None:
    """Runners remember how far they read: a run time that has passed counts as now."""
    long_ago = datetime(2001, 1, 1, tzinfo=timezone(timedelta(hours=-3)))
    with tenant_db.connect() as tx:
        queue.enqueue(tx, "a", {}, run_at=long_ago)
        queue.enqueue_many(tx, [NewJob("b", {}, run_at=long_ago)])

    assert look(tenant_db, "SELECT kind FROM jobs.job WHERE run_at >= created_at ORDER BY id") == [
        ("a",),
        ("b",),
    ]


def test_many_jobs_are_enqueued_in_one_statement_and_answered_in_order(tenant_db: TenantDatabase) -> None:
    """Keys hold within the call, too."""
    with tenant_db.connect() as tx:
        old = queue.enqueue(tx, "a", {}, key="old")
        made = queue.enqueue_many(
            tx,
            [
                NewJob("a", {"n": 1}, key="old"),
                NewJob("b", {"n": 2}, key="new", entity="e", max_attempts=2),
                NewJob("c", {"n": 3}, key="new"),
                NewJob("d", {"n": 4}),
            ],
        )

    assert [job.created for job in made] == [False, True, False, True]
    assert made[0].job_id == old.job_id
    assert made[2].job_id == made[1].job_id
    assert look(tenant_db, "SELECT kind, payload, entity, max_attempts FROM jobs.job ORDER BY id") == [
        ("a", {}, None, None),
        ("b", {"n": 2}, "e", 2),
        ("d", {"n": 4}, None, None),
    ]


@pytest.mark.parametrize(
    "job",
    [
        NewJob("", {}),
        NewJob("Upper", {}),
        NewJob("a b", {}),
        NewJob("a" * 81, {}),
        NewJob("a", {"n": float("nan")}),
        NewJob("a", {"n": object()}),
        NewJob("a", {"text": "\x00"}),
        NewJob("a", {"text": "x" * 300_000}),
        NewJob("a", {}, key=""),
        NewJob("a", {}, key="k" * 301),
        NewJob("a", {}, entity="\x00"),
        NewJob("a", {}, max_attempts=0),
        NewJob("a", {}, max_attempts=1001),
    ],
)
def test_what_cannot_be_a_job_is_refused_before_the_database(tenant_db: TenantDatabase, job: NewJob) -> None:
    """And the caller's transaction stays usable."""
    with tenant_db.connect() as tx, tx.transaction():
        with pytest.raises(InvalidInput):
            queue.enqueue_many(tx, [NewJob("fine", {}), job])
        queue.enqueue(tx, "fine", {"text": "a literal \\u0000 is fine"})

    assert look(tenant_db, "SELECT kind FROM jobs.job") == [("fine",)]


@pytest.mark.parametrize(
    "run_at",
    [datetime(2026, 1, 1), datetime(9500, 1, 1, tzinfo=UTC)],  # noqa: DTZ001 - a naive time is the bad input
)
def test_a_run_time_must_be_an_instant(tenant_db: TenantDatabase, run_at: datetime) -> None:
    """Naive times and the end of time are refused."""
    with tenant_db.connect() as tx, pytest.raises(InvalidTime):
        queue.enqueue(tx, "a", {}, run_at=run_at)


def test_the_database_refuses_what_a_script_could_send_past_the_verb(tenant_db: TenantDatabase) -> None:
    """The function is called directly by other functions and by anybody's SQL."""
    bad = [
        ("Nö", "{}", None),
        ("a", "[]", None),
        ("a", '{"x": "' + "y" * 300_000 + '"}', None),
        ("a", "{}", "infinity"),
    ]
    with tenant_db.connect() as tx:
        for kind, payload, run_at in bad:
            with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.ProgramLimitExceeded)):
                tx.execute("SELECT jobs.enqueue(%s, %s, NULL, NULL, %s, NULL)", (kind, payload, run_at))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            tx.execute("DELETE FROM jobs.job")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            tx.execute("UPDATE jobs.job SET attempt = 0")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            tx.execute("INSERT INTO jobs.dead (job_id) VALUES (1)")

    assert look(tenant_db, "SELECT count(*) FROM jobs.job") == [(0,)]


def test_cancel_ends_queued_jobs_of_an_entity_and_of_a_key(tenant_db: TenantDatabase) -> None:
    """They are kept as cancelled; others stay."""
    later = datetime.now(UTC) + timedelta(days=3)
    with tenant_db.connect() as tx:
        first = queue.enqueue(tx, "a", {}, entity="claim:1", run_at=later).job_id
        second = queue.enqueue(tx, "b", {}, key="k").job_id
        other = queue.enqueue(tx, "c", {}, entity="claim:2").job_id
        counts = queue.cancel(tx, key="k", entity="claim:1")
        again = queue.cancel(tx, key="k", entity="claim:1")
        states = [queue.get_job(tx, job_id).state for job_id in (first, second, other)]

    assert counts == CancelCounts(queued=2, running=0)
    assert again == CancelCounts(queued=0, running=0)
    assert states == [JobState.CANCELLED, JobState.CANCELLED, JobState.QUEUED]


def test_cancel_needs_to_be_told_what(tenant_db: TenantDatabase) -> None:
    """Nothing is not everything."""
    with tenant_db.connect() as tx, pytest.raises(InvalidInput):
        queue.cancel(tx)


def test_a_dead_letter_is_redriven_once_with_its_history_and_an_audit_entry(
    tenant_db: TenantDatabase,
) -> None:
    """It keeps its id; a second redrive says that it is not dead any more."""
    (job_id,) = add(tenant_db, "a")
    make_runner(tenant_db, {"a": lambda _: Dead("the account is gone")}).run_until_empty()
    with tenant_db.connect() as tx:
        (dead,) = queue.list_dead(tx)
        with tx.transaction():
            queue.redrive(tx, job_id, OPS)
        with pytest.raises(StateConflict, match=f"J{job_id} is queued"), tx.transaction():
            queue.redrive(tx, job_id, OPS)
        make_runner(tenant_db, {"a": lambda _: Done("now it is there")}).run_until_empty()
        done = queue.get_job(tx, job_id)

    assert (dead.id, dead.cause, dead.reason, dead.attempt) == (
        job_id,
        DeadCause.REFUSED,
        "the account is gone",
        1,
    )
    assert (done.state, done.reason, done.attempt) == (JobState.DONE, "now it is there", 1)
    assert [error.error for error in done.errors] == ["the account is gone"]
    assert look(
        tenant_db, "SELECT body::jsonb ->> 'action', body::jsonb #>> '{target,id}' FROM audit.entry"
    ) == [("job.redriven", str(job_id))]


def test_two_people_redriving_one_dead_letter_make_it_run_once(tenant_db: TenantDatabase) -> None:
    """The second waits for the first and then finds it queued."""
    (job_id,) = add(tenant_db, "a")
    make_runner(tenant_db, {"a": lambda _: Dead("no")}).run_until_empty()
    with tenant_db.connect() as one, tenant_db.connect() as two:
        two.execute("SET lock_timeout = '200ms'")
        with one.transaction():
            queue.redrive(one, job_id, OPS)
            with pytest.raises(psycopg.errors.LockNotAvailable):
                queue.redrive(two, job_id, OPS)
        with pytest.raises(StateConflict):
            queue.redrive(two, job_id, OPS)

    assert look(tenant_db, "SELECT count(*) FROM jobs.job") == [(1,)]


def test_a_job_that_never_was_is_named_in_the_refusal(tenant_db: TenantDatabase) -> None:
    """With the command that lists those that are."""
    with tenant_db.connect() as tx:
        with pytest.raises(NotFound, match="J404") as refusal:
            queue.get_job(tx, 404)
        with pytest.raises(NotFound):
            queue.redrive(tx, 404, OPS)

    assert "wmctl job list" in refusal.value.one_line()


def test_jobs_are_listed_wherever_they_are_newest_first(tenant_db: TenantDatabase) -> None:
    """By state and kind, with a limit."""
    add(tenant_db, "done", "dead")
    make_runner(tenant_db, {"done": lambda _: Done(), "dead": lambda _: Dead("no")}).run_until_empty()
    add(tenant_db, "waits", "done")
    with tenant_db.connect() as tx:
        everything = [(job.kind, job.state) for job in queue.list_jobs(tx)]
        only_done = [(job.kind, job.state) for job in queue.list_jobs(tx, state=JobState.DONE)]
        of_kind = [(job.kind, job.state) for job in queue.list_jobs(tx, kind="done")]
        newest = [job.kind for job in queue.list_jobs(tx, limit=1)]
        health = queue.read_health(tx)

    assert everything == [
        ("done", JobState.QUEUED),
        ("waits", JobState.QUEUED),
        ("dead", JobState.DEAD),
        ("done", JobState.DONE),
    ]
    assert only_done == [("done", JobState.DONE)]
    assert of_kind == [("done", JobState.QUEUED), ("done", JobState.DONE)]
    assert newest == ["done"]
    assert (health.due, health.waiting, health.running, health.dead, health.leases) == (2, 0, 0, 1, 0)


def test_a_tick_makes_one_job_over_all_workers_and_reports(tenant_db: TenantDatabase) -> None:
    """The same instant in another zone is the same tick; a missed one can follow under its own time."""
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with tenant_db.connect() as tx:
        first = enqueue_tick(tx, "attendance", noon, "attendance.compute", {"day": "2026-03-01"})
        again = enqueue_tick(
            tx, "attendance", noon.astimezone(timezone(timedelta(hours=-3))), "attendance.compute", {}
        )
        missed = enqueue_tick(tx, "attendance", noon - timedelta(days=1), "attendance.compute", {})
        with pytest.raises(InvalidTime):
            enqueue_tick(tx, "attendance", noon.replace(tzinfo=None), "attendance.compute", {})
        with pytest.raises(InvalidInput):
            enqueue_tick(tx, "a:b", noon, "attendance.compute", {})

    assert (first.created, again.created, missed.created) == (True, False, True)
    assert look(tenant_db, "SELECT key FROM jobs.key ORDER BY key") == [
        ("cron:attendance:2026-02-28T12:00:00+00:00",),
        ("cron:attendance:2026-03-01T12:00:00+00:00",),
    ]


def _forget_days(database: TenantDatabase) -> None:
    """Take away the days of history that a new customer begins with."""
    days = look(
        database, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'jobs.done'::regclass"
    )
    for (day,) in days:
        if day != "jobs.done_default":
            change(database, f"DROP TABLE {day}")


def test_history_gets_its_days_ahead_and_loses_old_ones(tenant_db: TenantDatabase) -> None:
    """Days are dropped whole after 60 days; a day that the default partition has begun stays there."""
    old = datetime.now(UTC) - timedelta(days=80)
    today = datetime.now(UTC)
    name = f"done_{old:%Y%m%d}"
    _forget_days(tenant_db)
    change(
        tenant_db,
        f"CREATE TABLE jobs.{name} PARTITION OF jobs.done "
        f"FOR VALUES FROM ('{old:%Y-%m-%d} 00:00+00') TO ('{old + timedelta(days=1):%Y-%m-%d} 00:00+00')",
    )
    change(tenant_db, f"ALTER TABLE jobs.{name} OWNER TO platform_owner")
    change(
        tenant_db,
        "INSERT INTO jobs.done (job_id, kind, payload, outcome, attempt, created_at, finished_at) "
        "VALUES (1, 'early', '{}', 'done', 1, now(), now()), "
        "(2, 'late', '{}', 'done', 1, now(), now() - interval '70 days')",
    )
    with tenant_db.connect() as tx:
        first = tx.execute("SELECT created, dropped, skipped FROM jobs.maintain()").fetchall()
        again = tx.execute("SELECT created, dropped FROM jobs.maintain()").fetchall()

    assert first == [(7, 1, 1)]
    assert again == [(0, 0)]
    assert look(tenant_db, "SELECT kind FROM jobs.done") == [("early",)]
    assert look(tenant_db, "SELECT to_regclass(%s)", f"jobs.done_{today + timedelta(days=3):%Y%m%d}") != [
        (None,)
    ]


def test_two_workers_may_maintain_at_once(tenant_db: TenantDatabase) -> None:
    """The second leaves it to the first."""
    _forget_days(tenant_db)
    with tenant_db.connect() as one, tenant_db.connect() as two, one.transaction():
        first = one.execute("SELECT created FROM jobs.maintain()").fetchall()
        second = two.execute("SELECT created FROM jobs.maintain()").fetchall()

    assert (first, second) == ([(8,)], [(0,)])
