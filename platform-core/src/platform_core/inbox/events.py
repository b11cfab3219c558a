"""The verbs of the inbox: receive, and what a handler or a person does with an event afterwards.

`receive` is on the path of every webhook: this module imports nothing heavier than psycopg.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from platform_core import audit
from platform_core.db import Tx, load_queries
from platform_core.db.text import is_storable, storable
from platform_core.errors import NotFound, StateConflict
from platform_core.inbox.lifecycle import EventState
from platform_core.jobs import queue
from platform_core.tenancy.members import Permission, require
from platform_core.values import Actor

Q = load_queries(__file__)

UNREADABLE = "unreadable"
"""The event type of a body that carries no usable type."""

_KEPT_HEADERS = frozenset({"content-type", "x-webhook-endpoint-id"})
_MAX_HEADER_CHARS = 200
_MAX_EVENT_ID_CHARS = 255
_MAX_EVENT_TYPE_CHARS = 120
_MAX_NOTE_CHARS = 300

ReceiveOutcome = Literal["stored", "held", "duplicate", "conflict"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One authentic delivery, as the door saw it.

    `event_id` and `event_type` come from the signature's verdict and may be empty when the body has none.
    `headers` may be all of them; only the two that say something about the body are kept.
    """

    source: str
    endpoint: str
    event_id: str
    event_type: str
    body: bytes
    headers: Sequence[tuple[str, str]]
    signed_at: datetime
    stale: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a delivery. `event_id` is our row; `job_id` is None while the event is held."""

    outcome: ReceiveOutcome
    event_id: int
    job_id: int | None


@dataclass(frozen=True, slots=True)
class Event:
    """One stored event with its bytes."""

    id: int
    source: str
    endpoint: str
    event_id: str
    event_type: str
    body: bytes
    headers: dict[str, str]
    signed_at: datetime
    received_at: datetime
    stale: bool
    state: EventState
    released_at: datetime | None
    handled_at: datetime | None
    failed_at: datetime | None
    job_id: int | None
    note: str

    def __post_init__(self) -> None:
        """Name the state; an unknown one is a schema newer than this code."""
        object.__setattr__(self, "state", EventState(self.state))


@dataclass(frozen=True, slots=True)
class EventSummary:
    """One line of a list of events."""

    id: int
    source: str
    endpoint: str
    event_id: str
    event_type: str
    size_bytes: int
    signed_at: datetime
    received_at: datetime
    stale: bool
    state: str
    job_id: int | None
    note: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A body that came under a known event id. Hashes are hex; `deliveries` counts how often it came."""

    id: int
    event: int
    source: str
    endpoint: str
    event_id: str
    stored_sha256: str
    other_sha256: str
    size_bytes: int
    received_at: datetime
    last_received_at: datetime
    deliveries: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """How many deliveries one door refused for one reason within an hour."""

    hour: datetime
    source: str
    endpoint: str
    reason: str
    count: int


def receive(tx: Tx, delivery: Delivery) -> Receipt:
    """Store one authentic delivery and queue the job that handles it.

    Idempotency: unique (source, endpoint, event id). The same bytes again are `duplicate`; other bytes under
    the same id are kept and alerted as `conflict`; a stale delivery is `held` and alerted.
    A body without a usable id is stored under the hash of its bytes.
    """
    row = tx.execute(
        Q["event_receive"],
        {
            "source": delivery.source,
            "endpoint": delivery.endpoint,
            "event_id": storable_event_id(delivery),
            "event_type": storable_event_type(delivery),
            "body": delivery.body,
            "headers": Jsonb(kept_headers(delivery)),
            "signed_at": delivery.signed_at,
            "stale": delivery.stale,
        },
    ).fetchone()
    if row is None:
        raise AssertionError("inbox.receive answers one row")
    outcome, event, job = row
    return Receipt(outcome=outcome, event_id=event, job_id=job)


def storable_event_id(delivery: Delivery) -> str:
    """The provider's id where PostgreSQL can keep it, else the hash of the bytes."""
    if 1 <= len(delivery.event_id) <= _MAX_EVENT_ID_CHARS and is_storable(delivery.event_id):
        return delivery.event_id
    return f"sha256:{hashlib.sha256(delivery.body).hexdigest()}"


