"""What a connector to a provider is: a value that lists what it can do.

A connector package exposes `CONNECTOR: Connector` under the entry-point group `platform_core.connectors`.
Verification and event reading are pure functions; only `open_client` touches the network. This module is on
the path of every webhook, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from platform_core.errors import ConfigurationError, UnsupportedCapability

if TYPE_CHECKING:  # pydantic and httpx stay off the webhook's import path
    from platform_core.messaging.contracts import InboundEvent, OutgoingMessage

ENTRY_POINTS = "platform_core.connectors"
DEFAULT_TOLERANCE = timedelta(minutes=5)


class Capability(StrEnum):
    """What a connector may declare. Using an undeclared one raises UnsupportedCapability."""

    RECEIVE_WEBHOOK = "receive_webhook"
    SEND_TEXT = "send_text"
    SEND_TEMPLATE = "send_template"
    FETCH_MEDIA = "fetch_media"


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


class MessagingClient(Protocol):
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

    def close(self) -> None:
        """Release the connection."""
        ...


@dataclass(frozen=True, slots=True)
class Connector:
    """One provider: its name, what it can do, and the functions that do it.

    `check_secrets` raises SecretRejected for webhook secrets that can verify nothing, such as a placeholder.
    """

    name: str
    version: str
    capabilities: frozenset[Capability]
    verify: Verify
    check_secrets: Callable[[Sequence[str]], None]
    to_events: Callable[[bytes], Sequence[InboundEvent]]
    open_client: Callable[[Mapping[str, object]], MessagingClient]

    def require(self, capability: Capability) -> None:
        """Raises: UnsupportedCapability when the connector does not declare it."""
        if capability not in self.capabilities:
            raise UnsupportedCapability(f"Connector {self.name} cannot {capability.value.replace('_', ' ')}")


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
