"""Bookings as staff see and decide them, and what families are told: each message once, by its own key.

    booked ──▶ booking.confirmed, or booking.rescheduled when it took another's place
    canceled ──▶ booking.canceled
    enrolled ──▶ pupil.welcome

A message that waits in the outbox is withdrawn when its booking moves on, and asked again when it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

from psycopg.rows import class_row

from platform_core import audit
from platform_core.attendance import sessions
from platform_core.attendance.contracts import NewEnrolment, NewStudent
from platform_core.bookings.contracts import (
    Completion,
    DeclineRequest,
    Enrolled,
    EnrolmentRequest,
    Lack,
    Settled,
    booking_ref,
)
from platform_core.bookings.lifecycle import BookingState
from platform_core.db import Tx, load_queries
from platform_core.errors import InvalidInput, NotFound, StateConflict
from platform_core.messaging import contacts, outbound
from platform_core.messaging.attention import raise_alert
from platform_core.messaging.contracts import Party
from platform_core.messaging.outbound import Queued
from platform_core.payments.local_time import get_zone, to_reminder_instant
from platform_core.tenancy.policy import Policy
from platform_core.values import Actor

Q = load_queries(__file__)

MAX_DUE = 50
MAX_LISTED = 1000
_WORDS = ("pupil", "course", "date", "time")

OPEN = frozenset({BookingState.BOOKED, BookingState.NO_SHOW})


@dataclass(frozen=True, slots=True)
class Booking:
    """One booking with everything the calendar and staff said of it."""

    id: int
    source: str
    source_id: str
    rescheduled_from: str
    rescheduled_to: str
    name: str
    email: str
    kind: str
    starts_at: datetime
    ends_at: datetime
    booked_at: datetime
    contact_id: int | None
    pupil: str | None
    course: str | None
    state: BookingState
    canceled_at: datetime | None
    no_show: bool
    no_show_at: datetime | None
    student_id: int | None
    decided_at: datetime | None
    decline_reason: str
    added_at: datetime

    def __post_init__(self) -> None:
        """Name the state; an unknown one is a schema newer than this code."""
        object.__setattr__(self, "state", BookingState(self.state))

    @property
    def ref(self) -> str:
        """How people call it."""
        return booking_ref(self.id)

    @property
    def lacks(self) -> tuple[Lack, ...]:
        """What it came without."""
        return _lacks(self.contact_id, self.pupil, self.course)


@dataclass(frozen=True, slots=True)
class BookingView:
    """One booking as people see it.

    `rescheduled_*` are our own ids, None when there is none or it is unknown.
    """

    id: int
    source: str
    name: str
    email: str
    kind: str
    starts_at: datetime
    ends_at: datetime
    booked_at: datetime
    contact_id: int | None
    pupil: str | None
    course: str | None
    state: BookingState
    canceled_at: datetime | None
    no_show_at: datetime | None
    decided_at: datetime | None
    decline_reason: str
    rescheduled_from: int | None
    rescheduled_to: int | None
    student: str | None

    def __post_init__(self) -> None:
        """Name the state; an unknown one is a schema newer than this code."""
        object.__setattr__(self, "state", BookingState(self.state))

    @property
    def lacks(self) -> tuple[Lack, ...]:
        """What it came without."""
        return _lacks(self.contact_id, self.pupil, self.course)


# --- Looking ------------------------------------------------------------------------------------------------


def list_bookings(tx: Tx, *, state: BookingState | None = None, limit: int = 100) -> list[BookingView]:
    """Bookings by their hour, the latest first, of one state or of all."""
    return _views(tx, {"state": state, "booking_id": None, "limit": max(1, min(limit, MAX_LISTED))})


def get_booking(tx: Tx, booking_id: int) -> BookingView:
    """One booking. Raises: NotFound."""
    found = _views(tx, {"state": None, "booking_id": booking_id, "limit": 1})
    if not found:
        raise _unknown(booking_id)
    return found[0]


def list_due(tx: Tx, *, now: datetime, limit: int = MAX_DUE) -> list[int]:
    """Trial classes that are over and of which staff have not said what came, oldest first."""
    rows = tx.execute(Q["booking_list_due"], {"now": now, "limit": max(1, min(limit, MAX_LISTED))}).fetchall()
    return [int(row[0]) for row in rows]


def lock_booking(tx: Tx, booking_id: int) -> Booking:
    """One booking, held until the transaction ends. Raises: NotFound."""
    with tx.cursor(row_factory=class_row(Booking)) as cursor:
        found = cursor.execute(Q["booking_lock"], {"booking_id": booking_id}).fetchone()
    if found is None:
        raise _unknown(booking_id)
    return found


def still_booked(tx: Tx, subject_id: str) -> bool:
    """Whether a class that somebody is about to be told of is still expected."""
    return _is_in(tx, subject_id, BookingState.BOOKED)


def still_canceled(tx: Tx, subject_id: str) -> bool:
    """Whether a class whose cancellation is about to be told is still cancelled, and not moved after all."""
    return _is_in(tx, subject_id, BookingState.CANCELED)


# --- What staff decide --------------------------------------------------------------------------------------


def complete(tx: Tx, request: Completion, *, actor: Actor, policy: Policy, now: datetime) -> Settled:
    """Add what a booking came without; the family then hears of it as if it had been there.

    Idempotency: the same values again change nothing. Raises: NotFound, InvalidInput for a phone without its
    country, StateConflict once it is settled, PermissionDenied.
    """
    actor = sessions.require(tx, actor)
    booking = lock_booking(tx, request.booking_id)
    _require_open(booking)
    contact_id = booking.contact_id
    if request.phone:
        contact_id = contacts.find_or_create(tx, Party(phone=request.phone, name=booking.name), now)
    facts = {
        "booking_id": booking.id,
        "contact_id": contact_id,
        "pupil": request.pupil or booking.pupil,
        "course": request.course or booking.course,
    }
    if (facts["contact_id"], facts["pupil"], facts["course"]) == (
        booking.contact_id,
        booking.pupil,
        booking.course,
    ):
        return Settled(booking_id=booking.id, state=booking.state, changed=False)
    tx.execute(Q["booking_complete"], facts)
    filled = [name for name in ("phone", "pupil", "course") if getattr(request, name)]
    audit.record(tx, "booking.completed", actor, ("booking", booking.ref), detail={"filled": filled})
    completed = lock_booking(tx, booking.id)
    tell(tx, completed, before=None, policy=policy, now=now)
    return Settled(booking_id=booking.id, state=completed.state, changed=True)


def enrol(tx: Tx, request: EnrolmentRequest, *, actor: Actor, policy: Policy, now: datetime) -> Enrolled:
    """The pupil stays: student, enrolment, welcome and the booking's state, in the caller's transaction.

    Without a student of its own the pupil is entered under the booking's reference.
    Idempotency: a second call answers what the first made. Raises: NotFound, InvalidInput when the booking
    lacks something, StateConflict when it is settled otherwise or enrolled into another course,
    PermissionDenied.
    """
    actor = sessions.require(tx, actor)
    booking = lock_booking(tx, request.booking_id)
    course = request.course or booking.course or ""
    if booking.state is BookingState.ENROLLED:
        return _enrolled_before(tx, booking, course)
    _require_open(booking)
    contact_id, pupil = _require_whole(booking, course)
    reference = request.student or f"booking-{booking.id}"
    if not request.student:
        new = NewStudent(reference=reference, name=pupil, contact_id=contact_id)
        sessions.add_student(tx, new, actor=actor, now=now)
    zone = get_zone(policy.customer.timezone)
    day = request.starts_on or booking.starts_at.astimezone(zone).date()
    valid_from = to_reminder_instant(day, time(0), zone)
    sessions.enrol(tx, NewEnrolment(student=reference, course=course, valid_from=valid_from), actor=actor)
    facts = {"booking_id": booking.id, "student_id": sessions.find_student(tx, reference), "course": course}
    if tx.execute(Q["booking_enrol"], {**facts, "now": now}).fetchone() is None:
        raise AssertionError(f"{booking.ref} is held, and cannot have moved")
    audit.record(tx, "booking.enrolled", actor, ("booking", booking.ref), detail={"student": reference})
    outbound.cancel_queued(tx, now=now, subject=("booking", str(booking.id)))
    welcome(tx, booking.id, policy=policy, now=now)
    return Enrolled(booking_id=booking.id, student=reference, course=course, created=True)


def welcome(tx: Tx, booking_id: int, *, policy: Policy, now: datetime) -> Queued:
    """Welcome a pupil who was enrolled from a booking; asked for once, however often it is called.

    Raises: NotFound, StateConflict when nobody was enrolled from it.
    """
    booking = lock_booking(tx, booking_id)
    if booking.state is not BookingState.ENROLLED or booking.contact_id is None:
        raise StateConflict(f"{booking.ref} is {booking.state}; only a pupil who stays is welcomed")
    about = _About(tx, booking, booking.contact_id, policy, now)
    return about.queue_message(purpose="pupil.welcome", words=("pupil", "course"))


def decline(tx: Tx, request: DeclineRequest, *, actor: Actor, now: datetime) -> Settled:
    """No enrolment follows. Idempotency: a second call changes nothing.

    Raises: NotFound, StateConflict when it is settled otherwise, PermissionDenied.
    """
    actor = sessions.require(tx, actor)
    booking = lock_booking(tx, request.booking_id)
    if booking.state is BookingState.DECLINED:
        return Settled(booking_id=booking.id, state=booking.state, changed=False)
    _require_open(booking)
    facts = {"booking_id": booking.id, "reason": request.reason, "now": now}
    if tx.execute(Q["booking_decline"], facts).fetchone() is None:
        raise AssertionError(f"{booking.ref} is held, and cannot have moved")
    audit.record(tx, "booking.declined", actor, ("booking", booking.ref))
    outbound.cancel_queued(tx, now=now, subject=("booking", str(booking.id)))
    return Settled(booking_id=booking.id, state=BookingState.DECLINED, changed=True)


# --- What families and staff are told -----------------------------------------------------------------------


def tell(tx: Tx, booking: Booking, *, before: BookingState | None, policy: Policy, now: datetime) -> None:
    """Bring what the family is told in line with a held booking; `before` is where it stood, None when new.

    Of a class that began, or that lacks something, nobody is told. Idempotency: each message has one key.
    """
    if before is not None and before is not booking.state:
        outbound.cancel_queued(tx, now=now, subject=("booking", str(booking.id)))
    if booking.lacks or booking.contact_id is None or booking.starts_at <= now:
        return
    about = _About(tx, booking, booking.contact_id, policy, now)
    match booking.state:
        case BookingState.BOOKED if booking.rescheduled_from:
            about.queue_message(purpose="booking.rescheduled", recheck="booking")
        case BookingState.BOOKED:
            about.queue_message(purpose="booking.confirmed", recheck="booking")
        case BookingState.CANCELED:
            about.queue_message(purpose="booking.canceled", recheck="booking_canceled")
        case _:
            pass


@dataclass(frozen=True, slots=True)
class _About:
    """Messages about one held booking, in the caller's transaction."""

    tx: Tx
    booking: Booking
    contact_id: int
    policy: Policy
    now: datetime

    def queue_message(
        self, *, purpose: str, recheck: str | None = None, words: tuple[str, ...] = _WORDS
    ) -> Queued:
        """Ask for one; its key is the purpose and the booking, so it is asked for once."""
        found = _words(self.booking, self.policy)
        return outbound.queue_message(
            self.tx,
            purpose=purpose,
            contact_id=contacts.get_contact(self.tx, self.contact_id).id,
            dedupe_key=f"{purpose}:{self.booking.id}",
            values={name: found[name] for name in words},
            policy=self.policy,
            now=self.now,
            subject=("booking", str(self.booking.id)),
            recheck=recheck,
        )


