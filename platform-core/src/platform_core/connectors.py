"""What a connector to a provider is: a value that lists what it can do.

A connector package exposes `CONNECTOR: Connector` under the entry-point group `platform_core.connectors`.
Its verbs, and what each owes to whoever calls it:

    verify         pure; whose delivery is this, and under which key is it stored once
    check_secrets  refuses webhook secrets that could verify nothing, by position, never by value
    to_events      pure; what a verified body says in our words; unknown types are Ignored, damage is drift
    config_schema  which fields `open_client` takes, as JSON Schema
    open_client    the only one that touches the network; refuses a configuration by field

An open client may `check` (its health; it never changes anything), send, fetch and manage subscriptions,
as its capabilities say. Each failure is one ConnectorError that says whether repeating is safe: a mutation
without a clear answer is an AmbiguousOutcome, a read is at worst a TransientFailure. No secret, text or
phone number is in a repr, an error or a log line. The suite `tests/connectors/conformance.py` holds every
connector to this. This module is on the path of every webhook, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from platform_core.errors import (
    ConfigurationError,
    ConnectorError,
    ConnectorMisconfigured,
    PreconditionUnmet,
    RateLimited,
    UnsupportedCapability,
)

if TYPE_CHECKING:  # pydantic and httpx stay off the webhook's import path
    from platform_core.messaging.contracts import OutgoingMessage

ENTRY_POINTS = "platform_core.connectors"
DEFAULT_TOLERANCE = timedelta(minutes=5)
REPEATED_FOR = timedelta(hours=24)


class Capability(StrEnum):
    """What a connector may declare. Using an undeclared one raises UnsupportedCapability."""

    RECEIVE_WEBHOOK = "receive_webhook"
    SEND_TEXT = "send_text"
    SEND_TEMPLATE = "send_template"
    FETCH_MEDIA = "fetch_media"
    CHECK_HEALTH = "check_health"
    MANAGE_SUBSCRIPTIONS = "manage_subscriptions"


class Rejection(StrEnum):
    """Why a delivery was refused. The sender is told none of it."""

    HEADER_MISSING = "header_missing"
    HEADER_MALFORMED = "header_malformed"
    BODY_TOO_LARGE = "body_too_large"
    SIGNATURE_MISMATCH = "signature_mismatch"


@dataclass(frozen=True, slots=True)
class Authentic:
    """The provider signed exactly these bytes.

    `stale` is true when the signing time is outside the tolerance, in the past or the future: authentic, kept
    apart, decided by a person. `event_id` is empty when the body carries no usable id.
    """

    event_id: str
    event_type: str
    signed_at: datetime
    stale: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """Not provably from the provider: nothing is stored but a count."""

    reason: Rejection


Verdict = Authentic | Rejected


class Verify(Protocol):
    """Judge one delivery. Pure: no clock, no environment, never raises on any input."""

    def __call__(
        self,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        secrets: Sequence[str],
        now: datetime,
        tolerance: timedelta = DEFAULT_TOLERANCE,
    ) -> Verdict:
        """`headers` keep their order and duplicates; every secret is tried; `now` is aware UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the message. Accepted is not delivered."""

    provider_message_id: str
    wamid: str
    status: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Media:
    """Bytes fetched from the provider, hashed by us."""

    content: bytes
    mime_type: str
    sha256: bytes


class HealthStatus(StrEnum):
    """How an account is doing. A check that could not run is never OK."""

    OK = "ok"
    DEGRADED = "degraded"
    """It answers, and something about it needs a person soon."""
    DOWN = "down"
    """It does not answer, or not as documented."""
    MISCONFIGURED = "misconfigured"
    """It answers that we may not: the key, the account or its settings."""


@dataclass(frozen=True, slots=True)
class Health:
    """What one look at an account found. `evidence` is short sentences without any secret or person."""

    status: HealthStatus
    evidence: tuple[str, ...]
    latency_ms: int
    checked_at: datetime


def health_of(error: ConnectorError) -> HealthStatus:
    """What a failed look says of the account."""
    if isinstance(error, ConnectorMisconfigured):
        return HealthStatus.MISCONFIGURED
    return HealthStatus.DEGRADED if isinstance(error, (RateLimited, PreconditionUnmet)) else HealthStatus.DOWN


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where a provider posts its webhooks. `id` is the provider's own and opaque.

    `failing_since` is when the provider last began to repeat a delivery that was not accepted; it may stay
    after that one came through. An inactive subscription gets nothing any more, and some providers never
    bring it back by themselves.
    """

    id: str
    url: str
    is_active: bool
    failing_since: datetime | None

    def is_failing(self, now: datetime) -> bool:
        """Whether the provider may still be repeating: it gives up after a day."""
        return self.failing_since is not None and now - self.failing_since < REPEATED_FOR


