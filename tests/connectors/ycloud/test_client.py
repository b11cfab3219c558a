"""YCloud's client against the stand-in: the exact requests, whom the key reaches, and what a picture is."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

import httpx
import pytest

from platform_cli.local.ycloud.scenarios import Answer, Refuse
from platform_cli.local.ycloud_standin import SENDER_PHONE, YCloudStandIn
from platform_connectors.exchange import retry_after_s
from platform_connectors.ycloud.client import BASE_URL, YCloudClient, open_client
from platform_connectors.ycloud.failures import META_CODES, YCLOUD_CODES
from platform_connectors.ycloud.media import checked_link, checked_type
from platform_core.connectors import MessagingClient
from platform_core.errors import (
    AmbiguousOutcome,
    AuthRejected,
    ConnectorMisconfigured,
    ContractDrift,
    PermanentRefusal,
    PreconditionUnmet,
    RecipientOptedOut,
    RecipientRefused,
    TransientFailure,
)
from platform_core.messaging.contracts import Party, TemplateMessage, TextMessage
from tests.connectors.ycloud.test_conformance import REFUSALS

PHONE = "+56911111111"
TEXT = TextMessage(to=Party(phone=PHONE), body="Hola, ¿qué tal? ☕")
JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 40
CONFIG = {"api_key": "not-a-real-key-of-any-account", "sender_phone": SENDER_PHONE}


@pytest.fixture
def ycloud() -> Iterator[YCloudStandIn]:
    """A stand-in of its own for each test."""
    with YCloudStandIn() as ycloud:
        yield ycloud


class Connect(Protocol):
    """Opens a client that does not sleep."""

    def __call__(
        self, config: Mapping[str, object], answer: Callable[[httpx.Request], httpx.Response] | None = None
    ) -> YCloudClient:
        """`answer` replaces the network."""
        ...


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Opens clients and closes them in the end."""
    opened: list[YCloudClient] = []

    def connect(
        config: Mapping[str, object], answer: Callable[[httpx.Request], httpx.Response] | None = None
    ) -> YCloudClient:
        transport = httpx.MockTransport(answer) if answer else None
        opened.append(open_client(config, transport=transport, sleep=lambda _: None))
        return opened[-1]

    yield connect
    for client in opened:
        client.close()


@pytest.fixture
def client(ycloud: YCloudStandIn, connect: Connect) -> YCloudClient:
    """A client of the stand-in's account."""
    return connect(ycloud.client_config())


def sent(ycloud: YCloudStandIn) -> object:
    """The body of the one request."""
    (request,) = ycloud.requests
    return json.loads(request.body)


# --- What is sent -------------------------------------------------------------------------------------------


def test_a_text_is_sent_as_documented_with_both_filters_on(
    ycloud: YCloudStandIn, client: YCloudClient
) -> None:
    """People who said stop, or whom the customer blocked, are left alone by the provider as well."""
    accepted = client.send(TEXT, external_id="outbox-7")

    assert accepted.status == "accepted"
    assert accepted.wamid.startswith("wamid.")
    assert sent(ycloud) == {
        "from": SENDER_PHONE,
        "to": PHONE,
        "type": "text",
        "text": {"body": "Hola, ¿qué tal? ☕", "preview_url": False},
        "externalId": "outbox-7",
        "filterUnsubscribed": True,
        "filterBlocked": True,
    }


def test_a_template_is_sent_as_documented(ycloud: YCloudStandIn, client: YCloudClient) -> None:
    """Parameters of the body, in order; to a person who hides the phone."""
    ycloud.add_template("recordatorio", "es")
    to = Party(user_id="CL.13491208655302741918")

    client.send(
        TemplateMessage(to=to, name="recordatorio", language="es", parameters=("Ana", "CLP 45000")),
        external_id="outbox-8",
    )

    assert sent(ycloud) == {
        "from": SENDER_PHONE,
        "recipient": "CL.13491208655302741918",
        "type": "template",
        "template": {
            "name": "recordatorio",
            "language": {"code": "es", "policy": "deterministic"},
            "components": [
                {
                    "type": "body",
                    "parameters": [{"type": "text", "text": "Ana"}, {"type": "text", "text": "CLP 45000"}],
                }
            ],
        },
        "externalId": "outbox-8",
        "filterUnsubscribed": True,
        "filterBlocked": True,
    }


