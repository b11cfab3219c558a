"""Payments without a bank or a provider: one customer's money over a real database."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import structlog

from platform_core.connectors import Media
from platform_core.db import Tx
from platform_core.jobs.contracts import Handler, Job, JobContext
from platform_core.messaging import inbound, outbound
from platform_core.messaging.contracts import Attachment, MessageReceived, Party
from platform_core.payments import claims, obligations, receipts, reminders, views
from platform_core.payments.contracts import (
    AllocationRequest,
    ClaimOpening,
    DecisionRequest,
    DecisionResult,
    NewObligation,
    Verification,
)
from platform_core.payments.lifecycle import Action, ClaimState
from platform_core.tenancy.policy import Policy, store_policy
from platform_core.values import Actor, Money, Outcome
from tests.support.databases import TenantDatabase
from tests.support.flow_server import Flows
from tests.support.messaging import PARENT, Desk, ScriptedClient

JPEG = b"\xff\xd8\xff\xe0 a receipt"
PDF = b"%PDF-1.7 a receipt"

ANA, BRUNO, CARLA, DIEGO = (Actor("user", name) for name in ("ana", "bruno", "carla", "diego"))
LOADER = Actor("system", "school_system")
BANK = Verification(method="bank_app", bank_reference="TRX-001", rail="transfer", value_date=date(2026, 3, 2))

_numbers = itertools.count(1)


def clp(amount_minor: int) -> Money:
    """Whole pesos: CLP has no minor unit."""
    return Money(amount_minor, "CLP")


@dataclass(slots=True)
class MediaClient(ScriptedClient):
    """A provider that holds attachments. An exception in `media` is raised instead of answered."""

    media: list[Exception | bytes] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    def fetch_media(self, link: str, *, max_bytes: int) -> Media:
        """The next scripted bytes, or an ordinary picture unlike any other; the limit is for us to check."""
        assert max_bytes > 0
        self.fetched.append(link)
        self.during(link)
        answer = self.media.pop(0) if self.media else JPEG + str(next(_numbers)).encode()
        if isinstance(answer, Exception):
            raise answer
        return Media(content=answer, mime_type="application/octet-stream", sha256=b"not ours")


class Treasury(Desk):
    """A customer with a policy in force, members, and verbs that say what a test means."""

    client: MediaClient
    flows: Flows | None = None

    def __init__(self, tenant_db: TenantDatabase, connection: Tx) -> None:
        super().__init__(tenant_db, connection)
        self.client = MediaClient()
        with self.tx() as tx:
            store_policy(tx, self.policy, Actor("system", "tests"))

    def on(self, connection: Tx) -> Treasury:
        """The same customer seen by a second person with a connection of their own."""
        other = Treasury(self.tenant_db, connection)
        other.clock, other.client, other.policy = self.clock, self.client, self.policy
        return other

    def with_policy(self, section: str, **values: object) -> Policy:
        """Change one section of the policy for this test."""
        content = self.policy.model_dump(mode="json")
        content[section] |= values
        self.policy = Policy.model_validate(content)
        return self.policy

    def run(
        self, handler: Handler, payload: Mapping[str, object], *, attempt: int = 1, max_attempts: int = 8
    ) -> Outcome:
        """Run a handler as the runner would, with the real question asked of a reminder."""
        return handler(
            JobContext(
                job=Job(next(_numbers), "test", dict(payload), attempt, max_attempts, None, suspect=False),
                clock=self.clock,
                tx=self.tx,
                policy=self.get_policy,
                messaging=lambda: self.client,
                connector=self.connector,
                recheck=lambda tx, _name, subject_id: reminders.still_due(tx, subject_id),
                cancelled=lambda: False,
                log=structlog.get_logger(),
                flows=self.flows,
            )
        )

    # --- what happens -------------------------------------------------------------------------------------

    def message_from(self, sender: Party = PARENT, *, attachment: bool = True) -> int:
        """A stored message of a parent, with a picture or without."""
        number = next(_numbers)
        picture = Attachment(
            link=f"https://media.example/{number}", mime_type="image/jpeg", filename="pago.jpg"
        )
        message = MessageReceived(
            message_id=f"wamid.{number}",
            sender=sender,
            business_phone="+56900000099",
            type="image" if attachment else "text",
            text="" if attachment else "la referencia es 123",
            attachment=picture if attachment else None,
            sent_at=self.clock.now(),
        )
        event = self.event(message)
        with self.tx() as tx:
            stored = inbound.store_message(tx, message, provider="fake", event=event, now=self.clock.now())
        assert stored is not None
        return stored

    def capture(self, message_id: int, *, attempt: int = 1, max_attempts: int = 8) -> Outcome:
        """Run the message's job."""
        return self.run(receipts.capture, {"message": message_id}, attempt=attempt, max_attempts=max_attempts)

    def receipt_from(self, sender: Party = PARENT, *, content: bytes | None = None) -> int:
        """A parent's receipt, captured; its claim comes back."""
        message_id = self.message_from(sender)
        if content is not None:
            self.client.media.append(content)
        self.capture(message_id)
        rows = self.rows(f"SELECT claim_id FROM payments.receipt WHERE message_id = {message_id}")
        return int(str(rows[0]["claim_id"]))

    def at_the_desk(self, amount: Money, *, by: Actor = BRUNO, request_id: str = "") -> int:
        """A claim a member opened for a parent."""
        opening = ClaimOpening(
            request_id=request_id or f"desk-{next(_numbers)}", contact_id=self.contact(), claimed=amount
        )
        with self.tx() as tx:
            return claims.report_payment(
                tx, opening, actor=by, policy=self.policy, now=self.clock.now()
            ).claim_id

    def owe(
        self,
        amount: Money,
        *,
        due_on: date = date(2026, 3, 10),
        contact_id: int | None = None,
        reference: str = "",
    ) -> int:
        """A debt of the parent, due in eight days unless said."""
        new = NewObligation(
            reference=reference or f"ref-{next(_numbers)}",
            contact_id=contact_id or self.contact(),
            pupil="Sofía",
            concept="Mensualidad marzo",
            due_on=due_on,
            amount=amount,
        )
        with self.tx() as tx:
            return obligations.add_obligation(
                tx, new, actor=LOADER, policy=self.policy, now=self.clock.now()
            ).obligation_id

    def request(self, action: Action, claim_id: int, **fields: Any) -> DecisionRequest:
        """A decision about the claim as it stands, complete enough to be taken unless `fields` differ."""
        verified = fields.pop("verified", clp(45_000) if action is Action.APPROVE else None)
        checked = action in (Action.APPROVE, Action.RECONCILE)
        plain: dict[str, object] = {
            "decision_id": f"decision-{next(_numbers)}",
            "claim_id": claim_id,
            "claim_version": self.claim(claim_id).version,
            "action": action,
            "verified": verified,
            "verification": BANK.model_copy(update={"bank_reference": f"TRX-{claim_id}"})
            if checked
            else None,
            "reason": "" if checked else "no coincide",
        }
        return DecisionRequest.model_validate(plain | fields)

    def decide(self, request: DecisionRequest, *, by: Actor = ANA) -> DecisionResult:
        """Take a decision in a transaction of its own."""
        with self.tx() as tx:
            return claims.decide(tx, request, actor=by, policy=self.policy, now=self.clock.now())

    def approve(
        self,
        claim_id: int,
        amount: Money,
        *,
        by: Actor = ANA,
        allocations: tuple[tuple[int, int], ...] | None = None,
        **fields: Any,
    ) -> DecisionResult:
        """Approve for an amount, allocated as said or by default."""
        wishes = None
        if allocations is not None:
            wishes = tuple(
                AllocationRequest(obligation_id=one, amount_minor=minor) for one, minor in allocations
            )
        request = self.request(Action.APPROVE, claim_id, verified=amount, allocations=wishes, **fields)
        return self.decide(request, by=by)

    def claim_in(self, state: ClaimState) -> int:
        """A claim brought to a state by the verbs that lead there. The parent owes 45.000 of CLP."""
        return int(_WAYS[state](self))

    def remind(self, reminder_id: int, *, round_: int = 1) -> Outcome:
        """Run a reminder's job."""
        return self.run(reminders.remind, {"reminder": reminder_id, "round": round_})

    # --- what there is ------------------------------------------------------------------------------------

    def claim(self, claim_id: int) -> views.ClaimSummary:
        """The claim as people see it."""
        return self.detail(claim_id).summary

    def detail(self, claim_id: int) -> views.ClaimDetail:
        """Everything about the claim."""
        with self.tx() as tx:
            return views.get_claim(tx, claim_id)

    def debt(self, obligation_id: int) -> views.ObligationSummary:
        """The debt as people see it."""
        with self.tx() as tx:
            return next(one for one in views.list_obligations(tx) if one.id == obligation_id)

    def reminders_of(self, obligation_id: int) -> list[views.ReminderSummary]:
        """The debt's reminders in the plan's order."""
        with self.tx() as tx:
            return views.list_reminders(tx, obligation_id)

    def reminder_states(self, obligation_id: int) -> list[str]:
        """Their states, in the plan's order."""
        return [one.state for one in self.reminders_of(obligation_id)]

    def messages(self) -> list[tuple[str, str]]:
        """Purpose and state of every message, in the order they were asked for."""
        with self.tx() as tx:
            return [(one.purpose, str(one.state)) for one in reversed(outbound.list_messages(tx))]

    def counts(self) -> dict[str, int]:
        """How many rows every table has that a verb of payments writes to."""
        tables = (
            "payments.claim",
            "payments.claim_event",
            "payments.decision",
            "payments.allocation",
            "payments.credit",
            "payments.receipt",
            "payments.receipt_media",
            "payments.flag",
            "payments.obligation",
            "payments.reminder",
            "messaging.outbox",
            "audit.entry",
        )
        with self.tenant_db.admin() as admin:
            found = {table: admin.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables}
            jobs = admin.execute("SELECT count(*) FROM jobs.job").fetchone()
        return {table: row[0] for table, row in (found | {"jobs.job": jobs}).items() if row}


