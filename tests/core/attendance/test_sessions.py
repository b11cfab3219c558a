from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from psycopg import errors as pg

from platform_core.attendance import results, sessions
from platform_core.attendance.contracts import Beat, NewSession, NewStudent, Reading
from platform_core.errors import (
    IdempotencyConflict,
    InvalidInput,
    InvalidTime,
    NotFound,
    PermissionDenied,
    SessionInvalid,
)
from tests.support.attendance import BRUNO, DIEGO, LOADER, READER, STARTS, School


def in_santiago(day: date, starts: time, ends: time, **changed: object) -> NewSession:
    """A class at local time."""
    facts: dict[str, object] = {"reference": "x", "course": "c", "feed": "f", "timezone": "America/Santiago"}
    return NewSession.model_validate(facts | {"day": day, "starts": starts, "ends": ends} | changed)


# --- Zones ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "starts", "ends", "says"),
    [
        (date(2026, 9, 6), time(0, 30), time(2), "00:30 does not exist"),
        (date(2026, 4, 4), time(22, 30), time(23, 30), "23:30 happens twice"),
        (date(2026, 9, 5), time(22), time(0, 30), "00:30 does not exist"),
        (date(2026, 3, 2), time(16), time(15), "would last 23 h 00 min"),
        (date(2026, 3, 2), time(15), time(15), "would last 24 h 00 min"),
        (date(2026, 3, 2), time(15), time(3, 1), "would last 12 h 01 min"),
        (date(2026, 4, 4), time(15), time(3), "would last 13 h 00 min"),
    ],
)
def test_a_session_at_an_hour_that_is_missing_or_double_is_invalid(
    day: date, starts: time, ends: time, says: str
) -> None:
    """Clocks in Santiago go forward in September and back in April."""
    with pytest.raises(SessionInvalid, match=says):
        sessions.to_instants(in_santiago(day, starts, ends))


def test_a_session_in_the_double_hour_is_an_hour_long_once_it_says_which(school: School) -> None:
    """Differences are taken between instants, not between wall times."""
    twice = [
        sessions.to_instants(in_santiago(date(2026, 4, 4), time(23), time(23, 45), fold=fold))
        for fold in (0, 1)
    ]
    school.session("late", day=date(2026, 4, 4), starts=time(23), ends=time(23, 45), fold=1)

    assert [(ends - starts) for starts, ends in twice] == [timedelta(minutes=45)] * 2
    assert twice[1][0] - twice[0][0] == timedelta(hours=1)
    assert school.rows("SELECT local_start, starts_at FROM attendance.session") == [
        {"local_start": time(23), "starts_at": datetime(2026, 4, 5, 3, tzinfo=UTC)}
    ]


@pytest.mark.parametrize(
    ("day", "starts", "ends", "fold", "minutes"),
    [
        (date(2026, 3, 2), time(23), time(0, 30), None, 90),
        (date(2026, 3, 2), time(23), time(0), None, 60),
        (date(2026, 12, 31), time(22), time(2), None, 240),
        (date(2026, 9, 5), time(23), time(1, 30), None, 90),  # midnight to one is not there
        (date(2026, 4, 4), time(22, 30), time(0, 30), None, 180),  # eleven to midnight comes twice
        (date(2026, 4, 4), time(23, 30), time(0, 30), 0, 120),
        (date(2026, 4, 4), time(23, 30), time(0, 30), 1, 60),
        (date(2026, 3, 2), time(15), time(3), None, 720),
    ],
)
def test_a_session_may_end_after_midnight_and_is_as_long_as_its_night(
    day: date, starts: time, ends: time, fold: int | None, minutes: int
) -> None:
    """Also in the nights when clocks change: lengths are taken between instants."""
    first, last = sessions.to_instants(in_santiago(day, starts, ends, fold=fold))

    assert last - first == timedelta(minutes=minutes)


