from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from platform_core import audit
from platform_core.attendance import results, sessions
from platform_core.attendance.contracts import Beat, CorrectionRequest
from platform_core.attendance.lifecycle import Status, Verdict
from platform_core.errors import (
    InvalidInput,
    NotApplicable,
    NotFound,
    NotYet,
    PermissionDenied,
    PolicyInvalid,
    Refused,
    StateConflict,
)
from platform_core.values import Cancelled, Done, Snooze
from tests.support.attendance import BRUNO, DIEGO, ENDS, LOADER, SETTLED, STARTS, School
from tests.support.databases import TenantDatabase


def full(school: School, *, away: str = "s5") -> int:
    """Five students, a living reader, everybody there but one; the class is over."""
    school.roster()
    session_id = school.session()
    for number in range(1, 6):
        if f"s{number}" != away:
            school.arrives(f"s{number}", minute=number)
    school.lives()
    school.ended()
    return session_id


def test_a_session_is_computed_and_stored_with_students_and_rate(school: School) -> None:
    """Whole rows, and the rate as two integers."""
    session_id = full(school)

    stored = school.compute(session_id)

    detail = school.detail(session_id)
    assert (stored.version, stored.verdict, stored.created) == (1, Verdict.COMPLETE, True)
    assert stored.follow_ups.model_dump() == {"queued": 1, "cancelled": 0, "apologised": 0}
    assert (detail.summary.attended, detail.summary.counted) == (4, 5)
    assert school.statuses(session_id) == {
        **{f"s{number}": "present" for number in range(1, 5)},
        "s5": "absent_unexcused",
    }


def test_the_same_input_again_is_the_same_result(school: School) -> None:
    """No new version, the same id, no second message."""
    session_id = full(school)
    first = school.compute(session_id)
    school.clock.move(timedelta(hours=1))

    again = [school.compute(session_id) for _ in range(3)]

    assert [(one.result_id, one.version, one.created) for one in again] == [(first.result_id, 1, False)] * 3
    assert school.messages() == [("attendance.absent", "queued")]


def test_two_workers_at_once_make_one_version_and_one_message(
    school: School, tenant_db: TenantDatabase
) -> None:
    """The second waits for the session's row and finds that nothing has changed."""
    session_id = full(school)
    with tenant_db.connect() as connection, ThreadPoolExecutor(1) as pool:
        other = school.on(connection)
        with school.tx() as tx:
            first = results.compute_session(tx, session_id, policy=school.policy, now=school.clock.now())
            waiting = pool.submit(other.compute, session_id)
        second = waiting.result(timeout=20)

    assert (first.created, second.created) == (True, False)
    assert first.result_id == second.result_id
    assert school.messages() == [("attendance.absent", "queued")]


def test_late_evidence_makes_the_next_version_and_the_first_stays(school: School) -> None:
    """A reader that delivers late: append-only, newest counts."""
    session_id = full(school)
    school.compute(session_id)
    school.arrives("s5", minute=5)

    second = school.compute(session_id)

    assert (second.version, second.created) == (2, True)
    assert school.statuses(session_id)["s5"] == "present"
    assert school.rows("SELECT version, attended FROM attendance.result ORDER BY version") == [
        {"version": 1, "attended": 4},
        {"version": 2, "attended": 5},
    ]


def test_a_dead_reader_makes_nobody_absent_and_somebody_is_asked(school: School) -> None:
    """No heartbeat covers the class: undetermined, an alert, and not one message."""
    school.roster()
    session_id = school.session()
    school.arrives("s1")
    school.ended()

    stored = school.compute(session_id)

    assert stored.verdict is Verdict.UNDETERMINED
    assert set(school.statuses(session_id).values()) == {"present", "undetermined"}
    assert (school.messages(), school.alerts()) == ([], ["attendance.undetermined"])
    school.lives()
    assert school.compute(session_id).verdict is Verdict.COMPLETE
    assert len(school.messages()) == 4


def test_a_reader_that_delivers_the_next_morning_is_believed_then(school: School) -> None:
    """It lived through the class and synced later: the newest heartbeat says so."""
    school.roster()
    session_id = school.session()
    for minute in range(0, 61, 5):
        at = STARTS + timedelta(minutes=minute)
        with school.tx() as tx:
            beat = Beat(source="door-1", at=at, synced_until=STARTS)
            sessions.record_heartbeat(tx, beat, now=at)
    school.ended()
    assert school.compute(session_id).verdict is Verdict.UNDETERMINED
    school.arrives("s1")
    school.lives([900])

    assert school.compute(session_id).verdict is Verdict.COMPLETE


