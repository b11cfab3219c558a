"""What a customer's scripts read in Windmill: its resources, and the secrets that these refer to.

A resource holds addresses and references; each secret is a secret variable of its own, `$var:` for one value
and `$jsonvar:` for a list of them, so that a rotation changes one variable. Desired values are kept in this
installation's secret store under `tenant/<customer>/<secret>`, and go to Windmill from there.
"""

from __future__ import annotations

import json
import re
import secrets as dice
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from platform_cli.customers.profile import Profile
from platform_cli.sync.items import Json
from platform_core.connectors import load_connector
from platform_core.errors import InvalidInput, PlatformError, StateConflict
from platform_core.tenancy.logins import SecretStore

MAX_SECRET_LINES = 3
PANEL = "panel"
PANEL_KEYS = "panel_keys"
DATABASE_PASSWORD = "database_password"  # noqa: S105 - what it is called
_ENDPOINT_KEYS = re.compile(r"(?P<source>[a-z]+)_(?P<endpoint>[a-z]+)_secrets")


class Origin(StrEnum):
    """Where a value comes from."""

    ASKED = "asked"
    """Somebody has it: the provider's account shows it."""
    LATER = "later"
    """The provider gives it once its end is set up, which needs our address first."""
    MADE = "made"
    """Made here at random; nobody types it."""
    KEPT = "kept"
    """Another command of this installation makes and keeps it."""


@dataclass(frozen=True, slots=True)
class SecretNeed:
    """A value that a customer needs and git must not have. `listed`: one, or two while it is changed."""

    name: str
    says: str
    origin: Origin
    listed: bool = False
    is_secret: bool = True
    make: Callable[[], str] | None = field(default=None, repr=False)

    def check(self, text: str) -> str:
        """The value as it is kept: trimmed; a list as JSON. Raises: InvalidInput, never quoting the value."""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        most = MAX_SECRET_LINES if self.listed else 1
        if not 1 <= len(lines) <= most:
            raise InvalidInput(
                f"{self.name} is {len(lines)} lines and not {f'1 to {most}' if self.listed else '1'}",
                next_step="Give one secret a line." if self.listed else "Give the secret alone.",
            )
        if (endpoint := find_endpoint(self)) is not None:
            load_connector(endpoint[0]).check_secrets(lines)
        return json.dumps(lines) if self.listed else lines[0]


def find_endpoint(need: SecretNeed) -> tuple[str, str] | None:
    """The connector and the endpoint that a list of webhook secrets is for, or None for any other value."""
    found = _ENDPOINT_KEYS.fullmatch(need.name)
    return None if found is None else (found["source"], found["endpoint"])


def _reader_secret() -> str:
    return json.dumps([f"rdr_{dice.token_hex(16)}"])


def _signing_key() -> str:
    return json.dumps([dice.token_hex(24)])


_NEEDS: Mapping[str, tuple[SecretNeed, ...]] = {
    "": (
        SecretNeed(DATABASE_PASSWORD, "the password of the customer's own login", Origin.KEPT),
        SecretNeed(PANEL_KEYS, "what signs links into the staff panel", Origin.KEPT, listed=True),
    ),
    "ycloud": (
        SecretNeed("ycloud_api_key", "API key of the customer's YCloud account", Origin.ASKED),
        SecretNeed("ycloud_inbound_secrets", "what YCloud signs inbound with", Origin.LATER, listed=True),
        SecretNeed("ycloud_status_secrets", "what YCloud signs status with", Origin.LATER, listed=True),
    ),
    "calendly": (
        SecretNeed("calendly_token", "personal access token of the Calendly account", Origin.ASKED),
        SecretNeed(
            "calendly_organization",
            "URI of the Calendly organization (https://api.calendly.com/organizations/…)",
            Origin.ASKED,
            is_secret=False,
        ),
        SecretNeed(
            "calendly_bookings_secrets",
            "what Calendly signs with",
            Origin.MADE,
            listed=True,
            make=_signing_key,
        ),
    ),
    "reader": (
        SecretNeed(
            "reader_feed_secrets", "what the readers sign with", Origin.MADE, listed=True, make=_reader_secret
        ),
    ),
}


def list_needs(profile: Profile) -> tuple[SecretNeed, ...]:
    """Every value that this customer needs beside its folder, those of its connectors last."""
    return tuple(need for part in ("", *profile.connectors) for need in _NEEDS[part])


def find_need(profile: Profile, name: str) -> SecretNeed:
    """The need of that name, or of the variable of that path. Raises: InvalidInput naming those there are."""
    known = {need.name: need for need in list_needs(profile)}
    name = name.removeprefix(f"f/{profile.name}/")
    if name not in known:
        raise InvalidInput(
            f"{name[:60]!r} is no secret of {profile.name}", next_step=f"Choose one of {', '.join(known)}."
        )
    return known[name]


def store_name(profile: Profile, need: SecretNeed) -> str:
    """What a secret is called in this installation's store: its own name, or that of what it is a part of."""
    return f"tenant/{profile.name}/{PANEL if need.name == PANEL_KEYS else need.name}"


