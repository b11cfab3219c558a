"""An academy that takes bookings: one customer over a real database, and what its calendar says."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from platform_core.bookings import bookings, reception
from platform_core.bookings.bookings import BookingView
from platform_core.bookings.contracts import (
    Answer,
    BookingCanceled,
    BookingEvent,
    BookingMade,
    Completion,
    DeclineRequest,
    Enrolled,
    EnrolmentRequest,
    NoShowMarked,
    Settled,
    Slot,
)
from platform_core.db import Tx
from platform_core.messaging import outbound
from platform_core.values import Actor, Outcome
from tests.support.attendance import School
from tests.support.databases import TenantDatabase
from tests.support.messaging import NOON

PUPIL_QUESTION = "Nombre del niño o niña"
PHONE_QUESTION = "WhatsApp (con código de país, por ejemplo +56)"
TRIAL = "Clase de prueba Robótica"
STARTS = NOON + timedelta(days=2, hours=6)  # three in the afternoon in Santiago
PHONE = "+56900000021"

BRUNO, DIEGO = Actor("user", "bruno"), Actor("user", "diego")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Calendar:
    """What one booking's events say. `number` makes its id."""

    number: int = field(default_factory=lambda: next(_numbers))
    starts_at: datetime = STARTS
    phone: str = ""
    answers: Mapping[str, str] = field(
        default_factory=lambda: {PUPIL_QUESTION: "Leo Rojas", PHONE_QUESTION: "+56 9 0000 0021"}
    )
    kind: str = TRIAL
    replaces: Calendar | None = None

    @property
    def source_id(self) -> str:
        """As Calendly names an invitee."""
        return f"https://api.calendly.com/scheduled_events/E{self.number}/invitees/I{self.number}"

    @property
    def slot(self) -> Slot:
        """The booking as every event shows it."""
        return Slot(
            source_id=self.source_id,
            rescheduled_from=self.replaces.source_id if self.replaces else "",
            name="Ana Rojas",
            email="ana@example.org",
            phone=self.phone,
            answers=tuple(Answer(question=one, answer=two) for one, two in self.answers.items()),
            kind=self.kind,
            starts_at=self.starts_at,
            ends_at=self.starts_at + timedelta(hours=1),
            booked_at=NOON - timedelta(hours=1),
        )

    def made(self) -> BookingMade:
        """It was booked."""
        return BookingMade(slot=self.slot)

    def canceled(self, *, moved_to: Calendar | None = None) -> BookingCanceled:
        """It will not take place, or another takes its place."""
        return BookingCanceled(
            slot=self.slot,
            rescheduled=moved_to is not None,
            rescheduled_to=moved_to.source_id if moved_to else "",
            canceled_at=NOON - timedelta(minutes=30),
        )

    def no_show(self, *, marked: bool = True, minute: int = 0) -> NoShowMarked:
        """The pupil did not come, or did after all."""
        at = self.starts_at + timedelta(hours=1, minutes=minute)
        return NoShowMarked(slot=self.slot, no_show=marked, changed_at=at)


class Academy(School):
    """A customer whose policy has a section about bookings."""

    def __init__(self, tenant_db: TenantDatabase, connection: Tx) -> None:
        super().__init__(tenant_db, connection)
        self.clock.at = NOON

    def on_bookings(self, connection: Tx) -> Academy:
        """The same academy seen by a second worker."""
        other = Academy(self.tenant_db, connection)
        other.clock, other.client, other.policy = self.clock, self.client, self.policy
        return other

    def hears(self, *events: BookingEvent) -> list[str]:
        """The calendar's events, each in a transaction of its own."""
        said = []
        for event in events:
            with self.tx() as tx:
                said.append(
                    reception.take_in(tx, "calendly", event, policy=self.policy, now=self.clock.now())
                )
        return said

    def without(self, section: str) -> None:
        """The same policy without a section."""
        self.policy = self.policy.model_copy(update={section: None})

    def bookings(self) -> list[BookingView]:
        """All, oldest first."""
        with self.tx() as tx:
            return sorted(bookings.list_bookings(tx), key=lambda one: one.id)

    def booked(self) -> int:
        """One booking, complete, for the day after tomorrow."""
        self.hears(Calendar().made())
        return self.bookings()[-1].id

    def rows_of_bookings(self) -> list[dict[str, object]]:
        """Every row whole, by the calendar's id, without our numbers and the time it came to us."""
        rows = self.rows("SELECT * FROM bookings.booking ORDER BY source_id")
        return [{key: value for key, value in row.items() if key not in ("id", "added_at")} for row in rows]

    def told(self) -> list[tuple[object, object, object]]:
        """Purpose, key's booking and state of every message, oldest first."""
        rows = self.rows("SELECT purpose, subject_id, state FROM messaging.outbox ORDER BY id")
        return [(row["purpose"], row["subject_id"], row["state"]) for row in rows]

    def enrol(self, booking_id: int, *, by: Actor = BRUNO, **changed: object) -> Enrolled:
        """The pupil stays."""
        request = EnrolmentRequest.model_validate({"booking_id": booking_id, **changed})
        with self.tx() as tx:
            return bookings.enrol(tx, request, actor=by, policy=self.policy, now=self.clock.now())

    def decline(self, booking_id: int, *, by: Actor = BRUNO) -> Settled:
        """No enrolment follows."""
        with self.tx() as tx:
            request = DeclineRequest(booking_id=booking_id, reason="muy lejos")
            return bookings.decline(tx, request, actor=by, now=self.clock.now())

    def complete(self, booking_id: int, *, by: Actor = BRUNO, **filled: str) -> Settled:
        """A person asked the parent."""
        request = Completion.model_validate({"booking_id": booking_id, **filled})
        with self.tx() as tx:
            return bookings.complete(tx, request, actor=by, policy=self.policy, now=self.clock.now())

    def send_all(self) -> list[Outcome]:
        """Run the job of every message that is queued."""
        queued = self.rows("SELECT id FROM messaging.outbox WHERE state = 'queued' ORDER BY id")
        return [self.run(outbound.send, {"outbox": row["id"]}) for row in queued]