def test_a_class_across_midnight_is_watched_computed_and_told_as_one(school: School) -> None:
    """Its check-ins of both days count, its family hears of the evening it began on."""
    school.roster(3)
    began = datetime(
        2026, 4, 5, 1, 30, tzinfo=UTC
    )  # half past ten in the evening, three hours long that night
    session_id = school.session("night", day=date(2026, 4, 4), starts=time(22, 30), ends=time(0, 30))
    for minute in range(0, 181, 5):
        school.lives([(began - STARTS) // timedelta(minutes=1) + minute])
    school.arrives("s1", session="", at=began + timedelta(minutes=5))
    school.arrives("s2", session="night", at=began + timedelta(minutes=35))
    school.clock.at = began + timedelta(hours=3, minutes=20)

    stored = school.compute(session_id)

    assert (stored.verdict, school.statuses(session_id)) == (
        "complete",
        {"s1": "present", "s2": "late", "s3": "absent_unexcused"},
    )
    assert school.rows("SELECT local_date, local_start, local_end FROM attendance.session") == [
        {"local_date": date(2026, 4, 4), "local_start": time(22, 30), "local_end": time(0, 30)}
    ]
    told = {"pupil": "Niña s3", "course": "Robótica", "date": "04-04-2026", "time": "22:30"}
    assert school.rows("SELECT values FROM messaging.outbox") == [{"values": told}]


@pytest.mark.parametrize("timezone", ["", "Chile/Nowhere", "../../etc/passwd"])
def test_a_session_without_a_zone_is_invalid(school: School, timezone: str) -> None:
    """Nothing is entered."""
    with pytest.raises(SessionInvalid):
        school.session(timezone=timezone)

    assert school.rows("SELECT id FROM attendance.session") == []


# --- Entering ---------------------------------------------------------------------------------------------


def test_an_unknown_session_is_invalid(school: School) -> None:
    """By number and by reference, in every verb."""
    with pytest.raises(SessionInvalid, match="no session L99"):
        school.compute(99)
    with pytest.raises(SessionInvalid, match="no session L99"):
        school.detail(99)
    with pytest.raises(SessionInvalid, match="no session 'rob/9'"):
        school.session(makes_up_for="rob/9")


def test_a_duplicate_session_is_invalid_and_the_same_again_is_the_same(school: School) -> None:
    """A reference names one session; its job is queued once, for when it has settled."""
    first, again = school.session(), school.session()

    with pytest.raises(SessionInvalid, match="names another session"):
        school.session(ends=time(17))
    assert first == again
    assert school.jobs("session.ended") == [{"session": first}]


def test_the_job_of_a_session_waits_until_it_has_settled(school: School) -> None:
    """The end, and the policy's twenty minutes."""
    school.session(day=date(2031, 3, 3))

    with school.tenant_db.admin() as admin:
        row = admin.execute("SELECT run_at FROM jobs.job WHERE kind = 'session.ended'").fetchone()
    assert row == (datetime(2031, 3, 3, 19, 20, tzinfo=UTC),)


def test_a_student_is_entered_once_and_a_reference_is_nobody_elses(school: School) -> None:
    """Loading the same list again changes nothing."""
    first, again = school.student("s1"), school.student("s1")

    assert first == again
    assert school.rows("SELECT count(*)::int AS n FROM attendance.enrolment") == [{"n": 1}]
    contact_id = school.contact()
    new = NewStudent(reference="s1", name="Otro", contact_id=contact_id)
    with pytest.raises(IdempotencyConflict), school.tx() as tx:
        sessions.add_student(tx, new, actor=LOADER, now=school.clock.now())


def test_people_need_the_permission(school: School) -> None:
    """A viewer enters and excuses nothing."""
    session_id = school.session()
    school.student("s1")

    with pytest.raises(PermissionDenied), school.tx() as tx:
        sessions.add_excuse(tx, session_id, "s1", actor=DIEGO, reason="médico", now=school.clock.now())
    with pytest.raises(PermissionDenied), school.tx() as tx:
        results.cancel_session(
            tx, session_id, actor=DIEGO, reason="x", policy=school.policy, now=school.clock.now()
        )


# --- Evidence ---------------------------------------------------------------------------------------------


def test_a_check_in_is_recorded_once_by_the_readers_own_id(school: School) -> None:
    """Sent again it is known; with other content it is a conflict and nothing of the batch is recorded."""
    assert school.arrives("s1", source_id="a").model_dump() == {"recorded": 1, "known": 0}
    assert school.arrives("s1", source_id="a").model_dump() == {"recorded": 0, "known": 1}

    batch = [
        Reading(source=READER, source_id=name, student="s2", session="rob/1", at=STARTS)
        for name in ("b", "a")
    ]
    with pytest.raises(IdempotencyConflict, match="under the id a"), school.tx() as tx:
        sessions.record_checkins(tx, batch, now=STARTS)
    assert school.rows("SELECT source_id FROM attendance.checkin") == [{"source_id": "a"}]
    with pytest.raises(InvalidInput, match="too many"), school.tx() as tx:
        sessions.record_checkins(tx, batch * 501, now=STARTS)


def test_a_heartbeat_that_knows_the_future_is_refused(school: School) -> None:
    """Neither one from tomorrow nor one that delivered what it has not seen."""
    now = school.clock.now()
    for at, synced in ((now + timedelta(minutes=2), now), (now, now + timedelta(seconds=1))):
        with pytest.raises(InvalidTime), school.tx() as tx:
            sessions.record_heartbeat(tx, Beat(source=READER, at=at, synced_until=synced), now=now)
    beat = Beat(source=READER, at=now, synced_until=now)
    with school.tx() as tx:
        assert [sessions.record_heartbeat(tx, beat, now=now) for _ in range(2)] == [True, False]


def test_an_excuse_is_given_once_with_a_reason_for_somebody_known(school: School) -> None:
    """And is on record."""
    session_id = school.session()
    school.student("s1")

    def excuse(student: str, reason: str) -> bool:
        with school.tx() as tx:
            return sessions.add_excuse(
                tx, session_id, student, actor=BRUNO, reason=reason, now=school.clock.now()
            )

    assert [excuse("s1", "médico"), excuse("s1", "otra vez")] == [True, False]
    with pytest.raises(InvalidInput, match="without a reason"):
        excuse("s1", " ")
    with pytest.raises(NotFound, match="no student 's7'"):
        excuse("s7", "x")


# --- What the customer's login may not do -----------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM attendance.checkin",
        "DELETE FROM attendance.result",
        "UPDATE attendance.result SET verdict = 'complete'",
        "UPDATE attendance.result_student SET status = 'present'",
        "UPDATE attendance.checkin SET at = now()",
        "UPDATE attendance.heartbeat SET at = now()",
        "UPDATE attendance.correction SET actor_id = 'ana'",
        "UPDATE attendance.confirmation SET actor_id = 'ana'",
        "UPDATE attendance.follow_up SET version = 9",
        "UPDATE attendance.session SET ends_at = now()",
        "TRUNCATE attendance.follow_up",
        "DELETE FROM attendance.follow_up",
    ],
)
def test_a_hostile_script_can_rewrite_no_evidence_and_no_result(school: School, statement: str) -> None:
    """Grants are by column: what only grows cannot be changed or removed."""
    with pytest.raises(pg.InsufficientPrivilege), school.tx() as tx:
        tx.execute(statement.encode())
