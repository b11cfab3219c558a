"""Deliveries signed by hand, independent of the code under test and of the stand-in."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from platform_connectors.ycloud.signature import verify
from platform_core.connectors import Verdict

SECRET = "whsec_platform_core_test"
OTHER_SECRET = "whsec_platform_core_test_next"
TIMESTAMP = 1767323045
NOW = datetime.fromtimestamp(TIMESTAMP, UTC)
BODY = (
    b'{"id":"evt_T1","type":"whatsapp.message.updated","apiVersion":"v2",'
    b'"createTime":"2026-01-02T03:04:05.000Z"}'
)
GOOD_DIGEST = "f3ecdd876f6052adbd6f4f02cde7939e167def56033f914e5c0313cf97424321"
PAYLOADS = Path(__file__).parent / "payloads"


def signature(body: bytes = BODY, *, t: object = TIMESTAMP, secret: str = SECRET) -> str:
    """The hexadecimal digest over `t`, a dot and the body."""
    return hmac.new(secret.encode(), f"{t}.".encode() + body, hashlib.sha256).hexdigest()


def signed(body: bytes = BODY, *, t: object = TIMESTAMP, secret: str = SECRET) -> list[tuple[str, str]]:
    """The headers of a delivery."""
    return [
        ("Content-Type", "application/json"),
        ("YCloud-Signature", f"t={t},s={signature(body, t=t, secret=secret)}"),
    ]


def judge(
    body: bytes = BODY,
    headers: Sequence[tuple[str, str]] | None = None,
    *,
    secrets: Sequence[str] = (SECRET,),
    now: datetime = NOW,
) -> Verdict:
    """What `verify` says of a delivery; properly signed unless headers are given."""
    return verify(signed(body) if headers is None else headers, body, secrets=secrets, now=now)


def with_header(value: str) -> list[tuple[str, str]]:
    """Only a signature header, of that value."""
    return [("YCloud-Signature", value)]


def payload(name: str) -> dict[str, object]:
    """The event of a recorded payload."""
    event = json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))["event"]
    assert isinstance(event, dict)
    return event
