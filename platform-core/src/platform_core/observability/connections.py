"""Whether the accounts a customer depends on are well, and bringing a dead subscription back.

    look ──▶ ours is active ───────────────────────────────────────────────▶ nothing to do ├─▶ ours is
    failing ──▶ alert                                        (the provider still repeats) └─▶ ours is
    disabled, or gone ──▶ alert, audit: lost ──▶ delete the dead one ──▶ create ──▶ audit: recreated

What is about to be done is committed before the provider is called, and what came of it after. Looking again
finds whatever state a crash left: a subscription that was deleted and not made again is `gone`, one whose
creation nobody confirmed is listed. Two looks at once are harmless: the provider takes one subscription for
a URL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from platform_core import audit
from platform_core.connectors import Health, HealthStatus, Subscription, SubscriptionClient
from platform_core.db import Tx
from platform_core.errors import NeedsReconciliation
from platform_core.messaging.attention import Severity, raise_alert
from platform_core.values import Actor

OpenTx = Callable[[], AbstractContextManager[Tx]]
KEEPER = Actor("system", "check_connectors")

Condition = Literal["active", "failing", "disabled", "gone"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The subscription a customer depends on. The key is shown nowhere."""

    connector: str
    url: str
    signing_key: str

    def __repr__(self) -> str:
        return f"Wanted({self.connector})"


@dataclass(frozen=True, slots=True)
class Kept:
    """What a look at a subscription found, and whether it was brought back."""

    condition: Condition
    recreated: bool


def decide_condition(
    found: Sequence[Subscription], url: str, *, now: datetime
) -> tuple[Condition, Subscription | None]:
    """How the subscription of a URL is doing, and which one it is.

    Pure; an active one counts before others.
    """
    ours = sorted((one for one in found if one.url == url), key=lambda one: (not one.is_active, one.id))
    if not ours:
        return "gone", None
    first = ours[0]
    if not first.is_active:
        return "disabled", first
    return ("failing" if first.is_failing(now) else "active"), first


def keep_subscription(client: SubscriptionClient, wanted: Wanted, *, tx: OpenTx, now: datetime) -> Kept:
    """Look at one subscription, say what is wrong, and bring it back when it is dead.

    Idempotency: looking again alerts of the same trouble once and makes no second subscription.
    Raises: ConnectorError when the provider cannot be asked or refuses; what was found is on record then.
    """
    condition, ours = decide_condition(client.list_subscriptions(), wanted.url, now=now)
    if condition == "active":
        return Kept(condition, recreated=False)
    with tx() as transaction:
        _say(transaction, wanted, condition, ours, now)
        if condition != "failing":
            audit.record(
                transaction,
                "subscription.lost",
                KEEPER,
                ("connector", wanted.connector),
                detail={"condition": condition},
            )
    if condition == "failing":
        return Kept(condition, recreated=False)
    made = _recreate(client, wanted, ours)
    with tx() as transaction:
        audit.record(
            transaction,
            "subscription.recreated",
            KEEPER,
            ("connector", wanted.connector),
            detail={"by_another": not made},
        )
    return Kept(condition, recreated=True)


def note_health(tx: Tx, connector: str, health: Health) -> None:
    """Alert of an account that is not well: once a day and cause, however often it is looked at."""
    if health.status is HealthStatus.OK:
        return
    day = f"{health.checked_at:%Y-%m-%d}"
    raise_alert(
        tx,
        "connector.unwell",
        severity="P1" if health.status is HealthStatus.MISCONFIGURED else "P2",
        subject=connector,
        once=f"{connector}:{health.status}:{day}",
        dedupe=f"connector.unwell:{connector}",
        detail={"connector": connector, "status": health.status, "evidence": list(health.evidence)},
    )


def _recreate(client: SubscriptionClient, wanted: Wanted, dead: Subscription | None) -> bool:
    """True when it was made here, False when somebody else was quicker."""
    if dead is not None:
        client.delete_subscription(dead.id)
    try:
        client.create_subscription(wanted.url, signing_key=wanted.signing_key)
    except NeedsReconciliation:
        if not any(one.url == wanted.url and one.is_active for one in client.list_subscriptions()):
            raise
        return False
    return True


def _say(tx: Tx, wanted: Wanted, condition: Condition, ours: Subscription | None, now: datetime) -> None:
    since = ours.failing_since.isoformat() if ours and ours.failing_since else ""
    # Of one subscription each trouble once; other failures are another, and so is being gone on another day.
    told_apart = f"{ours.id} {since}" if ours else f"{now:%Y-%m-%d}"
    which = hashlib.sha256(f"{wanted.url} {told_apart}".encode()).hexdigest()[:16]
    once = f"{wanted.connector}:{condition}:{which}"
    detail = {"connector": wanted.connector, "condition": condition, "failing_since": since}
    match condition:
        case "failing":
            _alert(tx, "subscription.failing", "P2", once, detail)
        case "disabled":
            _alert(tx, "subscription.disabled", "P1", once, detail)
        case "gone":
            _alert(tx, "subscription.gone", "P1", once, detail)
        case _:
            raise AssertionError("of an active subscription nobody is told")


def _alert(tx: Tx, kind: str, severity: Severity, once: str, detail: Mapping[str, str]) -> None:
    raise_alert(
        tx,
        kind,
        severity=severity,
        subject=detail["connector"],
        once=once,
        dedupe=f"subscription:{detail['connector']}",
        detail=detail,
    )
