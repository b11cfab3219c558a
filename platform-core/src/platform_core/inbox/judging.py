"""What every door does with a delivery, in one place: judge its bytes, and say what the provider is answered.

Two doors call this: the Windmill route scripts (`platform_core.windmill.http`) and the always-on door
(`platform_core.ingest`). It is on the path of every webhook and imports nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus

from platform_core.connectors import Connector, Rejected, Rejection
from platform_core.errors import PlatformError
from platform_core.inbox.events import Delivery

Headers = Sequence[tuple[str, str]]
Said = tuple[HTTPStatus, dict[str, str]]
"""The status and the JSON object a provider is answered."""

REFUSED: Said = (HTTPStatus.UNAUTHORIZED, {"outcome": "refused"})
"""Not provably the provider's. It is told no reason."""

_MEDIA_TYPE = re.compile(r"[a-z]{1,20}/[a-z.+-]{1,40}(; ?charset=[a-z0-9-]{1,20})?", re.ASCII | re.IGNORECASE)


def judge(
    connector: Connector,
    endpoint: str,
    headers: Headers,
    body: bytes,
    *,
    secrets: Sequence[str],
    now: datetime,
) -> Delivery | Rejection:
    """The delivery to be stored, or why it is refused. Pure, and total over any headers and bytes."""
    verdict = connector.verify(headers, body, secrets=secrets, now=now)
    if isinstance(verdict, Rejected):
        return verdict.reason
    return Delivery(
        source=connector.name,
        endpoint=endpoint,
        event_id=verdict.event_id,
        event_type=verdict.event_type,
        body=body,
        headers=_worth_keeping(headers),
        signed_at=verdict.signed_at,
        stale=verdict.stale,
    )


def said_of_receipt(outcome: str, event: int) -> Said:
    """200 for stored, held, duplicate and conflict alike: it is safe here, do not send it again."""
    return HTTPStatus.OK, {"outcome": outcome, "event": f"E{event}"}


def said_of_failure(error: Exception) -> Said:
    """5xx with our stable code and nothing else: nothing was stored, send it again."""
    if isinstance(error, PlatformError):
        return HTTPStatus(max(error.http_status, HTTPStatus.INTERNAL_SERVER_ERROR)), {"error": error.code}
    return HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "internal"}


def facts_of_failure(error: Exception) -> dict[str, object]:
    """What the log says of it, in one line without the traceback."""
    if isinstance(error, PlatformError):
        return {"code": error.code, "message": error.one_line()}
    return {"code": "internal", "message": type(error).__name__}


def _worth_keeping(headers: Headers) -> Headers:
    """No signature covers a header, and Windmill puts secrets into some: one of known form stays."""
    return [
        (name, value)
        for name, value in headers
        if name.lower() == "content-type" and _MEDIA_TYPE.fullmatch(value)
    ]