@pytest.mark.parametrize(
    ("to", "external_id"), [(Party(), "x"), (Party(phone=PHONE), ""), (Party(phone=PHONE), "\n")]
)
def test_a_send_that_nobody_could_trace_or_receive_is_not_made(
    ycloud: YCloudStandIn, client: YCloudClient, to: Party, external_id: str
) -> None:
    """It is refused before the network."""
    with pytest.raises(PermanentRefusal):
        client.send(TextMessage(to=to, body="x"), external_id=external_id)

    assert not ycloud.requests


def test_the_key_of_another_account_is_refused(ycloud: YCloudStandIn, connect: Connect) -> None:
    """The stand-in checks the key as the provider does."""
    client = connect({**ycloud.client_config(), "api_key": CONFIG["api_key"]})

    with pytest.raises(AuthRejected):
        client.send(TEXT, external_id="x")


def test_what_the_account_may_not_do_is_refused(ycloud: YCloudStandIn, connect: Connect) -> None:
    """A sender that is not ours, a template nobody approved, an empty balance."""
    foreign = connect({**ycloud.client_config(), "sender_phone": "+56900000099"})
    client = connect(ycloud.client_config())

    with pytest.raises(ConnectorMisconfigured):
        foreign.send(TEXT, external_id="x")
    with pytest.raises(ConnectorMisconfigured):
        client.send(TemplateMessage(to=TEXT.to, name="nobody", language="es"), external_id="x")
    ycloud.account.balance = 0
    with pytest.raises(PreconditionUnmet):
        client.send(TEXT, external_id="x")


@pytest.mark.parametrize(
    ("code", "expected"),
    [("RECIPIENT_UNSUBSCRIBED", RecipientOptedOut), ("131026", RecipientRefused), ("NEW", PermanentRefusal)],
)
def test_a_success_that_says_failed_is_a_refusal(
    ycloud: YCloudStandIn, client: YCloudClient, code: str, expected: type[Exception]
) -> None:
    """The answer carries the code of either kind in one field."""
    body = json.dumps({"id": "m1", "status": "failed", "errorCode": code}).encode()
    ycloud.next_sends(Answer(200, body))

    with pytest.raises(expected) as raised:
        client.send(TEXT, external_id="x")

    assert vars(raised.value)["provider_code"] == code


@pytest.mark.parametrize("status", [400, 404, 409, 403, 418])
def test_a_refusal_without_a_readable_envelope_is_judged_by_its_status(
    ycloud: YCloudStandIn, client: YCloudClient, status: int
) -> None:
    """A firewall's page refuses as well as the API does: not ambiguous, and its words are not quoted."""
    ycloud.next_sends(Answer(status, b"<html>+56911111111 blocked</html>", "text/html"))

    with pytest.raises(Exception, match=f"answered {status} without a code") as raised:
        client.send(TEXT, external_id="x")

    assert not isinstance(raised.value, AmbiguousOutcome)
    assert PHONE not in f"{raised.value!r}"


def test_every_code_of_the_tables_is_a_row_of_the_conformance_suite() -> None:
    """A code added to a table without its test fails here."""
    assert set(META_CODES) | set(YCLOUD_CODES) <= set(REFUSALS)
    for name, (_, code, meta_code, expected) in REFUSALS.items():
        table, key = (META_CODES, meta_code) if meta_code else (YCLOUD_CODES, code)
        assert key != name or table[key] is expected


# --- Whom the key reaches -----------------------------------------------------------------------------------


def test_the_real_host_is_the_default_and_the_key_travels_as_a_header(connect: Connect) -> None:
    """Seen through a transport of our own: nothing leaves this machine."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"id": "m1", "status": "accepted"})

    client = connect(CONFIG, answer)
    client.send(TEXT, external_id="x")

    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", f"{BASE_URL}/whatsapp/messages")
    assert request.headers["X-API-Key"] == CONFIG["api_key"]


@pytest.mark.parametrize(
    "base_url", ["https://api.ycloud.com", "https://api.ycloud.com/v2/", "https://API.ycloud.com:443/v2"]
)
def test_the_real_host_may_be_written_in_several_ways(base_url: str, connect: Connect) -> None:
    """All mean the same."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200, json={"id": "m1", "status": "accepted"})

    connect({**CONFIG, "base_url": base_url}, answer).send(TEXT, external_id="x")

    assert seen == [f"{BASE_URL}/whatsapp/messages"]


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ReadTimeout,
        httpx.WriteTimeout,
        httpx.ReadError,
        httpx.WriteError,
        httpx.CloseError,
        httpx.RemoteProtocolError,
        httpx.ProxyError,
        httpx.DecodingError,
    ],
)
def test_a_transport_that_fails_after_the_connection_is_ambiguous(
    failure: type[httpx.RequestError], connect: Connect
) -> None:
    """Whatever the transport calls it, a byte may have been written; it is not called twice."""
    calls: list[int] = []
    client = connect(CONFIG, _raising(failure, calls))

    with pytest.raises(AmbiguousOutcome) as raised:
        client.send(TEXT, external_id="x")

    assert raised.value.facts == {"reason": "no_answer", "cause": failure.__name__}
    assert len(calls) == 1


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
def test_a_transport_that_fails_before_the_connection_sent_nothing(
    failure: type[httpx.RequestError], connect: Connect
) -> None:
    """Then it may be tried again, by the queue and not here."""
    calls: list[int] = []
    client = connect(CONFIG, _raising(failure, calls))

    with pytest.raises(TransientFailure):
        client.send(TEXT, external_id="x")

    assert len(calls) == 1


