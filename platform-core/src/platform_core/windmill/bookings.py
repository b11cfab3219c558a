"""What scripts and flows do with booked trial classes: one that is over leads to an enrolment, or to none.

References go in and out, never a word that a parent wrote.
"""

from __future__ import annotations

from platform_core.bookings import bookings
from platform_core.bookings.asking import ask_staff
from platform_core.bookings.contracts import (
    DeclineRequest,
    EnrolmentRequest,
    booking_ref,
    parse_booking_id,
)
from platform_core.payments.contracts import read_contract
from platform_core.windmill.office import open_office, require_text


def due_bookings(customer: str) -> dict[str, list[str]]:
    """The trial classes that are over and of which nobody said what came, oldest first, 50 at most."""
    with open_office(customer) as office, office.app.tx() as tx:
        found = bookings.list_due(tx, now=office.app.clock.now())
    return {"bookings": [booking_ref(one) for one in found]}


def look_at_booking(customer: str, *, booking: str) -> dict[str, object]:
    """Where one booking stands and what it lacks, without a word that a parent wrote."""
    require_text(booking=booking)
    with open_office(customer) as office, office.app.tx() as tx:
        found = bookings.get_booking(tx, parse_booking_id(booking))
        over = found.ends_at <= office.app.clock.now()
    return {
        "booking": booking_ref(found.id),
        "state": found.state.value,
        "complete": not found.lacks,
        "lacks": list(found.lacks),
        "over": over,
    }


def enrol_booking(
    customer: str, *, booking: str, staff: str, course: str = "", starts_on: str = "", student: str = ""
) -> dict[str, object]:
    """The pupil stays: student, enrolment and welcome. Again, it answers what the first call made.

    `starts_on` is a local day, YYYY-MM-DD; empty is the day of the trial class. `course` is the booking's own
    when empty, `student` the reference of a pupil who is known already.
    """
    require_text(booking=booking, staff=staff)
    facts = {"booking_id": parse_booking_id(booking), "course": course, "student": student}
    request = read_contract(EnrolmentRequest, facts | {"starts_on": starts_on or None})
    with open_office(customer) as office:
        policy, now = office.app.policy(), office.app.clock.now()
        with office.app.tx() as tx:
            made = bookings.enrol(tx, request, actor=office.member(staff), policy=policy, now=now)
    return {
        "booking": booking_ref(made.booking_id),
        "state": "enrolled",
        "student": made.student,
        "enrolled": made.created,
    }


def welcome_pupil(customer: str, *, booking: str) -> dict[str, object]:
    """Queue the welcome of a pupil enrolled from a booking. `queued` is false when it had been asked for."""
    require_text(booking=booking)
    with open_office(customer) as office:
        policy, now = office.app.policy(), office.app.clock.now()
        with office.app.tx() as tx:
            queued = bookings.welcome(tx, parse_booking_id(booking), policy=policy, now=now)
    return {"booking": booking, "queued": queued.created}


def ask_about_booking(customer: str, *, booking: str) -> dict[str, object]:
    """Alert staff about a trial class that waits for a word from them; once a day."""
    require_text(booking=booking)
    with open_office(customer) as office, office.app.tx() as tx:
        asked = ask_staff(tx, parse_booking_id(booking), now=office.now())
    return {"booking": booking, "asked": asked}


def decline_booking(customer: str, *, booking: str, staff: str, reason: str = "") -> dict[str, object]:
    """No enrolment follows. `declined` is false when that was known."""
    require_text(booking=booking, staff=staff)
    request = read_contract(DeclineRequest, {"booking_id": parse_booking_id(booking), "reason": reason})
    with open_office(customer) as office, office.app.tx() as tx:
        settled = bookings.decline(tx, request, actor=office.member(staff), now=office.app.clock.now())
    return {"booking": booking_ref(settled.booking_id), "state": "declined", "declined": settled.changed}
