"""Signed webhooks through a Windmill route: verify the raw bytes, store them, answer.

Where a receipt is refused: `receive_signed` below. A delivery that is not provably the provider's is answered
401 and counted, nothing of it is stored. There is no setting that turns verification off.

The event's `body` and `query` are never read: Windmill replaces `$var:` and `$res:` texts in them with the
customer's secrets before any script runs. Only `raw_string` is the provider's own bytes. Scripts call this in
their `preprocessor`: what it returns is what Windmill keeps as the job's arguments, and that is the answer,
never the message, a header or whatever a stranger made Windmill put there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from platform_core.connectors import Authentic, Connector, Rejected, load_connector
from platform_core.db.connect import Tx, open_connection, translated
from platform_core.errors import ConfigurationError, PlatformError
from platform_core.inbox.events import Delivery, count_refusal, receive
from platform_core.values import SystemClock
from platform_core.windmill.resources import database_dsn, get_resource

if TYPE_CHECKING:  # structlog costs what only a failure pays
    from structlog.typing import FilteringBoundLogger

Answer = dict[str, object]
"""An HTTP response as Windmill reads it: `windmill_status_code` and `result`."""

Headers = Sequence[tuple[str, str]]

_MEDIA_TYPE = re.compile(r"[a-z]{1,20}/[a-z.+-]{1,40}(; ?charset=[a-z0-9-]{1,20})?", re.ASCII | re.IGNORECASE)


def receive_signed(*, customer: str, source: str, endpoint: str, event: object) -> Answer:
    """Judge and store the delivery of one route event. Never raises: a stack would tell a stranger our paths.

    200 stored, held (authentic but stale), duplicate or conflict: it is safe here, do not send it again.
    401 not provably the provider's. 5xx nothing was stored: send it again.
    Idempotent: unique by (source, endpoint, event id).
    """
    try:
        return _receive(customer, source, endpoint, event)
    except PlatformError as error:
        _logger().error("webhook.not_stored", **_facts(customer, endpoint, error))
        return _answer(error.http_status, error=error.code)
    except Exception as error:  # noqa: BLE001 - whatever it is, the provider is asked to send it again
        _logger().error("webhook.not_stored", **_facts(customer, endpoint, error))
        return _answer(HTTPStatus.INTERNAL_SERVER_ERROR, error="internal")


def _receive(customer: str, source: str, endpoint: str, event: object) -> Answer:
    headers, body = _read(event)
    connector = load_connector(source)
    secrets = _secrets(connector, customer, endpoint)
    verdict = connector.verify(headers, body, secrets=secrets, now=SystemClock().now())
    match verdict:
        case Rejected(reason=reason):
            _count(customer, source, endpoint, reason.value)
            return _answer(HTTPStatus.UNAUTHORIZED, outcome="refused")
        case Authentic():
            dsn = database_dsn(get_resource(f"f/{customer}/database"))
            with open_connection(dsn, application=f"{source}_{endpoint}") as connection, translated(dsn):
                return _store(connection, connector, endpoint, headers, body, verdict)


def _read(event: object) -> tuple[Headers, bytes]:
    fields = event if isinstance(event, Mapping) else {}
    raw, headers = fields.get("raw_string"), fields.get("headers")
    if not isinstance(raw, str):
        raise ConfigurationError(
            "The route does not pass the raw body", next_step="Set `raw_string: true` on the HTTP trigger."
        )
    pairs = headers.items() if isinstance(headers, Mapping) else ()
    return [(str(name), str(value)) for name, value in pairs], raw.encode("utf-8", "surrogatepass")


def _secrets(connector: Connector, customer: str, endpoint: str) -> list[str]:
    path = f"f/{customer}/{connector.name}_webhooks"
    found = get_resource(path).get(endpoint)
    if not isinstance(found, list):
        raise ConfigurationError(
            f"The resource {path} has no list of secrets for the endpoint {endpoint}",
            next_step="Set it: one secret, or two while the endpoint's secret is being changed.",
        )
    connector.check_secrets(found)
    return found


def _count(customer: str, source: str, endpoint: str, reason: str) -> None:
    """Count a refusal. A forger learns nothing of our database: when it is down, it is only logged."""
    try:
        dsn = database_dsn(get_resource(f"f/{customer}/database"))
        with open_connection(dsn, application=f"{source}_{endpoint}") as connection, translated(dsn):
            count_refusal(connection, source=source, endpoint=endpoint, reason=reason)
    except PlatformError as error:
        _logger().error("webhook.refusal_not_counted", **_facts(customer, endpoint, error))


def _store(
    connection: Tx, connector: Connector, endpoint: str, headers: Headers, body: bytes, verdict: Authentic
) -> Answer:
    delivery = Delivery(
        source=connector.name,
        endpoint=endpoint,
        event_id=verdict.event_id,
        event_type=verdict.event_type,
        body=body,
        headers=_unreplaceable(headers),
        signed_at=verdict.signed_at,
        stale=verdict.stale,
    )
    with connection.transaction():
        receipt = receive(connection, delivery)
    return _answer(HTTPStatus.OK, outcome=receipt.outcome, event=f"E{receipt.event_id}")


def _unreplaceable(headers: Headers) -> Headers:
    """The headers that are worth keeping. No signature covers them, and Windmill puts secrets there too."""
    return [
        (name, value)
        for name, value in headers
        if name.lower() == "content-type" and _MEDIA_TYPE.fullmatch(value)
    ]


def _answer(status: int, **result: object) -> Answer:
    return {"windmill_status_code": int(status), "result": result}


def _logger() -> FilteringBoundLogger:
    from platform_core.observability.logs import get_logger  # noqa: PLC0415 - only a failure pays for structlog

    return get_logger("windmill.http")


def _facts(customer: str, endpoint: str, error: Exception) -> dict[str, object]:
    about = {"tenant": customer, "endpoint": endpoint, "exc_info": error}
    if isinstance(error, PlatformError):
        return {**about, "code": error.code, "message": error.one_line()}
    return {**about, "code": "internal", "message": type(error).__name__}
