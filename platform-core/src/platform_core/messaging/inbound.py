"""What contacts write and what the provider reports: from one stored event to rows and follow-up jobs.

A message is guarded once more by its wamid: the provider may send it again under a new event id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from psycopg.rows import class_row

from platform_core.db import Tx, load_queries
from platform_core.db.text import is_storable, storable
from platform_core.errors import ContractDrift, NotFound
from platform_core.inbox.events import Event
from platform_core.jobs import queue
from platform_core.jobs.contracts import JobContext
from platform_core.messaging import contacts, intake, reports
from platform_core.messaging.contracts import (
    ContactOptedOut,
    DeliveryReported,
    Ignored,
    InboundEvent,
    MessageReceived,
)
from platform_core.values import Outcome

Q = load_queries(__file__)

_MAX_IDENTIFIER_CHARS = 255


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """What a contact wrote. `contact_id` is the contact it is known as today, after merges.

    `attachment_link` is None when there is none; it dies within hours. `attachment_sha256` is the provider's
    claim, in base64.
    """

    id: int
    provider: str
    wamid: str
    contact_id: int
    event_id: int
    business_phone: str
    type: str
    text: str
    button_payload: str
    reply_to: str
    attachment_link: str | None
    attachment_mime: str
    attachment_filename: str
    attachment_caption: str
    attachment_sha256: str
    sent_at: datetime
    received_at: datetime


def handle_event(context: JobContext, event: Event | None = None) -> Outcome:
    """Write what one stored event of the messaging provider says. Job kind `inbox.received`.

    Idempotency and trouble: `intake.take_in`. `event` is the job's own, when the caller has it already.
    """

    def apply(tx: Tx, event: Event, found: Sequence[InboundEvent], now: datetime) -> str:
        for one in found:
            _apply(tx, context.connector.name, event, one, now=now)
        return _note(found)

    stored = intake.open_event(context) if event is None else event
    return intake.take_in(context, stored, read=context.connector.to_events, apply=apply, note=_note)


def _note(found: Sequence[InboundEvent]) -> str:
    reasons = [f"{one.type[:80]}: {one.reason[:120]}" for one in found if isinstance(one, Ignored)]
    return f"ignored {'; '.join(reasons)}" if reasons else ""


def _apply(tx: Tx, provider: str, event: Event, one: InboundEvent, *, now: datetime) -> None:
    match one:
        case MessageReceived():
            store_message(tx, one, provider=provider, event=event.id, now=now)
        case DeliveryReported():
            _require_identifier(one.provider_message_id, "provider's message id")
            reports.record(tx, one, event=event.id, now=now)
        case ContactOptedOut():
            contact_id = contacts.find_or_create(tx, one.contact, now)
            changed_at = one.changed_at or event.signed_at
            contacts.set_opt_out(tx, contact_id, opted_out=one.opted_out, changed_at=changed_at)
        case Ignored():
            pass
        case _:
            assert_never(one)


def store_message(
    tx: Tx, message: MessageReceived, *, provider: str, event: int, now: datetime
) -> int | None:
    """Keep what a contact wrote and queue what follows from it. None when it came before.

    A message refreshes the window for free text by its own time: one that was delivered late opens it no
    longer than it should be, and one from the future no longer than from now.
    Raises: ContractDrift when its id cannot be one, InvalidInput when the sender has no usable identity.
    """
    _require_identifier(message.message_id, "message id")
    known = {"provider": provider, "wamid": message.message_id}
    if tx.execute(Q["message_is_known"], known).fetchone() is not None:
        return None
    contact_id = contacts.find_or_create(tx, message.sender, now)
    row = tx.execute(
        Q["message_insert"],
        {**known, **_columns(message), "contact": contact_id, "event": event, "now": now},
    ).fetchone()
    if row is None:
        return None
    message_id = int(row[0])
    contacts.note_inbound(tx, contact_id, sent_at=min(message.sent_at, now))
    # Text too: it may be the answer to what staff asked about a claim.
    queue.enqueue(tx, "message.received", {"message": message_id}, key=f"message:{message_id}")
    return message_id


def _columns(message: MessageReceived) -> dict[str, object]:
    attachment = message.attachment
    return {
        "business_phone": storable(message.business_phone),
        "type": message.type,
        "text": storable(message.text),
        "button_payload": storable(message.button_payload),
        "reply_to": storable(message.reply_to),
        "attachment_link": storable(attachment.link) if attachment else None,
        "attachment_mime": storable(attachment.mime_type) if attachment else "",
        "attachment_filename": storable(attachment.filename) if attachment else "",
        "attachment_caption": storable(attachment.caption) if attachment else "",
        "attachment_sha256": storable(attachment.provider_sha256) if attachment else "",
        "sent_at": message.sent_at,
    }


def _require_identifier(text: str, what: str) -> None:
    if not (1 <= len(text) <= _MAX_IDENTIFIER_CHARS and is_storable(text)):
        raise ContractDrift(f"The {what} has not 1 to {_MAX_IDENTIFIER_CHARS} plain characters")


def get_message(tx: Tx, message_id: int) -> InboundMessage:
    """What a contact wrote. Raises: NotFound."""
    with tx.cursor(row_factory=class_row(InboundMessage)) as cursor:
        found = cursor.execute(Q["message_find"], {"message": message_id}).fetchone()
    if found is None:
        raise NotFound(f"There is no message M{message_id}", next_step="See `wmctl inbox list`.")
    return found


def list_messages(tx: Tx, *, contact_id: int | None = None, limit: int = 100) -> list[InboundMessage]:
    """What contacts wrote, newest first: everybody, or one contact and those merged into it."""
    with tx.cursor(row_factory=class_row(InboundMessage)) as cursor:
        return cursor.execute(Q["message_list"], {"contact": contact_id, "limit": limit}).fetchall()
