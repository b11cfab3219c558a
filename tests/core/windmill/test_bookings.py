"""Calendly's route and the steps about bookings and accounts, as Windmill runs them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from platform_cli.local.calendly import payloads
from platform_cli.local.calendly_standin import CalendlyStandIn
from platform_cli.local.ycloud_standin import YCloudStandIn
from platform_core.app import open_app
from platform_core.errors import ConfigurationError, InvalidInput, Refused, SecretRejected, StateConflict
from platform_core.windmill import accounts as account_steps
from platform_core.windmill import bookings as booking_steps
from tests.connectors.calendly.deliveries import OTHER_SECRET, SECRET
from tests.connectors.calendly.deliveries import signed as signed_by_calendly
from tests.support.bookings import PHONE, PHONE_QUESTION, PUPIL_QUESTION, TRIAL
from tests.support.databases import TenantDatabase
from tests.support.doors import CUSTOMER, House, open_house
from tests.support.windmill import send
from tests.support.wmctl import rows_of

ROUTE = f"/api/r/{CUSTOMER}/calendly/bookings"


@pytest.fixture
def house(tenant_db: TenantDatabase) -> Iterator[House]:
    """Einstein Kids' scripts over a database of this test, with Calendly's key."""
    with open_house(tenant_db) as found:
        yield found


@pytest.fixture
def calendly(house: House) -> Iterator[CalendlyStandIn]:
    """Calendly, subscribed to the route of the house."""
    with CalendlyStandIn() as calendly:
        calendly.subscribe(f"{house.url}{ROUTE}", SECRET)
        yield calendly


def work(house: House) -> None:
    """Work the queue without a provider: what is to be sent waits."""
    with open_app(CUSTOMER, house.tenant_db.dsn, connector_config=None) as app:
        app.run_jobs(seconds=20)


def book(calendly: CalendlyStandIn, *, hours: float = 48, **changed: Any) -> payloads.Booking:
    """A parent books a class that begins in so many hours."""
    answers = {PUPIL_QUESTION: "Leo Rojas", PHONE_QUESTION: PHONE}
    starts_at = datetime.now(UTC) + timedelta(hours=hours)
    return calendly.book("Ana Rojas", starts_at=starts_at, answers=answers, kind=TRIAL, **changed)


def bookings(house: House) -> list[dict[str, object]]:
    """Every booking, oldest first."""
    return rows_of(house.tenant_db.admin_dsn, "SELECT state, pupil, course FROM bookings.booking ORDER BY id")


# --- The route --------------------------------------------------------------------------------------------


def test_a_booking_comes_through_the_route_into_a_row_and_a_message(
    house: House, calendly: CalendlyStandIn
) -> None:
    """Signed and posted as Calendly does, through the script in its own process; again, it is a duplicate."""
    event = calendly.event("invitee.created", book(calendly, deliver=False))
    deliveries = calendly.deliver(event, copies=2)
    work(house)

    assert [one.status for one in deliveries] == [200, 200]
    assert [(row["event_type"], row["state"]) for row in house.events()] == [("invitee.created", "handled")]
    assert bookings(house) == [{"state": "booked", "pupil": "Leo Rojas", "course": "Robótica"}]
    assert rows_of(house.tenant_db.admin_dsn, "SELECT purpose, state FROM messaging.outbox") == [
        {"purpose": "booking.confirmed", "state": "queued"}
    ]


@pytest.mark.parametrize("created_first", [False, True])
def test_a_reschedule_in_either_order_is_one_new_booking_and_no_cancellation(
    house: House, calendly: CalendlyStandIn, created_first: bool
) -> None:
    """The whole way: two deliveries, two jobs."""
    booking = book(calendly)
    work(house)
    calendly.reschedule(booking, booking.starts_at + timedelta(days=1), created_first=created_first)
    work(house)

    assert [row["state"] for row in bookings(house)] == ["rescheduled", "booked"]
    assert rows_of(house.tenant_db.admin_dsn, "SELECT purpose, state FROM messaging.outbox ORDER BY id") == [
        {"purpose": "booking.confirmed", "state": "cancelled"},
        {"purpose": "booking.rescheduled", "state": "queued"},
    ]


def test_a_forged_booking_is_refused_and_counted(house: House, calendly: CalendlyStandIn) -> None:
    """401 and nothing of it is kept; a genuine one of last week is held."""
    booking = book(calendly)
    event = calendly.event("invitee.canceled", calendly.cancel(booking, deliver=False))

    (forged,) = calendly.deliver(event, key=OTHER_SECRET)
    (late,) = calendly.deliver(event, signed_at=datetime.now(UTC) - timedelta(days=7))

    assert (forged.status, late.status, house.refusals()) == (401, 200, {"signature_mismatch": 1})
    assert [row["state"] for row in house.events()] == ["received", "held"]


def test_the_answer_of_the_route_shows_nothing_of_the_inside(house: House) -> None:
    """Neither to a forger nor to the provider; another method is no door."""
    body = b'{"event":"invitee.created"}'
    for headers in ([], signed_by_calendly(body, t=int(time.time()))[1:]):
        answer = send(house.url, "POST", ROUTE, body, [("content-type", "application/json"), *headers])
        house.assert_discreet(answer.text)
    assert send(house.url, "GET", ROUTE, b"", []).status == 404


# --- Steps ------------------------------------------------------------------------------------------------


def test_a_class_that_is_over_waits_is_looked_at_and_leads_to_an_enrolment(
    house: House, calendly: CalendlyStandIn
) -> None:
    """What a flow calls, one after the other: ids go in and out, never a word a parent wrote."""
    book(calendly, hours=-2)
    work(house)

    with house.as_job():
        due = booking_steps.due_bookings(CUSTOMER)
        seen = booking_steps.look_at_booking(CUSTOMER, booking="B1")
        first, again = (booking_steps.enrol_booking(CUSTOMER, booking="B1", staff="bruno") for _ in range(2))
        welcomed = booking_steps.welcome_pupil(CUSTOMER, booking="B1")
        after = booking_steps.due_bookings(CUSTOMER)

    assert (due, after) == ({"bookings": ["B1"]}, {"bookings": []})
    assert seen == {"booking": "B1", "state": "booked", "complete": True, "lacks": [], "over": True}
    assert first == {"booking": "B1", "state": "enrolled", "student": "booking-1", "enrolled": True}
    assert again == {**first, "enrolled": False}
    assert welcomed == {"booking": "B1", "queued": False}
    assert "Leo" not in json.dumps([due, seen, first, welcomed])


def test_a_class_may_lead_to_nothing(house: House, calendly: CalendlyStandIn) -> None:
    """Said twice is said once; then it cannot be enrolled."""
    book(calendly, hours=-2)
    work(house)

    with house.as_job():
        said = [
            booking_steps.decline_booking(CUSTOMER, booking="B1", staff="bruno", reason="lejos")
            for _ in range(2)
        ]
        with pytest.raises(StateConflict):
            booking_steps.enrol_booking(CUSTOMER, booking="B1", staff="bruno")

    assert [one["declined"] for one in said] == [True, False]


WRONG: list[dict[str, Any]] = [
    {"booking": ""},
    {"booking": "C1"},
    {"booking": None},
    {"staff": ""},
    {"starts_on": "mañana"},
    {"course": "x" * 121},
    {"student": 7},
]


def test_a_wrong_argument_is_said_by_name(house: House) -> None:
    """Windmill passes what it was given."""
    for wrong in WRONG:
        with house.as_job(), pytest.raises(InvalidInput):
            booking_steps.enrol_booking(CUSTOMER, **{"booking": "B1", "staff": "bruno", **wrong})


# --- Accounts ---------------------------------------------------------------------------------------------


@contextmanager
def accounts(house: House, calendly: CalendlyStandIn) -> Iterator[YCloudStandIn]:
    """Both accounts as resources of the customer."""
    with YCloudStandIn() as ycloud:
        ycloud.add_endpoint(f"{house.url}/api/r/{CUSTOMER}/ycloud/inbound")
        house.resources[f"f/{CUSTOMER}/ycloud"] = {}
        house.change(f"f/{CUSTOMER}/ycloud", **ycloud.client_config())
        house.resources[f"f/{CUSTOMER}/calendly"] = {}
        house.change(f"f/{CUSTOMER}/calendly", callback_url=f"{house.url}{ROUTE}", **calendly.client_config())
        yield ycloud


def test_the_script_brings_a_disabled_subscription_back_and_bookings_come_again(
    house: House, calendly: CalendlyStandIn
) -> None:
    """The thin script in its own process, then a booking through what it made."""
    calendly.subscriptions[0].state = "disabled"
    book(calendly)
    assert house.events() == []

    with accounts(house, calendly):
        results = [house.runtime.run_script(f"f/{CUSTOMER}/check_connectors", {}).value for _ in range(2)]
    book(calendly)

    assert results == [
        {"checked": ["ycloud: ok", "calendly: degraded"], "recreated": ["calendly"]},
        {"checked": ["ycloud: ok", "calendly: ok"], "recreated": []},
    ]
    assert [row["event_type"] for row in house.events()] == ["invitee.created"]
    assert SECRET not in json.dumps(results)


def test_an_account_that_is_down_is_an_alert_and_a_failed_job_and_the_others_are_looked_at(
    house: House, calendly: CalendlyStandIn
) -> None:
    """YCloud does not answer; Calendly is brought back all the same."""
    calendly.subscriptions[0].state = "disabled"

    with accounts(house, calendly):
        house.change(f"f/{CUSTOMER}/ycloud", base_url="http://127.0.0.1:9/v2")
        with house.as_job(), pytest.raises(Refused, match="Not well: ycloud is down"):
            account_steps.check_connectors(CUSTOMER)

    assert [one.state for one in calendly.subscriptions] == ["active"]
    kinds = rows_of(
        house.tenant_db.admin_dsn,
        "SELECT payload->>'kind' AS kind FROM jobs.job WHERE kind = 'alert.raised' ORDER BY id",
    )
    assert [row["kind"] for row in kinds] == ["connector.unwell", "subscription.disabled"]


@pytest.mark.parametrize(
    ("resource", "changed", "expected"),
    [
        ("calendly", {"callback_url": ""}, ConfigurationError),
        ("calendly", {"token": "your-calendly-token-here"}, SecretRejected),
        ("calendly_webhooks", {"bookings": ["short"]}, SecretRejected),
        ("calendly_webhooks", {"bookings": "no-list-but-a-long-enough-text-here"}, ConfigurationError),
    ],
)
def test_a_wrong_resource_is_named_and_nothing_is_subscribed_with_it(
    house: House,
    calendly: CalendlyStandIn,
    resource: str,
    changed: dict[str, object],
    expected: type[Exception],
) -> None:
    """A subscription without a usable key would bring what nobody can verify."""
    calendly.subscriptions[0].state = "disabled"
    before = list(calendly.subscriptions)

    with accounts(house, calendly):
        house.change(f"f/{CUSTOMER}/{resource}", **changed)
        with house.as_job(), pytest.raises(expected) as refusal:
            account_steps.check_connectors(CUSTOMER)

    assert list(calendly.subscriptions) == before
    assert [
        value for value in map(str, changed.values()) if len(value) > 5 and value in str(refusal.value)
    ] == []
