"""What the runner makes of jobs, in one process."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from platform_core.errors import AmbiguousOutcome, NotFound, RateLimited, TransientFailure
from platform_core.jobs import queue
from platform_core.jobs.backoff import Backoff
from platform_core.jobs.contracts import DeadCause, HandlerSpec, Job, JobContext, OpenTx, RunCounts
from platform_core.jobs.lifecycle import JobState
from platform_core.jobs.runner import Runner
from platform_core.values import Cancelled, Dead, Done, Outcome, Retry, Snooze
from tests.support.databases import TenantDatabase
from tests.support.queues import AT_ONCE, add, build_context, change, look, make_runner, wait_until

SLOW = Backoff(base_s=100.0, cap_s=3600.0)


def test_predecessor_bug_attempts_are_counted_and_read_back(tenant_db: TenantDatabase) -> None:
    """The predecessor never selected its attempts, so every run believed to be the first."""
    seen: list[tuple[int, int]] = []

    def fail_twice(context: JobContext) -> Outcome:
        seen.append((context.job.attempt, context.job.max_attempts))
        return Done() if context.job.attempt == 3 else Retry("not yet")

    (job_id,) = add(tenant_db, "flaky", max_attempts=4)
    counts = make_runner(tenant_db, {"flaky": fail_twice}).run_until_empty()
    with tenant_db.connect() as tx:
        job = queue.get_job(tx, job_id)

    assert seen == [(1, 4), (2, 4), (3, 4)]
    assert counts == RunCounts(done=1, retried=2)
    assert (job.state, job.attempt) == (JobState.DONE, 3)
    assert [(error.attempt, error.error) for error in job.errors] == [(1, "not yet"), (2, "not yet")]


def test_predecessor_bug_a_job_that_always_fails_reaches_a_final_state(tenant_db: TenantDatabase) -> None:
    """The predecessor retried for ever; here the attempts of its kind end in a dead letter a person sees."""
    (job_id,) = add(tenant_db, "hopeless")
    runner = make_runner(tenant_db, {"hopeless": HandlerSpec(lambda _: Retry("no"), max_attempts=3)})
    counts = runner.run_until_empty()
    again = runner.run_until_empty()
    with tenant_db.connect() as tx:
        (dead,) = queue.list_dead(tx)

    assert counts == RunCounts(retried=2, dead=1)
    assert again == RunCounts()
    assert (dead.id, dead.state, dead.cause, dead.attempt) == (
        job_id,
        JobState.DEAD,
        DeadCause.ATTEMPTS_EXHAUSTED,
        3,
    )
    assert [error.attempt for error in dead.errors] == [1, 2, 3]
    assert look(tenant_db, "SELECT count(*) FROM jobs.job") == [(0,)]


def test_every_outcome_ends_where_it_should(tenant_db: TenantDatabase) -> None:
    """One job each; what is put back is due later."""
    kinds = ("done", "retry", "snooze", "dead", "cancelled")
    ids = dict(zip(kinds, add(tenant_db, *kinds), strict=True))
    counts = make_runner(
        tenant_db,
        {
            "done": lambda _: Done("a note"),
            "retry": lambda _: Retry("again", after=timedelta(hours=2)),
            "snooze": lambda _: Snooze("later", after=timedelta(hours=1)),
            "dead": lambda _: Dead("never"),
            "cancelled": lambda _: Cancelled("paid meanwhile"),
        },
        backoff=SLOW,
    ).run_until_empty()
    with tenant_db.connect() as tx:
        jobs = {kind: queue.get_job(tx, job_id) for kind, job_id in ids.items()}

    assert counts == RunCounts(done=1, retried=1, snoozed=1, dead=1, cancelled=1)
    assert {kind: (job.state, job.attempt, job.reason) for kind, job in jobs.items()} == {
        "done": (JobState.DONE, 1, "a note"),
        "retry": (JobState.QUEUED, 1, ""),
        "snooze": (JobState.QUEUED, 0, ""),
        "dead": (JobState.DEAD, 1, "never"),
        "cancelled": (JobState.CANCELLED, 1, "paid meanwhile"),
    }
    assert look(
        tenant_db,
        "SELECT kind, run_at - now() BETWEEN interval '50 min' AND interval '2 h' FROM jobs.job ORDER BY id",
    ) == [("retry", True), ("snooze", True)]


def test_what_a_handler_raises_is_an_outcome(tenant_db: TenantDatabase) -> None:
    """Errors of the tree say themselves whether to retry; anything else is retried and counted."""

    def raising(error: BaseException) -> HandlerSpec:
        def handler(_context: JobContext) -> Outcome:
            raise error

        return HandlerSpec(handler)

    errors = {
        "transient": TransientFailure("the provider is away"),
        "limited": RateLimited("slow down", retry_after_s=3000),
        "ambiguous": AmbiguousOutcome("sent or not"),
        "missing": NotFound("There is no claim C1"),
        "foreign": ValueError("+56 9 1234 5678 is secret"),
        "exits": SystemExit(3),
    }
    add(tenant_db, *errors)
    counts = make_runner(
        tenant_db, {kind: raising(error) for kind, error in errors.items()}, backoff=SLOW
    ).run_until_empty()

    assert counts == RunCounts(retried=3, snoozed=1, dead=2)
    assert look(tenant_db, "SELECT kind, attempt FROM jobs.job ORDER BY id") == [
        ("transient", 1),
        ("limited", 0),
        ("foreign", 1),
        ("exits", 1),
    ]
    (foreign,) = look(tenant_db, "SELECT errors FROM jobs.job WHERE kind = 'foreign'")
    assert "ValueError at test_runner.py:" in foreign[0][0]["error"]
    assert "1234" not in str(foreign)


def test_backoff_doubles_with_jitter_by_the_servers_clock_and_is_capped(tenant_db: TenantDatabase) -> None:
    """A worker whose clock is an hour off changes nothing."""
    add(tenant_db, *["a"] * 30)
    backoff = Backoff(base_s=100, cap_s=1000)
    make_runner(
        tenant_db,
        {"a": HandlerSpec(lambda _: Retry("no"), max_attempts=100)},
        backoff=backoff,
        monotonic=lambda: time.monotonic() + 3600,
    ).run_until_empty()
    waits = [
        row[0] for row in look(tenant_db, "SELECT extract(epoch FROM run_at - now())::float FROM jobs.job")
    ]
    shortest, longest = backoff.bounds_s(1)

    assert (shortest, longest) == (50, 100)
    assert backoff.bounds_s(3) == (200, 400)
    assert backoff.bounds_s(50) == (500, 1000)
    assert min(waits) >= shortest - 5
    assert max(waits) <= longest
    assert len({round(wait, 3) for wait in waits}) > 20


def test_a_poisoned_job_dies_and_its_batch_mates_do_not_notice(tenant_db: TenantDatabase) -> None:
    """Unknown kind, a payload no Python reads, an answer that is no outcome, no context to be had."""
    huge = '{"n": ' + "9" * 5000 + "}"
    deep = '{"n": ' + "[" * 3000 + "]" * 3000 + "}"
    add(tenant_db, "good", "unknown.kind", "good", "mute", "good", "unbuildable", "good")
    for payload in (huge, deep):
        change(tenant_db, "SELECT jobs.enqueue('good', %s, NULL, NULL, NULL, NULL)", payload)

    def build(job: Job, tx: OpenTx, cancelled: object, /) -> JobContext:
        if job.kind == "unbuildable":
            raise NotFound("no policy is stored")
        return build_context(job, tx, lambda: bool(cancelled) and False)

    handlers = {
        "good": HandlerSpec(lambda _: Done()),
        "mute": HandlerSpec(lambda _: None),  # type: ignore[arg-type]  # the mistake under test
        "unbuildable": HandlerSpec(lambda _: Done()),
    }
    counts = Runner(tenant_db.dsn, handlers, build, deadline_s=20, backoff=AT_ONCE).run_until_empty()

    assert counts == RunCounts(done=4, dead=5)
    assert look(tenant_db, "SELECT kind, cause FROM jobs.dead ORDER BY job_id") == [
        ("unknown.kind", "unknown_kind"),
        ("mute", "invalid_outcome"),
        ("unbuildable", "refused"),
        ("good", "unreadable_payload"),
        ("good", "unreadable_payload"),
    ]


def test_an_outcome_that_cannot_be_stored_does_not_hold_up_its_batch(tenant_db: TenantDatabase) -> None:
    """The batch is settled one by one; the bad one goes where a person looks."""
    change(tenant_db, "ALTER TABLE jobs.done ADD CONSTRAINT unlucky CHECK (note <> 'unlucky')")
    add(tenant_db, "good", "bad", "good", "odd")
    counts = make_runner(
        tenant_db,
        {
            "good": lambda _: Done("fine \x00 \ud800"),
            "bad": lambda _: Done("unlucky"),
            "odd": lambda _: Snooze("x", after=timedelta(days=999_999)),
        },
    ).run_until_empty()

    assert counts == RunCounts(done=2, dead=1, snoozed=1)
    assert look(tenant_db, "SELECT kind, cause, reason FROM jobs.dead") == [
        ("bad", "invalid_outcome", "its outcome done cannot be stored (23514)")
    ]


def test_a_handlers_transaction_commits_with_it_and_rolls_back_with_its_error(
    tenant_db: TenantDatabase,
) -> None:
    """`tx()` is one short transaction; a failed one leaves nothing and hurts no other job."""

    def enqueue_then(context: JobContext, outcome: str) -> Outcome:
        with context.tx() as tx:
            queue.enqueue(tx, f"from.{outcome}", {}, run_at=datetime.now(UTC) + timedelta(days=1))
            if outcome == "error":
                raise ValueError(outcome)
        return Done()

    add(tenant_db, "error", "good")
    make_runner(
        tenant_db,
        {"error": lambda c: enqueue_then(c, "error"), "good": lambda c: enqueue_then(c, "good")},
        backoff=SLOW,
    ).run_until_empty()

    assert look(tenant_db, "SELECT kind FROM jobs.job ORDER BY id") == [("error",), ("from.good",)]


def test_the_time_box_hands_unstarted_jobs_back_with_their_attempt(tenant_db: TenantDatabase) -> None:
    """The running job ends; the rest keeps its place in the line."""
    moved = [0.0]
    ids = add(tenant_db, *["a"] * 5)

    def second_is_slow(context: JobContext) -> Outcome:
        moved[0] += 15.0 if context.job.id == ids[1] else 0.0
        return Done()

    counts = make_runner(
        tenant_db,
        {"a": HandlerSpec(second_is_slow, timeout_s=500)},
        deadline_s=10,
        monotonic=lambda: time.monotonic() + moved[0],
    ).run_until_empty()

    assert counts == RunCounts(done=2, handed_back=3)
    assert look(tenant_db, "SELECT id, attempt, lease_id FROM jobs.job ORDER BY run_at, id") == [
        (job_id, 0, None) for job_id in ids[2:]
    ]
    assert look(tenant_db, "SELECT count(*) FROM jobs.lease") == [(0,)]


def test_stop_ends_in_order(tenant_db: TenantDatabase) -> None:
    """As the time box does, and as a signal handler may ask."""
    add(tenant_db, *["a"] * 5)

    def stop_and_end(_context: JobContext) -> Outcome:
        runner.stop()
        return Done()

    runner = make_runner(tenant_db, {"a": stop_and_end})

    assert runner.run_until_empty() == RunCounts(done=1, handed_back=4)


def test_a_run_without_time_does_nothing(tenant_db: TenantDatabase) -> None:
    """A late cron tick claims nothing it cannot run."""
    add(tenant_db, "a")

    assert make_runner(tenant_db, {"a": lambda _: Done()}, deadline_s=0).run_until_empty() == RunCounts()
    assert look(tenant_db, "SELECT attempt FROM jobs.job") == [(0,)]


def test_a_job_over_its_time_that_listens_is_retried(tenant_db: TenantDatabase) -> None:
    """It sees `cancelled()` turn true; its answer does not count, and its next transaction is refused."""
    refused: list[str] = []

    def listens(context: JobContext) -> Outcome:
        wait_until(context.cancelled, "told to stop")
        try:
            with context.tx():
                pass
        except Exception as error:  # noqa: BLE001 - which one is the assertion
            refused.append(type(error).__name__)
        return Cancelled("I was told to stop")

    (job_id,) = add(tenant_db, "slow")
    counts = make_runner(
        tenant_db, {"slow": HandlerSpec(listens, timeout_s=0.2)}, backoff=SLOW
    ).run_until_empty()
    with tenant_db.connect() as tx:
        job = queue.get_job(tx, job_id)

    assert counts == RunCounts(retried=1)
    assert refused == ["JobInterrupted"]
    assert (job.attempt, [error.error for error in job.errors]) == (1, ["it did not end within its 0.2 s"])


def test_a_statement_that_runs_over_its_jobs_time_is_stopped(tenant_db: TenantDatabase) -> None:
    """The handler waits in PostgreSQL, where it can be reached."""
    with tenant_db.admin() as other:
        other.execute("CREATE TABLE public.held (n int); GRANT USAGE ON SCHEMA public TO api_tenant")
        other.execute("GRANT SELECT, UPDATE ON public.held TO api_tenant")

        def waits_for_a_lock(context: JobContext) -> Outcome:
            with context.tx() as tx:
                tx.execute("SET LOCAL lock_timeout = 0")
                tx.execute("SELECT n FROM public.held")
            return Done()

        add(tenant_db, "locked", "good")
        with other.transaction():
            other.execute("LOCK TABLE public.held IN ACCESS EXCLUSIVE MODE")
            counts = make_runner(
                tenant_db,
                {"locked": HandlerSpec(waits_for_a_lock, timeout_s=0.2), "good": lambda _: Done()},
                backoff=SLOW,
            ).run_until_empty()

    assert counts == RunCounts(done=1, retried=1)


@pytest.mark.parametrize(("after_crash", "expected"), [("retry", "queued"), ("dead", "dead")])
def test_a_job_that_ignores_its_time_is_given_up_and_the_others_run(
    tenant_db: TenantDatabase, after_crash: str, expected: str
) -> None:
    """Its thread is abandoned and can commit nothing later; what must not be repeated is for a person."""
    release = threading.Event()
    late: list[str] = []

    def deaf(context: JobContext) -> Outcome:
        release.wait(20)
        try:
            with context.tx() as tx:
                queue.enqueue(tx, "from.the.grave", {})
        except Exception as error:  # noqa: BLE001 - which one is the assertion
            late.append(type(error).__name__)
        return Done()

    first, second = add(tenant_db, "deaf", "good")
    spec = HandlerSpec(deaf, timeout_s=0.1, after_crash="dead" if after_crash == "dead" else "retry")
    counts = make_runner(
        tenant_db, {"deaf": spec, "good": lambda _: Done()}, grace_s=0.2, backoff=SLOW
    ).run_until_empty()
    release.set()
    wait_until(lambda: bool(late), "the abandoned handler went on")
    with tenant_db.connect() as tx:
        states = [queue.get_job(tx, job_id).state.value for job_id in (first, second)]

    assert late == ["JobInterrupted"]
    assert states == [expected, "done"]
    assert counts.done == 1
    assert look(tenant_db, "SELECT count(*) FROM jobs.lease") == [(0,)]


def test_waiting_for_work_picks_a_job_up_when_it_is_committed(tenant_db: TenantDatabase) -> None:
    """LISTEN until the deadline; `stop` is heard meanwhile."""
    picked: list[float] = []

    def handle(_context: JobContext) -> Outcome:
        picked.append(time.monotonic())
        return Done()

    runner = make_runner(tenant_db, {"a": handle}, wait=True)
    results: list[RunCounts] = []
    thread = threading.Thread(target=lambda: results.append(runner.run_until_empty()))
    thread.start()
    wait_until(lambda: look(tenant_db, "SELECT count(*) FROM jobs.lease") == [(1,)], "the runner is there")
    for number in range(3):
        add(tenant_db, "a")
        wait_until(lambda expected=number + 1: len(picked) == expected, "the job was picked up")  # type: ignore[misc]  # a lambda cannot be annotated
    runner.stop()
    thread.join(10)

    assert results == [RunCounts(done=3)]


def test_a_cancelled_running_job_is_told_and_never_retried(tenant_db: TenantDatabase) -> None:
    """Through the heartbeat; the queued jobs of its entity end at once."""
    running = threading.Event()

    def stubborn(context: JobContext) -> Outcome:
        running.set()
        wait_until(context.cancelled, "it was told")
        return Retry("once more, please")

    (job_id,) = add(tenant_db, "a", entity="claim:1")
    results: list[RunCounts] = []
    runner = make_runner(tenant_db, {"a": stubborn}, lease_s=0.8)
    thread = threading.Thread(target=lambda: results.append(runner.run_until_empty()))
    thread.start()
    assert running.wait(10)
    add(tenant_db, "a", entity="claim:1", run_at=datetime.now(UTC) + timedelta(hours=1))
    with tenant_db.connect() as tx:
        counts = queue.cancel(tx, entity="claim:1")
        thread.join(10)
        job = queue.get_job(tx, job_id)

    assert (counts.queued, counts.running) == (1, 1)
    assert results == [RunCounts(cancelled=1)]
    assert (job.state, job.reason) == (JobState.CANCELLED, "cancelled while it ran")


def test_the_runner_needs_nothing_but_the_customers_own_login(tenant_db: TenantDatabase) -> None:
    """No superuser, no DDL of its own, in a database whose catalogs are locked down."""
    add(tenant_db, *["a"] * 20)

    assert "postgres" not in tenant_db.dsn.split("user=")[1].split()[0]
    assert make_runner(tenant_db, {"a": lambda _: Done()}).run_until_empty() == RunCounts(done=20)
