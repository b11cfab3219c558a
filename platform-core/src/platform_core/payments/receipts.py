"""The receipt a contact sends: fetched at once, hashed by us, stored once, put before staff as a claim.

    message -> claim received (committed) -> bytes fetched, no transaction open -> bytes, receipt and claim
    pending_review, or receipt failed and the contact asked to send it again

The provider's link dies within hours, so the claim is on record before the bytes are asked for: a receipt
that cannot be fetched is a claim people see, not a message nobody answered.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from platform_core import audit
from platform_core.db import Queries, Tx, load_queries
from platform_core.errors import (
    InvalidInput,
    NeedsReconciliation,
    NotFound,
    PermanentRefusal,
    TransientFailure,
)
from platform_core.jobs.contracts import JobContext
from platform_core.messaging import inbound, outbound
from platform_core.messaging.inbound import InboundMessage
from platform_core.payments import previews, reminders
from platform_core.payments.contracts import claim_ref
from platform_core.payments.decisions import Claim
from platform_core.payments.lifecycle import ClaimState, ReceiptState
from platform_core.payments.moves import lock_claim, move
from platform_core.payments.opening import PLATFORM, NewClaim, insert, return_to_review, review
from platform_core.payments.people import people_of
from platform_core.tenancy.policy import Payments, Policy
from platform_core.values import Actor, Dead, Done, Outcome, Retry

Q = load_queries(__file__)
C = Queries(Path(__file__).with_name("claims.sql"))
D = Queries(Path(__file__).with_name("decisions.sql"))

CLOSE_IN_TIME = timedelta(minutes=15)
"""A photo and a PDF of one payment arrive together; further apart they say nothing about each other."""

# What the contact is told about a receipt that cannot be used: the {reason} of `receipt.unreadable`.
REASONS = {
    "too_large": "el archivo es demasiado grande",
    "wrong_type": "el archivo no es una foto ni un PDF",
    "gone": "el archivo ya no está disponible",
    "unreachable": "no pudimos descargar el archivo",
}

# A download of these cannot be told from the provider's own page about a fault, and none is a receipt.
_NEVER_RECEIPTS = ("text/html", "application/xhtml+xml", "application/json")

# What a connector says of a refused download, when it says more than "gone".
_FAILURES = {"too_large": "too_large", "type_mismatch": "wrong_type"}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Bytes that can be a receipt. `mime_type` is what the bytes are, whatever was declared."""

    content: bytes
    mime_type: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Unusable:
    """Bytes that cannot be a receipt, or none. `failure` is a key of REASONS."""

    failure: str


# --- What bytes are: pure ---------------------------------------------------------------------------------


def find_mime_type(content: bytes) -> str | None:
    """What the first bytes say a file is; None when they say nothing a receipt can be."""
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp"
    if content.startswith(b"%PDF-"):
        return "application/pdf"
    return None


def decide_evidence(content: bytes, rules: Payments) -> Evidence | Unusable:
    """Whether bytes may be a receipt under the policy. Our own hash, our own look at what they are."""
    if len(content) > rules.max_receipt_bytes:
        return Unusable("too_large")
    mime_type = find_mime_type(content)
    if mime_type is None or mime_type not in rules.accepted_mime_types:
        return Unusable("wrong_type")
    return Evidence(content, mime_type, hashlib.sha256(content).digest())


# --- Capturing --------------------------------------------------------------------------------------------


