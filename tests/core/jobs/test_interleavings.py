"""Two transactions at once over lanes, limits, orders, keys and dead letters; nobody waits for a claim.

The meetings of claims, beats, burials, cancels and completions of the open line are in `test_leases`.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from platform_core.errors import StateConflict
from platform_core.jobs import queue, rules
from platform_core.jobs.contracts import (
    CancelCounts,
    DeadCause,
    HandlerSpec,
    JobContext,
    Limit,
    NewJob,
    RunCounts,
)
from platform_core.jobs.execution import Settlement
from platform_core.jobs.settlement import claim_suspect
from platform_core.values import Actor, Dead, Done, Outcome
from tests.support.claims import (
    Q,
    bury,
    claim_ids,
    declare,
    done,
    lease_row,
    open_lanes,
    ruled,
    settle_and_claim,
    two,
)
from tests.support.databases import TenantDatabase
from tests.support.queues import add, change, expire_leases, look, make_runner

OPS = Actor("user", "ops-1", "ops")
ONE = Limit(max_running=1)
L1, L2 = ("a", "l1"), ("a", "l2")


def test_a_second_claim_passes_over_a_lane_that_is_being_claimed(tenant_db: TenantDatabase) -> None:
    """It takes from the open line meanwhile, and knows the cap as soon as the first is committed."""
    declare(tenant_db, a=ruled(lane_limit=Limit(max_running=2)))
    laned = add(tenant_db, *["a"] * 5, lane="l1")
    (free,) = add(tenant_db, "b")
    with two(tenant_db) as (one, other):
        mine, theirs = lease_row(one), lease_row(other)
        with one.transaction():
            first = claim_ids(one, mine, 4, L1)
            meanwhile = claim_ids(other, theirs, 4, L1)
        after = claim_ids(other, lease_row(other), 4, L1)
        settle_and_claim(one, mine, done(laned[0]))
        freed = claim_ids(other, lease_row(other), 4, L1)

    assert (first, meanwhile, after, freed) == ([*laned[:2], free], [], [], [laned[2]])


def test_a_kinds_cap_holds_under_two_claimers_of_different_lanes(tenant_db: TenantDatabase) -> None:
    """The rule's row is locked by the one who counts; the other skips the whole kind."""
    declare(tenant_db, a=ruled(limit=Limit(max_running=3)))
    first_lane = add(tenant_db, "a", "a", lane="l1")
    second_lane = add(tenant_db, "a", "a", lane="l2")
    with two(tenant_db) as (one, other):
        with one.transaction():
            mine = claim_ids(one, lease_row(one), 10, L1)
            meanwhile = claim_ids(other, lease_row(other), 10, L2)
        after = claim_ids(other, lease_row(other), 10, L2)

    assert (mine, meanwhile, after) == (first_lane, [], second_lane[:1])
    assert look(tenant_db, "SELECT jobs.count_running('a', NULL)") == [(3,)]


def test_two_exchanges_with_overlapping_new_lanes_neither_wait_nor_deadlock(
    tenant_db: TenantDatabase,
) -> None:
    """Neither lane has a row yet: both exchanges want to make both rows, in opposite order."""
    declare(tenant_db, a=ruled(lane_limit=Limit(max_running=5)))
    (first,) = add(tenant_db, "a", lane="l1")
    (second,) = add(tenant_db, "a", lane="l2")
    with two(tenant_db) as (one, other), one.transaction():
        mine = claim_ids(one, lease_row(one), 10, L1)
        with other.transaction():
            theirs = claim_ids(other, lease_row(other), 10, L2, L1)
            mine += claim_ids(one, lease_row(one), 10, L2)

    assert (mine, theirs) == ([first], [second])
    assert look(tenant_db, "SELECT lane FROM jobs.lane ORDER BY lane") == [("l1",), ("l2",)]


def test_many_exchanges_over_the_same_lanes_end_without_a_deadlock(tenant_db: TenantDatabase) -> None:
    """Four workers, twenty lanes, each in an order of its own."""
    declare(tenant_db, a=ruled(lane_limit=ONE))
    for number in range(20):
        add(tenant_db, *["a"] * 4, lane=f"l{number}")
    failures: list[BaseException] = []

    def work(shift: int) -> None:
        try:
            with tenant_db.connect() as tx:
                holder, held = lease_row(tx), list[int]()
                for turn in range(60):
                    lanes = [("a", f"l{(number * 7 + shift * 5 + turn) % 20}") for number in range(20)]
                    held = [row.id for row in settle_and_claim(tx, holder, done(*held), 8, lanes).claimed]
                settle_and_claim(tx, holder, done(*held))
        except psycopg.Error as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(shift,)) for shift in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert look(tenant_db, "SELECT count(*), count(DISTINCT job_id) FROM jobs.done") == [(80, 80)]