def _reviewed(treasury: Treasury) -> int:
    treasury.owe(clp(45_000))
    return treasury.receipt_from()


def _received(treasury: Treasury) -> int:
    treasury.owe(clp(45_000))
    treasury.client.media.append(ConnectionResetError("our own trouble"))
    message_id = treasury.message_from()
    with contextlib.suppress(ConnectionResetError):
        treasury.capture(message_id)
    return int(str(treasury.rows("SELECT max(id) AS id FROM payments.claim")[0]["id"]))


def _failed(treasury: Treasury) -> int:
    treasury.owe(clp(45_000))
    return treasury.receipt_from(content=b"<html>")


def _decided(*actions: Action) -> Any:
    def way(treasury: Treasury) -> int:
        claim_id = _reviewed(treasury)
        fields: dict[Action, dict[str, object]] = {
            Action.DUPLICATE: {"duplicate_of": treasury.receipt_from(Party(phone="+56900000002"))}
        }
        for action in actions:
            by = BRUNO if action is Action.REVERSE else ANA
            treasury.decide(treasury.request(action, claim_id, **fields.get(action, {})), by=by)
        return claim_id

    return way


def _awaiting(treasury: Treasury) -> int:
    claim_id = _reviewed(treasury)
    treasury.approve(claim_id, clp(400_000))
    return claim_id


def _expired(treasury: Treasury) -> int:
    claim_id = _decided(Action.NEEDS_INFO)(treasury)
    treasury.run(claims.escalate_overdue, {"claim": claim_id, "version": treasury.claim(claim_id).version})
    return int(claim_id)


_WAYS: dict[ClaimState, Any] = {
    ClaimState.RECEIVED: _received,
    ClaimState.EVIDENCE_FAILED: _failed,
    ClaimState.PENDING_REVIEW: _reviewed,
    ClaimState.NEEDS_INFO: _decided(Action.NEEDS_INFO),
    ClaimState.AWAITING_SECOND: _awaiting,
    ClaimState.APPROVED: _decided(Action.APPROVE),
    ClaimState.RECONCILED: _decided(Action.APPROVE, Action.RECONCILE),
    ClaimState.REJECTED: _decided(Action.REJECT),
    ClaimState.DUPLICATE: _decided(Action.DUPLICATE),
    ClaimState.WITHDRAWN: _decided(Action.WITHDRAW),
    ClaimState.EXPIRED: _expired,
    ClaimState.REVERSED: _decided(Action.APPROVE, Action.REVERSE),
}