def kept_value(store: SecretStore, profile: Profile, need: SecretNeed) -> str | None:
    """The value this installation wants, or None while it has none. Raises: SecretRejected."""
    kept = store.get(store_name(profile, need))
    if need.name != PANEL_KEYS:
        return kept
    keys = _object(kept).get("keys")
    return json.dumps(keys) if isinstance(keys, list) and keys else None


def keep_value(store: SecretStore, profile: Profile, need: SecretNeed, value: str) -> None:
    """Keep a checked value, and the account document that it is a part of.

    Raises: StateConflict for one that another command makes.
    """
    if need.origin is Origin.KEPT:
        raise StateConflict(
            f"{need.name} is made by wmctl and typed by nobody",
            next_step="See `wmctl panel key` and `wmctl tenant provision`.",
        )
    store.put(store_name(profile, need), value)
    for connector in profile.connectors:
        keep_account(store, profile, connector)


def _object(text: str | None) -> dict[str, object]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def keep_account(store: SecretStore, profile: Profile, connector: str) -> bool:
    """Keep a provider's account as one document, as local commands read it, once all of it is known.

    True when something changed.
    """
    account = _account(store, profile, connector)
    name = f"tenant/{profile.name}/{connector}"
    if account is None or _object(store.get(name)) == account:
        return False
    store.put(name, json.dumps(account))
    return True


def _account(store: SecretStore, profile: Profile, connector: str) -> dict[str, object] | None:
    """The resolved account, or None while a part is missing or the connector takes none."""
    resource = _ACCOUNTS.get(connector)
    if resource is None:
        return None
    resolved: dict[str, object] = {}
    for name, value in resource(profile, store).items():
        if isinstance(value, str) and value.startswith("$var:"):
            kept = store.get(f"tenant/{profile.name}/{value.rpartition('/')[2]}")
            if kept is None:
                return None
            resolved[name] = kept
        else:
            resolved[name] = value
    return resolved if all(resolved.values()) else None


# --- Resources ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """One resource as it should be. It holds no secret."""

    path: str
    resource_type: str
    value: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are for one target: the database as its workers reach it, and our address as others do."""

    database: Mapping[str, Json]
    public_url: str

    def route(self, profile: Profile, tail: str) -> str:
        """The public address of one of the customer's routes."""
        return f"{self.public_url.rstrip('/')}/api/r/{profile.name}/{tail}"


def _ycloud(profile: Profile, store: SecretStore) -> dict[str, Json]:
    del store
    return {"api_key": f"$var:f/{profile.name}/ycloud_api_key", "sender_phone": profile.sender_phone}


def _calendly(profile: Profile, store: SecretStore) -> dict[str, Json]:
    return {
        "token": f"$var:f/{profile.name}/calendly_token",
        "organization": store.get(f"tenant/{profile.name}/calendly_organization") or "",
    }


_ACCOUNTS: Mapping[str, Callable[[Profile, SecretStore], dict[str, Json]]] = {
    "ycloud": _ycloud,
    "calendly": _calendly,
}
"""What each connector with an account is configured with."""

WITH_ACCOUNT = frozenset(_ACCOUNTS)

ENDPOINTS: Mapping[str, tuple[str, ...]] = {
    "ycloud": ("inbound", "status"),
    "calendly": ("bookings",),
    "reader": ("feed",),
}
"""Where each connector posts to: the last part of its routes."""


def list_resources(profile: Profile, store: SecretStore, places: Places) -> tuple[Wanted, ...]:
    """Every resource that the customer's scripts read."""
    own = f"f/{profile.name}"
    wanted = [
        Wanted(
            f"{own}/database",
            "postgresql",
            {**places.database, "password": f"$var:{own}/{DATABASE_PASSWORD}"},
        ),
        Wanted(
            f"{own}/panel",
            "c_panel",
            {"url": places.route(profile, PANEL), "keys": f"$jsonvar:{own}/{PANEL_KEYS}"},
        ),
    ]
    for connector in profile.connectors:
        if (account := _ACCOUNTS.get(connector)) is not None:
            value = account(profile, store)
            if connector == "calendly":
                value["callback_url"] = places.route(profile, "calendly/bookings")
            wanted.append(Wanted(f"{own}/{connector}", f"c_{connector}", value))
        endpoints: dict[str, Json] = {
            name: f"$jsonvar:{own}/{connector}_{name}_secrets" for name in ENDPOINTS[connector]
        }
        wanted.append(Wanted(f"{own}/{connector}_webhooks", "c_webhooks", endpoints))
    return tuple(wanted)


def check_account(store: SecretStore, profile: Profile, connector: str) -> tuple[str, str]:
    """Ask the provider whether the account answers: a status such as `ok`, and what it found.

    Raises nothing of the provider's: what went wrong is said.
    """
    account = _account(store, profile, connector)
    if account is None:
        return "missing", "its secrets are not all here"
    try:
        client = load_connector(connector).open_checked(account)
    except PlatformError as error:
        return "misconfigured", error.one_line()
    try:
        health = client.check()
    finally:
        client.close()
    return health.status.value, "; ".join(health.evidence)