def test_a_claim_passes_over_an_ordered_lane_whose_head_is_being_cancelled(tenant_db: TenantDatabase) -> None:
    """It does not take the second before it is known what becomes of the first."""
    declare(tenant_db, a=ruled(ordered=True))
    (head,) = add(tenant_db, "a", lane="l1", entity="e")
    (second,) = add(tenant_db, "a", lane="l1")
    with two(tenant_db) as (one, other):
        with one.transaction():
            queue.cancel(one, entity="e")
            meanwhile = claim_ids(other, lease_row(other), 10, L1)
        after = claim_ids(other, lease_row(other), 10, L1)

    assert (meanwhile, after) == ([], [second])
    assert look(tenant_db, "SELECT job_id, outcome FROM jobs.done") == [(head, "cancelled")]


def test_two_workers_on_one_ordered_lane_never_hold_it_together(tenant_db: TenantDatabase) -> None:
    """Whoever has its head has the lane, until the last job it holds there has ended."""
    declare(tenant_db, a=ruled(ordered=True))
    ids = add(tenant_db, *["a"] * 5, lane="l1")
    with two(tenant_db) as (one, other):
        mine = lease_row(one)
        first = claim_ids(one, mine, 4, L1)
        while_held = (open_lanes(other), claim_ids(other, lease_row(other), 4, L1))
        settle_and_claim(one, mine, done(first[0]))
        half_way = claim_ids(other, lease_row(other), 4, L1)
        settle_and_claim(one, mine, done(first[1]))
        afterwards = claim_ids(other, lease_row(other), 4, L1)

    assert (first, while_held, half_way, afterwards) == (ids[:2], ([], []), [], ids[2:4])


def test_declaring_rules_and_claiming_do_not_stop_each_other(tenant_db: TenantDatabase) -> None:
    """A claim skips a kind whose rule is being changed; a change waits for a claim in flight."""
    declare(tenant_db, a=ruled(limit=ONE))
    (laned,) = add(tenant_db, "a", lane="l1")
    (free,) = add(tenant_db, "b")
    with two(tenant_db) as (one, other):
        with one.transaction():
            rules.declare(one, {"a": ruled(limit=Limit(max_running=2))})
            meanwhile = claim_ids(other, lease_row(other), 10, L1)
        with one.transaction():
            claimed = claim_ids(one, lease_row(one), 10, L1)
            with pytest.raises(psycopg.errors.LockNotAvailable):
                rules.declare(other, {"a": ruled(limit=ONE)})

    assert (meanwhile, claimed) == ([free], [laned])
    assert look(tenant_db, "SELECT max_running FROM jobs.rule") == [(2,)]


def test_two_claimers_of_suspects_take_different_ones_and_keep_the_lanes_cap(
    tenant_db: TenantDatabase,
) -> None:
    """A suspect is no way around a limit."""
    declare(tenant_db, a=ruled(lane_limit=ONE))
    laned = add(tenant_db, "a", "a", lane="l1")
    (free,) = add(tenant_db, "b")
    change(tenant_db, "UPDATE jobs.job SET suspect = true")
    with two(tenant_db) as (one, other):
        with one.transaction():
            first = claim_suspect(one, lease_row(one))
            second = claim_suspect(other, lease_row(other))
        third = claim_suspect(other, lease_row(other))

    assert [row and row.id for row in (first, second, third)] == [laned[0], free, None]


def test_suspects_that_their_lane_holds_back_are_no_work_and_hide_no_other(tenant_db: TenantDatabase) -> None:
    """Two hundred of them behind a head that waits an hour for its retry."""
    declare(tenant_db, a=ruled(ordered=True))
    (head,) = add(tenant_db, "a", lane="l1", run_at=datetime.now(UTC) + timedelta(hours=1))
    with tenant_db.connect() as tx:
        queue.enqueue_many(tx, [NewJob("a", {}, lane="l1")] * 200)
        change(tenant_db, "UPDATE jobs.job SET suspect = true WHERE id > %s", head)
        barred = tx.execute(Q["queue_has_work"]).fetchone()
        add(tenant_db, "b")
        change(tenant_db, "UPDATE jobs.job SET suspect = true WHERE kind = 'b'")
        waiting = tx.execute(Q["queue_has_work"]).fetchone()
        counts = make_runner(tenant_db, {"a": ruled(ordered=True), "b": lambda _: Done()}).run_until_empty()

    assert (barred, waiting) == ((False,), (True,))
    assert counts == RunCounts(done=1)


