"""Ordered lanes: the first enqueued job ends before the second starts, whatever happens to it."""

from __future__ import annotations

import threading
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from platform_core.jobs import queue
from platform_core.jobs.contracts import HandlerSpec, JobContext, NewJob, Priority, RunCounts
from platform_core.jobs.settlement import claim_suspect
from platform_core.values import Actor, Dead, Done, Outcome, Retry, Snooze
from tests.support.claims import bury, claim_ids, declare, done, lease_row, ruled, settle_and_claim
from tests.support.databases import TenantDatabase
from tests.support.queues import AT_ONCE, add, expire_leases, look, make_runner

L1 = ("a", "l1")
SOON = timedelta(0)


class Trail:
    """A handler that notes who starts in which lane, and answers by the payload and the attempt."""

    def __init__(self) -> None:
        self.starts: dict[str | None, list[int]] = defaultdict(list)
        self._lock = threading.Lock()

    def __call__(self, context: JobContext) -> Outcome:
        """As the payload says, the first time; then done."""
        job = context.job
        with self._lock:
            again = job.id in self.starts[job.lane]
            self.starts[job.lane].append(job.id)
        match None if again else job.payload.get("first"):
            case "retry":
                return Retry("once more")
            case "snooze":
                return Snooze("a moment", after=SOON)
            case "dead":
                return Dead("never")
            case "raise":
                raise ValueError("unexpected")
            case _:
                return Done()

    def is_in_order(self) -> bool:
        """Whether no lane ever went back to a job after starting a later one."""
        return all(ids == sorted(ids) for ids in self.starts.values())


