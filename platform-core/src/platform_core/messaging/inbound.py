"""What contacts write and what the provider reports: from one stored event to rows and follow-up jobs.

Everything an event says is written in the transaction that takes the event as handled, so a worker that dies
leaves it untouched, and a second worker waits for the first and then finds it handled. A message is guarded
once more by its wamid: the provider may send it again under a new event id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from psycopg.rows import class_row

from platform_core.db import Tx, load_queries
from platform_core.db.text import is_storable, storable
from platform_core.errors import ContractDrift, InvalidInput, JobInterrupted, NotFound, PlatformError
from platform_core.inbox import events
from platform_core.inbox.events import Event
from platform_core.inbox.lifecycle import EventState
from platform_core.jobs import queue
from platform_core.jobs.contracts import Job, JobContext
from platform_core.messaging import contacts, reports
from platform_core.messaging.attention import raise_alert
from platform_core.messaging.contracts import (
    ContactOptedOut,
    DeliveryReported,
    Ignored,
    InboundEvent,
    MessageReceived,
)
from platform_core.values import Cancelled, Dead, Done, Outcome

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


def handle_event(context: JobContext) -> Outcome:
    """Write what one stored event says. Job kind `inbox.received`.

    Idempotency: a handled event is left alone. A body this connector cannot read makes the event `unreadable`
    and alerts; when the job's last attempt raises, the event is `failed`.
    """
    event_id = _event_of(context.job)
    with context.tx() as tx:
        event = events.get_event(tx, event_id)
    if event.state is EventState.HANDLED:
        return Done("handled before")
    if event.state is EventState.HELD:
        return Cancelled("the event is held until a person releases it")
    try:
        found = context.connector.to_events(event.body)
        with context.tx() as tx:
            return _apply_once(tx, context, event, found)
    except (ContractDrift, InvalidInput) as error:
        with context.tx() as tx:
            return _give_up(tx, event, error, now=context.clock.now())
    except JobInterrupted:
        raise  # another worker has the job, or nobody wants it: this one may write nothing more
    except Exception as error:
        if _is_last_attempt(context.job, error):
            with context.tx() as tx:
                events.mark_failed(tx, event.id, now=context.clock.now(), note=type(error).__name__)
        raise


def _event_of(job: Job) -> int:
    event_id = job.payload.get("event")
    if not isinstance(event_id, int):
        raise InvalidInput(f"Job {job.id} names no event", next_step="Its payload lacks `event`.")
    return event_id


def _is_last_attempt(job: Job, error: Exception) -> bool:
    refused = isinstance(error, PlatformError) and not error.retryable
    return refused or job.attempt >= job.max_attempts


def _apply_once(tx: Tx, context: JobContext, event: Event, found: Sequence[InboundEvent]) -> Outcome:
    now = context.clock.now()
    reasons = [f"{one.type[:80]}: {one.reason[:120]}" for one in found if isinstance(one, Ignored)]
    note = f"ignored {'; '.join(reasons)}" if reasons else ""
    if not events.mark_handled(tx, event.id, now=now, note=note):
        return Done("handled before")
    for one in found:
        _apply(tx, context.connector.name, event, one, now=now)
    return Done(note or f"{len(found)} applied")


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


def _give_up(tx: Tx, event: Event, error: PlatformError, *, now: datetime) -> Dead:
    if events.mark_unreadable(tx, event.id, now=now, note=error.message):
        # The same alert that the inbox raised at the door when the body had no id: one trouble, one alert.
        raise_alert(
            tx,
            "inbox.unreadable",
            severity="P2",
            subject=f"E{event.id}",
            once=str(event.id),
            dedupe=f"inbox.unreadable:{event.id}",
            detail={"event_type": event.event_type, "reason": error.code},
        )
    return Dead(f"event E{event.id} is unreadable: {error.one_line()}")


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
