"""What a schedule does with accounts at providers: is each well, and does each still call us?"""

from __future__ import annotations

from contextlib import closing
from datetime import datetime

from platform_core.app import App
from platform_core.connectors import Capability, Connector, Health, HealthStatus, load_connector
from platform_core.errors import ConfigurationError, Refused
from platform_core.observability import connections
from platform_core.windmill.office import open_office
from platform_core.windmill.resources import get_resource

BOOKINGS_ENDPOINT = "bookings"
"""The endpoint that a calendar posts to."""


def check_connectors(customer: str) -> dict[str, list[str]]:
    """Look at every account the customer depends on, and bring a dead webhook subscription back.

    Secrets come from the customer's resources. Raises: Refused, after all were looked at, naming those that
    are down or misconfigured; what was found is an alert too.
    """
    unwell: list[str] = []
    checked: list[str] = []
    recreated: list[str] = []
    with open_office(customer) as office:
        policy, now = office.app.policy(), office.app.clock.now()
        for name in [policy.messaging.provider, *(["calendly"] if policy.bookings else [])]:
            health, kept = _look_after(office.app, name, now)
            checked.append(f"{name}: {health.status}")
            if kept is not None and kept.recreated:
                recreated.append(name)
            elif health.status in (HealthStatus.DOWN, HealthStatus.MISCONFIGURED):
                unwell.append(f"{name} is {health.status} ({'; '.join(health.evidence)})")
    if unwell:
        raise Refused(
            f"Not well: {', '.join(unwell)}", next_step="Correct the resource, or wait for the provider."
        )
    return {"checked": checked, "recreated": recreated}


def _look_after(app: App, name: str, now: datetime) -> tuple[Health, connections.Kept | None]:
    connector = load_connector(name)
    resource = dict(get_resource(f"f/{app.tenant}/{name}"))
    callback = resource.pop("callback_url", None)
    if Capability.MANAGE_SUBSCRIPTIONS not in connector.capabilities:
        client = connector.open_checked(resource)
        with closing(client):
            return _noted(app, name, client.check()), None
    wanted = connections.Wanted(name, _callback(app, name, callback), _signing_key(app, connector))
    subscriptions = connector.open_subscriptions(resource)
    with closing(subscriptions):
        health = subscriptions.check()
        if health.status in (HealthStatus.DOWN, HealthStatus.MISCONFIGURED):
            return _noted(app, name, health), None
        return health, connections.keep_subscription(subscriptions, wanted, tx=app.tx, now=now)


def _noted(app: App, name: str, health: Health) -> Health:
    with app.tx() as tx:
        connections.note_health(tx, name, health)
    return health


def _callback(app: App, name: str, found: object) -> str:
    if not isinstance(found, str) or not found.startswith(("https://", "http://127.0.0.1")):
        raise ConfigurationError(
            f"The resource f/{app.tenant}/{name} has no callback_url",
            next_step=f"Set it to the public https address of /api/r/{app.tenant}/{name}/….",
        )
    return found


def _signing_key(app: App, connector: Connector) -> str:
    """The first secret of the endpoint that bookings come in at: the one a new subscription signs with."""
    path = f"f/{app.tenant}/{connector.name}_webhooks"
    found = get_resource(path).get(BOOKINGS_ENDPOINT)
    if not isinstance(found, list):
        raise ConfigurationError(
            f"The resource {path} has no list of secrets for the endpoint {BOOKINGS_ENDPOINT}",
            next_step="Set it to a list with one signing key of 32 characters or more.",
        )
    connector.check_secrets(found)
    return str(found[0])