def test_order_holds_through_retries_snoozes_and_dead_letters_over_three_workers(
    tenant_db: TenantDatabase,
) -> None:
    """Five lanes of thirty jobs, a third of which do not go well at first."""
    firsts = ("ok", "retry", "ok", "snooze", "ok", "dead", "ok", "raise", "ok")
    with tenant_db.connect() as tx:
        queue.enqueue_many(tx, [NewJob("a", {"first": firsts[n % 9]}, lane=f"l{n % 5}") for n in range(150)])
    trail = Trail()
    specs = {"a": HandlerSpec(trail, ordered=True)}
    threads = [threading.Thread(target=make_runner(tenant_db, specs).run_until_empty) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (ended,) = look(tenant_db, "SELECT (SELECT count(*) FROM jobs.done), (SELECT count(*) FROM jobs.dead)")

    assert trail.is_in_order()
    assert sum(map(len, trail.starts.values())) == 150 + sum(
        firsts[n % 9] in ("retry", "snooze", "raise") for n in range(150)
    )
    assert ended == (150 - 17, 17)


def test_priority_and_due_time_do_not_change_an_order(tenant_db: TenantDatabase) -> None:
    """A head that is not due yet bars its lane, also for the urgent."""
    declare(tenant_db, a=ruled(ordered=True))
    (head,) = add(tenant_db, "a", lane="l1", run_at=datetime.now(UTC) + timedelta(hours=1))
    (urgent,) = add(tenant_db, "a", lane="l1", priority=Priority.URGENT)
    with tenant_db.connect() as tx:
        barred = claim_ids(tx, lease_row(tx), 10, L1)
        tx.execute(queue.Q["job_hurry"], {"job_id": head})
        both = claim_ids(tx, lease_row(tx), 10, L1)

    assert (barred, both) == ([], [head, urgent])


@pytest.mark.parametrize("first", ["retry", "snooze"])
def test_what_follows_a_job_that_did_not_end_goes_back_with_its_attempt(
    tenant_db: TenantDatabase, first: str
) -> None:
    """It was claimed in the same batch and may not start."""
    declare(tenant_db, a=ruled(ordered=True))
    with tenant_db.connect() as tx:
        new = [NewJob("a", {"first": answer}, lane="l1") for answer in (first, "ok", "ok")]
        ids = [made.job_id for made in queue.enqueue_many(tx, new)]
    trail = Trail()
    counts = make_runner(tenant_db, {"a": HandlerSpec(trail, ordered=True)}).run_until_empty()

    assert trail.starts["l1"] == [ids[0], *ids]
    assert counts == RunCounts(
        done=3, handed_back=2, retried=int(first == "retry"), snoozed=int(first == "snooze")
    )
    assert look(tenant_db, "SELECT job_id, attempt FROM jobs.done ORDER BY finished_at, job_id") == [
        (ids[0], 2 if first == "retry" else 1),
        (ids[1], 1),
        (ids[2], 1),
    ]


def test_a_dead_letter_lets_its_lane_go_on_and_comes_back_to_its_head(tenant_db: TenantDatabase) -> None:
    """A redriven job has its old number, so it is the first again."""
    with tenant_db.connect() as tx:
        new = [NewJob("a", {"first": answer}, lane="l1") for answer in ("dead", "ok")]
        dead, second = [made.job_id for made in queue.enqueue_many(tx, new)]
        trail = Trail()
        runner = make_runner(tenant_db, {"a": HandlerSpec(trail, ordered=True)})
        runner.run_until_empty()
        (third,) = add(tenant_db, "a", lane="l1")
        queue.redrive(tx, dead, Actor("user", "ops-1", "ops"))
        make_runner(tenant_db, {"a": HandlerSpec(trail, ordered=True)}).run_until_empty()

    assert trail.starts["l1"] == [dead, second, dead, third]


def test_a_crash_leaves_the_order_as_it_was(tenant_db: TenantDatabase) -> None:
    """Its jobs become suspects; they run alone, and none before the one in front of it."""
    declare(tenant_db, a=ruled(ordered=True))
    ids = add(tenant_db, *["a"] * 6, lane="l1")
    with tenant_db.connect() as tx:
        claim_ids(tx, lease_row(tx), 6, L1)
        expire_leases(tenant_db)
        buried = bury(tx)
        unsuspected = claim_ids(tx, lease_row(tx), 6, L1)
    trail = Trail()
    counts = make_runner(tenant_db, {"a": HandlerSpec(trail, ordered=True)}).run_until_empty()

    assert (buried, unsuspected) == ([(job_id, "suspect") for job_id in ids[:3]], [])
    assert (trail.starts["l1"], counts) == (ids, RunCounts(done=6))


def test_a_suspect_waits_for_the_suspect_in_front_of_it(tenant_db: TenantDatabase) -> None:
    """Two workers that look for suspects take two lanes, never two jobs of one."""
    declare(tenant_db, a=ruled(ordered=True))
    ids = add(tenant_db, *["a"] * 4, lane="l1")
    with tenant_db.connect() as tx:
        claim_ids(tx, lease_row(tx), 4, L1)
        expire_leases(tenant_db)
        bury(tx)
        holder = lease_row(tx)
        first, meanwhile = claim_suspect(tx, holder), claim_suspect(tx, lease_row(tx))
        settle_and_claim(tx, holder, done(ids[0]))
        second = claim_suspect(tx, lease_row(tx))

    assert [row and row.id for row in (first, meanwhile, second)] == [ids[0], None, ids[1]]


def test_an_ordered_kind_without_a_lane_is_one_lane(tenant_db: TenantDatabase) -> None:
    """Also for jobs that were enqueued before anybody declared it."""
    ids = add(tenant_db, *["a"] * 12)
    trail = Trail()
    make_runner(tenant_db, {"a": HandlerSpec(trail, ordered=True)}).run_until_empty()
    ids += add(tenant_db, *["a"] * 3)
    make_runner(tenant_db, {"a": HandlerSpec(trail, ordered=True)}, backoff=AT_ONCE).run_until_empty()

    assert trail.starts == {"": ids}


def test_a_job_that_is_given_up_keeps_its_lane_in_order(tenant_db: TenantDatabase) -> None:
    """What was claimed with it goes back; its retry runs first."""
    release = threading.Event()
    starts: list[tuple[int, int]] = []
    ids = add(tenant_db, "a", "a", "a", lane="l1")

    def deaf_once(context: JobContext) -> Outcome:
        starts.append((context.job.id, context.job.attempt))
        if context.job.id == ids[0] and context.job.attempt == 1:
            release.wait(20)
        return Done()

    spec = HandlerSpec(deaf_once, ordered=True, timeout_s=0.2)
    counts = make_runner(tenant_db, {"a": spec}, grace_s=0.1).run_until_empty()
    release.set()

    assert starts == [(ids[0], 1), (ids[0], 2), (ids[1], 1), (ids[2], 1)]
    assert (counts.done, counts.retried) == (3, 1)
