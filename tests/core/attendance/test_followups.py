from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from platform_core.attendance import results, sessions
from platform_core.attendance.lifecycle import Status
from platform_core.errors import AmbiguousOutcome, RecipientRefused
from platform_core.messaging import outbound
from platform_core.values import Cancelled, Done
from tests.support.attendance import BRUNO, COURSE, ENDS, LOADER, STARTS, School
from tests.support.databases import TenantDatabase


@pytest.fixture
def absent(school: School) -> int:
    """A class of five where s5 did not come, computed: one message is queued."""
    school.roster()
    session_id = school.session()
    for number in range(1, 5):
        school.arrives(f"s{number}")
    school.lives()
    school.ended()
    school.compute(session_id)
    return session_id


def newest_message(school: School) -> int:
    """The last message that was asked for."""
    return int(str(school.rows("SELECT max(id) AS id FROM messaging.outbox")[0]["id"]))


def test_a_family_is_told_who_where_and_when_in_local_time(school: School, absent: int) -> None:
    """Names of the customer, the hour on its wall."""
    assert school.rows("SELECT purpose, values, recheck, state FROM messaging.outbox") == [
        {
            "purpose": "attendance.absent",
            "values": {"pupil": "Niña s5", "course": "Robótica", "date": "02-03-2026", "time": "15:00"},
            "recheck": "absence",
            "state": "queued",
        }
    ]
    assert school.follow_ups(absent) == [(1, "queued")]


def test_recomputing_never_writes_twice(school: School, absent: int) -> None:
    """Another version, where the student is still absent, is no other message: sent or not."""
    school.arrives("stranger-1")
    assert school.compute(absent).version == 2
    school.send(newest_message(school))
    school.arrives("stranger-2")
    assert school.compute(absent).version == 3

    assert school.messages() == [("attendance.absent", "accepted")]
    assert school.follow_ups(absent) == [(1, "queued")]


def test_a_correction_before_the_send_cancels_the_message(school: School, absent: int) -> None:
    """Nobody hears anything, and the sender finds it cancelled."""
    stored = school.correct(absent, 1, "s5", Status.PRESENT)

    assert stored.follow_ups.model_dump() == {"queued": 0, "cancelled": 1, "apologised": 0}
    assert school.messages() == [("attendance.absent", "cancelled")]
    assert school.follow_ups(absent) == [(1, "cancelled")]
    assert school.send(newest_message(school)) == Cancelled("the message is cancelled")
    assert school.client.sent == []


def test_a_correction_after_the_send_apologises_once(school: School, absent: int) -> None:
    """However often it is corrected and computed again."""
    school.send(newest_message(school))

    stored = school.correct(absent, 1, "s5", Status.PRESENT)
    school.correct(absent, 2, "s5", Status.LATE)
    school.compute(absent)

    assert stored.follow_ups.apologised == 1
    assert school.messages() == [("attendance.absent", "accepted"), ("attendance.apology", "queued")]
    assert school.follow_ups(absent) == [(1, "apologised")]
    assert school.send(newest_message(school)) == Done("accepted by the provider")
    assert len(school.client.sent) == 2


def test_an_ambiguous_message_is_apologised_for(school: School, absent: int) -> None:
    """Somebody may have read it."""
    school.client.answers.append(AmbiguousOutcome("no answer"))
    school.send(newest_message(school))

    school.correct(absent, 1, "s5", Status.ABSENT_EXCUSED)

    assert school.messages() == [("attendance.absent", "ambiguous"), ("attendance.apology", "queued")]


def test_a_message_that_reached_nobody_needs_no_apology(school: School, absent: int) -> None:
    """The provider refused it for good."""
    school.client.answers.append(RecipientRefused("no such number"))
    school.send(newest_message(school))

    school.correct(absent, 1, "s5", Status.PRESENT)

    assert school.messages() == [("attendance.absent", "failed")]
    assert school.follow_ups(absent) == [(1, "cancelled")]


