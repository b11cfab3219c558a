"""A dead subscription is an alert and comes back, through the real client, whatever happens on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from platform_cli.local.calendly_standin import CalendlyStandIn
from platform_cli.local.scenarios import Drop, Refuse
from platform_connectors.calendly.client import open_client
from platform_core.connectors import Health, HealthStatus, Subscription
from platform_core.db import Tx
from platform_core.errors import AmbiguousOutcome, ConnectorMisconfigured
from platform_core.observability import connections
from platform_core.observability.connections import (
    Kept,
    Wanted,
    decide_condition,
    keep_subscription,
    note_health,
)
from tests.connectors.calendly.deliveries import SECRET
from tests.support.databases import TenantDatabase

URL = "http://127.0.0.1:9/calendly"
WANTED = Wanted("calendly", URL, SECRET)
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


class Watch:
    """One customer that looks at its subscription."""

    def __init__(self, tenant_db: TenantDatabase, calendly: CalendlyStandIn) -> None:
        self.tenant_db, self.calendly = tenant_db, calendly

    @contextmanager
    def tx(self) -> Iterator[Tx]:
        """One transaction of the customer's own login."""
        with self.tenant_db.connect() as connection, connection.transaction():
            yield connection

    def look(self, now: datetime = NOW) -> Kept:
        """Once."""
        with closing(open_client(self.calendly.client_config(), sleep=lambda _: None)) as client:
            return keep_subscription(client, WANTED, tx=self.tx, now=now)

    def alerts(self) -> list[tuple[object, object, object]]:
        """Kind, severity and condition of every alert, oldest first."""
        with self.tenant_db.admin() as admin:
            rows = admin.execute(
                "SELECT payload FROM jobs.job WHERE kind = 'alert.raised' ORDER BY id"
            ).fetchall()
        return [(row[0]["kind"], row[0]["severity"], row[0]["detail"].get("condition")) for row in rows]

    def acts(self) -> list[tuple[str, object]]:
        """What is on record, with its detail."""
        with self.tenant_db.admin() as admin:
            rows = admin.execute("SELECT body FROM audit.entry ORDER BY seq").fetchall()
        acts = [json.loads(row[0]) for row in rows]
        return [(act["action"], act["detail"]) for act in acts if act["action"].startswith("subscription.")]


@pytest.fixture
def watch(tenant_db: TenantDatabase) -> Iterator[Watch]:
    """A customer of its own for each test."""
    with CalendlyStandIn() as calendly:
        yield Watch(tenant_db, calendly)


LOST, BACK = (
    ("subscription.lost", {"condition": "disabled"}),
    ("subscription.recreated", {"by_another": False}),
)


def test_an_active_subscription_is_left_alone(watch: Watch) -> None:
    """One listing, no word."""
    watch.calendly.subscribe(URL, SECRET)

    assert watch.look() == Kept("active", recreated=False)
    assert (watch.alerts(), watch.acts(), len(watch.calendly.requests)) == ([], [], 1)


def test_a_disabled_subscription_is_an_alert_and_is_made_again_with_our_key(watch: Watch) -> None:
    """The dead one is deleted; a second look finds nothing to do."""
    dead = watch.calendly.subscribe(URL, SECRET)
    dead.state = "disabled"

    assert [watch.look(), watch.look()] == [Kept("disabled", recreated=True), Kept("active", recreated=False)]

    (alive,) = watch.calendly.subscriptions
    assert (alive.url, alive.state, alive.signing_key, alive.uri != dead.uri) == (URL, "active", SECRET, True)
    assert watch.alerts() == [("subscription.disabled", "P1", "disabled")]
    assert watch.acts() == [LOST, BACK]


def test_a_subscription_that_is_gone_is_made(watch: Watch) -> None:
    """Deleted by hand, or by an answer 410; those of others are left alone."""
    other = watch.calendly.subscribe("http://127.0.0.1:9/other", SECRET)

    assert watch.look() == Kept("gone", recreated=True)
    assert watch.alerts() == [("subscription.gone", "P1", "gone")]
    assert {one.url for one in watch.calendly.subscriptions} == {URL, other.url}


def test_a_failing_subscription_is_an_alert_once_and_is_not_touched(watch: Watch) -> None:
    """The provider still repeats; deleting it would lose what waits. New failures are a new alert."""
    ours = watch.calendly.subscribe(URL, SECRET)
    ours.retry_started_at = NOW - timedelta(hours=1)

    assert [watch.look(), watch.look()] == [Kept("failing", recreated=False)] * 2
    ours.retry_started_at = NOW - timedelta(minutes=1)
    watch.look()

    assert watch.alerts() == [("subscription.failing", "P2", "failing")] * 2
    assert (watch.acts(), list(watch.calendly.subscriptions)) == ([], [ours])


def test_failures_of_another_day_are_over(watch: Watch) -> None:
    """The provider keeps the time of the last ones."""
    watch.calendly.subscribe(URL, SECRET).retry_started_at = NOW - timedelta(hours=25)

    assert watch.look() == Kept("active", recreated=False)


