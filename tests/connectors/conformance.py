"""What every connector must do, whoever the provider is: subclass `ConnectorConformance`, give it a subject.

The suite talks to the provider's stand-in over real HTTP. It says nothing about the provider itself: only a
live smoke test, run on purpose with an account, may claim that. Not here: pagination, because no capability
of the contract lists anything.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import ClassVar, Protocol

import pytest
from pydantic import TypeAdapter

from platform_cli.local.ycloud.scenarios import Answer, Delay, Drop, Refuse, Scenario
from platform_core.connectors import (
    Authentic,
    Capability,
    Connector,
    MessagingClient,
    Rejected,
    load_connector,
)
from platform_core.errors import (
    AmbiguousOutcome,
    ConfigurationError,
    ConnectorError,
    ContractDrift,
    PermanentRefusal,
    PlatformError,
    RateLimited,
    SecretRejected,
    TransientFailure,
    UnsupportedCapability,
)
from platform_core.messaging.contracts import InboundEvent, Party, TemplateMessage, TextMessage

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
    """What the suite needs of a provider's stand-in."""

    def client_config(self) -> dict[str, object]:
        """What `open_client` needs to reach it."""
        ...

    @property
    def requests(self) -> Sequence[Request]:
        """Every request it got."""
        ...

    def messages_with(self, external_id: str) -> Sequence[Mapping[str, object]]:
        """What it accepted under that id."""
        ...

    def next_sends(self, *scenarios: Scenario) -> None:
        """How the next sends are answered."""

    def next_downloads(self, *scenarios: Scenario) -> None:
        """How the next downloads are answered."""

    def add_media(self, content: bytes, mime_type: str) -> str:
        """A link to these bytes."""
        ...

    def add_template(self, name: str, language: str) -> None:
        """Approve a template."""


@dataclass(frozen=True, slots=True)
class Golden:
    """A delivery whose verdict was computed apart from the code."""

    headers: Sequence[tuple[str, str]]
    body: bytes
    secrets: Sequence[str]
    now: datetime
    verdict: Authentic | Rejected


@dataclass(frozen=True, slots=True)
class Subject:
    """One connector under test."""

    connector: Connector
    provider: Callable[[], AbstractContextManager[Provider]]
    open: Callable[..., MessagingClient]  # `open_client` with its seams
    secret_fields: Sequence[str]
    bad_config: Mapping[str, Mapping[str, object]]
    refusals: Mapping[str, tuple[Refuse, type[ConnectorError]]]
    unknown_code: Refuse
    rate_limit: Refuse
    golden: Mapping[str, Golden]
    payloads: Path


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
DRIFTED_DOWNLOADS: dict[str, Answer] = {
    "web page": Answer(200, b"<!doctype html><p>hi", "text/html"),
    "web page that says it is a picture": Answer(200, b"\n <HTML>", "image/png"),
    "JSON": Answer(200, b'{"error":{}}', "application/json"),
    "empty": Answer(200, b"", "image/png"),
    "no content": Answer(204, b"", "image/png"),
    "redirect": Answer(302, b"", "image/png"),
}
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


