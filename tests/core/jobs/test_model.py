"""The queue against a model: any order of verbs, on real PostgreSQL, keeps every job in exactly one place."""

from __future__ import annotations

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

from platform_core.db import Tx, load_queries
from platform_core.errors import StateConflict
from platform_core.jobs import queue
from platform_core.jobs.contracts import DeadCause
from platform_core.jobs.execution import Settled, Settlement
from platform_core.jobs.lifecycle import MOVES, JobState
from platform_core.jobs.settlement import claim_suspect, exchange
from platform_core.values import Actor
from tests.support.databases import TenantDatabase
from tests.support.queues import AT_ONCE

Q = load_queries(queue.__file__)
ENTITIES = ("e1", "e2", None)
KEYS = ("k1", "k2", None)
OUTCOMES: tuple[Settled, ...] = ("done", "cancelled", "retried", "snoozed", "dead", "handed_back")


@dataclass
class Known:
    """What the model believes of a job."""

    state: JobState
    entity: str | None
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
        self.world = World()
        for key, entity in (("k1", "e1"), (None, "e2"), (None, None)):
            self.enqueue(key, entity)
        for _ in range(2):
            self.open_lease()

    @rule(key=st.sampled_from(KEYS), entity=st.sampled_from(ENTITIES))
    def enqueue(self, key: str | None, entity: str | None) -> None:
        """A key is enqueued once."""
        made = queue.enqueue(self.tx, "a", {}, key=key, entity=entity)
        known = self.world.keys.get(key) if key else None
        assert made.created == (known is None)
        if known is not None:
            assert made.job_id == known
            return
        assert made.job_id not in self.world.jobs
        self.world.jobs[made.job_id] = Known(JobState.QUEUED, entity)
        if key:
            self.world.keys[key] = made.job_id

    @rule()
    def open_lease(self) -> None:
        """Ids are never given twice."""
        row = self.tx.execute(Q["lease_open"], {"worker": "w", "lease_s": 3600}).fetchone()
        assert row is not None
        assert row[0] not in self.world.leases
        self.world.leases[row[0]] = True

    @rule(data=st.data(), batch=st.integers(1, 3))
    def claim(self, data: st.DataObject, batch: int) -> None:
        """A valid lease that holds nothing takes queued jobs nobody holds."""
        for lease in self._pick_lease(data, idle=True):
            answer = exchange(self.tx, lease, [], batch=batch, backoff=AT_ONCE)
            queued = len(self._in(JobState.QUEUED))
            assert len(answer.claimed) == (min(batch, queued) if self.world.leases[lease] else 0)
            for row in answer.claimed:
                self._begin(row.id, lease, JobState.QUEUED, row.attempt)

    @precondition(lambda self: self._in(JobState.SUSPECT))
    @rule(data=st.data())
    def claim_suspect(self, data: st.DataObject) -> None:
        """One at a time."""
        for lease in self._pick_lease(data, idle=True):
            row = claim_suspect(self.tx, lease)
            assert (row is not None) == self.world.leases[lease]
            if row is not None:
                self._begin(row.id, lease, JobState.SUSPECT, row.attempt)

    @rule(data=st.data(), outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=6, max_size=6))
    def settle(self, data: st.DataObject, outcomes: list[Settled]) -> None:
        """Settle any jobs under any lease: only what it holds moves."""
        for lease in self._pick_lease(data, holding=True):
            ids = list(self.world.jobs)[-6:]
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


def test_any_order_of_verbs_keeps_every_job_in_one_place(tenant_db: TenantDatabase) -> None:
    """Never lost, never in two hands, attempts counted, a key enqueued once; and every move is made."""
    with tenant_db.connect() as tx, tenant_db.admin() as admin:

        class Bound(QueueMachine):
            """Against this test's database."""

        Bound.tx, Bound.admin = tx, admin
        run_state_machine_as_test(
            Bound,
            settings=settings(
                max_examples=120,
                stateful_step_count=60,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=(Phase.explicit, Phase.generate, Phase.shrink),
            ),
        )

    assert QueueMachine.moves == MOVES
