"""What a calendar says, taken in: one row per booking whatever order its events come in, and who hears of it.

    made        ──▶ booked ──┐                    both events of a reschedule name the other booking, so
    either no_show     ──▶ no_show  ├─ the facts decide  may come first: whoever is second finds what the
    first left canceled    ──▶ canceled, rescheduled ────────┘

A booking that lacks a phone, the pupil's name or a known course is kept, a person hears of it, and nobody is
written to until it is completed. Of a class that began nobody is told anything any more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from platform_core.bookings.bookings import Booking, Q, lock_booking, raise_incomplete, tell
from platform_core.bookings.contracts import (
    BookingCanceled,
    BookingEvent,
    BookingMade,
    NoShowMarked,
    Slot,
)
from platform_core.bookings.lifecycle import DECIDED, BookingState, Facts, decide_state
from platform_core.connectors import load_connector
from platform_core.db import Tx
from platform_core.db.text import storable
from platform_core.errors import PolicyInvalid
from platform_core.inbox.events import Event
from platform_core.jobs.contracts import JobContext
from platform_core.messaging import contacts, intake
from platform_core.messaging.contracts import Ignored, Party
from platform_core.tenancy.bookings import Bookings, same_words
from platform_core.tenancy.policy import Policy
from platform_core.values import Outcome

_PHONE = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_BETWEEN_DIGITS = re.compile(r"[\s().\u00a0\u2010-\u2015-]")
_MAX_NAME_CHARS = 200
_MAX_EMAIL_CHARS = 320
_MAX_PUPIL_CHARS = 120

_MOVES = {
    BookingState.RESCHEDULED: "booking_reschedule",
    BookingState.CANCELED: "booking_cancel",
    BookingState.NO_SHOW: "booking_miss",
    BookingState.BOOKED: "booking_expect",
}


def take_in_booking(context: JobContext, event: Event) -> Outcome:
    """Write what one stored event of a calendar says. Job kind `inbox.received`.

    Idempotency and trouble: `intake.take_in`. Raises: PolicyInvalid when the policy has no section about
    bookings; the event is then failed, and its job can be redriven once there is one.
    """
    policy = context.policy()

    def apply(tx: Tx, event: Event, found: Sequence[BookingEvent], now: datetime) -> str:
        said = [take_in(tx, event.source, one, policy=policy, now=now) for one in found]
        return "; ".join(said)

    return intake.take_in(
        context, event, read=load_connector(event.source).to_events, apply=apply, note=_note
    )


def _note(found: Sequence[BookingEvent]) -> str:
    ignored = [f"ignored {one.type[:80]}: {one.reason[:120]}" for one in found if isinstance(one, Ignored)]
    return "; ".join(ignored)


def take_in(tx: Tx, source: str, said: BookingEvent, *, policy: Policy, now: datetime) -> str:
    """Write one thing a calendar says, and queue what follows; a note for people comes back.

    Idempotency: the same event again, or the events of a booking in another order, leave the same row.
    Raises: PolicyInvalid.
    """
    if isinstance(said, Ignored):
        return f"ignored {said.type[:80]}"
    rules = policy.bookings
    if rules is None:
        raise PolicyInvalid(
            "The policy says nothing about bookings",
            next_step="Add the section [bookings] to policy.toml, store it, and redrive the job.",
        )
    tx.execute(Q["turn_take"])
    booking_id, is_new = _enter(tx, source, said, rules, now)
    booking = lock_booking(tx, booking_id)
    before = None if is_new else booking.state
    booking = _settle(tx, booking, said)
    booking = _replace_predecessor(tx, booking, policy=policy, now=now)
    tell(tx, booking, before=before, policy=policy, now=now)
    raise_incomplete(tx, booking)
    return f"{booking.ref} is {booking.state}"


# --- One booking --------------------------------------------------------------------------------------------


def _enter(
    tx: Tx, source: str, said: BookingMade | BookingCanceled | NoShowMarked, rules: Bookings, now: datetime
) -> tuple[int, bool]:
    """The booking's row, made when this is its first event."""
    slot = said.slot
    known = {"source": source, "source_id": slot.source_id}
    row = tx.execute(Q["booking_find_by_source"], known).fetchone()
    if row is not None:
        return int(row[0]), False
    phone = find_phone(slot, rules)
    name = storable(slot.name)[:_MAX_NAME_CHARS]
    contact_id = contacts.find_or_create(tx, Party(phone=phone, name=name), now) if phone else None
    facts = {
        **known,
        "rescheduled_from": slot.rescheduled_from,
        "rescheduled_to": "",
        "name": name,
        "email": storable(slot.email)[:_MAX_EMAIL_CHARS],
        "kind": storable(slot.kind)[:_MAX_NAME_CHARS],
        "starts_at": slot.starts_at,
        "ends_at": slot.ends_at,
        "booked_at": slot.booked_at,
        "contact_id": contact_id,
        "pupil": find_pupil(slot, rules),
        "course": rules.course_of(slot.kind),
        "state": BookingState.BOOKED,
        "canceled_at": None,
        "no_show": False,
        "no_show_at": None,
        "now": now,
    }
    row = tx.execute(Q["booking_enter"], facts).fetchone()
    if row is None:
        raise AssertionError("whoever holds the turn enters bookings alone")
    return int(row[0]), True