def capture(context: JobContext) -> Outcome:
    """Fetch the receipt of one message and open its claim. Job kind `message.received`.

    A failed download is tried again; at the last attempt, or when the provider refuses for good, the contact
    is asked to send it again, and redriving the job may still bring it. What only we can mend (a refused key,
    no balance, an answer not understood) leaves the claim received and the job dead, for a person.
    Idempotency: one receipt a message, one claim a wamid; a captured message is left alone.
    """
    message_id = context.job.payload.get("message")
    if not isinstance(message_id, int):
        raise InvalidInput(f"Job {context.job.id} names no message", next_step="Its payload lacks `message`.")
    policy, now = context.policy(), context.clock.now()
    with context.tx() as tx:
        message = inbound.get_message(tx, message_id)
        if message.attachment_link is None:
            return _take_answer(tx, message, policy=policy, now=now)
        if _begin(tx, message, policy=policy, now=now) is ReceiptState.CAPTURED:
            return Done("captured before")
    if message.attachment_mime.partition(";")[0].strip().lower() in _NEVER_RECEIPTS:
        with context.tx() as tx:
            return _finish(tx, message, Unusable("wrong_type"), policy=policy, now=now)
    try:
        media = context.messaging().fetch_media(
            message.attachment_link, max_bytes=policy.payments.max_receipt_bytes
        )
    except TransientFailure as error:
        if context.job.attempt < context.job.max_attempts:
            return Retry(f"the receipt could not be fetched: {error.code}")
        with context.tx() as tx:
            _fail(tx, message, "unreachable", policy=policy, now=context.clock.now())
        return Dead("the receipt could not be fetched; the contact was asked to send it again")
    except (PermanentRefusal, NeedsReconciliation) as error:
        found: Evidence | Unusable = Unusable(_FAILURES.get(str(error.facts.get("reason")), "gone"))
    else:
        found = decide_evidence(media.content, policy.payments)
    with context.tx() as tx:
        return _finish(tx, message, found, policy=policy, now=context.clock.now())


def _begin(tx: Tx, message: InboundMessage, *, policy: Policy, now: datetime) -> ReceiptState:
    """Put the message on record as evidence of a claim: of the one it answers, or of a new one."""
    row = tx.execute(Q["receipt_find"], {"message_id": message.id}).fetchone()
    if row is not None:
        return ReceiptState(row[2])
    asked = _find_asked(tx, message)
    claim_id = _open(tx, message, policy=policy, now=now) if asked is None else asked
    facts = {
        "message_id": message.id,
        "wamid": message.wamid,
        "claim_id": claim_id,
        "filename": message.attachment_filename[:255],
        "now": now,
    }
    tx.execute(Q["receipt_open"], facts)
    return ReceiptState.FETCHING


def _finish(
    tx: Tx, message: InboundMessage, found: Evidence | Unusable, *, policy: Policy, now: datetime
) -> Outcome:
    if isinstance(found, Unusable):
        _fail(tx, message, found.failure, policy=policy, now=now)
        return Done(f"not a receipt: {found.failure}")
    claim = _lock_target(tx, message, policy=policy, now=now)
    if claim is None:
        return Done("captured before")
    tx.execute(
        Q["media_store"],
        {
            "sha256": found.sha256,
            "content": found.content,
            "mime_type": found.mime_type,
            "size_bytes": len(found.content),
            "now": now,
        },
    )
    tx.execute(
        Q["receipt_capture"],
        {"message_id": message.id, "claim_id": claim.id, "sha256": found.sha256, "now": now},
    )
    previews.request(tx, message.id)
    _flag(tx, claim, message, found.sha256, now=now)
    sender = _sender(message)
    version = review(tx, claim, actor=sender, policy=policy, now=now, note=f"receipt M{message.id}")
    audit.record(
        tx,
        "claim.evidence_stored",
        sender,
        ("claim", claim_ref(claim.id)),
        detail={"message": f"M{message.id}", "sha256": found.sha256.hex(), "version": version},
    )
    return Done(f"{claim_ref(claim.id)} waits for staff")


def _lock_target(tx: Tx, message: InboundMessage, *, policy: Policy, now: datetime) -> Claim | None:
    """The claim this receipt is evidence of, held; None when another run captured it.

    A claim that moved on meanwhile gets no new evidence: the receipt opens one that supersedes it.
    """
    claim_id, _ = _get_receipt(tx, message)
    claim = lock_claim(tx, claim_id)
    if _get_receipt(tx, message)[1] is ReceiptState.CAPTURED:  # asked again now that the claim is held
        return None
    if claim.state in (ClaimState.RECEIVED, ClaimState.EVIDENCE_FAILED, ClaimState.NEEDS_INFO):
        return claim
    return lock_claim(tx, _open(tx, message, policy=policy, now=now, supersedes=claim.id))


def _get_receipt(tx: Tx, message: InboundMessage) -> tuple[int, ReceiptState]:
    row = tx.execute(Q["receipt_find"], {"message_id": message.id}).fetchone()
    if row is None:
        raise NotFound(f"M{message.id} was never put on record", next_step="Run the job again.")
    return int(row[1]), ReceiptState(row[2])


