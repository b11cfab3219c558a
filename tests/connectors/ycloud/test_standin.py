"""The stand-in keeps YCloud's side of the contract, as documented, over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from platform_cli.local.ycloud.scenarios import Delay, Refuse, ReportPlan
from platform_cli.local.ycloud_standin import Contact, YCloudStandIn
from platform_connectors.ycloud.client import YCloudClient, open_client
from platform_connectors.ycloud.events import to_events
from platform_connectors.ycloud.signature import verify
from platform_core.connectors import Authentic, Rejected, Rejection
from platform_core.errors import InvalidInput, NotFound, RateLimited
from platform_core.messaging.contracts import DeliveryReported, MessageReceived, Party, TextMessage

PHONE = "+56911111111"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TEXT = TextMessage(to=Party(phone=PHONE), body="Hola")


class MovableClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.instant = NOON

    def now(self) -> datetime:
        """Where the test put it."""
        return self.instant


@dataclass
class Receiver:
    """Our side: keeps what was delivered and answers what it was told to."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    got: list[tuple[list[tuple[str, str]], bytes]] = field(default_factory=list)

    def events(self) -> list[object]:
        """Every delivery, translated."""
        return [event for _, body in self.got for event in to_events(body)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook receiver on loopback."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append((list(self.headers.items()), body))
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/w/ycloud"
        yield receiver
        server.shutdown()
        thread.join()


@pytest.fixture
def clock() -> MovableClock:
    """Noon."""
    return MovableClock()


@pytest.fixture
def ycloud(clock: MovableClock) -> Iterator[YCloudStandIn]:
    """A stand-in whose retries come at once."""
    with YCloudStandIn(time_scale=0.0, clock=clock) as ycloud:
        yield ycloud


@pytest.fixture
def client(ycloud: YCloudStandIn) -> Iterator[YCloudClient]:
    """A client of the account."""
    client = open_client({**ycloud.client_config(), "answer_timeout_s": 0.3}, sleep=lambda _: None)
    yield client
    client.close()


# --- Webhooks ---------------------------------------------------------------------------------------------


def test_a_delivery_is_signed_so_that_our_verification_believes_it(
    ycloud: YCloudStandIn, receiver: Receiver
) -> None:
    """The real header, the real bytes, the endpoint's own secret."""
    endpoint = ycloud.add_endpoint(receiver.url)

    (delivery,) = ycloud.send_inbound_text(PHONE, "Ya pagué ☕")

    ((headers, body),) = receiver.got
    assert delivery.is_accepted
    assert verify(headers, body, secrets=[endpoint.secret], now=NOON) == Authentic(
        str(delivery.event["id"]), "whatsapp.inbound_message.received", NOON, stale=False
    )
    assert ("X-Webhook-Endpoint-ID", endpoint.id) in headers
    assert "Ya pagué ☕".encode() in body


def test_a_delivery_may_be_forged_backdated_or_changed(ycloud: YCloudStandIn, receiver: Receiver) -> None:
    """The three lies a receiver must tell apart."""
    secret = ycloud.add_endpoint(receiver.url).secret
    event = ycloud.text_event(PHONE, "Hola")

    ycloud.deliver(event, secret="whsec_platform_core_test_forger")
    ycloud.deliver(event, signed_at=NOON - timedelta(hours=1))
    ycloud.deliver(event, body=b'{"id":"%s","type":"x"}' % str(event["id"]).encode())

    forged, stale, other = (verify(h, b, secrets=[secret], now=NOON) for h, b in receiver.got)
    assert forged == Rejected(Rejection.SIGNATURE_MISMATCH)
    assert isinstance(stale, Authentic)
    assert stale.stale
    assert other == Authentic(str(event["id"]), "x", NOON, stale=False)


@pytest.mark.parametrize("failure", [500, 401, 302, 404])
def test_anything_but_a_success_is_retried_until_it_is_one(
    ycloud: YCloudStandIn, receiver: Receiver, failure: int
) -> None:
    """A 401 and a redirect too; the same event id each time."""
    ycloud.add_endpoint(receiver.url)
    receiver.statuses = [failure, failure]

    (delivery,) = ycloud.send_inbound_text(PHONE, "Hola")

    assert ycloud.settle()
    assert [attempt.status for attempt in delivery.attempts] == [failure, failure, 200]
    assert len({body for _, body in receiver.got}) == 1


def test_after_seven_retries_it_gives_up(ycloud: YCloudStandIn, receiver: Receiver) -> None:
    """Then it is never sent again."""
    ycloud.add_endpoint(receiver.url)
    receiver.statuses = [500] * 20

    ycloud.send_inbound_text(PHONE, "Hola")

    assert ycloud.settle()
    assert len(receiver.got) == 8


def test_a_forged_delivery_is_not_retried(ycloud: YCloudStandIn, receiver: Receiver) -> None:
    """It did not come from the provider."""
    ycloud.add_endpoint(receiver.url)
    receiver.statuses = [401]

    ycloud.deliver(ycloud.text_event(PHONE, "x"), secret="whsec_platform_core_test_forger")

    assert ycloud.settle()
    assert len(receiver.got) == 1


def test_nobody_listening_is_a_failed_attempt(ycloud: YCloudStandIn) -> None:
    """No answer is retried as well."""
    ycloud.add_endpoint("http://127.0.0.1:9/")

    (delivery,) = ycloud.send_inbound_text(PHONE, "Hola")

    assert ycloud.settle()
    assert [attempt.status for attempt in delivery.attempts] == [None] * 8


def test_each_endpoint_gets_the_types_it_asked_for(ycloud: YCloudStandIn, receiver: Receiver) -> None:
    """Two routes of one customer: messages here, reports there."""
    inbound = ycloud.add_endpoint(receiver.url, events=["whatsapp.inbound_message.received"])
    ycloud.add_endpoint(receiver.url, events=["whatsapp.message.updated"])

    deliveries = ycloud.send_inbound_text(PHONE, "Hola")

    assert [delivery.endpoint for delivery in deliveries] == [inbound]


def test_webhooks_never_leave_this_machine(ycloud: YCloudStandIn) -> None:
    """A typing error in a URL must not reach anybody."""
    with pytest.raises(InvalidInput, match="this machine only"):
        ycloud.add_endpoint("https://hooks.example/w")


def test_copies_and_bursts_are_delivered(ycloud: YCloudStandIn, receiver: Receiver) -> None:
    """The same event three times, and forty at once."""
    ycloud.add_endpoint(receiver.url)
    event = ycloud.text_event(PHONE, "Hola")

    ycloud.deliver(event, copies=3)
    burst = ycloud.deliver_all([ycloud.text_event(PHONE, f"m{number}") for number in range(40)])

    assert len(receiver.got) == 43
    assert all(delivery.is_accepted for delivery in burst)
    assert len({json.loads(body)["id"] for _, body in receiver.got}) == 41


def test_a_picture_is_served_under_the_link_of_its_message(
    ycloud: YCloudStandIn, receiver: Receiver, client: YCloudClient
) -> None:
    """From the webhook to the bytes, as a receipt travels; the sender hides the phone."""
    ycloud.add_endpoint(receiver.url)
    picture = b"\x89PNG\r\n\x1a\n" + b"\x01" * 500

    ycloud.send_inbound_image(Contact(user_id="CL.1", name="Ana"), picture, "image/png", "pago marzo")

    (found,) = receiver.events()
    assert isinstance(found, MessageReceived)
    assert found.sender == Party(user_id="CL.1", name="Ana")
    assert found.attachment is not None
    assert client.fetch_media(found.attachment.link, max_bytes=1000).content == picture


# --- What becomes of a send -------------------------------------------------------------------------------


def test_reports_follow_an_accepted_message_as_planned(
    ycloud: YCloudStandIn, receiver: Receiver, client: YCloudClient
) -> None:
    """Backwards, twice each, one of them never."""
    ycloud.add_endpoint(receiver.url, events=["whatsapp.message.updated"])
    ycloud.text_event(PHONE, "Hola")
    ycloud.report_plan = ReportPlan(
        ("sent", "delivered", "read"), drop=frozenset({"delivered"}), backwards=True, copies=2
    )

    accepted = client.send(TEXT, external_id="outbox-7")

    assert ycloud.settle()
    reports = [event for event in receiver.events() if isinstance(event, DeliveryReported)]
    assert [report.status for report in reports] == ["read", "read", "sent", "sent"]
    assert {(r.provider_message_id, r.wamid, r.external_id) for r in reports} == {
        (accepted.provider_message_id, accepted.wamid, "outbox-7")
    }


def test_a_report_may_be_made_by_hand_for_an_accepted_message_only(
    ycloud: YCloudStandIn, receiver: Receiver, client: YCloudClient
) -> None:
    """With a code of either kind."""
    ycloud.add_endpoint(receiver.url)
    ycloud.text_event(PHONE, "Hola")
    accepted = client.send(TEXT, external_id="outbox-7")

    ycloud.report(accepted.provider_message_id, "failed", error_code="131026", at=NOON + timedelta(minutes=1))

    (report,) = receiver.events()
    assert isinstance(report, DeliveryReported)
    assert (report.error_code, report.updated_at) == ("131026", NOON + timedelta(minutes=1))
    with pytest.raises(NotFound):
        ycloud.report("nobody", "sent")


def test_a_text_outside_the_window_is_accepted_and_fails_later(
    ycloud: YCloudStandIn, receiver: Receiver, client: YCloudClient, clock: MovableClock
) -> None:
    """The provider learns it from Meta, and tells by webhook; a template goes out."""
    ycloud.add_endpoint(receiver.url, events=["whatsapp.message.updated"])
    ycloud.text_event(PHONE, "Hola")
    client.send(TEXT, external_id="inside")
    clock.instant += timedelta(hours=24)

    client.send(TEXT, external_id="outside")

    assert ycloud.settle()
    (report,) = receiver.events()
    assert isinstance(report, DeliveryReported)
    assert (report.external_id, report.status, report.error_code) == ("outside", "failed", "131047")


def test_who_unsubscribed_gets_nothing_until_subscribed_again(
    ycloud: YCloudStandIn, receiver: Receiver, client: YCloudClient
) -> None:
    """Accepted, then refused by webhook, because the send asks for the filter."""
    ycloud.add_endpoint(receiver.url, events=["whatsapp.message.updated"])
    ycloud.text_event(PHONE, "Hola")
    ycloud.opt_out_event(PHONE)
    client.send(TEXT, external_id="one")
    assert ycloud.settle()
    ycloud.opt_out_event(PHONE, opted_out=False)
    client.send(TEXT, external_id="two")
    assert ycloud.settle()

    reports = [event for event in receiver.events() if isinstance(event, DeliveryReported)]
    assert [(r.external_id, r.error_code) for r in reports] == [("one", "RECIPIENT_UNSUBSCRIBED")]


def test_scenarios_are_played_once_each_and_then_the_truth_answers(
    ycloud: YCloudStandIn, client: YCloudClient
) -> None:
    """A timed-out send was taken all the same: that is what makes it ambiguous."""
    ycloud.next_sends(Refuse(429, "TOO_MANY_REQUESTS", retry_after="7"), Delay(1.0))

    with pytest.raises(RateLimited) as limited:
        client.send(TEXT, external_id="one")
    with pytest.raises(Exception, match="may have been taken"):
        client.send(TEXT, external_id="two")
    client.send(TEXT, external_id="three")

    assert limited.value.retry_after_s == 7.0
    assert [len(ycloud.messages_with(name)) for name in ("one", "two", "three")] == [0, 1, 1]


# --- The rest of the API ----------------------------------------------------------------------------------


def test_the_reads_of_an_account_need_its_key(ycloud: YCloudStandIn) -> None:
    """Balance, endpoint, templates, message: 401 without the key, 404 for what is not there."""
    endpoint = ycloud.add_endpoint("http://127.0.0.1:9/")
    ycloud.add_template("recordatorio", "es")
    paths = {
        "/balance": {"amount": 190.0765, "currency": "USD"},
        f"/webhookEndpoints/{endpoint.id}": {
            "id": endpoint.id,
            "url": "http://127.0.0.1:9/",
            "status": "active",
        },
        "/whatsapp/templates?limit=1": {
            "items": [{"name": "recordatorio", "language": "es", "status": "APPROVED"}]
        },
    }

    with httpx.Client(trust_env=False) as http:
        for path, expected in paths.items():
            assert http.get(ycloud.base_url + path).status_code == 401
            found = http.get(ycloud.base_url + path, headers={"X-API-Key": ycloud.api_key})
            assert found.json() == expected
        missing = http.get(f"{ycloud.base_url}/whatsapp/messages/none", headers={"X-API-Key": ycloud.api_key})

    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "BAD_REQUEST"),
        (b"[]", "BAD_REQUEST"),
        (b"{}", "PARAM_MISSING"),
        (b'{"from":"+56900000001","type":"text"}', "PARAM_MISSING"),
        (b'{"from":"+56900000001","type":"text","to":"569"}', "PARAM_INVALID"),
        (b'{"from":"+56900000001","type":"poll","to":"+56911111111"}', "PARAM_INVALID"),
        (b'{"from":"+56900000001","type":"text","to":"+56911111111","text":{}}', "PARAM_MISSING"),
        (
            b'{"from":"+56900000001","type":"text","to":"+56911111111","text":{"body":"%s"}}' % (b"a" * 4097),
            "PARAM_INVALID_LENGTH",
        ),
    ],
)
def test_a_send_that_is_not_as_documented_is_refused(ycloud: YCloudStandIn, body: bytes, code: str) -> None:
    """With the code that the provider documents for it."""
    with httpx.Client(trust_env=False) as http:
        answer = http.post(
            f"{ycloud.base_url}/whatsapp/messages", content=body, headers={"X-API-Key": ycloud.api_key}
        )

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert answer.headers["YCloud-Request-ID"] == answer.json()["error"]["requestId"]
