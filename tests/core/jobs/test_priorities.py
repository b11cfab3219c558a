"""Who goes first in the open line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from platform_core.jobs import queue
from platform_core.jobs.contracts import JobContext, NewJob, Priority, RunCounts
from platform_core.jobs.lookout import LOWEST_FIRST_EVERY
from platform_core.values import Dead, Done, Outcome
from tests.support.databases import TenantDatabase
from tests.support.queues import add, look, make_runner


def order_of(db: TenantDatabase, **settings: int) -> list[str]:
    """The priorities in the order in which one worker runs what is due."""
    ran: list[str] = []

    def note(context: JobContext) -> Outcome:
        ran.append(str(context.job.payload["level"]))
        return Done()

    make_runner(db, {"a": note}, concurrency=1, **settings).run_until_empty()
    return ran


def fill(db: TenantDatabase, level: Priority, jobs: int) -> None:
    """So many jobs of a priority."""
    with db.connect() as tx:
        queue.enqueue_many(tx, [NewJob("a", {"level": level.name}, priority=level)] * jobs)


def test_the_urgent_go_first_whoever_came_first(tenant_db: TenantDatabase) -> None:
    """In one batch as in single claims."""
    orders = []
    for most in (500, 1):
        for level in (Priority.LOW, Priority.NORMAL, Priority.URGENT):
            fill(tenant_db, level, 2)
        orders.append(order_of(tenant_db, max_batch=most))

    assert orders == [["URGENT"] * 2 + ["NORMAL"] * 2 + ["LOW"] * 2] * 2


def test_the_low_do_not_starve_behind_a_stream_of_the_urgent(tenant_db: TenantDatabase) -> None:
    """One claim in ten starts from the other end."""
    fill(tenant_db, Priority.URGENT, 60)
    fill(tenant_db, Priority.LOW, 3)
    ran = order_of(tenant_db, max_batch=1)

    assert (ran.index("LOW") < LOWEST_FIRST_EVERY, ran.count("LOW")) == (True, 3)
    assert ran[:5] == ["URGENT"] * 5


def test_an_urgent_job_of_the_future_does_not_run_early(tenant_db: TenantDatabase) -> None:
    """Nor does it keep the low from running now."""
    with tenant_db.connect() as tx:
        later = datetime.now(UTC) + timedelta(hours=1)
        urgent = queue.enqueue(tx, "a", {"level": "URGENT"}, run_at=later, priority=Priority.URGENT)
        fill(tenant_db, Priority.LOW, 2)

    assert order_of(tenant_db) == ["LOW", "LOW"]
    assert look(tenant_db, "SELECT id, attempt FROM jobs.job") == [(urgent.job_id, 0)]


def test_a_retry_and_a_redrive_keep_the_priority(tenant_db: TenantDatabase) -> None:
    """A dead letter remembers it."""
    (job_id,) = add(tenant_db, "a", priority=Priority.LOW)
    counts = make_runner(tenant_db, {"a": lambda _: Dead("no")}).run_until_empty()
    with tenant_db.admin() as tx:
        tx.execute("SELECT jobs.redrive(%s)", (job_id,))

    assert counts == RunCounts(dead=1)
    assert look(tenant_db, "SELECT id, priority FROM jobs.job") == [(job_id, 2)]
