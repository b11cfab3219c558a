"""A school without a reader: one customer's classes over a real database."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta

import structlog

from platform_core import app
from platform_core.attendance import results, sessions
from platform_core.attendance.contracts import (
    Beat,
    ConfirmationRequest,
    CorrectionRequest,
    NewEnrolment,
    NewSession,
    NewStudent,
    Reading,
    Recorded,
    Stored,
)
from platform_core.attendance.lifecycle import Status
from platform_core.db import Tx
from platform_core.jobs.contracts import Handler, Job, JobContext
from platform_core.messaging.contracts import Party
from platform_core.tenancy.policy import Policy, store_policy
from platform_core.values import Actor, Outcome
from tests.support.databases import TenantDatabase
from tests.support.messaging import Desk

ANA, BRUNO, DIEGO = (Actor("user", name) for name in ("ana", "bruno", "diego"))
LOADER = Actor("system", "school_system")
READER = "door-1"
COURSE = "Robótica"

DAY = date(2026, 3, 2)
STARTS = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)  # three in the afternoon in Santiago
ENDS = STARTS + timedelta(hours=1)
SETTLED = ENDS + timedelta(minutes=20)

_numbers = itertools.count(1)


class School(Desk):
    """A customer with a policy, students s1 to s5 in one course, and verbs that say what a test means."""

    def __init__(self, tenant_db: TenantDatabase, connection: Tx) -> None:
        super().__init__(tenant_db, connection)
        with self.tx() as tx:
            store_policy(tx, self.policy, Actor("system", "tests"))

    def with_attendance(self, **values: object) -> Policy:
        """Change the section about attendance for this test."""
        content = self.policy.model_dump(mode="json")
        content["attendance"] |= values
        self.policy = Policy.model_validate(content)
        return self.policy

    def on(self, connection: Tx) -> School:
        """The same school seen by a second worker."""
        other = School(self.tenant_db, connection)
        other.clock, other.client, other.policy = self.clock, self.client, self.policy
        return other

    def run(
        self, handler: Handler, payload: Mapping[str, object], *, attempt: int = 1, max_attempts: int = 8
    ) -> Outcome:
        """Run a handler as the runner would, with the real questions asked again."""
        return handler(
            JobContext(
                job=Job(next(_numbers), "test", dict(payload), attempt, max_attempts, None, suspect=False),
                clock=self.clock,
                tx=self.tx,
                policy=self.get_policy,
                messaging=lambda: self.client,
                connector=self.connector,
                recheck=app.recheck,
                cancelled=lambda: False,
                log=structlog.get_logger(),
            )
        )

    # --- what there is ------------------------------------------------------------------------------------

    def student(
        self, reference: str, *, valid_from: datetime | None = None, valid_to: datetime | None = None
    ) -> int:
        """A student of the course, with a parent of its own."""
        digits = "".join(character for character in reference if character.isdigit())
        contact_id = self.contact(Party(phone=f"+569000001{int(digits):02}", name=f"Familia {reference}"))
        with self.tx() as tx:
            new = NewStudent(reference=reference, name=f"Niña {reference}", contact_id=contact_id)
            student_id = sessions.add_student(tx, new, actor=LOADER, now=self.clock.now())
            enrolment = NewEnrolment(
                student=reference,
                course=COURSE,
                valid_from=valid_from or STARTS - timedelta(days=30),
                valid_to=valid_to,
            )
            sessions.enrol(tx, enrolment, actor=LOADER)
        return student_id

    def roster(self, count: int = 5) -> list[int]:
        """So many students."""
        return [self.student(f"s{number}") for number in range(1, count + 1)]

    def session(self, reference: str = "rob/1", **changed: object) -> int:
        """A class at three in the afternoon, an hour long."""
        facts: dict[str, object] = {
            "reference": reference,
            "course": COURSE,
            "feed": READER,
            "day": DAY,
            "starts": time(15),
            "ends": time(16),
            "timezone": "America/Santiago",
        }
        new = NewSession.model_validate(facts | changed)
        with self.tx() as tx:
            return sessions.add_session(tx, new, actor=LOADER, policy=self.policy, now=self.clock.now())

    # --- what a reader says -------------------------------------------------------------------------------

    def arrives(self, student: str, minute: int = 0, **changed: object) -> Recorded:
        """A check-in, so many minutes after the start."""
        at = STARTS + timedelta(minutes=minute)
        facts: dict[str, object] = {
            "source": READER,
            "source_id": f"scan-{next(_numbers)}",
            "student": student,
            "session": "rob/1",
            "at": at,
        }
        reading = Reading.model_validate(facts | changed)
        with self.tx() as tx:
            return sessions.record_checkins(tx, [reading], now=max(reading.at, self.clock.now()))

    def lives(self, minutes: Iterable[int] = range(0, 61, 5)) -> None:
        """Heartbeats, so many minutes after the start; each has delivered everything."""
        for minute in minutes:
            at = STARTS + timedelta(minutes=minute)
            with self.tx() as tx:
                beat = Beat(source=READER, at=at, synced_until=at)
                sessions.record_heartbeat(tx, beat, now=max(at, self.clock.now()))

    def ended(self) -> None:
        """The class is over and settled."""
        self.clock.at = max(self.clock.at, SETTLED)

    # --- what is decided ----------------------------------------------------------------------------------

    def compute(self, session_id: int) -> Stored:
        """Compute and store."""
        with self.tx() as tx:
            return results.compute_session(tx, session_id, policy=self.policy, now=self.clock.now())

    def correct(
        self, session_id: int, version: int, student: str, status: Status, *, by: Actor = BRUNO
    ) -> Stored:
        """A member says what is true."""
        request = CorrectionRequest(
            session_id=session_id, version=version, student=student, status=status, reason="lo vi en clase"
        )
        with self.tx() as tx:
            return results.correct(tx, request, actor=by, policy=self.policy, now=self.clock.now())

    def confirm(self, session_id: int, version: int = 1, *, by: Actor = BRUNO) -> Stored:
        """A member says that nobody came."""
        request = ConfirmationRequest(session_id=session_id, version=version, note="feriado local")
        with self.tx() as tx:
            return results.confirm_empty(tx, request, actor=by, policy=self.policy, now=self.clock.now())

    def detail(self, session_id: int) -> results.SessionDetail:
        """Everything about a session."""
        with self.tx() as tx:
            return results.get_session(tx, session_id)

    def statuses(self, session_id: int) -> dict[str, str]:
        """The newest status of each student."""
        return {entry.reference: entry.status for entry in self.detail(session_id).students}

    def messages(self) -> list[tuple[object, object]]:
        """Purpose and state of every message, oldest first."""
        rows = self.rows("SELECT purpose, state FROM messaging.outbox ORDER BY id")
        return [(row["purpose"], row["state"]) for row in rows]

    def follow_ups(self, session_id: int) -> list[tuple[int, str]]:
        """Version and state of every follow-up."""
        return [(one.version, one.state) for one in self.detail(session_id).follow_ups]