@pytest.mark.parametrize(
    "scenario", [Drop(), Drop(after_accepting=False), Refuse(503, "Service Unavailable")]
)
def test_a_deletion_nobody_confirmed_is_looked_at_again(watch: Watch, scenario: Drop | Refuse) -> None:
    """Whichever of both happened: the next look brings the subscription back, once."""
    watch.calendly.subscribe(URL, SECRET).state = "disabled"
    watch.calendly.next_mutations(scenario)

    with pytest.raises(AmbiguousOutcome):
        watch.look()
    assert watch.acts() == [LOST]

    assert watch.look().recreated
    assert [one.state for one in watch.calendly.subscriptions] == ["active"]


@pytest.mark.parametrize("after", [True, False])
def test_a_creation_nobody_confirmed_makes_no_second_one(watch: Watch, after: bool) -> None:
    """Taken or not: the next look sees."""
    watch.calendly.next_mutations(Drop(after_accepting=after))

    with pytest.raises(AmbiguousOutcome):
        watch.look()

    assert watch.look() == (Kept("active", recreated=False) if after else Kept("gone", recreated=True))
    assert len(watch.calendly.subscriptions) == 1


def test_somebody_who_was_quicker_is_no_failure(watch: Watch) -> None:
    """Two looks at once: the provider takes one subscription for a URL."""
    dead = watch.calendly.subscribe(URL, SECRET)
    dead.state = "disabled"

    class Slow:
        """A client that another look overtakes between its listing and its deletion."""

        def __init__(self) -> None:
            self.client = open_client(watch.calendly.client_config())
            self.list_subscriptions = self.client.list_subscriptions
            self.create_subscription = self.client.create_subscription
            self.check, self.close = self.client.check, self.client.close

        def delete_subscription(self, subscription_id: str) -> bool:
            """After the other one was done."""
            watch.look()
            return self.client.delete_subscription(subscription_id)

    with closing(Slow()) as slow:
        kept = keep_subscription(slow, WANTED, tx=watch.tx, now=NOW)

    assert kept == Kept("disabled", recreated=True)
    assert [one.state for one in watch.calendly.subscriptions] == ["active"]
    assert watch.acts() == [LOST, LOST, BACK, ("subscription.recreated", {"by_another": True})]
    assert watch.alerts() == [("subscription.disabled", "P1", "disabled")]


def test_a_refusal_is_raised_and_what_was_found_stays_on_record(watch: Watch) -> None:
    """The plan does not allow it: a person has to know."""
    watch.calendly.next_mutations(Refuse(403, "Permission Denied"))

    with pytest.raises(ConnectorMisconfigured):
        watch.look()

    assert watch.acts() == [("subscription.lost", {"condition": "gone"})]
    assert watch.alerts() == [("subscription.gone", "P1", "gone")]


def test_no_key_and_no_url_is_in_what_is_kept(watch: Watch) -> None:
    """Of an alert, the trail, or the value itself."""
    watch.calendly.subscribe(URL, SECRET).state = "disabled"
    watch.look()

    with watch.tenant_db.admin() as admin:
        kept = admin.execute(
            "SELECT concat((SELECT string_agg(payload::text, ' ') FROM jobs.job), "
            "(SELECT string_agg(body, ' ') FROM audit.entry))"
        ).fetchone()
    assert kept is not None
    assert [
        secret for secret in (SECRET, URL, watch.calendly.account.token) if secret in kept[0] + repr(WANTED)
    ] == []


@pytest.mark.parametrize(
    ("states", "condition"),
    [
        ([], "gone"),
        ([("other", True)], "gone"),
        ([(URL, False)], "disabled"),
        ([(URL, False), (URL, True)], "active"),
        ([(URL, True), (URL, False)], "active"),
    ],
)
def test_an_active_one_counts_before_the_dead_ones(states: list[tuple[str, bool]], condition: str) -> None:
    """A user's and an organization's may have the same URL."""
    found = [
        Subscription(id=f"s{number}", url=url, is_active=active, failing_since=None)
        for number, (url, active) in enumerate(states)
    ]

    assert decide_condition(found, URL, now=NOW)[0] == condition


@pytest.mark.parametrize(
    ("status", "severity"),
    [(HealthStatus.DEGRADED, "P2"), (HealthStatus.DOWN, "P2"), (HealthStatus.MISCONFIGURED, "P1")],
)
def test_an_account_that_is_not_well_is_an_alert_a_day(
    watch: Watch, status: HealthStatus, severity: str
) -> None:
    """However often it is looked at; one that is well is none."""
    for hours in (0, 1, 24):
        with watch.tx() as tx:
            note_health(tx, "ycloud", Health(status, ("no balance",), 12, NOW + timedelta(hours=hours)))
            note_health(tx, "calendly", Health(HealthStatus.OK, ("fine",), 12, NOW))

    assert watch.alerts() == [("connector.unwell", severity, None)] * 2
    assert connections.KEEPER.type == "system"
