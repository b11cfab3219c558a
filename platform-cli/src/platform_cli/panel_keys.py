"""The address and the signing keys of customers' panels, as this installation's secrets have them.

The secret `tenant/<customer>/panel` is the same document as the resource `f/<customer>/panel` in Windmill.
"""

from __future__ import annotations

import json
import secrets

from platform_cli.site import Site
from platform_core.errors import ConfigurationError
from platform_core.panel.tokens import MAX_KEYS, Keyring, parse_keyring
from platform_core.tenancy.registry import Tenant

KEY_BYTES = 32
_PANEL = "panel"


def get_keyring(site: Site, tenant: Tenant) -> Keyring:
    """What signs for the customer's panel. Raises: ConfigurationError, SecretRejected."""
    kept = site.account(tenant, _PANEL)
    if kept is None:
        raise ConfigurationError(
            f"The panel of {tenant.slug} has no key in this installation's secrets",
            next_step=f"Run `wmctl panel key {tenant.slug} --url` with the panel's address.",
        )
    return parse_keyring(tenant.slug, kept)


def add_key(site: Site, tenant: Tenant, url: str | None) -> Keyring:
    """A new key in front; the one before it still verifies. `url` None keeps the address.

    Raises: ConfigurationError when there is no address yet, or none that can be used.
    """
    kept = site.account(tenant, _PANEL) or {}
    before = kept.get("keys")
    keys = [secrets.token_urlsafe(KEY_BYTES), *(before if isinstance(before, list) else [])][:MAX_KEYS]
    return _keep(site, tenant, {"url": url or kept.get("url"), "keys": keys})


def set_address(site: Site, tenant: Tenant, url: str) -> Keyring:
    """The customer's keys at this address; a customer without a key gets one.

    Idempotency: the same address again changes nothing.
    """
    kept = site.account(tenant, _PANEL)
    if kept is None:
        return add_key(site, tenant, url)
    return _keep(site, tenant, {**kept, "url": url}) if kept.get("url") != url else get_keyring(site, tenant)


def _keep(site: Site, tenant: Tenant, resource: dict[str, object]) -> Keyring:
    keyring = parse_keyring(tenant.slug, resource)  # before it replaces one that works
    site.secrets.put(f"tenant/{tenant.slug}/{_PANEL}", json.dumps(resource))
    return keyring