def test_an_absence_after_a_cancelled_message_is_told_and_after_an_apology_a_person_is_asked(
    school: School, absent: int
) -> None:
    """A family never reads absent, sorry, absent."""
    school.correct(absent, 1, "s5", Status.PRESENT)
    school.correct(absent, 2, "s5", Status.ABSENT_UNEXCUSED)
    assert school.follow_ups(absent) == [(1, "cancelled"), (3, "queued")]
    school.send(newest_message(school))
    school.correct(absent, 3, "s5", Status.PRESENT)

    school.correct(absent, 4, "s5", Status.ABSENT_UNEXCUSED)

    assert school.follow_ups(absent) == [(1, "cancelled"), (3, "apologised")]
    assert [purpose for purpose, _ in school.messages()] == [
        "attendance.absent",
        "attendance.absent",
        "attendance.apology",
    ]
    assert school.alerts() == ["attendance.contradicted"]


def test_a_cancelled_session_takes_its_messages_back(school: School, absent: int) -> None:
    """Also those that went out."""
    school.send(newest_message(school))
    for expected in (1, 0):
        with school.tx() as tx:
            counts = results.cancel_session(
                tx, absent, actor=BRUNO, reason="feriado", policy=school.policy, now=school.clock.now()
            )
        assert counts.apologised == expected

    assert [purpose for purpose, _ in school.messages()] == ["attendance.absent", "attendance.apology"]


def test_a_family_that_left_the_course_before_the_class_is_apologised_to(school: School, absent: int) -> None:
    """The list of enrolments came late: the student is not on the roster of that class at all."""
    school.send(newest_message(school))
    with school.tx() as tx:
        before = STARTS - timedelta(days=1)
        assert sessions.end_enrolment(tx, "s5", COURSE, actor=LOADER, valid_to=before)

    stored = school.compute(absent)

    assert stored.follow_ups.apologised == 1
    assert "s5" not in school.statuses(absent)
    assert school.follow_ups(absent) == [(1, "apologised")]


def test_a_message_said_not_to_be_sent_is_not_sent_after_its_apology(school: School, absent: int) -> None:
    """A person resolves an ambiguous message when the absence was corrected already."""
    school.client.answers.append(AmbiguousOutcome("no answer"))
    outbox_id = newest_message(school)
    school.send(outbox_id)
    school.correct(absent, 1, "s5", Status.PRESENT)
    with school.tx() as tx:
        outbound.resolve_ambiguous(tx, outbox_id, BRUNO, "not_sent", now=school.clock.now())

    assert school.send(outbox_id) == Cancelled("not needed any more: absence")


def test_a_session_first_computed_after_its_window_writes_to_nobody(school: School) -> None:
    """Nobody wants to read on Friday about Monday."""
    school.roster()
    session_id = school.session()
    school.arrives("s1")
    school.lives()
    school.clock.at = ENDS + timedelta(hours=72, seconds=1)

    stored = school.compute(session_id)

    assert (stored.created, school.messages()) == (True, [])


def test_a_correction_at_the_moment_of_sending_waits_and_then_apologises(
    school: School, tenant_db: TenantDatabase, absent: int
) -> None:
    """The sender holds the outbox row: the correction cannot pass it, and finds the call begun."""
    outbox_id = newest_message(school)
    with tenant_db.connect() as connection, ThreadPoolExecutor(1) as pool:
        other = school.on(connection)

        def correcting(_external_id: str) -> None:
            pool.submit(other.correct, absent, 1, "s5", Status.PRESENT).result(timeout=20)

        school.client.during = correcting
        school.run(outbound.send, {"outbox": outbox_id})

    assert school.messages() == [("attendance.absent", "accepted"), ("attendance.apology", "queued")]
    assert school.follow_ups(absent) == [(1, "apologised")]


def test_two_corrections_at_once_take_back_once(
    school: School, tenant_db: TenantDatabase, absent: int
) -> None:
    """One wins the version; the other says the same and changes nothing."""
    school.send(newest_message(school))
    with tenant_db.connect() as connection, ThreadPoolExecutor(2) as pool:
        other = school.on(connection)
        asked = [pool.submit(one.correct, absent, 1, "s5", Status.PRESENT) for one in (school, other)]
        made = [one.result(timeout=20) for one in asked]

    assert sorted(stored.created for stored in made) == [False, True]
    assert [purpose for purpose, _ in school.messages()] == ["attendance.absent", "attendance.apology"]
