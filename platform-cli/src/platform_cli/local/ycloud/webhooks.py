"""Signing webhooks and delivering them over HTTP, with YCloud's headers and its schedule of retries.

Left out, because nothing here needs it: the suspension of a URL after 200 failures a minute.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from platform_cli.local.deliveries import Attempt, post, require_loopback
from platform_core.values import Clock

RETRY_DELAYS_S = (10, 30, 300, 1800, 3600, 7200, 7200)
"""After the first attempt; then never again. The provider treats a 401 like a 500."""

_SUCCESSES = range(200, 300)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook endpoint of the account: `events` are the types it wants, none meaning all."""

    id: str
    url: str
    secret: str
    events: frozenset[str] = frozenset()
    status: str = "active"

    def __post_init__(self) -> None:
        """Refuse to send anything off this machine."""
        require_loopback(self.url)

    def wants(self, kind: str) -> bool:
        """Whether events of that type go here."""
        return self.status == "active" and (not self.events or kind in self.events)


@dataclass(slots=True)
class Delivery:
    """One event on its way to one endpoint. `signed_at` None means signed afresh at each attempt."""

    endpoint: Endpoint
    event: Mapping[str, object]
    body: bytes
    secret: str
    signed_at: datetime | None = None
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def status(self) -> int | None:
        """The status of the latest attempt."""
        return self.attempts[-1].status if self.attempts else None

    @property
    def is_accepted(self) -> bool:
        """Any 2xx; the body of the answer does not matter."""
        return self.status in _SUCCESSES

    @property
    def is_forged(self) -> bool:
        """Signed with another secret than the endpoint's: not from the provider, so never retried."""
        return self.secret != self.endpoint.secret


def sign(body: bytes, secret: str, signed_at: datetime) -> str:
    """The value of the `YCloud-Signature` header."""
    timestamp = int(signed_at.timestamp())
    digest = hmac.new(secret.encode("utf-8"), f"{timestamp}.".encode("ascii") + body, hashlib.sha256)
    return f"t={timestamp},s={digest.hexdigest()}"


def attempt(delivery: Delivery, clock: Clock) -> bool:
    """POST it once and note what came back. True when it was accepted."""
    headers = {
        "Content-Type": "application/json",
        "YCloud-Signature": sign(delivery.body, delivery.secret, delivery.signed_at or clock.now()),
        "X-Webhook-Endpoint-ID": delivery.endpoint.id,
    }
    delivery.attempts.append(post(delivery.endpoint.url, delivery.body, headers))
    return delivery.is_accepted
