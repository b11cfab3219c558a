"""Readers at the door of a classroom: they only deliver. `CONNECTOR` is the only public name.

The protocol is ours (README.md), so there is nothing to translate: what a batch says is read by
`platform_core.attendance.feed`. Whoever asks this connector for more than verification is told that it
cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from platform_connectors.reader.signature import check_secrets, verify
from platform_core.connectors import Capability, Connector
from platform_core.errors import UnsupportedCapability

if TYPE_CHECKING:
    from platform_core.connectors import MessagingClient
    from platform_core.messaging.contracts import InboundEvent

__all__ = ["CONNECTOR"]


def _to_events(body: bytes) -> Sequence[InboundEvent]:
    del body
    raise UnsupportedCapability(
        "A reader delivers no messages", next_step="Its batches are read by platform_core.attendance.feed."
    )


def _open_client(config: Mapping[str, object]) -> MessagingClient:
    del config
    raise UnsupportedCapability("A reader cannot be written to; it only delivers")


CONNECTOR = Connector(
    name="reader",
    version="1.0",
    capabilities=frozenset({Capability.RECEIVE_WEBHOOK}),
    verify=verify,
    check_secrets=check_secrets,
    to_events=_to_events,
    open_client=_open_client,
)