def test_the_roster_is_the_one_when_the_session_began(school: School) -> None:
    """Who joined later is not counted, who left later is."""
    school.student("s1")
    school.student("s2", valid_from=STARTS + timedelta(seconds=1))
    school.student("s3", valid_to=STARTS)
    school.student("s4", valid_from=STARTS)
    session_id = school.session()
    with school.tx() as tx:
        sessions.end_enrolment(tx, "s1", "Robótica", actor=LOADER, valid_to=ENDS)
    school.lives()
    school.ended()

    school.compute(session_id)

    assert set(school.statuses(session_id)) == {"s1", "s4"}


def test_a_check_in_for_another_known_session_is_that_ones(school: School) -> None:
    """And one for a session nobody knows is set aside here."""
    school.roster(3)
    session_id = school.session()
    school.session("rob/2")
    school.arrives("s1", session="rob/2")
    school.arrives("s2", session="rob/77")
    school.arrives("s3", session="")
    school.lives()
    school.ended()
    school.compute(session_id)

    assert [(one.student, one.reason) for one in school.detail(session_id).quarantined] == [
        ("s2", "other_session")
    ]
    assert school.statuses(session_id)["s3"] == "present"


def test_many_quarantined_check_ins_raise_one_alert(school: School) -> None:
    """Above the policy's number; strangers at the door are counted, not dropped."""
    session_id = full(school, away="")
    for number in range(3):
        school.arrives(f"stranger-{number}")
    school.compute(session_id)
    assert school.alerts() == []
    school.arrives("stranger-3")

    school.compute(session_id)

    assert school.alerts() == ["attendance.quarantined"]
    assert len(school.detail(session_id).quarantined) == 4


# --- An empty session -------------------------------------------------------------------------------------


def empty(school: School) -> int:
    """Five students, a living reader, and nobody."""
    school.roster()
    session_id = school.session()
    school.lives()
    school.ended()
    school.compute(session_id)
    return session_id


def test_a_suspiciously_empty_session_writes_to_nobody_until_a_person_confirms_it(school: School) -> None:
    """With the permission, on record; then each family hears of it once."""
    session_id = empty(school)
    assert (school.messages(), school.alerts()) == ([], ["attendance.suspicious"])
    with pytest.raises(PermissionDenied):
        school.confirm(session_id, by=DIEGO)
    assert school.messages() == []

    stored, again = school.confirm(session_id), school.confirm(session_id)

    assert (stored.version, stored.verdict, stored.follow_ups.queued) == (2, Verdict.COMPLETE, 5)
    assert (again.result_id, again.created) == (stored.result_id, False)
    assert school.messages() == [("attendance.absent", "queued")] * 5
    with school.tx() as tx:
        entry = audit.list_entries(tx, 1)[0]
    assert (entry.action, entry.target, entry.actor.id, dict(entry.detail)) == (
        "attendance.confirmed",
        ("session", f"L{session_id}"),
        "bruno",
        {"version": 2, "messages": 5},
    )


def test_only_a_suspicious_session_at_the_version_looked_at_can_be_confirmed(school: School) -> None:
    """Not an undetermined one, not an older version."""
    session_id = empty(school)
    with pytest.raises(StateConflict, match="is at version 1, not 7"):
        school.confirm(session_id, version=7)
    school.arrives("s1")
    school.compute(session_id)

    with pytest.raises(StateConflict, match="is complete: there is nothing to confirm"):
        school.confirm(session_id, version=2)


# --- Corrections ------------------------------------------------------------------------------------------


def test_a_correction_is_a_new_version_with_who_and_why(school: School) -> None:
    """The old version stays; saying the same again changes nothing."""
    session_id = full(school)
    school.compute(session_id)

    stored = school.correct(session_id, 1, "s5", Status.PRESENT)
    again = school.correct(session_id, 1, "s5", Status.PRESENT)

    assert (stored.version, stored.created, again.version, again.created) == (2, True, 2, False)
    assert school.rows("SELECT version, status, reason, actor_id, actor_role FROM attendance.correction") == [
        {
            "version": 1,
            "status": "present",
            "reason": "lo vi en clase",
            "actor_id": "bruno",
            "actor_role": "ops",
        }
    ]
    assert school.rows("SELECT version, cause FROM attendance.result ORDER BY version") == [
        {"version": 1, "cause": "computed"},
        {"version": 2, "cause": "corrected"},
    ]


def test_a_correction_of_an_older_version_is_refused(school: School) -> None:
    """Two members who looked at the same version: the second looks again."""
    session_id = full(school)
    school.compute(session_id)
    school.correct(session_id, 1, "s5", Status.PRESENT)

    with pytest.raises(StateConflict, match="is at version 2, not 1"):
        school.correct(session_id, 1, "s4", Status.ABSENT_EXCUSED)