def raise_incomplete(tx: Tx, booking: Booking) -> None:
    """Ask a person for what an open booking lacks. The alert holds nothing a parent wrote."""
    if booking.state not in OPEN or not booking.lacks:
        return
    raise_alert(
        tx,
        "booking.incomplete",
        severity="P2",
        subject=booking.ref,
        once=f"{booking.id}:{'+'.join(booking.lacks)}",
        dedupe=f"booking.incomplete:{booking.id}",
        detail={"booking": booking.ref, "lacks": list(booking.lacks)},
    )


def _words(booking: Booking, policy: Policy) -> dict[str, str]:
    local = booking.starts_at.astimezone(ZoneInfo(policy.customer.timezone))
    return {
        "pupil": booking.pupil or "",
        "course": booking.course or "",
        "date": f"{local:%d-%m-%Y}",
        "time": f"{local:%H:%M}",
    }


# --- How ----------------------------------------------------------------------------------------------------


def _lacks(contact_id: int | None, pupil: str | None, course: str | None) -> tuple[Lack, ...]:
    found: list[tuple[Lack, object]] = [("phone", contact_id), ("pupil", pupil), ("course", course)]
    return tuple(name for name, value in found if value is None)


def _require_open(booking: Booking) -> None:
    if booking.state not in OPEN:
        raise StateConflict(
            f"{booking.ref} is {booking.state} already",
            next_step=f"See `wmctl booking show {booking.ref}`.",
            state=booking.state,
        )


