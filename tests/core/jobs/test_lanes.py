"""Limits of kinds and lanes over several workers, and what lanes cost those who stand in none."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from platform_core.jobs import queue
from platform_core.jobs.contracts import Handler, HandlerSpec, JobContext, Limit, NewJob, Priority, RunCounts
from platform_core.values import Done, Outcome
from tests.support.claims import claim_ids, declare, lease_row, open_lanes, ruled
from tests.support.databases import TenantDatabase
from tests.support.queues import add, change, look, make_runner

FETCHED = """
    SELECT seq_scan, idx_tup_fetch FROM pg_stat_xact_all_tables WHERE schemaname = 'jobs' AND relname = 'job'
"""


class Crowd:
    """A handler that knows how many of each group run at once. `most` is the record."""

    def __init__(self, group: Callable[[JobContext], object], pause_s: float = 0.004) -> None:
        self.most: Counter[object] = Counter()
        self.runs = 0
        self._group, self._pause_s = group, pause_s
        self._now: Counter[object] = Counter()
        self._lock = threading.Lock()

    def __call__(self, context: JobContext) -> Outcome:
        """Be there for a while."""
        group = self._group(context)
        with self._lock:
            self.runs += 1
            self._now[group] += 1
            self.most[group] = max(self.most[group], self._now[group])
        threading.Event().wait(self._pause_s)
        with self._lock:
            self._now[group] -= 1
        return Done()


def run_together(db: TenantDatabase, specs: Mapping[str, HandlerSpec | Handler], workers: int = 3) -> int:
    """Several workers of two threads each over one queue; how many jobs they did."""
    done: list[int] = []
    threads = [
        threading.Thread(target=lambda: done.append(make_runner(db, specs).run_until_empty().done))
        for _ in range(workers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done)


def fill(db: TenantDatabase, kind: str, lanes: Sequence[str | None], each: int) -> None:
    """So many jobs in each lane, in turns."""
    with db.connect() as tx:
        queue.enqueue_many(tx, [NewJob(kind, {}, lane=lane) for _ in range(each) for lane in lanes])


def test_a_kinds_cap_holds_over_all_lanes_and_workers(tenant_db: TenantDatabase) -> None:
    """Six threads would run more."""
    fill(tenant_db, "a", [f"l{n}" for n in range(6)], 15)
    crowd = Crowd(lambda _: "all")
    done = run_together(tenant_db, {"a": HandlerSpec(crowd, limit=Limit(max_running=2))})

    assert (done, crowd.runs) == (90, 90)
    assert crowd.most["all"] <= 2


def test_a_lanes_cap_holds_over_all_workers_and_for_each_lane_by_itself(tenant_db: TenantDatabase) -> None:
    """One at a time within a lane; several lanes at once."""
    fill(tenant_db, "a", [f"l{n}" for n in range(6)], 15)
    lanes, everything = Crowd(lambda c: c.job.lane, pause_s=0.0), Crowd(lambda _: "all", pause_s=0.01)

    def both(context: JobContext) -> Outcome:
        lanes(context)
        return everything(context)

    done = run_together(tenant_db, {"a": HandlerSpec(both, lane_limit=Limit(max_running=1))})

    assert done == 90
    assert lanes.most == dict.fromkeys([f"l{n}" for n in range(6)], 1)
    assert everything.most["all"] >= 2


def test_a_rate_is_not_exceeded_in_any_window_of_real_starts(tenant_db: TenantDatabase) -> None:
    """Over three workers, from the first start on; the tokens that were there at first are the burst."""
    starts: list[float] = []

    def handle(_context: JobContext) -> Outcome:
        starts.append(time.monotonic())
        return Done()

    fill(tenant_db, "a", ["x", "y"], 25)
    done = run_together(tenant_db, {"a": HandlerSpec(handle, limit=Limit(per_s=30, burst=5))})
    starts.sort()

    assert done == 50
    assert starts[-1] - starts[0] >= (50 - 5 - 1) / 30 - LATE_S
    assert excess(starts, per_s=30, burst=5) <= 0


def test_each_lane_has_a_rate_of_its_own(tenant_db: TenantDatabase) -> None:
    """A busy lane does not spend the tokens of another."""
    starts: dict[str | None, list[float]] = {"x": [], "y": []}

    def handle(context: JobContext) -> Outcome:
        starts[context.job.lane].append(time.monotonic())
        return Done()

    fill(tenant_db, "a", ["x"], 24)
    fill(tenant_db, "a", ["y"], 4)
    done = run_together(tenant_db, {"a": HandlerSpec(handle, lane_limit=Limit(per_s=20, burst=4))}, workers=2)

    assert done == 28
    assert max(excess(sorted(found), per_s=20, burst=4) for found in starts.values()) <= 0
    assert max(starts["y"]) < sorted(starts["x"])[12]


LATE_S = 0.3
"""A job starts a little after its token was taken, so a window of starts may hold those of this much more."""


def excess(starts: Sequence[float], *, per_s: float, burst: int) -> float:
    """How many starts more than the rate allows the worst window holds; below zero when none does."""
    return max(
        last + 1 - first - burst - per_s * (starts[last] - starts[first] + LATE_S)
        for first in range(len(starts))
        for last in range(first, len(starts))
    )


def test_starting_a_worker_refills_no_rate(tenant_db: TenantDatabase) -> None:
    """Ten starts in a row do not make ten bursts."""
    fill(tenant_db, "a", ["x"], 10)
    rate = {"a": HandlerSpec(lambda _: Done(), limit=Limit(per_s=0.001, burst=2))}
    counts = [make_runner(tenant_db, rate, deadline_s=0.3).run_until_empty().done for _ in range(3)]

    assert counts == [2, 0, 0]
    assert look(tenant_db, "SELECT count(*), min(attempt), max(attempt) FROM jobs.job") == [(8, 0, 0)]


def test_jobs_of_the_open_line_go_to_a_lane_when_their_kind_gets_its_first_rule(
    tenant_db: TenantDatabase,
) -> None:
    """The limit holds for those that were there before it, too; other kinds stay where they are."""
    fill(tenant_db, "a", [None], 12)
    fill(tenant_db, "b", [None], 3)
    crowd = Crowd(lambda _: "all")
    specs = {"a": HandlerSpec(crowd, limit=Limit(max_running=1)), "b": HandlerSpec(lambda _: Done())}
    done = run_together(tenant_db, specs)

    assert (done, crowd.most["all"]) == (15, 1)
    assert look(
        tenant_db, "SELECT kind, lane, count(*), max(attempt) FROM jobs.done GROUP BY 1, 2 ORDER BY 1"
    ) == [("a", "", 12, 1), ("b", None, 3, 1)]


def test_jobs_in_lanes_are_free_when_their_kind_loses_its_rule(tenant_db: TenantDatabase) -> None:
    """A full lane is full no more."""
    declare(tenant_db, a=ruled(limit=Limit(max_running=1)))
    fill(tenant_db, "a", ["l1", "l2"], 5)
    with tenant_db.connect() as tx:
        held = claim_ids(tx, lease_row(tx), 10, ("a", "l1"))
        shut = open_lanes(tx)
    counts = make_runner(tenant_db, {"a": lambda _: Done()}).run_until_empty()

    assert (len(held), shut) == (1, [])
    assert counts == RunCounts(done=9)
    assert look(tenant_db, "SELECT count(*) FROM jobs.rule") == [(0,)]


def test_a_full_lane_of_100000_jobs_costs_the_open_line_nothing(tenant_db: TenantDatabase) -> None:
    """Neither a claim, nor the look for open lanes, nor the question whether there is work reads its jobs."""
    declare(tenant_db, a=ruled(lane_limit=Limit(max_running=1)))
    change(
        tenant_db,
        "INSERT INTO jobs.job (kind, payload, lane, run_at) "
        "SELECT 'a', '{}', 'full', now() FROM generate_series(1, 100000)",
    )
    fill(tenant_db, "b", [None], 50)
    with tenant_db.admin() as tx:
        claim_ids(tx, lease_row(tx), 2, ("a", "full"))
        costs = [tx.execute(FETCHED).fetchone() or (0, 0)]
        for ask in (
            lambda: claim_ids(tx, lease_row(tx), 20),
            lambda: claim_ids(tx, lease_row(tx), 20, ("a", "full")),
            lambda: open_lanes(tx),
            lambda: tx.execute("SELECT jobs.has_work()").fetchone(),
        ):
            with tx.transaction():
                ask()
                costs.append(tx.execute(FETCHED).fetchone() or (0, 0))

    assert [scans for scans, _ in costs] == [0] * 5
    assert costs[-1][1] <= 500, costs


def test_lanes_and_the_open_line_keep_each_other_from_nothing(tenant_db: TenantDatabase) -> None:
    """Half of a batch at most is of lanes; a worker of single jobs takes turns."""
    for most in (1, 2, 10):
        ran: list[str] = []

        def note(context: JobContext, ran: list[str] = ran) -> Outcome:
            ran.append(context.job.kind)
            return Done()

        fill(tenant_db, "laned", ["l1", "l2"], 30)
        fill(tenant_db, "free", [None], 60)
        specs = {"laned": HandlerSpec(note, lane_limit=Limit(max_running=50)), "free": HandlerSpec(note)}
        make_runner(tenant_db, specs, max_batch=most, concurrency=1).run_until_empty()
        first = Counter(ran[:40])

        assert len(ran) == 120
        assert min(first["laned"], first["free"]) >= 12, (most, first)


def test_a_thousand_lanes_are_all_served(tenant_db: TenantDatabase) -> None:
    """More than a claim asks for and more than a look lists."""
    with tenant_db.connect() as tx:
        queue.enqueue_many(tx, [NewJob("a", {}, lane=f"l{n}") for n in range(1000) for _ in range(2)])
    spec = HandlerSpec(lambda _: Done(), lane_limit=Limit(max_running=1))

    assert make_runner(tenant_db, {"a": spec}).run_until_empty() == RunCounts(done=2000)


def test_urgent_goes_first_within_a_lane(tenant_db: TenantDatabase) -> None:
    """Where the lane has no order of its own."""
    declare(tenant_db, a=ruled(lane_limit=Limit(max_running=5)))
    low, normal, urgent = (add(tenant_db, "a", lane="l1", priority=Priority(level))[0] for level in (2, 1, 0))
    with tenant_db.connect() as tx:
        claimed = [claim_ids(tx, lease_row(tx), 1, ("a", "l1")) for _ in range(3)]

    assert claimed == [[urgent], [normal], [low]]
