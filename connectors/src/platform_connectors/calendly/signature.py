"""Whether a delivery is Calendly's, and the one key it is stored under. Pure, and never an exception.

Signed is the decimal timestamp, one dot and the exact body bytes, with the signing key that was given when
the subscription was made; the key is ours, so it is held to what we make, not to what Calendly would take.

Calendly's events carry no id. Their key is made of what stays the same over retries and differs between any
two events: the type, the booking's URI and the instant of what happened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from platform_connectors.signed import MAX_BODY_BYTES, Identity, Scheme, is_plain, opaque, timestamped

__all__ = ["MAX_BODY_BYTES", "SIGNATURE_HEADER", "check_secrets", "event_key", "verify"]

SIGNATURE_HEADER = "Calendly-Webhook-Signature"
MIN_KEY_CHARS = 32


def event_key(event: Mapping[str, object]) -> str:
    """The composite key of an event, as `calendly:<64 hex>`; empty when the event lacks a part of it.

    The instant is that of the cancellation, the URI of the no-show mark, else the last change of the booking.
    """
    kind, payload = opaque(event.get("event")), event.get("payload")
    if not kind or not isinstance(payload, dict):
        return ""
    uri, stamp = opaque(payload.get("uri")), _stamp(kind, payload)
    if not uri or not stamp:
        return ""
    parts = json.dumps([kind, uri, stamp], ensure_ascii=True, separators=(",", ":"))
    return f"calendly:{hashlib.sha256(parts.encode('ascii')).hexdigest()}"


def _stamp(kind: str, payload: Mapping[str, object]) -> str:
    holder, member = {
        "invitee.canceled": ("cancellation", "created_at"),
        "invitee_no_show.created": ("no_show", "uri"),
        "invitee_no_show.deleted": ("no_show", "uri"),
    }.get(kind, ("", ""))
    inner = payload.get(holder)
    found = opaque(inner.get(member)) if isinstance(inner, dict) else ""
    return found or opaque(payload.get("updated_at"))


def _identify(event: object) -> Identity:
    return (event_key(event), opaque(event.get("event"))) if isinstance(event, dict) else ("", "")


def _unusable(secret: str) -> str:
    if not is_plain(secret, min_chars=MIN_KEY_CHARS):
        return (
            f"is no signing key of ours (shorter than {MIN_KEY_CHARS}, or with spaces or strange characters)"
        )
    return ""


_SCHEME = Scheme(
    sender="Calendly",
    header=SIGNATURE_HEADER,
    form=timestamped("v1"),
    unusable=_unusable,
    identify=_identify,
    next_step="Set the signing key that the subscription was made with, as a list.",
)
verify = _SCHEME.verify
check_secrets = _SCHEME.check_secrets
