"""A claim's first two states: opened by an act with a key, put before staff when its evidence is there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from platform_core.db import Queries, Tx
from platform_core.messaging import contacts, outbound
from platform_core.payments import reminders
from platform_core.payments.contracts import claim_ref
from platform_core.payments.decisions import Claim
from platform_core.payments.lifecycle import ClaimState
from platform_core.payments.moves import move, start_clock
from platform_core.payments.people import people_of
from platform_core.tenancy.policy import Policy
from platform_core.values import Actor

Q = Queries(Path(__file__).with_name("claims.sql"))

PLATFORM = Actor("system", "platform")
"""Who moves a claim when time or a stored message does."""


@dataclass(frozen=True, slots=True)
class NewClaim:
    """A claim about to be opened. `open_key` names the act: a message (wamid) or a request at the desk."""

    open_key: str
    origin: str
    contact_id: int
    currency: str
    claimed_minor: int | None = None
    note: str = ""
    supersedes: int | None = None


def insert(tx: Tx, new: NewClaim, *, creator: Actor, now: datetime) -> int | None:
    """Open a claim in state received, with its first line of history. None when its key opened one before."""
    row = tx.execute(
        Q["claim_open"],
        {
            "open_key": new.open_key,
            "origin": new.origin,
            "contact_id": new.contact_id,
            "actor_type": creator.type,
            "actor_id": creator.id,
            "actor_role": creator.role,
            "currency": new.currency,
            "claimed_minor": new.claimed_minor,
            "note": new.note,
            "supersedes": new.supersedes,
            "now": now,
        },
    ).fetchone()
    return None if row is None else int(row[0])


def review(tx: Tx, claim: Claim, *, actor: Actor, policy: Policy, now: datetime, note: str = "") -> int:
    """Put a claim that the caller holds before staff: reminders held back, contact told, clock started.

    Returns the new version.
    """
    version = move(tx, claim, ClaimState.PENDING_REVIEW, actor=actor, now=now, note=note)
    reminders.align(tx, people_of(tx, claim.contact_id), policy=policy, now=now)
    outbound.queue_message(
        tx,
        purpose="claim.received",
        contact_id=contacts.get_contact(tx, claim.contact_id).id,
        dedupe_key=f"claim:{claim.id}:{version}:received",
        values={"claim": claim_ref(claim.id)},
        policy=policy,
        now=now,
        subject=("claim", claim_ref(claim.id)),
    )
    start_clock(tx, claim.id, version, ClaimState.PENDING_REVIEW, policy=policy, now=now)
    return version


def return_to_review(
    tx: Tx, claim: Claim, *, actor: Actor, policy: Policy, now: datetime, note: str = ""
) -> int:
    """Put a claim that was answered in words before staff again. Nothing is sent. Returns the new version."""
    version = move(tx, claim, ClaimState.PENDING_REVIEW, actor=actor, now=now, note=note)
    start_clock(tx, claim.id, version, ClaimState.PENDING_REVIEW, policy=policy, now=now)
    return version
