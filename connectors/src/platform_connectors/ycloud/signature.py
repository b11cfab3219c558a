"""Whether a delivery is YCloud's: pure, over the raw bytes, and never an exception.

The signed input is the decimal timestamp, one dot and the exact body bytes, without a trailing dot (one of
the provider's help pages prints one; README.md has the sources). The key is the endpoint's whole secret text,
`whsec_` included.
"""

from __future__ import annotations

from platform_connectors.signed import MAX_BODY_BYTES, Scheme, identify_by_id, is_plain, timestamped

__all__ = ["MAX_BODY_BYTES", "SIGNATURE_HEADER", "check_secrets", "verify"]

SIGNATURE_HEADER = "YCloud-Signature"

_SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret starts with, not one of them
_MIN_SECRET_CHARS = 16


def _unusable(secret: str) -> str:
    if not secret.startswith(_SECRET_PREFIX):
        return f"does not start with {_SECRET_PREFIX}"
    if not is_plain(secret, min_chars=_MIN_SECRET_CHARS):
        return "is not a secret YCloud makes (too short, or with spaces or strange characters)"
    return ""


_SCHEME = Scheme(
    sender="YCloud",
    header=SIGNATURE_HEADER,
    form=timestamped("s"),
    unusable=_unusable,
    identify=identify_by_id,
    next_step="Copy the endpoint's secret (whsec_...) from the YCloud console, as a list.",
)
verify = _SCHEME.verify
check_secrets = _SCHEME.check_secrets
