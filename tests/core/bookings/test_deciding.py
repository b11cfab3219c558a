"""What staff decide about a booking: completed, enrolled, declined; once, and by those who may."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest

from platform_core.attendance import sessions
from platform_core.attendance.contracts import NewStudent
from platform_core.bookings import bookings
from platform_core.bookings.contracts import parse_booking_id
from platform_core.errors import (
    IdempotencyConflict,
    InvalidInput,
    NotFound,
    PermissionDenied,
    PlatformError,
    StateConflict,
)
from tests.support.attendance import LOADER
from tests.support.bookings import (
    DIEGO,
    PHONE,
    PUPIL_QUESTION,
    STARTS,
    Academy,
    Calendar,
)
from tests.support.databases import TenantDatabase

ENROLMENTS = (
    "SELECT student.reference, student.name, enrolment.course, enrolment.valid_from "
    "FROM attendance.enrolment JOIN attendance.student ON student.id = enrolment.student_id "
    "ORDER BY enrolment.id"
)


def test_an_enrolment_makes_student_enrolment_and_one_welcome(academy: Academy) -> None:
    """From the local day of the trial class on; what waited is withdrawn, again changes nothing."""
    booking_id = academy.booked()

    first, again = academy.enrol(booking_id), academy.enrol(booking_id)

    assert (first.student, first.course, first.created) == ("booking-1", "Robótica", True)
    assert again == first.model_copy(update={"created": False})
    assert academy.rows(ENROLMENTS) == [
        {
            "reference": "booking-1",
            "name": "Leo Rojas",
            "course": "Robótica",
            "valid_from": STARTS.replace(hour=3),  # midnight in Santiago
        }
    ]
    assert academy.told() == [("booking.confirmed", "1", "cancelled"), ("pupil.welcome", "1", "queued")]
    (view,) = academy.bookings()
    assert (view.state, view.student) == ("enrolled", "booking-1")


def test_the_day_the_course_and_a_known_pupil_may_be_said(academy: Academy) -> None:
    """A sister who is there already is not entered twice."""
    academy.student("s7")
    booking_id = academy.booked()

    academy.enrol(booking_id, student="s7", course="Arte", starts_on=date(2026, 4, 1))

    assert academy.rows(ENROLMENTS)[-1] == {
        "reference": "s7",
        "name": "Niña s7",
        "course": "Arte",
        "valid_from": STARTS.replace(month=4, day=1, hour=3),
    }
    assert academy.rows("SELECT count(*)::int AS count FROM attendance.student") == [{"count": 1}]


def test_a_pupil_who_missed_the_class_may_be_enrolled_after_all(academy: Academy) -> None:
    """The calendar's mark decides nothing."""
    booking = Calendar(number=1)
    academy.hears(booking.made(), booking.no_show())

    assert academy.enrol(1).created


@pytest.mark.parametrize("end", ["canceled", "rescheduled", "declined"])
def test_a_booking_that_is_settled_otherwise_is_not_enrolled(academy: Academy, end: str) -> None:
    """And nothing of it is left behind."""
    booking = Calendar(number=1)
    academy.hears(booking.made())
    match end:
        case "canceled":
            academy.hears(booking.canceled())
        case "rescheduled":
            academy.hears(Calendar(number=2, replaces=booking).made())
        case _:
            academy.decline(1)

    with pytest.raises(StateConflict, match=f"B1 is {end}"):
        academy.enrol(1)

    assert academy.rows(ENROLMENTS) == []


def test_another_course_after_the_enrolment_is_a_conflict(academy: Academy) -> None:
    """Not the last word wins."""
    booking_id = academy.booked()
    academy.enrol(booking_id)

    with pytest.raises(StateConflict, match="another course"):
        academy.enrol(booking_id, course="Arte")


def test_who_may_not_decide_changes_nothing(academy: Academy) -> None:
    """A viewer, and somebody who is no member."""
    booking_id = academy.booked()

    for deed in (
        lambda: academy.enrol(booking_id, by=DIEGO),
        lambda: academy.decline(booking_id, by=DIEGO),
        lambda: academy.complete(booking_id, by=DIEGO, pupil="Leo"),
    ):
        with pytest.raises(PermissionDenied):
            deed()

    assert [one.state for one in academy.bookings()] == ["booked"]


def test_a_decision_is_on_record(academy: Academy) -> None:
    """Who, and of what; the pupil's name is not in the trail."""
    academy.hears(Calendar(number=1).made(), Calendar(number=2).made())
    academy.enrol(1)
    academy.decline(2)

    with academy.tenant_db.admin() as admin:
        bodies = [row[0] for row in admin.execute("SELECT body FROM audit.entry ORDER BY seq").fetchall()]
    acts = [json.loads(body) for body in bodies]
    assert [
        (act["action"], act["target"]["id"], act["actor"]["id"])
        for act in acts
        if act["action"].startswith("booking.")
    ] == [("booking.enrolled", "B1", "bruno"), ("booking.declined", "B2", "bruno")]
    assert "Leo" not in "".join(bodies)


def test_declining_twice_is_once_and_withdraws_what_waits(academy: Academy) -> None:
    """Final: who books again makes another booking."""
    booking_id = academy.booked()

    assert [academy.decline(booking_id).changed for _ in range(2)] == [True, False]
    assert academy.told() == [("booking.confirmed", "1", "cancelled")]
    with pytest.raises(StateConflict):
        academy.enrol(booking_id)


