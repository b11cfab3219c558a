"""Deliveries signed by hand, independent of the code under test and of the stand-in."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from platform_connectors.calendly.signature import verify
from platform_core.connectors import Verdict

SECRET = "signing-key-of-the-platform-tests-01"
OTHER_SECRET = "signing-key-of-the-platform-tests-02"
TIMESTAMP = 1767323045
NOW = datetime.fromtimestamp(TIMESTAMP, UTC)
INVITEE = "https://api.calendly.com/scheduled_events/AAAA/invitees/BBBB"
BODY = (
    b'{"event":"invitee.created","created_at":"2026-01-02T03:04:05.000000Z","payload":'
    b'{"uri":"https://api.calendly.com/scheduled_events/AAAA/invitees/BBBB",'
    b'"updated_at":"2026-01-02T03:04:05.000000Z"}}'
)
EVENT_KEY = "calendly:df8903b175f6efe12a8d14d07332911eb9c255cc9ead445b05bd204e5312f95f"
"""By `sha256sum` over the three parts as JSON, apart from the code."""

GOOD_DIGEST = "e4db0509cbaf14c9899604a2f9646367837a50cdd0aad0e7c9119d0858dd1e62"
OTHER_DIGEST = "2a22fc40dd30e97fdb42556f8d0ea0fae10dfbe69b8df36c5b802cc1511bb8f3"
"""By `openssl dgst -sha256 -hmac`, apart from the code."""

PAYLOADS = Path(__file__).parent / "payloads"


def signature(body: bytes = BODY, *, t: object = TIMESTAMP, secret: str = SECRET) -> str:
    """The hexadecimal digest over `t`, a dot and the body."""
    return hmac.new(secret.encode(), f"{t}.".encode() + body, hashlib.sha256).hexdigest()


def signed(body: bytes = BODY, *, t: object = TIMESTAMP, secret: str = SECRET) -> list[tuple[str, str]]:
    """The headers of a delivery."""
    return [
        ("Content-Type", "application/json"),
        ("Calendly-Webhook-Signature", f"t={t},v1={signature(body, t=t, secret=secret)}"),
    ]


def with_header(value: str) -> list[tuple[str, str]]:
    """Only a signature header, of that value."""
    return [("Calendly-Webhook-Signature", value)]


def judge(
    body: bytes = BODY,
    headers: Sequence[tuple[str, str]] | None = None,
    *,
    secrets: Sequence[str] = (SECRET,),
    now: datetime = NOW,
) -> Verdict:
    """What `verify` says of a delivery; properly signed unless headers are given."""
    return verify(signed(body) if headers is None else headers, body, secrets=secrets, now=now)


def payload(name: str) -> dict[str, object]:
    """The event of a recorded payload."""
    event = json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))["event"]
    assert isinstance(event, dict)
    return event


def booked(name: str, text: str) -> bytes:
    """A booking of its own whose parent wrote this text wherever a parent can write."""
    event = payload("created")
    inner = event["payload"]
    assert isinstance(inner, dict)
    answers = [{"question": text, "answer": text, "position": 0}]
    uri = f"https://api.calendly.com/scheduled_events/{name}/invitees/{name}"
    changed = {**inner, "uri": uri, "name": text, "email": text, "questions_and_answers": answers}
    return json.dumps({**event, "payload": {**changed, "text_reminder_number": text}}).encode()