class Client(Protocol):
    """An open connection to one account. Every failure of any verb is a ConnectorError."""

    def close(self) -> None:
        """Release the connection."""
        ...


@runtime_checkable
class CheckedClient(Client, Protocol):
    """A client that can look at its account."""

    def check(self) -> Health:
        """One authenticated look. Changes nothing and raises nothing: what went wrong is the evidence."""
        ...


@runtime_checkable
class MessagingClient(Client, Protocol):
    """A connection to the provider's API. Every failure is a ConnectorError."""

    def send(self, message: OutgoingMessage, *, external_id: str) -> Accepted:
        """Send once; `external_id` is ours and comes back in delivery reports.

        Raises: AmbiguousOutcome when the provider may have acted, RateLimited and the permanent errors when
        it surely has not.
        """
        ...

    def fetch_media(self, link: str, *, max_bytes: int) -> Media:
        """Download one attachment. Safe to repeat; raises TransientFailure when that may help."""
        ...


@runtime_checkable
class SubscriptionClient(CheckedClient, Protocol):
    """A client that can say where webhooks go."""

    def list_subscriptions(self) -> Sequence[Subscription]:
        """All of this account. Safe to repeat; a listing that never ends is ContractDrift."""
        ...

    def create_subscription(self, url: str, *, signing_key: str) -> Subscription:
        """Have every event this connector reads posted to `url`, signed with `signing_key`.

        Raises: SecretRejected without a usable key, before anything is sent; NeedsReconciliation when there
        is one for that URL; AmbiguousOutcome when there may be.
        """
        ...

    def delete_subscription(self, subscription_id: str) -> bool:
        """End one. False when it was gone: deleting twice is no failure."""
        ...


@dataclass(frozen=True, slots=True)
class Connector:
    """One provider: its name, what it can do, and the functions that do it.

    `check_secrets` raises SecretRejected for webhook secrets that can verify nothing, such as a placeholder.
    `to_events` gives contracts of the package that applies this source: messaging's, or bookings'.
    """

    name: str
    version: str
    capabilities: frozenset[Capability]
    verify: Verify
    check_secrets: Callable[[Sequence[str]], None]
    to_events: Callable[[bytes], Sequence[Any]]
    open_client: Callable[[Mapping[str, object]], Client]
    config_schema: Callable[[], Mapping[str, object]] = dict

    def require(self, capability: Capability) -> None:
        """Raises: UnsupportedCapability when the connector does not declare it."""
        if capability not in self.capabilities:
            raise UnsupportedCapability(f"Connector {self.name} cannot {capability.value.replace('_', ' ')}")

    def open_messaging(self, config: Mapping[str, object]) -> MessagingClient:
        """A client that sends. Raises: UnsupportedCapability, and as `open_client`."""
        self.require(Capability.SEND_TEXT)
        client = self.open_client(config)
        if not isinstance(client, MessagingClient):
            raise self._broken_promise(client, "MessagingClient")
        return client

    def open_subscriptions(self, config: Mapping[str, object]) -> SubscriptionClient:
        """A client that manages subscriptions. Raises: UnsupportedCapability, and as `open_client`."""
        self.require(Capability.MANAGE_SUBSCRIPTIONS)
        client = self.open_client(config)
        if not isinstance(client, SubscriptionClient):
            raise self._broken_promise(client, "SubscriptionClient")
        return client

    def open_checked(self, config: Mapping[str, object]) -> CheckedClient:
        """A client that looks at its account. Raises: UnsupportedCapability, and as `open_client`."""
        self.require(Capability.CHECK_HEALTH)
        client = self.open_client(config)
        if not isinstance(client, CheckedClient):
            raise self._broken_promise(client, "CheckedClient")
        return client

    def _broken_promise(self, client: Client, kind: str) -> ConfigurationError:
        client.close()
        return ConfigurationError(f"The client of {self.name} is no {kind}, although it declares to be one")


def list_connectors() -> list[str]:
    """The names of the installed connectors, sorted."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - 20 ms that only this call needs

    return sorted({point.name for point in entry_points(group=ENTRY_POINTS)})


def load_connector(name: str) -> Connector:
    """The installed connector of that name.

    Raises: ConfigurationError when no installed package offers it, or it offers something else.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415 - 20 ms that only this call needs

    for point in entry_points(group=ENTRY_POINTS, name=name):
        found = point.load()
        if not isinstance(found, Connector):
            raise ConfigurationError(f"The entry point {name!r} is not a Connector")
        return found
    raise ConfigurationError(
        f"No connector named {name!r} is installed",
        next_step="Install platform-connectors beside platform-core.",
    )
