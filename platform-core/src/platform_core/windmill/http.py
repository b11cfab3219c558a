"""Signed webhooks through a Windmill route: verify the raw bytes, store them, answer.

Where a receipt is refused: `receive_signed` below. A delivery that is not provably the provider's is answered
401 and counted, nothing of it is stored. There is no setting that turns verification off.

The event's `body` and `query` are never read: Windmill replaces `$var:` and `$res:` texts in them with the
customer's secrets before any script runs. Only `raw_string` is the provider's own bytes. Scripts call this in
their `preprocessor`: what it returns is what Windmill keeps as the job's arguments, and that is the answer,
never the message, a header or whatever a stranger made Windmill put there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from platform_core.connectors import Connector, Rejection, load_connector
from platform_core.db.connect import open_connection, translated
from platform_core.errors import ConfigurationError, PlatformError
from platform_core.inbox.events import count_refusal, receive
from platform_core.inbox.judging import (
    REFUSED,
    Headers,
    Said,
    facts_of_failure,
    judge,
    said_of_failure,
    said_of_receipt,
)
from platform_core.values import SystemClock
from platform_core.windmill.resources import database_dsn, get_resource

if TYPE_CHECKING:  # structlog costs what only a failure pays
    from structlog.typing import FilteringBoundLogger

Answer = dict[str, object]
"""An HTTP response as Windmill reads it: `windmill_status_code` and `result`."""


def receive_signed(*, customer: str, source: str, endpoint: str, event: object) -> Answer:
    """Judge and store the delivery of one route event. Never raises: a stack would tell a stranger our paths.

    200 stored, held (authentic but stale), duplicate or conflict: it is safe here, do not send it again.
    401 not provably the provider's. 5xx nothing was stored: send it again.
    Idempotent: unique by (source, endpoint, event id).
    """
    try:
        said = _receive(customer, source, endpoint, event)
    except Exception as error:  # noqa: BLE001 - whatever it is, the provider is asked to send it again
        _logger().error("webhook.not_stored", **_facts(customer, endpoint, error))
        said = said_of_failure(error)
    return {"windmill_status_code": int(said[0]), "result": said[1]}


def _receive(customer: str, source: str, endpoint: str, event: object) -> Said:
    headers, body = _read(event)
    connector = load_connector(source)
    secrets = _secrets(connector, customer, endpoint)
    found = judge(connector, endpoint, headers, body, secrets=secrets, now=SystemClock().now())
    if isinstance(found, Rejection):
        _count(customer, source, endpoint, found.value)
        return REFUSED
    dsn = database_dsn(get_resource(f"f/{customer}/database"))
    with (
        open_connection(dsn, application=f"{source}_{endpoint}") as connection,
        translated(dsn),
        connection.transaction(),
    ):
        receipt = receive(connection, found)
    return said_of_receipt(receipt.outcome, receipt.event_id)


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


def _logger() -> FilteringBoundLogger:
    from platform_core.observability.logs import get_logger  # noqa: PLC0415 - only a failure pays for structlog

    return get_logger("windmill.http")


def _facts(customer: str, endpoint: str, error: Exception) -> dict[str, object]:
    return {"tenant": customer, "endpoint": endpoint, "exc_info": error, **facts_of_failure(error)}
