"""Messaging without a provider: a connector that reads our own contracts, and a scripted client."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from psycopg.rows import dict_row
from pydantic import TypeAdapter, ValidationError

from platform_core.connectors import Accepted, Authentic, Capability, Connector, Media, Verdict
from platform_core.db import Tx
from platform_core.errors import ContractDrift, JobInterrupted
from platform_core.inbox import events
from platform_core.inbox.events import Delivery
from platform_core.jobs.contracts import Handler, Job, JobContext
from platform_core.messaging import contacts, outbound
from platform_core.messaging.contracts import (
    Attachment,
    DeliveryReported,
    InboundEvent,
    MessageReceived,
    OutgoingMessage,
    Party,
    ReportStatus,
)
from platform_core.tenancy.policy import Policy
from platform_core.values import Outcome
from tests.support.databases import TenantDatabase
from tests.support.policies import policy_of

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PARENT = Party(phone="+56900000001", name="Ana")

_WIRE: TypeAdapter[list[InboundEvent]] = TypeAdapter(list[InboundEvent])
_numbers = itertools.count(1)


def wire(*parts: InboundEvent) -> bytes:
    """The body of a delivery that says these things."""
    return _WIRE.dump_json(list(parts))


def _to_events(body: bytes) -> Sequence[InboundEvent]:
    try:
        return _WIRE.validate_python(json.loads(body))
    except (ValidationError, ValueError):
        raise ContractDrift("The body is none of ours") from None


def _verify(*_args: object, **_kwargs: object) -> Verdict:
    return Authentic(event_id="evt", event_type="test", signed_at=NOON, stale=False)


class MovingClock:
    """A clock the test moves."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def now(self) -> datetime:
        """Where the test put it."""
        return self.at

    def move(self, by: timedelta) -> None:
        """Forward, or back."""
        self.at += by


@dataclass(slots=True)
class ScriptedClient:
    """Answers as told and remembers what it was asked. `during` runs inside the call, before the answer."""

    answers: list[Exception | Accepted] = field(default_factory=list)
    sent: list[tuple[OutgoingMessage, str]] = field(default_factory=list)
    during: Callable[[str], None] = lambda _external_id: None

    def send(self, message: OutgoingMessage, *, external_id: str) -> Accepted:
        """The next scripted answer, or an ordinary acceptance."""
        self.sent.append((message, external_id))
        self.during(external_id)
        answer = self.answers.pop(0) if self.answers else accepted(f"ycm_{external_id}")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def fetch_media(self, link: str, *, max_bytes: int) -> Media:
        """Not what these tests are about."""
        raise AssertionError((link, max_bytes))

    def close(self) -> None:
        """Nothing to release."""


def accepted(provider_message_id: str, wamid: str = "") -> Accepted:
    """What a provider answers that took a message."""
    return Accepted(provider_message_id=provider_message_id, wamid=wamid, status="accepted", request_id="req")


def text_message(
    wamid: str = "wamid.1", *, sent_at: datetime = NOON, sender: Party = PARENT
) -> MessageReceived:
    """A parent writes."""
    return MessageReceived(
        message_id=wamid,
        sender=sender,
        business_phone="+56900000099",
        type="text",
        text="Hola",
        sent_at=sent_at,
    )


def image_message(
    wamid: str = "wamid.1", *, sender: Party = PARENT, caption: str = "pago"
) -> MessageReceived:
    """A parent sends a picture."""
    return MessageReceived(
        message_id=wamid,
        sender=sender,
        business_phone="+56900000099",
        type="image",
        attachment=Attachment(
            link="https://media.example/1",
            mime_type="image/jpeg",
            caption=caption,
            provider_sha256="aGFzaA==",
        ),
        sent_at=NOON,
    )


def reported(
    status: ReportStatus,
    *,
    external_id: str = "",
    provider_message_id: str = "ycm_1",
    minute: int = 0,
    error_code: str = "",
) -> DeliveryReported:
    """The provider reports; `minute` is its own clock, after noon."""
    return DeliveryReported(
        provider_message_id=provider_message_id,
        external_id=external_id,
        status=status,
        error_code=error_code,
        updated_at=NOON + timedelta(minutes=minute),
    )


