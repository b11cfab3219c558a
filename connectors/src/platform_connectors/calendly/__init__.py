"""Calendly: bookings in, and the subscriptions that bring them. `CONNECTOR` is the only public name.

Importing it costs what verification needs. The wire models (pydantic) and the client (httpx) are imported by
the call that uses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from platform_connectors.calendly.signature import check_secrets, verify
from platform_core.connectors import Capability, Connector

if TYPE_CHECKING:
    from platform_connectors.calendly.client import CalendlyClient
    from platform_core.bookings.contracts import BookingEvent

__all__ = ["CONNECTOR"]


def _to_events(body: bytes) -> Sequence[BookingEvent]:
    from platform_connectors.calendly.events import to_events  # noqa: PLC0415 - pydantic stays off the webhook's path

    return to_events(body)


def _open_client(config: Mapping[str, object]) -> CalendlyClient:
    from platform_connectors.calendly.client import open_client  # noqa: PLC0415 - so does httpx

    return open_client(config)


def _config_schema() -> Mapping[str, object]:
    from platform_connectors.calendly.client import CalendlyConfig  # noqa: PLC0415 - and pydantic again

    return CalendlyConfig.model_json_schema()


CONNECTOR = Connector(
    name="calendly",
    version="1.0",
    capabilities=frozenset(
        {
            Capability.RECEIVE_WEBHOOK,
            Capability.CHECK_HEALTH,
            Capability.MANAGE_SUBSCRIPTIONS,
        }
    ),
    verify=verify,
    check_secrets=check_secrets,
    to_events=_to_events,
    open_client=_open_client,
    config_schema=_config_schema,
)