def _raising(
    failure: type[httpx.RequestError], calls: list[int]
) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(1)
        raise failure("secret words of the transport", request=request)

    return answer


def test_a_redirect_is_followed_by_neither_a_send_nor_a_download(connect: Connect) -> None:
    """It would carry the key to whoever the answer names."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url.host))
        return httpx.Response(302, headers={"Location": "https://elsewhere.example/"})

    client = connect(CONFIG, answer)

    with pytest.raises(AmbiguousOutcome):
        client.send(TEXT, external_id="x")
    with pytest.raises(ContractDrift):
        client.fetch_media(f"{BASE_URL}/whatsapp/media/download/1", max_bytes=100)
    assert seen == ["api.ycloud.com", "api.ycloud.com"]


def test_a_proxy_of_the_machine_does_not_see_the_key(
    ycloud: YCloudStandIn, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment decides nothing about where the key goes."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    connect(ycloud.client_config()).send(TEXT, external_id="x")

    assert len(ycloud.requests) == 1


def test_a_date_in_the_past_asks_for_no_wait() -> None:
    """A wait is never negative."""
    now = datetime(2026, 11, 23, tzinfo=UTC)

    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT", now, default_s=6.0) == 0.0
    assert retry_after_s("Mon, 23 Nov 2026 00:00:05 -0000", now, default_s=6.0) == 5.0


@contextmanager
def dripping(first: bytes) -> Iterator[str]:
    """A server that answers one byte at a time and never ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(first)
                while not stop.wait(0.05):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        stop.set()
        thread.join()


def test_an_answer_that_drips_is_cut_off(connect: Connect) -> None:
    """Each byte comes in time and the whole never does: the deadline is for the whole."""
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n") as base_url:
        client = connect({**CONFIG, "base_url": base_url, "answer_timeout_s": 0.3})

        with pytest.raises(AmbiguousOutcome):
            client.send(TEXT, external_id="x")


def test_an_encoded_answer_is_not_unfolded(ycloud: YCloudStandIn, connect: Connect) -> None:
    """We ask for none; a few kilobytes could become gigabytes."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"x"))

    client = connect(ycloud.client_config(), answer)

    with pytest.raises(AmbiguousOutcome):
        client.send(TEXT, external_id="x")
    with pytest.raises(TransientFailure):
        client.fetch_media(ycloud.add_media(JPEG, "image/jpeg"), max_bytes=100)


# --- What is fetched ----------------------------------------------------------------------------------------


def test_an_attachment_comes_with_our_own_hash(ycloud: YCloudStandIn, client: MessagingClient) -> None:
    """The provider's checksum is a claim; this one is of the bytes we hold."""
    media = client.fetch_media(ycloud.add_media(JPEG, "image/jpeg"), max_bytes=100)

    assert media.content == JPEG
    assert media.mime_type == "image/jpeg"
    assert media.sha256 == hashlib.sha256(JPEG).digest()


def test_an_attachment_that_is_gone_is_gone_for_good(ycloud: YCloudStandIn, client: MessagingClient) -> None:
    """After a month the provider forgets it; asking again does not help."""
    link = ycloud.add_media(JPEG, "image/jpeg")
    ycloud.expire_media(link)

    with pytest.raises(PermanentRefusal) as raised:
        client.fetch_media(link, max_bytes=100)

    assert raised.value.provider_code == "NOT_FOUND"
    assert len(ycloud.requests) == 1