class Desk:
    """One customer's database with everything a handler needs around it."""

    def __init__(self, tenant_db: TenantDatabase, connection: Tx) -> None:
        self.tenant_db = tenant_db
        self.connection = connection
        self.clock = MovingClock()
        self.client = ScriptedClient()
        self.policy: Policy = policy_of(tenant_db)
        self.wanted: dict[tuple[str, str], bool] = {}
        self.interrupted = False
        self.get_policy: Callable[[], Policy] = lambda: self.policy
        self.connector = Connector(
            name="fake",
            version="1",
            capabilities=frozenset(Capability),
            verify=_verify,
            check_secrets=lambda _secrets: None,
            to_events=_to_events,
            open_client=lambda _config: self.client,
        )

    @contextmanager
    def tx(self) -> Iterator[Tx]:
        """One transaction, committed at the end; none for a job that lost its right to act."""
        if self.interrupted:
            raise JobInterrupted
        with self.connection.transaction():
            yield self.connection

    def on(self, connection: Tx) -> Desk:
        """The same desk seen by a second worker with a connection of its own."""
        other = Desk(self.tenant_db, connection)
        other.clock, other.client, other.policy, other.wanted = (
            self.clock,
            self.client,
            self.policy,
            self.wanted,
        )
        return other

    def run(
        self, handler: Handler, payload: dict[str, object], *, attempt: int = 1, max_attempts: int = 8
    ) -> Outcome:
        """Run a handler as the runner would."""
        job = Job(next(_numbers), "test", payload, attempt, max_attempts, None, suspect=False)
        return handler(
            JobContext(
                job=job,
                clock=self.clock,
                tx=self.tx,
                policy=self.get_policy,
                messaging=lambda: self.client,
                connector=self.connector,
                recheck=lambda _tx, name, subject_id: self.wanted[name, subject_id],
                cancelled=lambda: False,
                log=structlog.get_logger(),
            )
        )

    def event(self, *parts: InboundEvent, body: bytes | None = None) -> int:
        """A stored event that says these things, under an event id of its own."""
        delivery = Delivery(
            source="fake",
            endpoint="main",
            event_id=f"evt_{next(_numbers):08}",
            event_type="test",
            body=wire(*parts) if body is None else body,
            headers=[],
            signed_at=self.clock.now(),
            stale=False,
        )
        with self.tx() as tx:
            return events.receive(tx, delivery).event_id

    def contact(self, party: Party = PARENT) -> int:
        """A contact."""
        with self.tx() as tx:
            return contacts.find_or_create(tx, party, self.clock.now())

    def message(self, dedupe_key: str = "claim:1:received", *, recheck: str | None = None) -> int:
        """A queued message to the parent about claim 1."""
        contact_id = self.contact()
        with self.tx() as tx:
            return outbound.queue_message(
                tx,
                purpose="claim.received",
                contact_id=contact_id,
                dedupe_key=dedupe_key,
                values={"claim": "C1"},
                policy=self.policy,
                now=self.clock.now(),
                subject=("claim", "1"),
                recheck=recheck,
            ).outbox_id

    def send(self, outbox_id: int) -> Outcome:
        """Run the message's job."""
        return self.run(outbound.send, {"outbox": outbox_id})

    def sent(self, dedupe_key: str = "claim:1:received") -> outbound.OutboxMessage:
        """A message the provider accepted."""
        outbox_id = self.message(dedupe_key)
        self.send(outbox_id)
        return self.outbox(outbox_id)

    def outbox(self, outbox_id: int) -> outbound.OutboxMessage:
        """The message as it stands."""
        with self.tx() as tx:
            return outbound.get_message(tx, outbox_id)

    def rows(self, statement: str) -> list[dict[str, object]]:
        """What the customer's own login sees."""
        with self.tx() as tx, tx.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement.encode()).fetchall()

    def jobs(self, kind: str) -> list[dict[str, object]]:
        """The payloads of the jobs of one kind, oldest first."""
        with self.tenant_db.admin() as admin:
            found = admin.execute(
                "SELECT payload FROM jobs.job WHERE kind = %s ORDER BY id", (kind,)
            ).fetchall()
        return [row[0] for row in found]

    def alerts(self) -> list[str]:
        """The kinds of the alerts that were raised, oldest first."""
        return [str(payload["kind"]) for payload in self.jobs("alert.raised")]
