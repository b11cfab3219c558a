"""A connector under test: what it is opened with, how it is disturbed, and the tables every suite shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Protocol

from platform_cli.local.scenarios import Answer, Delay, Drop, Refuse, Scenario
from platform_core.connectors import Authentic, Connector, Rejected
from platform_core.errors import ConnectorError
from platform_core.messaging.contracts import Party, TemplateMessage, TextMessage

PHONE = "+56911111111"
TEXT = "Recibimos tu pago de marzo"
TO = Party(phone=PHONE, user_id="CL.1349120865", name="Persona")
MESSAGE = TextMessage(to=TO, body=TEXT)
TEMPLATE = TemplateMessage(to=TO, name="recordatorio", language="es", parameters=("45000",))
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64
ANSWER_TIMEOUT_S = 0.4


class Request(Protocol):
    """One request the provider got."""

    @property
    def method(self) -> str:
        """As in HTTP."""
        ...

    @property
    def body(self) -> bytes:
        """As in HTTP."""
        ...


class Provider(Protocol):
    """What the suites need of every provider's stand-in."""

    def client_config(self) -> dict[str, object]:
        """What `open_client` needs to reach it."""
        ...

    @property
    def requests(self) -> Sequence[Request]:
        """Every request it got."""
        ...


@dataclass(frozen=True, slots=True)
class Deed:
    """One call of a client on the stand-in: do it, disturb its next answers, count what was taken.

    `do` gives a comparable value, which is `expects` when nothing is wrong.
    """

    do: Callable[[Any, Any], object]
    disturb: Callable[..., None]
    taken: Callable[[Any], int] = lambda _provider: 0
    expects: object = None


@dataclass(frozen=True, slots=True)
class Golden:
    """A delivery whose verdict was computed apart from the code."""

    headers: Sequence[tuple[str, str]]
    body: bytes
    secrets: Sequence[str]
    now: datetime
    verdict: Authentic | Rejected


@dataclass(frozen=True, slots=True)
class Receiving:
    """How its webhooks are signed, by hand and apart from the code: `sign(body, unix seconds, secret)`.

    `contract` is the union of what `to_events` gives.
    """

    secret: str
    other_secret: str
    body: bytes
    sign: Callable[[bytes, int, str], Sequence[tuple[str, str]]]
    golden: Mapping[str, Golden]
    payloads: Path
    contract: object


@dataclass(frozen=True, slots=True)
class Calling:
    """How its client is opened and disturbed. `unsaid` are texts that no error, repr or log may hold.

    `make_sound` gives the account what `check` wants to see, `degrade` takes away what needs a person.
    """

    provider: Callable[[], AbstractContextManager[Any]]
    open: Callable[..., Any]  # `open_client` with its seams
    secret_fields: Sequence[str]
    bad_config: Mapping[str, Mapping[str, object]]
    mutation: Deed
    read: Deed
    refusals: Mapping[str, tuple[Refuse, type[ConnectorError]]]
    unknown_code: Refuse
    rate_limit: Refuse
    disturb_look: Callable[..., None]
    make_sound: Callable[[Any], object]
    degrade: Callable[[Any], object]
    unsaid: Callable[[Any], Sequence[str]] = lambda _provider: ()


@dataclass(frozen=True, slots=True)
class Subject:
    """One connector under test. `calling` is None for one that only receives."""

    connector: Connector
    receiving: Receiving
    calling: Calling | None = None


OPEN_OUTCOMES: dict[str, Scenario] = {
    "no answer in time": Delay(ANSWER_TIMEOUT_S * 3),
    "connection closed after the deed": Drop(),
    "connection reset after the deed": Drop(reset=True),
    "connection closed before the deed": Drop(after_accepting=False),
    "server error": Refuse(500, "INTERNAL_SERVER_ERROR"),
    "unavailable": Refuse(503, "SERVICE_UNAVAILABLE", retry_after="1"),
    "bad gateway page": Answer(502, b"<html>bad gateway</html>", "text/html"),
    "redirect": Answer(302, b""),
    "request timeout": Answer(408, b""),
    "web page as a success": Answer(200, b"<!doctype html><p>hi", "text/html", accept=True),
    "empty success": Answer(200, b"", accept=True),
    "success without content": Answer(204, b"", accept=True),
    "cut JSON": Answer(200, b'{"id":"m1","status":"acc', accept=True),
    "cut transfer": Answer(200, b'{"id":"m1",', truncate=True, accept=True),
    "JSON of another shape": Answer(200, b'["m1"]', accept=True),
    "id twice": Answer(200, b'{"id":"m1","id":"m2","status":"accepted"}', accept=True),
    "no id": Answer(200, b'{"status":"accepted"}', accept=True),
    "id of another type": Answer(200, b'{"id":7,"status":"accepted"}', accept=True),
    "somebody else's message": Answer(200, b'{"id":"m1","status":"accepted","externalId":"other"}'),
    "endless answer": Answer(200, b" " * 300_000, accept=True),
}
DRIFTED_READS: dict[str, Answer] = {
    "web page": Answer(200, b"<!doctype html><p>hi", "text/html"),
    "web page that says it is a picture": Answer(200, b"\n <HTML>", "image/png"),
    "JSON": Answer(200, b'{"error":{}}', "application/json"),
    "empty": Answer(200, b"", "image/png"),
    "no content": Answer(204, b"", "image/png"),
    "redirect": Answer(302, b"", "image/png"),
}
FAILING_READS: dict[str, Scenario] = {
    "server error": Refuse(500, "INTERNAL_SERVER_ERROR"),
    "reset": Drop(reset=True),
    "no answer in time": Delay(ANSWER_TIMEOUT_S * 3),
    "cut transfer": Answer(200, PNG, "image/png", truncate=True),
}
CALLBACK = "http://127.0.0.1:9/calls"
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
RETRY_AFTER: dict[str, tuple[str | None, float]] = {
    "seconds": ("3", 3.0),
    "zero": ("0", 0.0),
    "a date": (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
    "a date that passed": (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
    "beyond reason": ("999999999", 3600.0),
    "digits without end": ("9" * 4000, 3600.0),
    "a date beyond reason": ("Wed, 21 Oct 2099 07:28:00 GMT", 3600.0),
}
DEFAULTED_RETRY_AFTER = {"missing": None, "negative": "-5", "words": "soon", "decimal": "1.5", "empty": ""}


class FixedClock:
    """A clock that stands still."""

    def now(self) -> datetime:
        """Noon of the day these tests were written."""
        return NOW