def test_a_size_that_is_announced_is_refused_before_it_is_read(
    ycloud: YCloudStandIn, client: MessagingClient
) -> None:
    """The content is not downloaded first."""
    ycloud.next_downloads(Answer(200, JPEG, "image/jpeg", truncate=True))

    with pytest.raises(PermanentRefusal) as raised:
        client.fetch_media(ycloud.add_media(JPEG, "image/jpeg"), max_bytes=100)

    assert raised.value.facts["reason"] == "too_large"


def test_a_size_that_is_not_announced_is_counted_while_it_streams(
    ycloud: YCloudStandIn, connect: Connect
) -> None:
    """A body without a length ends when the limit is reached."""
    taken: list[int] = []

    def stream() -> Iterator[bytes]:
        for _ in range(1000):
            taken.append(1)
            yield JPEG

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Type": "image/jpeg"}, content=stream())

    client = connect(ycloud.client_config(), answer)

    with pytest.raises(PermanentRefusal):
        client.fetch_media(ycloud.add_media(JPEG, "image/jpeg"), max_bytes=len(JPEG) * 3)

    assert len(taken) == 4


def test_sixty_megabytes_over_a_real_connection_are_cut_off_at_the_limit(connect: Connect) -> None:
    """The sender finds the connection closed long before it has said everything; nothing is kept."""
    with _endless_picture(megabytes=60) as (port, sent):
        client = connect(CONFIG | {"base_url": f"http://127.0.0.1:{port}/v2"})
        with pytest.raises(PermanentRefusal) as raised:
            client.fetch_media(f"http://127.0.0.1:{port}/v2/whatsapp/media/download/1", max_bytes=1_000_000)

    assert raised.value.facts["reason"] == "too_large"
    assert 1_000_000 <= sent[0] < 30_000_000  # what the kernel had room for was on its way


@contextmanager
def _endless_picture(*, megabytes: int) -> Iterator[tuple[int, list[int]]]:
    """A server that answers one request with a picture of so many megabytes and no length; counts them."""
    sent = [0]

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
            try:
                connection.sendall(head)
                for _ in range(megabytes * 16):
                    connection.sendall(b"10000\r\n" + JPEG.ljust(65536, b".") + b"\r\n")
                    sent[0] += 65536
            except OSError:
                return  # hung up, as it should

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], sent
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_a_foreign_link_is_never_requested(ycloud: YCloudStandIn, client: MessagingClient) -> None:
    """Not even to be refused."""
    with YCloudStandIn() as other:
        link = other.add_media(JPEG, "image/jpeg")
        with pytest.raises(PermanentRefusal):
            client.fetch_media(link, max_bytes=100)

        assert (len(ycloud.requests), len(other.requests)) == (0, 0)


@pytest.mark.parametrize(
    "scheme_host", ["https://api.ycloud.com", "https://API.YCLOUD.COM", "https://api.ycloud.com:443"]
)
def test_a_link_on_the_real_host_is_taken(scheme_host: str) -> None:
    """With its query, which opens it."""
    link = checked_link(f"{scheme_host}/v2/whatsapp/media/download/1?sig=t=1,s=x", httpx.URL(BASE_URL))

    assert str(link) == "https://api.ycloud.com/v2/whatsapp/media/download/1?sig=t=1,s=x"


@pytest.mark.parametrize(
    ("declared", "content", "expected"),
    [
        ("image/jpeg", JPEG, "image/jpeg"),
        ("image/jpg", JPEG, "image/jpeg"),
        ("IMAGE/JPEG; q=1", JPEG, "image/jpeg"),
        ("", JPEG, "image/jpeg"),
        ("application/octet-stream", b"%PDF-1.4", "application/pdf"),
        ("image/png", b"\x89PNG\r\n\x1a\nIHDR", "image/png"),
        ("image/webp", b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        ("image/heif", b"\x00\x00\x00\x18ftypheic", "image/heic"),
        ("text/plain", b"hola", "text/plain"),
        ("", b"hola", "application/octet-stream"),
    ],
)
def test_the_type_is_what_the_bytes_prove_or_else_what_was_declared(
    declared: str, content: bytes, expected: str
) -> None:
    """A type nothing here can prove is passed on as declared: the policy decides whether it is accepted."""
    assert checked_type(declared, content) == expected


def test_a_refused_download_keeps_the_code(ycloud: YCloudStandIn, client: MessagingClient) -> None:
    """The key was revoked between the message and its attachment."""
    ycloud.next_downloads(Refuse(401, "UNAUTHORIZED"))

    with pytest.raises(AuthRejected) as raised:
        client.fetch_media(ycloud.add_media(JPEG, "image/jpeg"), max_bytes=100)

    assert raised.value.provider_code == "UNAUTHORIZED"
