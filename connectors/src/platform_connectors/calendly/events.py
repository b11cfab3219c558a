"""What a Calendly event says, in our words: wire models and their translation to `bookings.contracts`.

Pure. Every event about an invitee carries the whole booking, so each is read by the same model. A payload of
the first version of the API, which still circulates, is refused by name and never read by guessing. An event
that breaks its own promise raises ContractDrift: a person looks at it. Unknown types are kept and do
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pydantic import Field

from platform_connectors.wire import (
    LOOK,
    Instant,
    OptionalInstant,
    OptionalText,
    Text,
    Wire,
    read_event,
    read_wire,
    storable,
)
from platform_core.bookings.contracts import (
    Answer,
    BookingCanceled,
    BookingEvent,
    BookingMade,
    NoShowMarked,
    Slot,
)
from platform_core.errors import ContractDrift
from platform_core.messaging.contracts import Ignored

EVENTS = ("invitee.created", "invitee.canceled", "invitee_no_show.created", "invitee_no_show.deleted")
"""The types a subscription asks for, and all that have an effect here."""

_MAX_URI_CHARS = 255
_Uri = Text


class _Scheduled(Wire):
    name: OptionalText = ""
    event_type: OptionalText = ""
    start_time: Instant
    end_time: Instant


class _Cancellation(Wire):
    created_at: OptionalInstant = None


class _NoShow(Wire):
    created_at: OptionalInstant = None


class _Answered(Wire):
    question: OptionalText = ""
    answer: OptionalText = ""


class _Invitee(Wire):
    uri: _Uri = Field(min_length=1, max_length=_MAX_URI_CHARS)
    name: OptionalText = ""
    first_name: OptionalText = ""
    last_name: OptionalText = ""
    email: OptionalText = ""
    text_reminder_number: OptionalText = ""
    questions_and_answers: tuple[_Answered, ...] | None = None
    rescheduled: bool = False
    old_invitee: OptionalText = Field(default="", max_length=_MAX_URI_CHARS)
    new_invitee: OptionalText = Field(default="", max_length=_MAX_URI_CHARS)
    cancellation: _Cancellation | None = None
    no_show: _NoShow | None = None
    created_at: Instant
    scheduled_event: _Scheduled


class _Envelope(Wire):
    created_at: Instant


def to_events(body: bytes) -> Sequence[BookingEvent]:
    """Translate one verified body; always one event.

    Raises: ContractDrift naming the field, never its value.
    """
    kind, event = read_event("Calendly", body, "event")
    reader = _READERS.get(kind)
    if reader is None:
        return [Ignored(type=storable(kind), reason="nothing here acts on this type")]
    payload = event.get("payload")
    _refuse_first_version(payload)
    envelope = read_wire("Calendly", _Envelope, event, kind)
    return [reader(envelope, read_wire("Calendly", _Invitee, payload, "payload"))]


def _refuse_first_version(payload: object) -> None:
    """Its payloads hold objects where today's hold one URI and one `scheduled_event`."""
    if isinstance(payload, dict) and (
        isinstance(payload.get("event"), dict) or "invitee" in payload or "event_type" in payload
    ):
        raise ContractDrift(
            "The Calendly event is one of the first API version, which is not read here",
            next_step="Make the subscription with the current API; `wmctl connector check calendly` does.",
        )


def _slot(invitee: _Invitee) -> Slot:
    scheduled = invitee.scheduled_event
    if scheduled.end_time <= scheduled.start_time:
        raise ContractDrift("Calendly's scheduled_event ends before it begins", next_step=LOOK)
    kind = scheduled.name or scheduled.event_type
    if not kind:
        raise ContractDrift("Calendly's scheduled_event has neither name nor event_type", next_step=LOOK)
    return Slot(
        source_id=invitee.uri,
        rescheduled_from=invitee.old_invitee,
        name=invitee.name or f"{invitee.first_name} {invitee.last_name}".strip(),
        email=invitee.email,
        phone=invitee.text_reminder_number,
        answers=tuple(
            Answer(question=one.question, answer=one.answer) for one in invitee.questions_and_answers or ()
        ),
        kind=kind,
        starts_at=scheduled.start_time,
        ends_at=scheduled.end_time,
        booked_at=invitee.created_at,
    )


def _made(_envelope: _Envelope, invitee: _Invitee) -> BookingEvent:
    return BookingMade(slot=_slot(invitee))


def _canceled(envelope: _Envelope, invitee: _Invitee) -> BookingEvent:
    if invitee.rescheduled and not invitee.new_invitee:
        # Without its successor it would look like a plain cancellation, and a parent would be told so.
        raise ContractDrift("Calendly says rescheduled and names no new_invitee", next_step=LOOK)
    cancellation = invitee.cancellation
    return BookingCanceled(
        slot=_slot(invitee),
        rescheduled=invitee.rescheduled,
        rescheduled_to=invitee.new_invitee if invitee.rescheduled else "",
        canceled_at=(cancellation.created_at if cancellation else None) or envelope.created_at,
    )


def _no_show_reader(*, no_show: bool) -> Callable[[_Envelope, _Invitee], BookingEvent]:
    def read(envelope: _Envelope, invitee: _Invitee) -> BookingEvent:
        # The envelope's time for both: the mark's own is that of its making, also when it is taken back.
        return NoShowMarked(slot=_slot(invitee), no_show=no_show, changed_at=envelope.created_at)

    return read


_READERS: Mapping[str, Callable[[_Envelope, _Invitee], BookingEvent]] = {
    "invitee.created": _made,
    "invitee.canceled": _canceled,
    "invitee_no_show.created": _no_show_reader(no_show=True),
    "invitee_no_show.deleted": _no_show_reader(no_show=False),
}
