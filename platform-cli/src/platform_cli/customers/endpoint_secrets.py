"""The secret of a webhook replaced without a delivery refused: for a while the old and the new one hold."""

from __future__ import annotations

import json
from dataclasses import dataclass

from platform_cli.customers import accounts
from platform_cli.customers.accounts import ENDPOINTS, SecretNeed
from platform_cli.customers.profile import Profile
from platform_core.errors import InvalidInput, StateConflict
from platform_core.tenancy.logins import SecretStore


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a provider posts to: the connector's name, and the endpoint's."""

    source: str
    name: str


def need_of(profile: Profile, endpoint: Endpoint) -> SecretNeed:
    """The list of secrets of an endpoint. Raises: InvalidInput naming those there are."""
    known = ENDPOINTS.get(endpoint.source, ())
    if endpoint.source not in profile.connectors or endpoint.name not in known:
        raise InvalidInput(
            f"{profile.name} has no endpoint {endpoint.name[:40]!r} of {endpoint.source[:40]}",
            next_step=f"Say --endpoint {' or '.join(known)}."
            if known
            else f"It has {', '.join(profile.connectors)}.",
        )
    return accounts.find_need(profile, f"{endpoint.source}_{endpoint.name}_secrets")


def with_new(store: SecretStore, profile: Profile, need: SecretNeed, text: str) -> str:
    """The new secret before the one that holds now, as the list is kept. Again the same gives the same.

    Raises: InvalidInput when several were given or it is none; StateConflict while two hold already.
    """
    new = json.loads(need.check(text))
    if len(new) != 1:
        raise InvalidInput("More than one new secret was given", next_step="Give the new one alone.")
    held = _held(store, profile, need)
    if len(held) > 1 and new[0] not in held:
        raise StateConflict(
            f"{need.name} of {profile.name} is being replaced already: {len(held)} hold",
            next_step="End that first: the same command with --end.",
        )
    return json.dumps(list(dict.fromkeys([*new, *held])))


def newest_alone(store: SecretStore, profile: Profile, need: SecretNeed) -> str:
    """The list with the newest secret and no other.

    Raises: StateConflict when there is no secret that could hold alone.
    """
    held = _held(store, profile, need)
    if not held:
        raise StateConflict(
            f"{need.name} of {profile.name} has no secret here",
            next_step=f"Set it: `wmctl secret set {profile.name} {need.name}`.",
        )
    return json.dumps(held[:1])


def _held(store: SecretStore, profile: Profile, need: SecretNeed) -> list[str]:
    found: list[str] = json.loads(accounts.kept_value(store, profile, need) or "[]")
    return found