def _settle(tx: Tx, booking: Booking, said: BookingMade | BookingCanceled | NoShowMarked) -> Booking:
    """Add what an event says to the facts, and move the booking where they put it."""
    match said:
        case BookingMade():
            heard = booking
        case BookingCanceled():
            heard = replace(
                booking,
                canceled_at=said.canceled_at,
                rescheduled_to=said.rescheduled_to or booking.rescheduled_to,
            )
        case NoShowMarked():
            heard = _marked(booking, said)
        case _:
            assert_never(said)
    if not heard.rescheduled_to:
        known = {"source": booking.source, "source_id": booking.source_id}
        successor = tx.execute(Q["booking_find_successor"], known).fetchone()
        heard = replace(heard, rescheduled_to=str(successor[0]) if successor else "")
    return _move(tx, booking, heard)


def _marked(booking: Booking, said: NoShowMarked) -> Booking:
    # Marks and their taking back cross each other; the newest word counts.
    if booking.no_show_at is not None and said.changed_at <= booking.no_show_at:
        return booking
    return replace(booking, no_show=said.no_show, no_show_at=said.changed_at)


def _move(tx: Tx, booking: Booking, heard: Booking) -> Booking:
    facts = {
        "booking_id": booking.id,
        "rescheduled_to": heard.rescheduled_to,
        "canceled_at": heard.canceled_at,
        "no_show": heard.no_show,
        "no_show_at": heard.no_show_at,
    }
    if heard != booking:
        tx.execute(Q["booking_note_facts"], facts)
    state = decide_state(Facts(heard.canceled_at, heard.rescheduled_to, heard.no_show))
    if booking.state in DECIDED or state is booking.state:
        return replace(heard, state=booking.state)
    if tx.execute(Q[_MOVES[state]], {"booking_id": booking.id}).fetchone() is None:
        raise AssertionError(f"{booking.ref} is held, and did not move from {booking.state} to {state}")
    return replace(heard, state=state)


def _replace_predecessor(tx: Tx, booking: Booking, *, policy: Policy, now: datetime) -> Booking:
    """Tell the booking that this one replaces, when it is known; what a person added to it goes on here."""
    if not booking.rescheduled_from:
        return booking
    known = {"source": booking.source, "source_id": booking.rescheduled_from}
    row = tx.execute(Q["booking_find_by_source"], known).fetchone()
    if row is None:
        return booking
    before = lock_booking(tx, int(row[0]))
    replaced = _move(tx, before, replace(before, rescheduled_to=before.rescheduled_to or booking.source_id))
    tell(tx, replaced, before=before.state, policy=policy, now=now)
    whole = replace(
        booking,
        contact_id=booking.contact_id or before.contact_id,
        pupil=booking.pupil or before.pupil,
        course=booking.course or before.course,
    )
    if whole != booking:
        facts = {"contact_id": whole.contact_id, "pupil": whole.pupil, "course": whole.course}
        tx.execute(Q["booking_complete"], {"booking_id": whole.id, **facts})
    return whole


# --- What the form says -------------------------------------------------------------------------------------


def find_phone(slot: Slot, rules: Bookings) -> str | None:
    """The number a parent gave for WhatsApp, in international form, or None. Pure.

    The configured question comes before the number for text reminders. Spaces and dashes are taken out; a
    number without its country is nobody's: which country it is would be a guess.
    """
    for text in (_answer(slot, rules.phone_question), slot.phone):
        digits = _BETWEEN_DIGITS.sub("", text)
        if _PHONE.fullmatch(digits):
            return digits
    return None


def find_pupil(slot: Slot, rules: Bookings) -> str | None:
    """The pupil's name as the parent wrote it, or None. Pure."""
    answer = " ".join(storable(_answer(slot, rules.pupil_question)).split())
    return answer if 1 <= len(answer) <= _MAX_PUPIL_CHARS else None


def _answer(slot: Slot, question: str) -> str:
    if not question:
        return ""
    asked = same_words(question)
    return next((one.answer for one in slot.answers if same_words(one.question) == asked), "")