def test_redriving_twice_at_once_revives_one_job(tenant_db: TenantDatabase) -> None:
    """The second waits for the first and then finds nothing dead."""
    (job_id,) = add(tenant_db, "a")
    make_runner(tenant_db, {"a": lambda _: Dead("no")}).run_until_empty()
    with two(tenant_db) as (one, other):
        with one.transaction():
            queue.redrive(one, job_id, OPS)
            with pytest.raises(psycopg.errors.LockNotAvailable):
                queue.redrive(other, job_id, OPS)
        with pytest.raises(StateConflict):
            queue.redrive(other, job_id, OPS)

    assert look(tenant_db, "SELECT id, attempt FROM jobs.job") == [(job_id, 0)]
    assert look(tenant_db, "SELECT count(*) FROM jobs.dead") == [(0,)]


def test_a_redrive_that_rolls_back_leaves_the_dead_letter(tenant_db: TenantDatabase) -> None:
    """And the next one finds it."""
    (job_id,) = add(tenant_db, "a")
    make_runner(tenant_db, {"a": lambda _: Dead("no")}).run_until_empty()
    with tenant_db.connect() as tx:
        with tx.transaction(force_rollback=True):
            queue.redrive(tx, job_id, OPS)
        queue.redrive(tx, job_id, OPS)

    assert look(tenant_db, "SELECT id FROM jobs.job") == [(job_id,)]


def test_bulk_calls_with_the_same_keys_in_opposite_order_do_not_deadlock(tenant_db: TenantDatabase) -> None:
    """Keys are taken in their own order, so the second call waits and then answers with the first's jobs."""
    keys = [f"k{number}" for number in range(200)]
    made: list[list[bool]] = []

    def enqueue(ordered: list[str]) -> None:
        with tenant_db.connect() as tx:
            new = [NewJob("a", {}, key=key) for key in ordered]
            made.append([one.created for one in queue.enqueue_many(tx, new)])

    threads = [threading.Thread(target=enqueue, args=(order,)) for order in (keys, keys[::-1], keys)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(sum(created) for created in made) == [0, 0, 200]
    assert look(tenant_db, "SELECT count(*), count(DISTINCT key) FROM jobs.job") == [(200, 200)]


def test_a_burial_and_a_beat_of_a_laned_job_leave_the_cap_as_it_was(tenant_db: TenantDatabase) -> None:
    """An expired lease counts until it is buried: its worker may only be slow."""
    declare(tenant_db, a=ruled(limit=ONE))
    ids = add(tenant_db, "a", "a", lane="l1")
    with two(tenant_db) as (one, other):
        claim_ids(one, lease_row(one), 2, L1)
        expire_leases(tenant_db)
        expired = claim_ids(other, lease_row(other), 2, L1)
        with one.transaction():
            buried = bury(one)
            meanwhile = claim_ids(other, lease_row(other), 2, L1)
        after = claim_ids(other, lease_row(other), 2, L1)

    assert (expired, buried, meanwhile) == ([], [(ids[0], "suspect")], [])
    assert after == [ids[1]]


def test_a_dead_letter_and_a_cancel_meet_in_either_order(tenant_db: TenantDatabase) -> None:
    """What died first cannot be cancelled; what was cancelled first dies all the same, and is seen."""
    first, second = add(tenant_db, "a", "a", entity="e")
    with two(tenant_db) as (one, other):
        holder = lease_row(one)
        claim_ids(one, holder)
        dead = [Settlement(job_id, "dead", "no", cause=DeadCause.REFUSED) for job_id in (first, second)]
        settle_and_claim(one, holder, dead[:1])
        counts = queue.cancel(other, entity="e")
        late = settle_and_claim(one, holder, dead[1:])

    assert (counts, late.settled) == (CancelCounts(queued=0, running=1), {second: "dead"})
    assert look(tenant_db, "SELECT job_id FROM jobs.dead ORDER BY 1") == [(first,), (second,)]


def test_a_runner_starts_although_a_rule_is_being_claimed_under(tenant_db: TenantDatabase) -> None:
    """It leaves the declaration to the next start instead of ending, and goes on when the lane is free."""
    declare(tenant_db, a=ruled(limit=ONE))
    (laned,) = add(tenant_db, "a", lane="l1")
    (free,) = add(tenant_db, "b")
    ran: list[int] = []
    with tenant_db.admin() as admin:
        admin.execute("BEGIN")
        admin.execute("SELECT FROM jobs.rule FOR UPDATE")

        def handle(context: JobContext) -> Outcome:
            ran.append(context.job.id)
            if context.job.kind == "b":
                admin.execute("COMMIT")
            return Done()

        specs = {"b": HandlerSpec(handle), "a": HandlerSpec(handle, limit=ONE)}
        counts = make_runner(tenant_db, specs).run_until_empty()

    assert (counts, ran) == (RunCounts(done=2), [free, laned])
