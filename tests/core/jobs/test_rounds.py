"""One process for many customers: nobody waits for another's backlog, and nobody's trouble is another's.

That fifty customers with single jobs do not wait behind a busy one is measured in `tests/soak`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import pytest

from platform_core.jobs.contracts import Handler, HandlerSpec, JobContext
from platform_core.jobs.rounds import REFRESH_S, Post, Rounds
from platform_core.values import Done, Outcome
from tests.support.databases import Databases, TenantDatabase
from tests.support.queues import add, build_context, look, wait_until

PRESENT = "SELECT count(*) FROM jobs.lease WHERE worker LIKE 'rounds:%%' AND holding = '{}'"
DONE = "SELECT count(*) FROM jobs.done"


@pytest.fixture
def three(databases: Databases) -> Iterator[list[TenantDatabase]]:
    """Three customers."""
    with ExitStack() as stack:
        yield [stack.enter_context(databases.tenant()) for _ in range(3)]


def quick(_context: JobContext) -> Outcome:
    """Nothing to do."""
    return Done()


def post(db: TenantDatabase, handler: Handler = quick, dsn: str = "") -> Post:
    """A customer whose jobs of kind a are handled so."""
    return Post(db.slug, dsn or db.dsn, {"a": HandlerSpec(handler)}, build_context)


@contextmanager
def serving(
    posts: Callable[[], Mapping[str, Post]],
    *,
    hands: int = 2,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[Rounds]:
    """Rounds in a thread, stopped in order afterwards."""
    rounds = Rounds(posts, hands=hands, slice_s=0.2, monotonic=monotonic)
    thread = threading.Thread(target=rounds.serve)
    thread.start()
    try:
        yield rounds
    finally:
        rounds.stop()
        thread.join(30)
        assert not thread.is_alive()


def has_done(db: TenantDatabase, jobs: int) -> Callable[[], bool]:
    """Whether so many jobs of that customer are done."""
    return lambda: look(db, DONE) == [(jobs,)]


def is_present(db: TenantDatabase) -> Callable[[], bool]:
    """Whether somebody says that he serves that customer."""
    return lambda: look(db, PRESENT) == [(1,)]


def test_a_busy_customer_keeps_no_other_waiting(three: list[TenantDatabase]) -> None:
    """With a single hand: the others' jobs come between two slices of the busy one."""
    busy, *others = three
    add(busy, *["a"] * 2000)

    def slow(_context: JobContext) -> Outcome:
        threading.Event().wait(0.01)
        return Done()

    posts = {busy.slug: post(busy, slow)} | {db.slug: post(db) for db in others}
    with serving(lambda: posts, hands=1):
        wait_until(lambda: look(busy, DONE) != [(0,)], "the busy one is at work")
        for round_ in (1, 2):
            for db in others:
                add(db, "a")
            for db in others:
                wait_until(has_done(db, round_), "the quiet one's job is done")
        left = look(busy, "SELECT count(*) FROM jobs.job")

    assert left[0][0] > 500
    assert look(busy, "SELECT count(*), max(attempt) FROM jobs.job WHERE lease_id IS NOT NULL") == [(0, None)]


def test_customers_come_and_go_while_it_serves(three: list[TenantDatabase]) -> None:
    """One that left is not served and nobody is present there any more."""
    first, second, _ = three
    posts = {first.slug: post(first)}
    ahead_s = [0.0]
    with serving(lambda: dict(posts), monotonic=lambda: time.monotonic() + ahead_s[0]):
        add(first, "a")
        wait_until(has_done(first, 1), "the first is served")
        posts[second.slug] = post(second)
        del posts[first.slug]
        ahead_s[0] += REFRESH_S
        add(second, "a")
        wait_until(has_done(second, 1), "the second is served")
        wait_until(lambda: look(first, PRESENT) == [(0,)], "nobody is present at the first")
        add(first, "a")
        add(second, "a")
        wait_until(has_done(second, 2), "the second is served again")

    assert look(first, "SELECT attempt FROM jobs.job") == [(0,)]


def test_a_database_that_is_down_holds_up_no_other_and_is_served_when_it_is_back(
    three: list[TenantDatabase],
) -> None:
    """It is tried again later and later, and its first job is done then."""
    down, good, _ = three
    ahead_s = [0.0]
    with (
        good.admin() as admin,
        serving(
            lambda: {down.slug: post(down), good.slug: post(good)},
            hands=1,
            monotonic=lambda: time.monotonic() + ahead_s[0],
        ),
    ):
        add(down, "a")
        wait_until(has_done(down, 1), "both are served")
        admin.execute(f"ALTER DATABASE {down.name} ALLOW_CONNECTIONS false".encode())
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (down.name,)
        )
        for jobs in (1, 2, 3):
            add(good, "a")
            wait_until(has_done(good, jobs), "the good one is served")
        admin.execute(f"ALTER DATABASE {down.name} ALLOW_CONNECTIONS true".encode())
        add(down, "a")
        ahead_s[0] += 120.0
        wait_until(has_done(down, 2), "the other one is served again")

    assert look(down, "SELECT count(*) FROM jobs.job") == [(0,)]


def test_stopping_ends_running_jobs_and_hands_back_the_others(three: list[TenantDatabase]) -> None:
    """At every customer; no lease is left to expire."""
    ran: list[int] = []

    def slow(context: JobContext) -> Outcome:
        ran.append(context.job.id)
        threading.Event().wait(0.02)
        return Done()

    for db in three:
        add(db, *["a"] * 100)
    with serving(lambda: {db.slug: post(db, slow) for db in three}, hands=3):
        wait_until(lambda: len(ran) >= 6, "they are at work")

    ended = [look(db, DONE)[0][0] for db in three]
    assert sum(ended) == len(ran) < 300
    assert [look(db, "SELECT count(*), max(attempt) FROM jobs.job") for db in three] == [
        [(100 - done, 0)] for done in ended
    ]
    assert [look(db, "SELECT count(*) FROM jobs.lease") for db in three] == [[(0,)]] * 3


def test_it_is_present_at_every_customer_while_it_serves(three: list[TenantDatabase]) -> None:
    """The lease that says so is kept alive, opened anew when somebody buried it, and closed at the end."""
    ahead_s = [0.0]
    with serving(
        lambda: {db.slug: post(db) for db in three}, monotonic=lambda: time.monotonic() + ahead_s[0]
    ):
        for db in three:
            wait_until(is_present(db), "somebody is present")
        with three[0].admin() as admin:
            admin.execute("DELETE FROM jobs.lease")
        ahead_s[0] += 60.0
        wait_until(is_present(three[0]), "somebody is present again")

    assert [look(db, "SELECT count(*) FROM jobs.lease") for db in three] == [[(0,)]] * 3


def test_a_job_that_becomes_due_by_itself_is_noticed(three: list[TenantDatabase]) -> None:
    """Nobody calls when its time comes."""
    db = three[0]
    with serving(lambda: {db.slug: post(db)}):
        wait_until(is_present(db), "somebody is present")
        with db.connect() as tx:
            tx.execute("SELECT jobs.enqueue('a', '{}', NULL, NULL, now() + interval '300 ms', NULL)")
        wait_until(has_done(db, 1), "the job is done")

    assert look(db, "SELECT finished_at - created_at < interval '8 s' FROM jobs.done") == [(True,)]