def test_two_members_who_decide_at_once_decide_once(academy: Academy, tenant_db: TenantDatabase) -> None:
    """One enrols, one declines: the second finds it settled."""
    booking_id = academy.booked()

    def decide(number: int) -> str:
        with tenant_db.connect() as connection:
            other = academy.on_bookings(connection)
            try:
                (other.enrol if number % 2 else other.decline)(booking_id)
            except StateConflict:
                return "refused"
            return "done"

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(decide, range(2)))

    assert sorted(outcomes) == ["done", "refused"]
    (view,) = academy.bookings()
    assert len(academy.rows(ENROLMENTS)) == (view.state == "enrolled")


# --- Completing -------------------------------------------------------------------------------------------


def test_a_completed_booking_is_confirmed_as_if_it_had_been_whole(academy: Academy) -> None:
    """A person asked the parent; the same again changes nothing."""
    academy.hears(Calendar(answers={}, kind="Otra").made())

    first = academy.complete(1, phone=PHONE, pupil="Leo Rojas", course="Robótica")
    again = academy.complete(1, phone=PHONE, pupil="Leo Rojas", course="Robótica")

    assert (first.changed, again.changed) == (True, False)
    assert academy.told() == [("booking.confirmed", "1", "queued")]
    assert academy.enrol(1).created


def test_what_a_person_added_goes_on_to_the_booking_that_replaces_it(academy: Academy) -> None:
    """The form lacks the same again; nobody is asked twice."""
    first = Calendar(number=1, answers={PUPIL_QUESTION: "Leo Rojas"})
    academy.hears(first.made())
    academy.complete(1, phone=PHONE)

    second = Calendar(number=2, answers={PUPIL_QUESTION: "Leo Rojas"}, replaces=first)
    academy.hears(second.made(), first.canceled(moved_to=second))

    assert [one.lacks for one in academy.bookings()] == [(), ()]
    assert [(purpose, state) for purpose, _, state in academy.told()] == [
        ("booking.confirmed", "cancelled"),
        ("booking.rescheduled", "queued"),
    ]


def test_a_booking_that_lacks_something_is_not_enrolled_and_says_what(academy: Academy) -> None:
    """The next step is named. A course may be said with the enrolment itself."""
    academy.hears(Calendar(answers={}, kind="Otra").made())

    with pytest.raises(InvalidInput, match="B1 lacks phone, pupil"):
        academy.enrol(1, course="Arte")
    academy.complete(1, phone=PHONE, pupil="Leo")
    with pytest.raises(InvalidInput, match="B1 lacks course"):
        academy.enrol(1)
    assert academy.enrol(1, course="Arte").course == "Arte"


@pytest.mark.parametrize("phone", ["9 1234 5678", "56900000021", "+", "mañana"])
def test_a_phone_without_its_country_is_refused(academy: Academy, phone: str) -> None:
    """Nobody guesses for a person either."""
    academy.hears(Calendar(answers={}).made())

    with pytest.raises(InvalidInput, match="international form"):
        academy.complete(1, phone=phone)


def test_an_unknown_booking_and_a_wrong_name_are_said(academy: Academy) -> None:
    """With where to look."""
    with pytest.raises(NotFound, match="B404"):
        academy.enrol(404)
    for text in ("", "B", "B0", "C3", "B-1", "B" + "9" * 30):
        with pytest.raises(InvalidInput):
            parse_booking_id(text)
    assert parse_booking_id("b12") == 12


# --- Waiting for staff ------------------------------------------------------------------------------------


def test_classes_that_are_over_wait_until_somebody_says_what_came(academy: Academy) -> None:
    """Oldest first; those to come, settled or cancelled do not."""
    later = Calendar(number=1, starts_at=STARTS + timedelta(hours=2))
    first, missed, off = Calendar(number=2), Calendar(number=3), Calendar(number=4)
    academy.hears(later.made(), first.made(), missed.made(), off.made(), missed.no_show(), off.canceled())

    def due() -> list[int]:
        with academy.tx() as tx:
            return bookings.list_due(tx, now=academy.clock.now())

    assert due() == []
    academy.clock.at = STARTS + timedelta(hours=1)
    assert due() == [2, 3]
    academy.enrol(2)
    academy.clock.at = STARTS + timedelta(hours=3)
    assert due() == [3, 1]


def test_a_welcome_is_only_for_those_who_stay_and_comes_once(academy: Academy) -> None:
    """The enrolment asked for it already."""
    booking_id = academy.booked()

    def welcome() -> bool:
        with academy.tx() as tx:
            return bookings.welcome(tx, booking_id, policy=academy.policy, now=academy.clock.now()).created

    with pytest.raises(StateConflict, match="only a pupil who stays"):
        welcome()
    academy.enrol(booking_id)
    assert welcome() is False


def test_a_reference_that_names_another_child_is_a_conflict(academy: Academy) -> None:
    """Nobody is enrolled under a stranger's name."""
    booking_id = academy.booked()
    contact_id = academy.contact()
    with academy.tx() as tx:
        new = NewStudent(reference=f"booking-{booking_id}", name="Otra", contact_id=contact_id)
        sessions.add_student(tx, new, actor=LOADER, now=academy.clock.now())

    with pytest.raises(IdempotencyConflict) as conflict:
        academy.enrol(booking_id)

    assert isinstance(conflict.value, PlatformError)
    assert [one.state for one in academy.bookings()] == ["booked"]
