from __future__ import annotations

from datetime import timedelta

import pytest

from platform_core.attendance import sessions, waiting
from platform_core.attendance.lifecycle import Status
from platform_core.attendance.waiting import Waiting
from platform_core.errors import SessionInvalid
from tests.support.attendance import LOADER, School


def _listed(school: School, older_than_hours: int = 3) -> list[int]:
    with school.tx() as tx:
        return waiting.list_waiting(
            tx, older_than_hours=older_than_hours, policy=school.policy, now=school.clock.now()
        )


def _ask(school: School, session_id: int) -> bool:
    with school.tx() as tx:
        return waiting.ask_again(tx, session_id, severity="P3", now=school.clock.now())


def _waiting(school: School) -> int:
    """A class without a reader: nobody can say who was there."""
    school.roster()
    session_id = school.session()
    school.ended()
    school.compute(session_id)
    return session_id


def test_a_class_without_proof_is_found_after_its_hours_and_until_its_window_ends(school: School) -> None:
    """Neither at once, nor when nothing can be corrected any more."""
    session_id = _waiting(school)
    found = []
    for hours in (1, 3, 71, 2):
        school.clock.move(timedelta(hours=hours))
        found.append(_listed(school))

    assert found == [[], [session_id], [], []]


def test_a_class_that_was_looked_at_waits_no_more(school: School) -> None:
    """Every student corrected: there is nothing to ask."""
    session_id = _waiting(school)
    for version, student in enumerate(sorted(school.statuses(session_id)), 1):
        school.correct(session_id, version, student, Status.PRESENT)
    school.clock.move(timedelta(hours=5))
    with school.tx() as tx:
        seen = waiting.get_waiting(tx, session_id, now=school.clock.now())

    assert _listed(school) == []
    assert (seen, _ask(school, session_id)) == (Waiting(session_id, "", 5), False)


def test_a_class_that_did_not_take_place_is_not_asked_about(school: School) -> None:
    """Cancelled after it was computed."""
    session_id = _waiting(school)
    with school.tx() as tx:
        session = sessions.lock_session(tx, session_id)
        sessions.cancel_held(tx, session, reason="llovió", now=school.clock.now())
    school.clock.move(timedelta(hours=5))

    assert _listed(school) == []
    assert not _ask(school, session_id)


def test_staff_are_asked_once_a_day_for_each_version(school: School) -> None:
    """A flow that runs every hour does not count as an alert an hour."""
    session_id = _waiting(school)
    for _ in range(3):
        assert _ask(school, session_id)
    school.clock.move(timedelta(days=1))
    assert _ask(school, session_id)

    assert [
        row["key"] for row in school.rows("SELECT key FROM jobs.job WHERE key LIKE 'alert:attendance.waits%'")
    ] == [
        f"alert:attendance.waits:{session_id}:1:2026-03-02",
        f"alert:attendance.waits:{session_id}:1:2026-03-03",
    ]


def test_a_customer_without_attendance_has_no_class_that_waits(school: School) -> None:
    """Nothing is asked of those who take none."""
    _waiting(school)
    content = school.policy.model_dump(mode="json") | {"attendance": None}
    school.policy = type(school.policy).model_validate(content)
    school.clock.move(timedelta(hours=5))

    assert _listed(school) == []


def test_a_class_that_is_not_there_is_named(school: School) -> None:
    """As everywhere."""
    assert LOADER.type == "system"
    with pytest.raises(SessionInvalid, match="L99"):
        _ask(school, 99)
