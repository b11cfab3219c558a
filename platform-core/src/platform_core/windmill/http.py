"""Signed webhooks through a Windmill route: verify the raw bytes, store them, answer.

Where a receipt is refused: `receive_signed` below. A delivery that is not provably the provider's is answered
401 and counted, nothing of it is stored. There is no setting that turns verification off.

The event's `body` and `query` are never read: Windmill replaces `$var:` and `$res:` texts in them with the
customer's secrets before any script runs. Only `raw_string` is the provider's own bytes. Between
`preprocessor` and `main` they travel base64-encoded, so that no text of a stranger is ever a job argument.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from platform_core.connectors import Authentic, Connector, Rejected, load_connector
from platform_core.db.connect import Tx, open_connection, translated
from platform_core.errors import ConfigurationError, InvalidInput, PlatformError
from platform_core.inbox.events import Delivery, count_refusal, receive
from platform_core.values import SystemClock
from platform_core.windmill.resources import database_dsn, get_resource


def signed_request(event: object) -> dict[str, object]:
    """What `main` needs of a route's event: the raw bytes and the headers, as plain job arguments.

    Takes any shape without raising: what is missing is judged by `receive_signed`, which can answer.
    """
    fields = event if isinstance(event, Mapping) else {}
    raw = fields.get("raw_string")
    headers = fields.get("headers")
    pairs = headers.items() if isinstance(headers, Mapping) else ()
    return {
        "body_base64": _encoded(raw) if isinstance(raw, str) else None,
        "headers_base64": [[_encoded(str(part)) for part in pair] for pair in pairs],
    }


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode("ascii")


def receive_signed(
    *, customer: str, source: str, endpoint: str, delivery: Mapping[str, object]
) -> dict[str, object]:
    """Judge and store one delivery; the answer is the HTTP response as Windmill reads it.

    200 stored, held (authentic but stale), duplicate or conflict: it is safe here, do not send it again.
    401 not provably the provider's. 5xx nothing was stored: send it again.
    Idempotent: unique by (source, endpoint, event id).
    """
    try:
        return _answer(200, **_receive(customer, source, endpoint, delivery))
    except PlatformError as error:
        if error.http_status >= 500:  # noqa: PLR2004 - the class of statuses that asks the provider to retry
            _log(customer, endpoint, error)
        return _answer(error.http_status, error=error.code)


def _receive(customer: str, source: str, endpoint: str, delivery: Mapping[str, object]) -> dict[str, object]:
    headers, body = _decoded(delivery)
    connector = load_connector(source)
    secrets = _secrets(connector, customer, endpoint)
    verdict = connector.verify(headers, body, secrets=secrets, now=SystemClock().now())
    dsn = database_dsn(get_resource(f"f/{customer}/database"))
    with open_connection(dsn, application=f"{source}_{endpoint}") as connection, translated(dsn):
        match verdict:
            case Rejected(reason=reason):
                with connection.transaction():
                    count_refusal(connection, source=source, endpoint=endpoint, reason=reason.value)
                return {"windmill_status_code": 401, "outcome": "refused"}
            case Authentic():
                return _store(connection, connector, endpoint, headers, body, verdict)


def _store(
    connection: Tx,
    connector: Connector,
    endpoint: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    verdict: Authentic,
) -> dict[str, object]:
    delivery = Delivery(
        source=connector.name,
        endpoint=endpoint,
        event_id=verdict.event_id,
        event_type=verdict.event_type,
        body=body,
        headers=headers,
        signed_at=verdict.signed_at,
        stale=verdict.stale,
    )
    with connection.transaction():
        receipt = receive(connection, delivery)
    return {"outcome": receipt.outcome, "event": f"E{receipt.event_id}"}


def _decoded(delivery: Mapping[str, object]) -> tuple[list[tuple[str, str]], bytes]:
    body, headers = delivery.get("body_base64"), delivery.get("headers_base64")
    if body is None:
        raise ConfigurationError(
            "The route does not pass the raw body", next_step="Set `raw_string: true` on the HTTP trigger."
        )
    if not isinstance(body, str) or not isinstance(headers, list):
        raise InvalidInput("The delivery was not made by signed_request")
    try:
        pairs = [(_text(name), _text(value)) for name, value in headers]
        return pairs, base64.b64decode(body, validate=True)
    except (TypeError, ValueError) as error:
        raise InvalidInput("The delivery was not made by signed_request") from error


def _text(encoded: str) -> str:
    return base64.b64decode(encoded, validate=True).decode("utf-8", "surrogatepass")


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


def _answer(status: int, **result: object) -> dict[str, object]:
    code = result.pop("windmill_status_code", status)
    return {"windmill_status_code": code, "result": result}


def _log(customer: str, endpoint: str, error: PlatformError) -> None:
    from platform_core.observability.logs import get_logger  # noqa: PLC0415 - structlog costs what only a failure pays

    get_logger("windmill.http").error(
        "webhook.not_stored", tenant=customer, endpoint=endpoint, code=error.code, message=error.one_line()
    )
