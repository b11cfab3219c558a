"""A parent writes, through the stand-in as a signed webhook; and what was said on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from platform_cli.local.ycloud.talks import Said, talks
from platform_cli.local.ycloud_standin import Contact, YCloudStandIn
from platform_core.errors import InvalidInput
from platform_core.payments.receipts import find_mime_type

PARENT = "+56900000011"
PARENT_NAME = "Marta Rojas"
_PICTURES = "image/"


@dataclass(frozen=True, slots=True)
class Sent:
    """What a parent sent. `answers` are the statuses of each attempt to deliver it, or why there is none."""

    phone: str
    kind: str
    wamid: str
    answers: tuple[str, ...]


def send(ycloud: YCloudStandIn, facts: Mapping[str, str], content: bytes) -> Sent:
    """Send a text, or a file with the text as its caption. What is no picture goes as a document.

    Raises: InvalidInput when there is neither.
    """
    sender = Contact(phone=facts.get("phone") or PARENT, name=facts.get("name") or PARENT_NAME)
    text = facts.get("text", "")
    if content:
        mime_type = find_mime_type(content) or facts.get("mime_type") or "application/octet-stream"
        if mime_type.startswith(_PICTURES):
            event = ycloud.image_event(sender, content, mime_type, text)
        else:
            event = ycloud.document_event(sender, content, mime_type, facts.get("file") or "archivo")
    elif text:
        event = ycloud.text_event(sender, text)
    else:
        raise InvalidInput(
            "There is nothing to send", next_step="Name a file that is not empty, or give --text."
        )
    message = ycloud.account.received[-1]
    deliveries = ycloud.deliver(event)
    answers = tuple(
        f"HTTP {one.status}" if one.status is not None else one.failure
        for delivery in deliveries
        for one in delivery.attempts
    )
    return Sent(sender.phone, str(message["type"]), str(message["wamid"]), answers)


def conversations(ycloud: YCloudStandIn) -> list[Said]:
    """Every message of every parent, oldest first."""
    return sorted(
        (said for found in talks(ycloud.account).values() for said in found), key=lambda one: one.at
    )