def _require_whole(booking: Booking, course: str) -> tuple[int, str]:
    lacks = [name for name in booking.lacks if name != "course" or not course]
    if lacks or booking.contact_id is None or booking.pupil is None:
        raise InvalidInput(
            f"{booking.ref} lacks {', '.join(lacks)}",
            next_step=f"Ask the parent, then `wmctl booking complete {booking.ref}`.",
        )
    return booking.contact_id, booking.pupil


def _enrolled_before(tx: Tx, booking: Booking, course: str) -> Enrolled:
    view = get_booking(tx, booking.id)
    if course != booking.course:
        raise StateConflict(
            f"{booking.ref} was enrolled into another course",
            next_step="Enrol the student into the second course with its own reference.",
        )
    return Enrolled(booking_id=booking.id, student=view.student or "", course=course, created=False)


def _is_in(tx: Tx, subject_id: str, state: BookingState) -> bool:
    row = tx.execute(Q["booking_get_state"], {"booking_id": int(subject_id)}).fetchone()
    return row is not None and row[0] == state


def _views(tx: Tx, facts: dict[str, object]) -> list[BookingView]:
    with tx.cursor(row_factory=class_row(BookingView)) as cursor:
        return cursor.execute(Q["booking_list"], facts).fetchall()


def _unknown(booking_id: int) -> NotFound:
    return NotFound(f"There is no booking {booking_ref(booking_id)}", next_step="See `wmctl booking list`.")
