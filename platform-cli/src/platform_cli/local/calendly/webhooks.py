"""Calendly's subscriptions: how their deliveries are signed and repeated, and when one is disabled.

Documented is an exponential back-off over 24 hours, not its steps; the steps here are ours.
`retry_started_at` stays after a recovery: it is described as the last time that repeating began.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus

from platform_cli.local.calendly.payloads import instant_text
from platform_cli.local.deliveries import Attempt, post
from platform_core.values import Clock

RETRY_DELAYS_S = tuple(60 * 2**step for step in range(11))
"""After the first attempt: one minute, two, four, …; the last is a good day after the first."""

_SUCCESSES = range(200, 300)


@dataclass(slots=True)
class Subscription:
    """Where events of an account go. Without a signing key nothing is signed, as at Calendly."""

    uri: str
    url: str
    events: frozenset[str]
    scope: str
    organization: str
    user: str | None
    signing_key: str | None
    created_at: datetime
    state: str = "active"
    retry_started_at: datetime | None = None
    deleted: bool = False

    def wants(self, kind: str) -> bool:
        """Whether events of that type go here."""
        return self.state == "active" and not self.deleted and kind in self.events

    def shown(self) -> dict[str, object]:
        """As the API shows it: never with its key."""
        started = self.retry_started_at
        return {
            "uri": self.uri,
            "callback_url": self.url,
            "created_at": instant_text(self.created_at),
            "updated_at": instant_text(self.created_at),
            "retry_started_at": instant_text(started) if started else None,
            "state": self.state,
            "events": sorted(self.events),
            "scope": self.scope,
            "organization": self.organization,
            "user": self.user,
            "creator": self.user or self.organization,
        }


@dataclass(slots=True)
class Delivery:
    """One event on its way to one subscription. `signed_at` None means signed afresh at each attempt."""

    subscription: Subscription
    event: Mapping[str, object]
    body: bytes
    key: str | None
    signed_at: datetime | None = None
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def status(self) -> int | None:
        """The status of the latest attempt."""
        return self.attempts[-1].status if self.attempts else None

    @property
    def is_accepted(self) -> bool:
        """Any 2xx; a redirect is a failure."""
        return self.status in _SUCCESSES

    @property
    def is_forged(self) -> bool:
        """Signed with another key than the subscription's: not from the provider, so never repeated."""
        return self.key != self.subscription.signing_key


def sign(body: bytes, key: str, signed_at: datetime) -> str:
    """The value of the `Calendly-Webhook-Signature` header."""
    timestamp = int(signed_at.timestamp())
    digest = hmac.new(key.encode("utf-8"), f"{timestamp}.".encode("ascii") + body, hashlib.sha256)
    return f"t={timestamp},v1={digest.hexdigest()}"


def attempt(delivery: Delivery, clock: Clock) -> bool:
    """POST it once, note what came back and what follows for the subscription.

    True when nothing is repeated.
    """
    subscription = delivery.subscription
    if not delivery.is_forged and (subscription.deleted or subscription.state != "active"):
        return True
    headers = {"Content-Type": "application/json"}
    if delivery.key is not None:
        headers["Calendly-Webhook-Signature"] = sign(
            delivery.body, delivery.key, delivery.signed_at or clock.now()
        )
    delivery.attempts.append(post(subscription.url, delivery.body, headers))
    if delivery.is_accepted or delivery.is_forged:
        return True
    if delivery.status == HTTPStatus.GONE:
        subscription.deleted = True
        return True
    if len(delivery.attempts) == 1:
        subscription.retry_started_at = clock.now()
    elif len(delivery.attempts) > len(RETRY_DELAYS_S):
        subscription.state = "disabled"
        return True
    return False