def _fail(tx: Tx, message: InboundMessage, failure: str, *, policy: Policy, now: datetime) -> None:
    """Remember that the receipt is not to be had, and ask the contact to send it again, once."""
    claim = lock_claim(tx, _get_receipt(tx, message)[0])
    facts = {"message_id": message.id, "failure": failure, "now": now}
    if tx.execute(Q["receipt_fail"], facts).fetchone() is None:
        return
    if claim.state is ClaimState.RECEIVED:
        move(tx, claim, ClaimState.EVIDENCE_FAILED, actor=PLATFORM, now=now, note=failure)
        reminders.align(tx, people_of(tx, claim.contact_id), policy=policy, now=now)
    outbound.queue_message(
        tx,
        purpose="receipt.unreadable",
        contact_id=message.contact_id,
        dedupe_key=f"receipt:{message.id}:unreadable",
        values={"reason": REASONS[failure]},
        policy=policy,
        now=now,
        subject=("claim", claim_ref(claim.id)),
    )
    audit.record(
        tx,
        "claim.evidence_failed",
        PLATFORM,
        ("claim", claim_ref(claim.id)),
        detail={"message": f"M{message.id}", "failure": failure},
    )


def _take_answer(tx: Tx, message: InboundMessage, *, policy: Policy, now: datetime) -> Outcome:
    """A message without a receipt may answer what staff asked; otherwise it is not our concern."""
    asked = _find_asked(tx, message)
    if asked is None:
        return Done("nothing to capture")
    claim = lock_claim(tx, asked)
    if claim.state is not ClaimState.NEEDS_INFO:
        return Done("nothing to capture")
    return_to_review(tx, claim, actor=_sender(message), policy=policy, now=now, note=f"answer M{message.id}")
    return Done(f"{claim_ref(claim.id)} was answered")


def _find_asked(tx: Tx, message: InboundMessage) -> int | None:
    facts = {"people": people_of(tx, message.contact_id), "before": message.received_at}
    row = tx.execute(C["claim_find_asked"], facts).fetchone()
    return None if row is None else int(row[0])


def _open(
    tx: Tx, message: InboundMessage, *, policy: Policy, now: datetime, supersedes: int | None = None
) -> int:
    open_key = message.wamid if supersedes is None else f"{message.wamid}:after:{claim_ref(supersedes)}"
    if supersedes is None:
        facts = {"people": people_of(tx, message.contact_id), "open_key": open_key}
        row = tx.execute(C["claim_find_superseded"], facts).fetchone()
        supersedes = None if row is None else int(row[0])
    new = NewClaim(
        open_key=open_key,
        origin="whatsapp",
        contact_id=message.contact_id,
        currency=policy.customer.currency,
        supersedes=supersedes,
    )
    claim_id = insert(tx, new, creator=_sender(message), now=now)
    if claim_id is not None:
        return claim_id
    row = tx.execute(C["claim_find_opened"], {"open_key": open_key}).fetchone()
    if row is None:
        raise AssertionError("the key was taken")
    return int(row[0])


def _flag(tx: Tx, claim: Claim, message: InboundMessage, sha256: bytes, *, now: datetime) -> None:
    tx.execute(D["flag_raise_for_bytes"], {"claim_id": claim.id, "sha256": sha256, "now": now})
    tx.execute(
        D["flag_raise_for_time"],
        {
            "claim_id": claim.id,
            "people": people_of(tx, message.contact_id),
            "since": claim.opened_at - CLOSE_IN_TIME,
            "now": now,
        },
    )


def _sender(message: InboundMessage) -> Actor:
    return Actor("contact", str(message.contact_id))


def get_media(tx: Tx, sha256: bytes) -> tuple[bytes, str]:
    """The bytes of a receipt and what they are. Raises: NotFound."""
    row = tx.execute(Q["media_get"], {"sha256": sha256}).fetchone()
    if row is None:
        raise NotFound(f"There is no receipt {sha256.hex()[:12]}", next_step="See `wmctl claim show`.")
    return bytes(row[0]), str(row[1])
