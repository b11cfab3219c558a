"""What only a person can do once a customer is made: at the provider, with the phone in hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from platform_cli.customers import accounts
from platform_cli.customers.accounts import Origin, Places
from platform_cli.customers.profile import Profile
from platform_cli.local.stage import INBOUND_EVENTS, STATUS_EVENTS
from platform_core.tenancy.logins import SecretStore

_EVENTS = {"inbound": INBOUND_EVENTS, "status": STATUS_EVENTS}


def list_leftovers(
    profile: Profile, store: SecretStore, places: Places | None, doors: Sequence[str] = ()
) -> list[str]:
    """The things left to do, in their order. `doors`: the lines that tell hosts' doors."""
    given = [
        f"Then, and after each change of a webhook's secret, tell the host's door: {one}" for one in doors
    ]
    return [*_secrets(profile, store, places), *given, *_words(profile)]


def _secrets(profile: Profile, store: SecretStore, places: Places | None) -> Iterator[str]:
    needs = accounts.list_needs(profile)
    missing = [need for need in needs if accounts.kept_value(store, profile, need) is None]
    for need in missing:
        if need.origin is Origin.ASKED:
            again = "" if need.is_secret else f", then wmctl customer new {profile.name} again"
            yield f"Set the {need.says}: wmctl secret set {profile.name} {need.name}{again}"
    if places is None:
        return
    for need in missing:
        if need.origin is Origin.LATER:
            endpoint = need.name.removeprefix("ycloud_").removesuffix("_secrets")
            yield (
                f"In YCloud, add the webhook {places.route(profile, f'ycloud/{endpoint}')} for "
                f"{', '.join(_EVENTS[endpoint])}; then, with the secret it shows: "
                f"wmctl secret set {profile.name} {need.name}"
            )
    if "reader" in profile.connectors:
        yield (
            f"Give the readers {places.route(profile, 'reader/feed')} and the secret in "
            f"secrets/tenant/{profile.name}/reader_feed_secrets of this installation's state"
        )


def _words(profile: Profile) -> Iterator[str]:
    policy = f"customers/{profile.name}/config/policy.toml"
    yield f"Read {policy}: members, the amount that needs a second person, texts; then wmctl policy apply"
    if "calendly" in profile.connectors:
        yield f"Write the questions of the booking form and its kinds of classes into [bookings] of {policy}"
    yield "Have the templates named there approved in WhatsApp Manager"
