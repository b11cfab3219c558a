"""YCloud's events and objects, as its OpenAPI v1.16.2 and its samples have them. The values are made up."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

WABA_ID = "100200300400500"

_REQUEST_ONLY = ("text", "template", "filterUnsubscribed", "filterBlocked")
_STATUS_TIMES = {"sent": "sendTime", "delivered": "deliverTime", "read": "readTime"}


@dataclass(frozen=True, slots=True)
class Contact:
    """A person on WhatsApp. Who hides the phone number has only the business-scoped `user_id`."""

    phone: str = ""
    user_id: str = ""
    name: str = "Contacto"


def instant_text(instant: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, as YCloud writes times."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z"


def encode(event: Mapping[str, object]) -> bytes:
    """The bytes that go on the wire and under the signature: compact UTF-8 JSON."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def new_event(kind: str, key: str, content: Mapping[str, object], now: datetime) -> dict[str, object]:
    """An envelope with a fresh id around the object of its type."""
    return {
        "id": f"evt_{secrets.token_hex(8)}",
        "type": kind,
        "apiVersion": "v2",
        "createTime": instant_text(now),
        key: dict(content),
    }


def new_id() -> str:
    """An id of an object: 24 hexadecimal digits."""
    return secrets.token_hex(12)


def base64_sha256(content: bytes) -> str:
    """A checksum as the official media sample writes it: base64, not hexadecimal."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode("ascii")


def new_wamid() -> str:
    """A WhatsApp message id."""
    return "wamid." + base64.b64encode(secrets.token_bytes(24)).decode("ascii")


def inbound_message(
    sender: Contact, business_phone: str, content: Mapping[str, object], now: datetime
) -> dict[str, object]:
    """A `whatsappInboundMessage`; `content` is `type` and the object of that name, or any field."""
    message: dict[str, object] = {
        "id": new_id(),
        "wamid": new_wamid(),
        "wabaId": WABA_ID,
        "customerProfile": {"name": sender.name},
        "to": business_phone,
        "sendTime": instant_text(now),
    }
    if sender.phone:
        message["from"] = sender.phone
    if sender.user_id:
        message["fromUserId"] = sender.user_id
    return {**message, **content}


def report(
    message: Mapping[str, object], status: str, now: datetime, error_code: str = ""
) -> dict[str, object]:
    """A `whatsappMessage` with what became of it at `now`."""
    at = instant_text(now)
    shown = {key: value for key, value in message.items() if key not in _REQUEST_ONLY}
    changed = {**shown, "status": status, "updateTime": at}
    if status in _STATUS_TIMES:
        changed[_STATUS_TIMES[status]] = at
    if status in ("delivered", "read"):
        changed.update(totalPrice=0.0113, currency="USD", pricingCategory="utility", pricingModel="PMP")
    if error_code:
        changed.update(errorCode=error_code, errorMessage=f"Made-up words for {error_code}")
    if error_code.isdecimal():
        changed["whatsappApiError"] = {
            "code": error_code,
            "message": f"(#{error_code}) made-up words",
            "type": "OAuthException",
            "error_data": {"details": "made-up details"},
        }
    return changed
