"""Which error each refusal of Calendly is: one table, read top to bottom.

Pure. Calendly says why in `title`, a short phrase of a fixed set; the longer `message` is never used: it
changes, and it may quote what was sent. A title in no table keeps its value and is judged by the HTTP
status, where nothing unknown is repeated by itself. Sources: README.md, section Errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from platform_connectors.exchange import code_text, kind_of_read, retry_after_s
from platform_connectors.signed import parse_strict_json
from platform_core.errors import (
    AmbiguousOutcome,
    AuthRejected,
    ConnectorError,
    ConnectorMisconfigured,
    NeedsReconciliation,
    PermanentRefusal,
    RateLimited,
)

DEFAULT_RETRY_AFTER_S = 60.0
"""The window Calendly counts requests in is a minute."""

STATUSES: dict[int, type[ConnectorError]] = {
    400: PermanentRefusal,
    401: AuthRejected,
    402: ConnectorMisconfigured,  # the plan
    403: ConnectorMisconfigured,  # the plan, the scope, or another organization's
    404: NeedsReconciliation,
    408: AmbiguousOutcome,
    409: NeedsReconciliation,  # a subscription for that URL is there
    410: NeedsReconciliation,
    429: RateLimited,
}
"""Any other 4xx is a PermanentRefusal; what is not 4xx leaves the outcome open."""

_NEXT_STEPS: dict[type[ConnectorError], str] = {
    AuthRejected: "Set a valid Calendly token for this customer.",
    ConnectorMisconfigured: "Check the token's plan, scope and organization at Calendly.",
    NeedsReconciliation: "List the subscriptions before changing them again.",
}
_BLAMING_THE_REQUEST = range(400, 500)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an answer that is not a success says about itself. Empty strings for what it does not say."""

    status: int
    title: str = ""
    request_id: str = ""
    wait: str = ""


def parse_refusal(status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    """Read Calendly's error; an unreadable one leaves its title empty.

    `headers` must find names in any case, as httpx's do. The wait is in `X-RateLimit-Reset`, in seconds; a
    `Retry-After`, which a proxy on the way may set, is the better word.
    """
    try:
        answer = parse_strict_json(body)
    except ValueError:
        answer = None
    return Refusal(
        status=status,
        title=code_text(answer.get("title")) if isinstance(answer, dict) else "",
        request_id=code_text(headers.get("X-Request-Id", "")),
        wait=(headers.get("Retry-After") or headers.get("X-RateLimit-Reset", "")).strip(),
    )


def classify(status: int) -> type[ConnectorError]:
    """Which error a refused mutation is. A server error never is a refusal."""
    if status not in _BLAMING_THE_REQUEST:
        return AmbiguousOutcome
    return STATUSES.get(status, PermanentRefusal)


def mutation_error(refusal: Refusal, now: datetime, deed: str) -> ConnectorError:
    """The error of a mutation that was answered with a refusal."""
    return _error(classify(refusal.status), refusal, now, deed)


def read_error(refusal: Refusal, now: datetime, deed: str) -> ConnectorError:
    """The error of a read. Reads change nothing, so none is ambiguous, and what is gone is gone."""
    return _error(kind_of_read(classify(refusal.status)), refusal, now, deed)


def _error(kind: type[ConnectorError], refusal: Refusal, now: datetime, deed: str) -> ConnectorError:
    message = f"Calendly answered {refusal.status} {refusal.title or 'without a title'} to {deed}"
    if kind is RateLimited:
        return RateLimited(
            message,
            retry_after_s=retry_after_s(refusal.wait, now, default_s=DEFAULT_RETRY_AFTER_S),
            provider_code=refusal.title,
            request_id=refusal.request_id,
            status=refusal.status,
        )
    return kind(
        message,
        provider_code=refusal.title,
        request_id=refusal.request_id,
        next_step=_NEXT_STEPS.get(kind, ""),
        status=refusal.status,
    )
