"""Whatever happens to a class, and however often it is computed: a family hears of an absence once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_core.attendance import results, sessions
from platform_core.attendance.contracts import Beat, Reading
from platform_core.attendance.lifecycle import Status
from platform_core.errors import NotApplicable
from tests.support.attendance import BRUNO, SETTLED, STARTS, School

STUDENTS = ("s1", "s2", "s3")
_numbers = itertools.count(1)
_TOLD = (
    "SELECT s.reference, o.purpose, o.state FROM attendance.follow_up f"
    " JOIN attendance.student s ON s.id = f.student_id"
    " JOIN messaging.outbox o ON o.id IN (f.outbox_id, f.apology_outbox_id)"
    " WHERE f.session_id = {} ORDER BY o.id"
)
_NEVER_READ = ("cancelled", "suppressed", "failed")


class Lesson:
    """One class of a school, with a reader of its own, over and settled. Its verbs are what may happen."""

    def __init__(self, school: School) -> None:
        self.school, self.name = school, f"rob/{next(_numbers)}"
        school.clock.at = SETTLED
        self.id = school.session(self.name, feed=self.name.replace("/", "-"))

    def watched(self) -> None:
        """Its reader delivers that it lived."""
        for minute in range(0, 61, 5):
            at = STARTS + timedelta(minutes=minute)
            beat = Beat(source=self.name.replace("/", "-"), at=at, synced_until=at)
            with self.school.tx() as tx:
                sessions.record_heartbeat(tx, beat, now=SETTLED)

    def seen(self, student: str, minute: int) -> None:
        """Its reader delivers a check-in."""
        reading = Reading(
            source=self.name.replace("/", "-"),
            source_id=f"scan-{next(_numbers)}",
            student=student,
            session=self.name,
            at=STARTS + timedelta(minutes=minute),
        )
        with self.school.tx() as tx:
            sessions.record_checkins(tx, [reading], now=SETTLED)

    def excused(self, student: str) -> None:
        """The family says why."""
        with self.school.tx() as tx:
            sessions.add_excuse(tx, self.id, student, actor=BRUNO, reason="enferma", now=SETTLED)

    def corrected(self, student: str, status: Status) -> None:
        """A member says what is true, where there is something to correct."""
        version = self.school.detail(self.id).summary.version
        if version is not None and self.school.detail(self.id).summary.state == "scheduled":
            self.school.correct(self.id, version, student, status)

    def sent(self) -> None:
        """The runner sends what is queued."""
        for row in self.school.rows("SELECT id FROM messaging.outbox WHERE state = 'queued' ORDER BY id"):
            self.school.send(int(str(row["id"])))

    def cancelled(self) -> None:
        """It did not take place."""
        with self.school.tx() as tx:
            results.cancel_session(
                tx, self.id, actor=BRUNO, reason="feriado", policy=self.school.policy, now=SETTLED
            )

    def computed(self) -> None:
        """Cron comes by, twice: the second time nothing may change."""
        try:
            self.school.compute(self.id)
        except NotApplicable:  # it was cancelled
            return
        before = self.told()
        assert self.school.compute(self.id).created is False
        assert self.told() == before

    def told(self) -> list[dict[str, object]]:
        """Every message about this class."""
        return self.school.rows(_TOLD.format(self.id))


_STUDENT = st.sampled_from(STUDENTS)
_ACTS: st.SearchStrategy[Callable[[Lesson], None]] = st.one_of(
    st.just(Lesson.watched),
    st.just(Lesson.watched),
    st.just(Lesson.sent),
    st.just(Lesson.sent),
    st.just(Lesson.cancelled),
    st.builds(lambda who: lambda lesson: lesson.excused(who), _STUDENT),
    st.builds(lambda who, at: lambda lesson: lesson.seen(who, at), _STUDENT, st.sampled_from([0, 20, 50])),
    st.builds(
        lambda who, status: lambda lesson: lesson.corrected(who, status),
        _STUDENT,
        st.sampled_from([Status.PRESENT, Status.ABSENT_UNEXCUSED, Status.ABSENT_EXCUSED]),
    ),
)


@pytest.mark.timeout(300)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(acts=st.lists(_ACTS, min_size=2, max_size=12))
def test_a_family_hears_of_an_absence_once_and_of_an_apology_once(
    school: School, acts: list[Callable[[Lesson], None]]
) -> None:
    """After every act the class is computed, and computed again; an apology follows only what may be read."""
    school.with_attendance(suspicious_from=10)
    for student in STUDENTS:
        if not school.rows(f"SELECT id FROM attendance.student WHERE reference = '{student}'"):
            school.student(student)
    lesson = Lesson(school)
    for act in acts:
        act(lesson)
        lesson.computed()
        for student in STUDENTS:
            mine = [(row["purpose"], row["state"]) for row in lesson.told() if row["reference"] == student]
            absences = [state for purpose, state in mine if purpose == "attendance.absent"]
            readable = [state for state in absences if state not in _NEVER_READ]
            apologies = [state for purpose, state in mine if purpose == "attendance.apology"]
            assert len(readable) <= 1, mine
            assert len(apologies) <= len(readable), mine
