"""Calendly's events and objects, as its reference and its samples have them. The values are made up."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

API = "https://api.calendly.com"
"""URIs name things at Calendly whatever host the API is asked on, so the stand-in's say the same."""

_ALPHABET = string.ascii_uppercase + string.digits


def new_uri(kind: str) -> str:
    """The URI of a new object, such as `https://api.calendly.com/users/ABC…`."""
    return f"{API}/{kind}/{''.join(secrets.choice(_ALPHABET) for _ in range(16))}"


def instant_text(instant: datetime) -> str:
    """RFC 3339 in UTC with microseconds, as Calendly writes times."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def encode(event: Mapping[str, object]) -> bytes:
    """The bytes that go on the wire and under the signature: compact UTF-8 JSON."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


@dataclass(slots=True)
class Booking:
    """One invitee of one scheduled event, as Calendly keeps it."""

    uri: str
    event_uri: str
    name: str
    email: str
    phone: str | None
    answers: Mapping[str, str]
    kind: str
    starts_at: datetime
    ends_at: datetime
    created_at: datetime
    updated_at: datetime
    old_invitee: str | None = None
    new_invitee: str | None = None
    rescheduled: bool = False
    cancellation: Mapping[str, object] | None = None
    no_show: Mapping[str, object] | None = None
    cancel_url: str = field(default="https://calendly.com/cancellations/AAAA")


def invitee(booking: Booking) -> dict[str, object]:
    """The payload of every event about an invitee."""
    answers = [
        {"question": question, "answer": answer, "position": position}
        for position, (question, answer) in enumerate(booking.answers.items())
    ]
    canceled = booking.cancellation is not None
    found: dict[str, object] = {
        "uri": booking.uri,
        "email": booking.email,
        "name": booking.name,
        "first_name": None,
        "last_name": None,
        "status": "canceled" if canceled else "active",
        "event": booking.event_uri,
        "timezone": "America/Lima",
        "rescheduled": booking.rescheduled,
        "old_invitee": booking.old_invitee,
        "new_invitee": booking.new_invitee,
        "text_reminder_number": booking.phone,
        "questions_and_answers": answers,
        "tracking": {"utm_campaign": None, "utm_source": None},
        "cancel_url": booking.cancel_url,
        "reschedule_url": "https://calendly.com/reschedulings/AAAA",
        "no_show": booking.no_show,
        "payment": None,
        "reconfirmation": None,
        "created_at": instant_text(booking.created_at),
        "updated_at": instant_text(booking.updated_at),
        "scheduled_event": {
            "uri": booking.event_uri,
            "name": booking.kind,
            "status": "canceled" if canceled else "active",
            "start_time": instant_text(booking.starts_at),
            "end_time": instant_text(booking.ends_at),
            "event_type": f"{API}/event_types/TRIALCLASS000000",
            "location": {"type": "physical", "location": "Sala 1"},
            "invitees_counter": {"total": 1, "active": 0 if canceled else 1, "limit": 1},
        },
    }
    return found | ({"cancellation": booking.cancellation} if canceled else {})


def new_event(kind: str, booking: Booking, creator: str, now: datetime) -> dict[str, object]:
    """The envelope. It carries no id."""
    return {
        "event": kind,
        "created_at": instant_text(now),
        "created_by": creator,
        "payload": invitee(booking),
    }