def storable_event_type(delivery: Delivery) -> str:
    """The provider's type where PostgreSQL can keep it, else UNREADABLE."""
    if 1 <= len(delivery.event_type) <= _MAX_EVENT_TYPE_CHARS and is_storable(delivery.event_type):
        return delivery.event_type
    return UNREADABLE


def kept_headers(delivery: Delivery) -> dict[str, str]:
    """The two headers that say something about the body, bounded."""
    return {
        name.lower(): storable(value[:_MAX_HEADER_CHARS])
        for name, value in delivery.headers
        if name.lower() in _KEPT_HEADERS
    }


def count_refusal(tx: Tx, *, source: str, endpoint: str, reason: str) -> None:
    """Count one delivery refused at the door. Nothing of the delivery itself is kept."""
    tx.execute(Q["refusal_count"], {"source": source, "endpoint": endpoint, "reason": reason})


def get_event(tx: Tx, event: int) -> Event:
    """The event with its bytes. Raises: NotFound."""
    with tx.cursor(row_factory=class_row(Event)) as cursor:
        found = cursor.execute(Q["event_find"], {"event": event}).fetchone()
    if found is None:
        raise NotFound(f"There is no event E{event}", next_step="See `wmctl inbox list`.")
    return found


def list_events(tx: Tx, *, state: EventState | None = None, limit: int = 100) -> list[EventSummary]:
    """Events newest first, of one state or of all."""
    with tx.cursor(row_factory=class_row(EventSummary)) as cursor:
        return cursor.execute(Q["event_list"], {"state": state, "limit": limit}).fetchall()


def list_conflicts(tx: Tx, *, limit: int = 100) -> list[Conflict]:
    """Conflicting bodies newest first."""
    with tx.cursor(row_factory=class_row(Conflict)) as cursor:
        return cursor.execute(Q["conflict_list"], {"limit": limit}).fetchall()


def list_refusals(tx: Tx, *, limit: int = 100) -> list[Refusal]:
    """Counters of refused deliveries, newest hour first."""
    with tx.cursor(row_factory=class_row(Refusal)) as cursor:
        return cursor.execute(Q["refusal_list"], {"limit": limit}).fetchall()


def release(tx: Tx, event: int, actor: Actor, *, now: datetime) -> int:
    """Let a held event be handled, because a person says it is genuine. Returns its job.

    Idempotency: a second release raises StateConflict and changes nothing.
    Raises: NotFound, StateConflict, PermissionDenied.
    """
    require(tx, actor, Permission.JOB_REDRIVE)
    if tx.execute(Q["event_release"], {"event": event, "now": now}).fetchone() is None:
        state = get_event(tx, event).state
        raise StateConflict(
            f"Event E{event} is {state}, not held",
            next_step="Only a held event can be released; redrive its job instead.",
            state=state,
        )
    queued = queue.enqueue(tx, "inbox.received", {"event": event}, key=f"event:{event}")
    audit.record(tx, "event.released", actor, ("event", f"E{event}"))
    return queued.job_id


def mark_handled(tx: Tx, event: int, *, now: datetime, note: str = "") -> bool:
    """Take the event as handled, before writing what it says. False when it was handled before."""
    parameters = {"event": event, "now": now, "note": _note(note)}
    return tx.execute(Q["event_handle"], parameters).fetchone() is not None


def mark_unreadable(tx: Tx, event: int, *, now: datetime, note: str) -> bool:
    """Keep an event this connector cannot read. False when that is known already, or it was handled."""
    parameters = {"event": event, "now": now, "note": _note(note)}
    return tx.execute(Q["event_mark_unreadable"], parameters).fetchone() is not None


def mark_failed(tx: Tx, event: int, *, now: datetime, note: str) -> bool:
    """Say on the event that its job was given up. False when that is known already, or it was handled."""
    parameters = {"event": event, "now": now, "note": _note(note)}
    return tx.execute(Q["event_mark_failed"], parameters).fetchone() is not None


def _note(text: str) -> str:
    return storable(text[:_MAX_NOTE_CHARS])
