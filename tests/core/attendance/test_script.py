"""The thin script, run as Windmill runs it: in its own process, with the customer's own login."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from platform_core.errors import Refused
from platform_core.windmill import steps
from tests.support.attendance import School
from tests.support.databases import TenantDatabase
from tests.support.doors import CUSTOMER, House, open_house

_SHIFT = "now() - interval '2 hours'"


@pytest.fixture
def house(tenant_db: TenantDatabase) -> Iterator[House]:
    """Einstein Kids' scripts over a database of this test."""
    with open_house(tenant_db) as found:
        yield found


def held_lately(school: School, *, minutes: int = 60) -> int:
    """A class that ended two hours ago by the machine's own clock: five students, the first was seen."""
    school.roster()
    session_id = school.session()
    starts_at = f"{_SHIFT} - make_interval(mins => {minutes})"
    with school.tenant_db.admin() as admin:
        admin.execute(f"UPDATE attendance.session SET starts_at = {starts_at}, ends_at = {_SHIFT}")
        admin.execute(
            "INSERT INTO attendance.heartbeat (source, at, synced_until, received_at) "
            "SELECT 'door-1', at, at, at "
            f"FROM generate_series({starts_at} - interval '1 minute', now(), interval '5 minutes') AS at"
        )
        admin.execute(
            "INSERT INTO attendance.checkin (source, source_id, student, session, kind, at, received_at) "
            f"SELECT 'door-1', 'first', 's1', 'rob/1', 'in', {starts_at}, {starts_at}"
        )
        admin.execute(
            "UPDATE attendance.enrolment SET valid_from = now() - interval '1 day', valid_to = NULL"
        )
    return session_id


def test_the_script_computes_what_ended_lately_and_again_changes_nothing(
    school: School, house: House
) -> None:
    """In a process of its own; four families are told once."""
    session_id = held_lately(school)

    answers = [house.runtime.run_script(f"f/{CUSTOMER}/compute_attendance", {}).value for _ in range(2)]

    assert answers == [
        {"sessions": 1, "changed": 1, "waiting": 0},
        {"sessions": 1, "changed": 0, "waiting": 0},
    ]
    assert school.statuses(session_id) == {
        "s1": "present",
        **{f"s{number}": "absent_unexcused" for number in range(2, 6)},
    }
    assert school.messages() == [("attendance.absent", "queued")] * 4


def test_a_session_that_is_refused_is_named_and_stops_no_other(school: School, house: House) -> None:
    """Ten minutes of grace are longer than a class of five minutes."""
    session_id = held_lately(school)
    short = school.session("rob/short", ends="15:05")
    with school.tenant_db.admin() as admin:
        moved = f"starts_at = {_SHIFT} - interval '5 minutes', ends_at = {_SHIFT}"
        admin.execute(f"UPDATE attendance.session SET {moved} WHERE id = {short}")

    refused = rf"1 of 2 sessions were not computed: L{short}: attendance.grace_minutes is longer"
    with pytest.raises(Refused, match=refused), house.as_job():
        steps.compute_attendance(CUSTOMER)

    assert school.detail(session_id).summary.verdict == "complete"
    assert school.detail(short).summary.verdict is None
