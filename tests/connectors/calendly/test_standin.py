"""The stand-in keeps Calendly's side of the contract, as documented, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest

from platform_cli.local.calendly_standin import CalendlyStandIn
from platform_connectors.calendly.client import open_client
from platform_connectors.calendly.events import to_events
from platform_connectors.calendly.signature import verify
from platform_core.bookings.contracts import BookingCanceled, BookingMade, NoShowMarked
from platform_core.connectors import Authentic, HealthStatus, Rejected, Rejection
from platform_core.errors import InvalidInput
from tests.connectors.calendly.deliveries import OTHER_SECRET, SECRET

MONDAY = datetime(2026, 12, 7, 18, tzinfo=UTC)


@dataclass
class Receiver:
    """Our side: keeps what was delivered and answers what it was told to, then 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    otherwise: int = 200
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
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else receiver.otherwise)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/calendly"
    yield receiver
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def calendly() -> Iterator[CalendlyStandIn]:
    """A stand-in of its own for each test."""
    with CalendlyStandIn(time_scale=0.00001) as calendly:  # a minute is less than a millisecond
        yield calendly


def test_what_it_posts_verifies_with_the_key_of_the_subscription_only(
    calendly: CalendlyStandIn, receiver: Receiver
) -> None:
    """Signed as documented, over the bytes that are sent."""
    calendly.subscribe(receiver.url, SECRET)
    calendly.book("Ana Rojas", starts_at=MONDAY)

    ((headers, body),) = receiver.got
    now = datetime.now(UTC)
    assert isinstance(verify(headers, body, secrets=[SECRET], now=now), Authentic)
    assert verify(headers, body, secrets=[OTHER_SECRET], now=now) == Rejected(Rejection.SIGNATURE_MISMATCH)


def test_a_subscription_without_a_key_sends_what_nobody_can_verify(
    calendly: CalendlyStandIn, receiver: Receiver
) -> None:
    """As at Calendly, where the key is optional: why ours never makes one."""
    calendly.subscribe(receiver.url, None)
    calendly.book("Ana Rojas", starts_at=MONDAY)

    ((headers, body),) = receiver.got
    assert verify(headers, body, secrets=[SECRET], now=datetime.now(UTC)) == Rejected(
        Rejection.HEADER_MISSING
    )


@pytest.mark.parametrize("created_first", [False, True])
def test_a_reschedule_is_a_pair_in_either_order(
    calendly: CalendlyStandIn, receiver: Receiver, created_first: bool
) -> None:
    """Each names the other."""
    calendly.subscribe(receiver.url, SECRET)
    booking = calendly.book("Ana Rojas", starts_at=MONDAY, phone="+56911111111", answers={"Niño": "Leo"})

    moved = calendly.reschedule(booking, MONDAY + timedelta(days=1), created_first=created_first)

    pair = receiver.events()[1:]
    canceled, made = reversed(pair) if created_first else pair
    assert isinstance(canceled, BookingCanceled)
    assert isinstance(made, BookingMade)
    assert (canceled.slot.source_id, canceled.rescheduled, canceled.rescheduled_to) == (
        booking.uri,
        True,
        moved.uri,
    )
    assert (made.slot.source_id, made.slot.rescheduled_from) == (moved.uri, booking.uri)


def test_cancelling_and_missing_a_class_are_told(calendly: CalendlyStandIn, receiver: Receiver) -> None:
    """Marked, taken back, cancelled."""
    calendly.subscribe(receiver.url, SECRET)
    booking = calendly.book("Ana Rojas", starts_at=MONDAY)
    calendly.no_show(booking)
    calendly.no_show(booking, marked=False)
    calendly.cancel(booking, reason="viaje")

    _, marked, unmarked, canceled = receiver.events()
    assert isinstance(marked, NoShowMarked)
    assert isinstance(unmarked, NoShowMarked)
    assert isinstance(canceled, BookingCanceled)
    assert (marked.no_show, unmarked.no_show, canceled.rescheduled) == (True, False, False)


def test_what_was_not_accepted_is_repeated_with_the_same_bytes(
    calendly: CalendlyStandIn, receiver: Receiver
) -> None:
    """A redirect, a 401 and a 500 alike; the time repeating began stays to be seen."""
    subscription = calendly.subscribe(receiver.url, SECRET)
    receiver.statuses = [302, 401, 500]
    calendly.book("Ana Rojas", starts_at=MONDAY)

    assert calendly.settle()
    assert len(receiver.got) == 4
    assert len({body for _, body in receiver.got}) == 1
    assert (subscription.state, subscription.retry_started_at is None) == ("active", False)


def test_a_day_of_failures_disables_the_subscription_for_good(
    calendly: CalendlyStandIn, receiver: Receiver
) -> None:
    """It then gets nothing, also when we are well again; our client sees it."""
    calendly.subscribe(receiver.url, SECRET)
    receiver.otherwise = 500
    calendly.book("Ana Rojas", starts_at=MONDAY)
    assert calendly.settle()
    receiver.otherwise, known = 200, len(receiver.got)

    calendly.book("Luis Soto", starts_at=MONDAY)

    client = open_client(calendly.client_config())
    (seen,) = client.list_subscriptions()
    health = client.check()
    client.close()
    assert (len(receiver.got), seen.is_active, health.status) == (known, False, HealthStatus.DEGRADED)


def test_gone_deletes_the_subscription_at_once(calendly: CalendlyStandIn, receiver: Receiver) -> None:
    """Nothing is repeated: why no door of ours may ever answer 410."""
    calendly.subscribe(receiver.url, SECRET)
    receiver.statuses = [410]
    calendly.book("Ana Rojas", starts_at=MONDAY)

    assert calendly.settle()
    assert (len(receiver.got), list(calendly.subscriptions)) == (1, [])


def test_a_forged_delivery_is_signed_with_another_key_and_not_repeated(
    calendly: CalendlyStandIn, receiver: Receiver
) -> None:
    """It is not the provider's."""
    calendly.subscribe(receiver.url, SECRET)
    booking = calendly.book("Ana Rojas", starts_at=MONDAY, deliver=False)
    receiver.statuses = [401]

    (delivery,) = calendly.deliver(calendly.event("invitee.created", booking), key=OTHER_SECRET)

    assert calendly.settle()
    assert (delivery.status, len(receiver.got)) == (401, 1)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"url": "nowhere"}, 400),
        ({"events": []}, 400),
        ({"events": ["invitee.exploded"]}, 400),
        ({"scope": "galaxy"}, 400),
        ({"scope": "user", "user": None}, 400),
        ({"organization": "https://api.calendly.com/organizations/OTHER"}, 403),
    ],
)
def test_it_refuses_what_an_account_may_not_do(
    calendly: CalendlyStandIn, change: dict[str, object], status: int
) -> None:
    """With Calendly's statuses and titles."""
    asked = {
        "url": "http://127.0.0.1:9/x",
        "events": ["invitee.created"],
        "organization": calendly.account.organization,
        "scope": "organization",
    }
    headers = {"Authorization": f"Bearer {calendly.account.token}"}

    answer = httpx.post(
        f"{calendly.base_url}/webhook_subscriptions", json={**asked, **change}, headers=headers
    )

    assert answer.status_code == status
    assert json.loads(answer.content)["title"] in ("Invalid Argument", "Permission Denied")
    assert not calendly.subscriptions


def test_it_never_posts_off_this_machine(calendly: CalendlyStandIn) -> None:
    """A stand-in that could reach a customer would be no stand-in."""
    with pytest.raises(InvalidInput):
        calendly.subscribe("https://example.org/hook", SECRET)
