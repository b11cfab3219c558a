"""YCloud: WhatsApp messages in and out. `CONNECTOR` is the only public name.

Importing it costs what verification needs. The wire models (pydantic) and the client (httpx) are imported by
the call that uses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from platform_connectors.ycloud.signature import check_secrets, verify
from platform_core.connectors import Capability, Connector

if TYPE_CHECKING:
    from platform_connectors.ycloud.client import YCloudClient
    from platform_core.messaging.contracts import InboundEvent

__all__ = ["CONNECTOR"]


def _to_events(body: bytes) -> Sequence[InboundEvent]:
    from platform_connectors.ycloud.events import to_events  # noqa: PLC0415 - pydantic stays off the webhook's path

    return to_events(body)


def _open_client(config: Mapping[str, object]) -> YCloudClient:
    from platform_connectors.ycloud.client import open_client  # noqa: PLC0415 - so does httpx

    return open_client(config)


def _config_schema() -> Mapping[str, object]:
    from platform_connectors.ycloud.client import YCloudConfig  # noqa: PLC0415 - and pydantic again

    return YCloudConfig.model_json_schema()


CONNECTOR = Connector(
    name="ycloud",
    version="1.0",
    capabilities=frozenset(
        {
            Capability.RECEIVE_WEBHOOK,
            Capability.SEND_TEXT,
            Capability.SEND_TEMPLATE,
            Capability.FETCH_MEDIA,
            Capability.CHECK_HEALTH,
        }
    ),
    verify=verify,
    check_secrets=check_secrets,
    to_events=_to_events,
    open_client=_open_client,
    config_schema=_config_schema,
)
