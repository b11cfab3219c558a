"""Whether a delivery is a reader's own: pure, over the raw bytes, and never an exception.

The signed input is the decimal timestamp, one dot and the exact body bytes; the key is the whole secret text,
`rdr_` included. README.md has the protocol and a golden vector.
"""

from __future__ import annotations

from platform_connectors.signed import Identity, Scheme, is_plain, opaque, timestamped

__all__ = ["SIGNATURE_HEADER", "check_secrets", "verify"]

SIGNATURE_HEADER = "Reader-Signature"

_SECRET_PREFIX = "rdr_"  # noqa: S105 - what every secret starts with, not one of them
_MIN_SECRET_CHARS = 36
"""The prefix and 128 bits in hex."""


def _unusable(secret: str) -> str:
    if not secret.startswith(_SECRET_PREFIX):
        return f"does not start with {_SECRET_PREFIX}"
    if not is_plain(secret, min_chars=_MIN_SECRET_CHARS):
        return "is too short, or has spaces or strange characters"
    return ""


def _identify(event: object) -> Identity:
    """Two readers may both number their batches from 1: the reader's name is part of the id."""
    if not isinstance(event, dict):
        return "", ""
    reader, number = opaque(event.get("reader")), opaque(event.get("id"))
    return opaque(f"{reader}:{number}") if reader and number else "", opaque(event.get("type"))


_SCHEME = Scheme(
    sender="reader",
    header=SIGNATURE_HEADER,
    form=timestamped("s"),
    unusable=_unusable,
    identify=_identify,
    next_step="Make one as the README of this connector says, and set it as a list.",
)
verify = _SCHEME.verify
check_secrets = _SCHEME.check_secrets