def test_a_correction_of_something_impossible_is_refused(school: School) -> None:
    """Nothing is stored."""
    session_id = full(school)
    with pytest.raises(StateConflict, match="was not computed yet"):
        school.correct(session_id, 1, "s5", Status.PRESENT)
    school.compute(session_id)
    school.clock.at = ENDS - timedelta(days=1)  # enrolled after this session
    school.student("s9", valid_from=ENDS)
    school.ended()

    with pytest.raises(PermissionDenied):
        school.correct(session_id, 1, "s5", Status.PRESENT, by=DIEGO)
    with pytest.raises(InvalidInput, match="cannot be corrected to undetermined"):
        school.correct(session_id, 1, "s5", Status.UNDETERMINED)
    request = CorrectionRequest(
        session_id=session_id, version=1, student="s5", status=Status.PRESENT, late_minutes=5, reason="x"
    )
    with pytest.raises(InvalidInput, match="to present with 5 minutes"), school.tx() as tx:
        results.correct(tx, request, actor=BRUNO, policy=school.policy, now=school.clock.now())
    with pytest.raises(NotFound, match="no student 's77'"):
        school.correct(session_id, 1, "s77", Status.PRESENT)
    with pytest.raises(InvalidInput, match="s9 was not enrolled"):
        school.correct(session_id, 1, "s9", Status.PRESENT)
    assert school.rows("SELECT id FROM attendance.correction") == []


def test_after_the_window_nothing_changes_any_more(school: School) -> None:
    """A correction is refused; a computation answers what stands, whatever came late."""
    session_id = full(school)
    first = school.compute(session_id)
    school.clock.at = ENDS + timedelta(hours=72)
    school.arrives("s5", minute=5)
    assert school.compute(session_id).version == 2
    school.arrives("s5", minute=6)
    school.clock.move(timedelta(seconds=1))

    late = school.compute(session_id)

    assert (late.version, late.created, first.created) == (2, False, True)
    with pytest.raises(Refused, match="correction window of L1 is over"):
        school.correct(session_id, 2, "s5", Status.ABSENT_EXCUSED)


# --- The job and the script -------------------------------------------------------------------------------


def test_the_job_snoozes_until_the_session_has_settled_then_computes_it(school: School) -> None:
    """It waits exactly as long as it must; a second run changes nothing."""
    session_id = full(school)
    school.clock.at = ENDS

    early = school.run(results.session_ended, {"session": session_id})
    school.ended()
    outcomes = [school.run(results.session_ended, {"session": session_id}) for _ in range(2)]

    assert early == Snooze("the session is not over and settled", SETTLED - ENDS)
    assert outcomes == [Done(f"L{session_id} version 1 is complete")] * 2
    school.clock.at = ENDS
    other = school.session("rob/9")
    with pytest.raises(NotYet, match="is not over and settled"):
        school.compute(other)


def test_a_cancelled_session_has_no_result_and_nobody_is_told(school: School) -> None:
    """A holiday: its job finds nothing to do."""
    session_id = full(school)
    with school.tx() as tx:
        results.cancel_session(
            tx, session_id, actor=BRUNO, reason="feriado", policy=school.policy, now=school.clock.now()
        )

    with pytest.raises(NotApplicable, match="was cancelled"):
        school.compute(session_id)
    outcome = school.run(results.session_ended, {"session": session_id})
    assert isinstance(outcome, Cancelled)
    assert (school.messages(), school.rows("SELECT id FROM attendance.result")) == ([], [])
    assert school.jobs("session.ended") == []
    with pytest.raises(NotApplicable, match="was cancelled"):
        school.confirm(session_id)


def test_without_a_policy_for_attendance_nothing_is_computed(school: School) -> None:
    """And the error says what to add."""
    session_id = full(school)
    school.policy = school.policy.model_copy(update={"attendance": None})

    with pytest.raises(PolicyInvalid, match="says nothing about attendance"):
        school.compute(session_id)


def test_the_sessions_that_may_still_change_are_those_inside_the_window(school: School) -> None:
    """Settled, and not older than the correction window."""
    session_id = full(school)

    def due() -> list[int]:
        with school.tx() as tx:
            return results.list_due(tx, policy=school.policy, now=school.clock.now())

    assert due() == [session_id]
    school.clock.at = SETTLED - timedelta(seconds=1)
    assert due() == []
    school.clock.at = ENDS + timedelta(hours=72)
    assert due() == []


def test_a_class_that_makes_up_for_another_leaves_its_result_alone(school: School) -> None:
    """Two sessions, two results."""
    session_id = full(school)
    school.compute(session_id)
    school.session("rob/1b", makes_up_for="rob/1", starts="19:00", ends="20:00")

    assert school.compute(session_id).version == 1
    assert school.statuses(session_id)["s5"] == "absent_unexcused"