class ConnectorConformance:
    """The suite. `subject` is the connector under test."""

    subject: ClassVar[Subject]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per row of the subject's tables."""
        tables: dict[str, Mapping[str, object]] = {
            "bad_config": self.subject.bad_config,
            "refusal": self.subject.refusals,
            "golden": self.subject.golden,
            "payload": {path.stem: path for path in sorted(self.subject.payloads.glob("*.json"))},
        }
        for name in set(tables) & set(metafunc.fixturenames):
            metafunc.parametrize(name, list(tables[name].values()), ids=list(tables[name]))

    @pytest.fixture
    def provider(self) -> Iterator[Provider]:
        """A stand-in of its own for each test."""
        with self.subject.provider() as provider:
            provider.add_template(TEMPLATE.name, TEMPLATE.language)
            yield provider

    @pytest.fixture
    def naps(self) -> list[float]:
        """What the client would have slept."""
        return []

    @pytest.fixture
    def client(self, provider: Provider, naps: list[float]) -> Iterator[MessagingClient]:
        """A client that does not sleep and whose clock stands still."""
        config = {**provider.client_config(), "answer_timeout_s": ANSWER_TIMEOUT_S}
        client = self.subject.open(config, clock=FixedClock(), sleep=naps.append, jitter=lambda: 1.0)
        yield client
        client.close()

    # --- What it is -------------------------------------------------------------------------------------

    def test_it_is_found_by_its_name(self) -> None:
        """Through the entry point, as the platform finds it."""
        assert load_connector(self.subject.connector.name) is self.subject.connector

    def test_an_undeclared_capability_raises_and_a_declared_one_does_not(self) -> None:
        """Nothing is silently left undone."""
        connector = self.subject.connector
        mute = replace(connector, capabilities=frozenset())

        for capability in Capability:
            with pytest.raises(UnsupportedCapability):
                mute.require(capability)
        for capability in connector.capabilities:
            connector.require(capability)

    def test_importing_it_reaches_for_no_network_and_no_heavy_module(self) -> None:
        """The webhook's path imports it for verification alone."""
        code = (
            "import sys; from platform_core.connectors import load_connector; "
            f"load_connector({self.subject.connector.name!r}); "
            "sys.exit(str([m for m in ('httpx', 'pydantic', 'structlog') if m in sys.modules]))"
        )
        finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

        assert finished.stderr.strip() == "[]"

    # --- Configuration ------------------------------------------------------------------------------------

    def test_a_bad_configuration_is_refused_by_field_without_its_value(
        self, provider: Provider, bad_config: Mapping[str, object]
    ) -> None:
        """Unknown, missing, empty and placeholder values; None in the table means missing."""
        config = {**provider.client_config(), **bad_config}
        given = {key: value for key, value in config.items() if value is not None}

        with pytest.raises(ConfigurationError) as refusal:
            self.subject.connector.open_client(given)

        shown = refusal.value.one_line()
        field, value = next(iter(bad_config.items()))
        assert field in shown
        assert isinstance(refusal.value, SecretRejected) == (field in self.subject.secret_fields)
        assert not isinstance(value, str) or not value.strip() or value not in shown
        assert not provider.requests

    def test_no_secret_text_or_phone_is_in_any_repr_error_or_log(
        self, provider: Provider, client: MessagingClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Through every way in which a send or a download can end."""
        caplog.set_level(logging.DEBUG)
        link = provider.add_media(PNG, "image/png")
        shown = [repr(client)]

        for scenario in [*OPEN_OUTCOMES.values(), *(row[0] for row in self.subject.refusals.values())]:
            provider.next_sends(scenario)
            shown.append(_told(lambda: client.send(MESSAGE, external_id="e1")))
        for answer in DRIFTED_DOWNLOADS.values():
            provider.next_downloads(answer)
            shown.append(_told(lambda: client.fetch_media(link, max_bytes=1000)))
        shown.append(_told(lambda: client.fetch_media(link + "#", max_bytes=1)))
        shown.append(_told(lambda: client.fetch_media("https://elsewhere.example/" + PHONE, max_bytes=1)))
        client.send(MESSAGE, external_id="e2")
        client.fetch_media(link, max_bytes=1000)

        everything = "\n".join([*shown, caplog.text, *(str(record.__dict__) for record in caplog.records)])
        secrets = [str(provider.client_config()[field]) for field in self.subject.secret_fields]
        for secret in [*secrets, PHONE, PHONE[1:], TEXT, link, link.partition("?")[2], "ade-up words"]:
            assert secret not in everything

    # --- Sending ------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("message", [MESSAGE, TEMPLATE], ids=["text", "template"])
    def test_a_send_is_accepted_once_under_our_id(
        self, provider: Provider, client: MessagingClient, message: TextMessage | TemplateMessage
    ) -> None:
        """One request; the provider's ids and the request id come back."""
        accepted = client.send(message, external_id="outbox-7")

        (stored,) = provider.messages_with("outbox-7")
        assert accepted.provider_message_id == stored["id"]
        assert accepted.request_id
        assert len(provider.requests) == 1

    def test_each_refusal_is_the_error_of_its_table(
        self,
        provider: Provider,
        client: MessagingClient,
        refusal: tuple[Refuse, type[ConnectorError]],
    ) -> None:
        """The class, the provider's own code and its request id; one request and nothing accepted."""
        scenario, expected = refusal
        provider.next_sends(scenario)

        with pytest.raises(ConnectorError) as raised:
            client.send(MESSAGE, external_id="e1")

        assert type(raised.value) is expected
        assert raised.value.provider_code == (scenario.meta_code or scenario.code)
        assert raised.value.request_id.startswith("req_")
        assert raised.value.retryable == (expected is RateLimited)
        assert (len(provider.requests), len(provider.messages_with("e1"))) == (1, 0)

    def test_an_unknown_code_fails_closed_and_keeps_its_value(
        self, provider: Provider, client: MessagingClient
    ) -> None:
        """What nobody knows is never repeated automatically."""
        provider.next_sends(self.subject.unknown_code)

        with pytest.raises(PermanentRefusal) as raised:
            client.send(MESSAGE, external_id="e1")

        assert raised.value.provider_code == self.subject.unknown_code.code
        assert raised.value.retryable is False

    @pytest.mark.parametrize("scenario", OPEN_OUTCOMES.values(), ids=OPEN_OUTCOMES.keys())
    def test_a_send_without_a_clear_answer_is_ambiguous_and_never_repeated(
        self, provider: Provider, client: MessagingClient, scenario: Scenario
    ) -> None:
        """The provider may have taken it: one request, whatever became of it."""
        provider.next_sends(scenario)

        with pytest.raises(AmbiguousOutcome) as raised:
            client.send(MESSAGE, external_id="e1")

        assert raised.value.retryable is False
        assert len(provider.requests) == 1

    def test_a_send_that_reached_nobody_is_transient(self, naps: list[float]) -> None:
        """The connection was refused before a byte was written: nothing was sent, so it may be repeated."""
        with self.subject.provider() as gone:
            config = gone.client_config()
        client = self.subject.open(config, sleep=naps.append)

        with pytest.raises(TransientFailure):
            client.send(MESSAGE, external_id="e1")

        client.close()
        assert naps == []

    @pytest.mark.parametrize(("value", "seconds"), RETRY_AFTER.values(), ids=RETRY_AFTER.keys())
    def test_retry_after_is_a_bounded_floor(
        self, provider: Provider, client: MessagingClient, value: str | None, seconds: float
    ) -> None:
        """Seconds and dates, never below zero, never beyond an hour."""
        provider.next_sends(replace(self.subject.rate_limit, retry_after=value))

        with pytest.raises(RateLimited) as raised:
            client.send(MESSAGE, external_id="e1")

        assert raised.value.retry_after_s == seconds

    @pytest.mark.parametrize("value", DEFAULTED_RETRY_AFTER.values(), ids=DEFAULTED_RETRY_AFTER.keys())
    def test_an_unreadable_retry_after_still_waits(
        self, provider: Provider, client: MessagingClient, value: str | None
    ) -> None:
        """The provider did ask to wait."""
        provider.next_sends(replace(self.subject.rate_limit, retry_after=value))

        with pytest.raises(RateLimited) as raised:
            client.send(MESSAGE, external_id="e1")

        assert 1.0 <= raised.value.retry_after_s <= 60.0

    # --- Fetching -----------------------------------------------------------------------------------------

    def test_a_download_survives_failures_that_pass(
        self, provider: Provider, client: MessagingClient, naps: list[float]
    ) -> None:
        """It is safe to repeat, a bounded number of times, ever slower."""
        link = provider.add_media(PNG, "image/png")
        provider.next_downloads(Refuse(503, "SERVICE_UNAVAILABLE"), Drop())

        media = client.fetch_media(link, max_bytes=1000)

        assert (media.content, media.mime_type) == (PNG, "image/png")
        assert len(provider.requests) == 3
        assert len(naps) == 2
        assert naps == sorted(naps)

    @pytest.mark.parametrize(
        "scenario",
        [
            Refuse(500, "INTERNAL_SERVER_ERROR"),
            Drop(reset=True),
            Delay(ANSWER_TIMEOUT_S * 3),
            Answer(200, PNG, "image/png", truncate=True),
        ],
        ids=["server error", "reset", "no answer in time", "cut transfer"],
    )
    def test_a_download_that_keeps_failing_ends_as_transient(
        self, provider: Provider, client: MessagingClient, scenario: Scenario
    ) -> None:
        """Reads are never ambiguous: they change nothing."""
        link = provider.add_media(PNG, "image/png")
        provider.next_downloads(*[scenario] * 5)

        with pytest.raises(TransientFailure):
            client.fetch_media(link, max_bytes=5000)

        assert len(provider.requests) == 3

    @pytest.mark.parametrize("answer", DRIFTED_DOWNLOADS.values(), ids=DRIFTED_DOWNLOADS.keys())
    def test_an_answer_that_is_no_attachment_is_contract_drift(
        self, provider: Provider, client: MessagingClient, answer: Answer
    ) -> None:
        """It is not repeated: the next answer would be the same."""
        link = provider.add_media(PNG, "image/png")
        provider.next_downloads(answer)

        with pytest.raises(ContractDrift):
            client.fetch_media(link, max_bytes=1000)

        assert len(provider.requests) == 1

    def test_a_download_stops_at_the_size_limit(self, provider: Provider, client: MessagingClient) -> None:
        """One byte more is refused; exactly the limit is not."""
        link = provider.add_media(PNG, "image/png")

        assert client.fetch_media(link, max_bytes=len(PNG)).content == PNG
        with pytest.raises(PermanentRefusal):
            client.fetch_media(link, max_bytes=len(PNG) - 1)

    def test_a_rate_limited_download_is_left_to_the_queue(
        self, provider: Provider, client: MessagingClient, naps: list[float]
    ) -> None:
        """The runner can wait without holding a worker."""
        link = provider.add_media(PNG, "image/png")
        provider.next_downloads(replace(self.subject.rate_limit, retry_after="30"))

        with pytest.raises(RateLimited) as raised:
            client.fetch_media(link, max_bytes=1000)

        assert (raised.value.retry_after_s, naps) == (30.0, [])

    # --- Receiving ----------------------------------------------------------------------------------------

    def test_golden_deliveries_get_their_verdict(self, golden: Golden) -> None:
        """Computed apart from this code."""
        verdict = self.subject.connector.verify(
            golden.headers, golden.body, secrets=golden.secrets, now=golden.now
        )

        assert verdict == golden.verdict

    def test_recorded_payloads_keep_their_translation(self, payload: Path) -> None:
        """Whole events, compared field by field, and their JSON form reads back as itself."""
        record = json.loads(payload.read_text(encoding="utf-8"))
        reader: TypeAdapter[list[InboundEvent]] = TypeAdapter(list[InboundEvent])

        found = list(self.subject.connector.to_events(json.dumps(record["event"]).encode("ascii")))

        assert reader.dump_python(found, mode="json") == record["expected"]
        assert reader.validate_json(reader.dump_json(found)) == found


def _told(deed: Callable[[], object]) -> str:
    """Everything an error tells: its text, facts and traceback."""
    try:
        return repr(deed())
    except PlatformError as error:
        return f"{error!r} {error.one_line()} {error.facts} " + "".join(traceback.format_exception(error))
