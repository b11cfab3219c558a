"""The queue and a model of it, side by side: any order of verbs, on real PostgreSQL.

What the model keeps to, and what is compared after every step: a job is in one place and in one hand;
attempts are counted; a key makes one job; a cap of a kind or a lane is never passed; an ordered lane gives
its jobs in their order; the open line gives the urgent first, or the low when it is their turn.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from platform_core.db import Tx
from platform_core.errors import StateConflict
from platform_core.jobs import queue, rules
from platform_core.jobs.contracts import DeadCause, Limit, Priority
from platform_core.jobs.execution import Settled, Settlement
from platform_core.jobs.lifecycle import MOVES, JobState
from platform_core.jobs.settlement import Lane, Reach, claim_suspect, exchange
from platform_core.values import Actor
from tests.support.claims import Q, ruled
from tests.support.databases import TenantDatabase
from tests.support.queues import AT_ONCE

ENTITIES = ("e1", "e2", None)
KEYS = ("k1", "k2", None)
KIND_CAP, LANE_CAP = 3, 2
RULED = {
    "capped": ruled(limit=Limit(max_running=KIND_CAP), lane_limit=Limit(max_running=LANE_CAP)),
    "ordered": ruled(ordered=True),
}
PLACES = (
    ("free", None),
    ("free", "l1"),
    ("capped", None),
    ("capped", "l1"),
    ("capped", "l2"),
    ("ordered", None),
    ("ordered", "l1"),
)
LANES: tuple[Lane, ...] = tuple((kind, lane or "") for kind, lane in PLACES if lane or kind != "free")
OUTCOMES: tuple[Settled, ...] = ("done", "cancelled", "retried", "snoozed", "dead", "handed_back")


@dataclass
class Known:
    """What the model believes of a job."""

    state: JobState
    entity: str | None
    place: Lane | None = None
    priority: Priority = Priority.NORMAL
    attempt: int = 0
    holder: int | None = None
    cancel: bool = False


@dataclass
class World:
    """What the model believes of everything. `leases` maps a lease to whether it is still valid."""

    jobs: dict[int, Known] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    leases: dict[int, bool] = field(default_factory=dict)


class QueueMachine(RuleBasedStateMachine):
    """One connection is enough here: the interleavings have tests of their own."""

    tx: Tx
    admin: Tx
    moves: ClassVar[set[tuple[JobState, JobState]]] = set()

    @initialize()
    def begin(self) -> None:
        """A queue with something in it, so that most steps find something to do."""
        self.admin.execute("TRUNCATE jobs.job, jobs.lease, jobs.key, jobs.done, jobs.dead")
        rules.declare(self.tx, RULED)
        self.world = World()
        for key, entity in (("k1", "e1"), (None, "e2"), (None, None)):
            self.enqueue(key, entity, ("free", None), Priority.NORMAL)
        self.enqueue(None, None, ("ordered", "l1"), Priority.NORMAL)
        self.enqueue(None, "e1", ("ordered", "l1"), Priority.NORMAL)
        for lane in ("l1", "l2", "l1", "l2"):
            self.enqueue(None, None, ("capped", lane), Priority.NORMAL)
        for _ in range(3):
            self.open_lease()

    @rule(
        key=st.sampled_from(KEYS),
        entity=st.sampled_from(ENTITIES),
        place=st.sampled_from(PLACES),
        priority=st.sampled_from(Priority),
    )
    def enqueue(
        self, key: str | None, entity: str | None, place: tuple[str, str | None], priority: Priority
    ) -> None:
        """A key is enqueued once; a kind with a rule stands in a lane."""
        kind, lane = place
        made = queue.enqueue(self.tx, kind, {}, key=key, entity=entity, lane=lane, priority=priority)
        known = self.world.keys.get(key) if key else None
        assert made.created == (known is None)
        if known is not None:
            assert made.job_id == known
            return
        assert made.job_id not in self.world.jobs
        self.world.jobs[made.job_id] = Known(
            JobState.QUEUED, entity, None if place == ("free", None) else (kind, lane or ""), priority
        )
        if key:
            self.world.keys[key] = made.job_id

    @rule()
    def open_lease(self) -> None:
        """Ids are never given twice."""
        row = self.tx.execute(Q["lease_open"], {"worker": "w", "lease_s": 3600}).fetchone()
        assert row is not None
        assert row[0] not in self.world.leases
        self.world.leases[row[0]] = True

    @rule(
        data=st.data(),
        batch=st.integers(1, 8),
        lanes=st.permutations(LANES) | st.lists(st.sampled_from(LANES), unique=True),
        lowest_first=st.booleans(),
    )
    def claim(self, data: st.DataObject, batch: int, lanes: list[Lane], lowest_first: bool) -> None:
        """A valid lease that holds nothing takes what lanes and line allow, half of the batch from lanes."""
        for lease in self._pick_lease(data, idle=True):
            reach = Reach(lanes=lanes, lowest_first=lowest_first)
            answer = exchange(self.tx, lease, [], batch=batch, backoff=AT_ONCE, reach=reach)
            if not self.world.leases[lease]:
                assert answer.claimed == []
                continue
            taken = Counter(self.world.jobs[row.id].place for row in answer.claimed)
            expected = self._expected_of_lanes(batch, lanes)
            free = [j for j in self._in(JobState.QUEUED) if self.world.jobs[j].place is None]
            expected[None] = min(batch - expected.total(), len(free))
            assert +taken == +expected
            claimed = [row.id for row in answer.claimed]
            self._check_order(claimed, free, lowest_first=lowest_first)
            for row in answer.claimed:
                self._begin(row.id, lease, JobState.QUEUED, row.attempt)

    def _expected_of_lanes(self, batch: int, lanes: list[Lane]) -> Counter[Lane | None]:
        """How many jobs of each lane a claim takes."""
        expected: Counter[Lane | None] = Counter()
        for lane in lanes:
            room = min((batch + 1) // 2 - expected.total(), len(self._startable(lane)))
            if lane[0] == "capped":
                of_kind = sum(count for place, count in expected.items() if place and place[0] == "capped")
                room = min(room, KIND_CAP - of_kind - self._running("capped"))
                room = min(room, LANE_CAP - self._running(*lane))
            expected[lane] += max(room, 0)
        return expected

    def _startable(self, lane: Lane) -> list[int]:
        """The jobs of a lane that may start, limits aside: of an ordered one only those at its head."""
        found = self._live_in(lane)
        queued = [self.world.jobs[job_id].state is JobState.QUEUED for job_id in found]
        if lane[0] == "ordered":
            return found[: queued.index(False) if False in queued else len(found)]
        return [job_id for job_id, waits in zip(found, queued, strict=True) if waits]

    def _check_order(self, claimed: list[int], free: list[int], *, lowest_first: bool) -> None:
        for lane in LANES:
            mine = [job_id for job_id in claimed if self.world.jobs[job_id].place == lane]
            if lane[0] == "ordered":
                assert mine == self._live_in(lane)[: len(mine)]
        chosen = {self.world.jobs[job_id].priority for job_id in claimed if job_id in free}
        left = {self.world.jobs[job_id].priority for job_id in free if job_id not in claimed}
        if chosen and left:
            assert min(chosen) >= max(left) if lowest_first else max(chosen) <= min(left)

    @precondition(lambda self: self._in(JobState.SUSPECT))
    @rule(data=st.data())
    def claim_suspect(self, data: st.DataObject) -> None:
        """One at a time, and none that its lane holds back."""
        for lease in self._pick_lease(data, idle=True):
            row = claim_suspect(self.tx, lease)
            admitted = [job_id for job_id in self._in(JobState.SUSPECT) if self._is_admitted(job_id)]
            assert (row is not None) == (self.world.leases[lease] and bool(admitted))
            if row is not None:
                assert row.id in admitted
                self._begin(row.id, lease, JobState.SUSPECT, row.attempt)

    def _is_admitted(self, job_id: int) -> bool:
        match self.world.jobs[job_id].place:
            case ("capped", lane):
                return self._running("capped") < KIND_CAP and self._running("capped", lane) < LANE_CAP
            case ("ordered", _) as place:
                return self._live_in(place)[0] == job_id
            case _:
                return True

    @rule()
    def look_for_lanes(self) -> None:
        """The hint is right as long as nobody else is at work."""
        asked = {"after_kind": "", "after_lane": "", "most": 100}
        found = {(kind, lane) for kind, lane, _ in self.tx.execute(Q["lane_list_open"], asked)}
        assert found == {lane for lane in LANES if self._expected_of_lanes(2, [lane]).total()}

    @rule(
        data=st.data(),
        outcomes=st.just(["done"] * 6) | st.lists(st.sampled_from(OUTCOMES), min_size=6, max_size=6),
    )
    def settle(self, data: st.DataObject, outcomes: list[Settled]) -> None:
        """Settle any jobs under any lease: only what it holds moves."""
        for lease in self._pick_lease(data, holding=True):
            ids = data.draw(st.permutations(list(self.world.jobs)))[:6]
            settlements = [
                Settlement(job_id, outcome, cause=DeadCause.REFUSED)
                for job_id, outcome in zip(ids, outcomes, strict=False)
            ]
            held = self._held(lease)
            answer = exchange(self.tx, lease, settlements, batch=0, backoff=AT_ONCE)
            assert set(answer.settled) == set(held) & set(ids)
            for settlement in settlements:
                if settlement.job_id in answer.settled:
                    self._end(settlement)
                    assert answer.settled[settlement.job_id] == self._expected(settlement)

    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        """A worker stops beating."""
        for lease in self._pick_lease(data, holding=True):
            self.admin.execute(
                "UPDATE jobs.lease SET expires_at = now() - interval '1 s' WHERE id = %s", (lease,)
            )
            self.world.leases[lease] = False

    @rule(data=st.data())
    def beat(self, data: st.DataObject) -> None:
        """It prolongs what is valid, revives nothing, and names what was cancelled."""
        for lease in self._pick_lease(data):
            row = self.tx.execute(Q["lease_beat"], {"lease": lease, "lease_s": 3600}).fetchone()
            assert row is not None
            told = {job_id for job_id in self._held(lease) if self.world.jobs[job_id].cancel}
            assert (row[0], set(row[1])) == ((True, told) if self.world.leases[lease] else (False, set()))

    @precondition(lambda self: not all(self.world.leases.values()))
    @rule()
    def bury(self) -> None:
        """Everything that expired leases hold becomes suspect, or ends if it was cancelled."""
        freed = {row[0]: row[1] for row in self.tx.execute(Q["lease_bury"])}
        dead = [lease for lease, valid in self.world.leases.items() if not valid]
        expected = {
            job_id: "cancelled" if self.world.jobs[job_id].cancel else "suspect"
            for lease in dead
            for job_id in self._held(lease)
        }
        assert freed == expected
        for job_id, outcome in expected.items():
            self._move(job_id, JobState.SUSPECT if outcome == "suspect" else JobState.CANCELLED)

    @rule(key=st.sampled_from(KEYS), entity=st.sampled_from(ENTITIES))
    def cancel(self, key: str | None, entity: str | None) -> None:
        """Waiting jobs end, running ones are flagged."""
        if key is None and entity is None:
            return
        counts = queue.cancel(self.tx, key=key, entity=entity)
        live = (JobState.QUEUED, JobState.SUSPECT, JobState.RUNNING)
        meant = {
            job_id
            for job_id, job in self.world.jobs.items()
            if job.state in live
            and ((entity and job.entity == entity) or (key and self.world.keys.get(key) == job_id))
        }
        running = {job_id for job_id in meant if self.world.jobs[job_id].state is JobState.RUNNING}
        assert (counts.queued, counts.running) == (len(meant - running), len(running))
        for job_id in meant:
            self.world.jobs[job_id].cancel = True
            if job_id not in running:
                self._move(job_id, JobState.CANCELLED)

    @precondition(lambda self: self._in(JobState.DEAD))
    @rule(data=st.data())
    def redrive(self, data: st.DataObject) -> None:
        """Only the dead come back."""
        dead = self._in(JobState.DEAD)
        job_id = data.draw(st.sampled_from(dead) | st.sampled_from(sorted(self.world.jobs)))
        actor = Actor("user", "ops-1", "ops")
        if self.world.jobs[job_id].state is not JobState.DEAD:
            with pytest.raises(StateConflict):
                queue.redrive(self.tx, job_id, actor)
            return
        queue.redrive(self.tx, job_id, actor)
        self._move(job_id, JobState.QUEUED)
        self.world.jobs[job_id].attempt = 0
        self.world.jobs[job_id].cancel = False

    @invariant()
    def every_job_is_where_the_model_says(self) -> None:
        """In one place, with its attempt and its holder."""
        if not hasattr(self, "world"):
            return
        rows = self.admin.execute(
            "SELECT id, lease_id, suspect, attempt, 'job' FROM jobs.job "
            "UNION ALL SELECT job_id, NULL, NULL, attempt, outcome FROM jobs.done "
            "UNION ALL SELECT job_id, NULL, NULL, attempt, 'dead' FROM jobs.dead"
        ).fetchall()
        found = {}
        for job_id, holder, suspect, attempt, place in rows:
            waiting = JobState.SUSPECT if suspect else JobState.QUEUED
            state = JobState(place) if place != "job" else JobState.RUNNING if holder else waiting
            assert job_id not in found
            found[job_id] = (state, holder, attempt)

        assert found == {
            job_id: (job.state, job.holder, job.attempt) for job_id, job in self.world.jobs.items()
        }

    @invariant()
    def no_cap_is_passed(self) -> None:
        """Of what really runs, by the rows."""
        running = Counter(
            (row[0], row[1])
            for row in self.admin.execute(
                "SELECT kind, lane FROM jobs.job WHERE lease_id IS NOT NULL AND kind = 'capped'"
            )
        )
        assert running.total() <= KIND_CAP
        assert max(running.values(), default=0) <= LANE_CAP

    def _live_in(self, lane: Lane) -> list[int]:
        return sorted(
            job_id
            for job_id, job in self.world.jobs.items()
            if job.place == lane and job.state in (JobState.QUEUED, JobState.RUNNING, JobState.SUSPECT)
        )

    def _running(self, kind: str, lane: str | None = None) -> int:
        return sum(
            job.state is JobState.RUNNING
            for job in self.world.jobs.values()
            if job.place and job.place[0] == kind and lane in (None, job.place[1])
        )

    def _pick_lease(self, data: st.DataObject, *, holding: bool = False, idle: bool = False) -> list[int]:
        """One lease; rather one that holds jobs, or only one that holds none."""
        busy = [lease for lease in self.world.leases if self._held(lease)]
        free = [lease for lease in self.world.leases if lease not in busy]
        choice = free if idle else (holding and busy) or [*busy, *free]
        return [data.draw(st.sampled_from(choice))] if choice else []

    def _in(self, state: JobState) -> list[int]:
        return [job_id for job_id, job in self.world.jobs.items() if job.state is state]

    def _held(self, lease: int) -> list[int]:
        return [job_id for job_id, job in self.world.jobs.items() if job.holder == lease]

    def _begin(self, job_id: int, lease: int, expected: JobState, attempt: int) -> None:
        job = self.world.jobs[job_id]
        assert job.state is expected
        assert attempt == job.attempt + 1
        self._move(job_id, JobState.RUNNING)
        job.holder, job.attempt = lease, attempt

    def _expected(self, settlement: Settlement) -> str:
        put_back = settlement.outcome in ("retried", "snoozed", "handed_back")
        return "cancelled" if put_back and self.world.jobs[settlement.job_id].cancel else settlement.outcome

    def _end(self, settlement: Settlement) -> None:
        outcome = self._expected(settlement)
        job = self.world.jobs[settlement.job_id]
        if outcome in ("snoozed", "handed_back"):
            job.attempt -= 1
        suspect = outcome == "handed_back" and settlement.job_id in self._suspects()
        back = JobState.SUSPECT if suspect else JobState.QUEUED
        self._move(
            settlement.job_id, back if outcome in ("retried", "snoozed", "handed_back") else JobState(outcome)
        )

    def _suspects(self) -> set[int]:
        return {row[0] for row in self.admin.execute("SELECT id FROM jobs.job WHERE suspect")}

    def _move(self, job_id: int, new: JobState) -> None:
        job = self.world.jobs[job_id]
        assert (job.state, new) in MOVES
        self.moves.add((job.state, new))
        job.state, job.holder = new, None


def run_machine(
    db: TenantDatabase, examples: int, steps: int, *, by_chance: bool = False
) -> set[tuple[JobState, JobState]]:
    """Play so many histories against a customer's database; the moves that were made.

    Always the same ones, or others each time: then a failure prints what brings it about again.
    """
    with db.connect() as tx, db.admin() as admin:

        class Bound(QueueMachine):
            """Against this database."""

            moves: ClassVar[set[tuple[JobState, JobState]]] = set()

        Bound.tx, Bound.admin = tx, admin
        run_state_machine_as_test(
            Bound,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                derandomize=not by_chance,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=(Phase.explicit, Phase.generate, Phase.shrink),
            ),
        )
    return Bound.moves
