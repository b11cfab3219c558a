"""Where this wmctl works: the embedded PostgreSQL of this checkout, or the server the settings name.

A command opens a `Site` for its duration. On the embedded default that starts the server if it is stopped and
stops it again, so nothing is left running that nobody asked for.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from platform_cli.local import postgres
from platform_cli.local.secret_store import FileSecretStore
from platform_cli.root import find_root
from platform_core.app import App, open_app
from platform_core.db import Tx, open_connection
from platform_core.db.connect import translated
from platform_core.errors import ConfigurationError, DatabaseClosed, InvalidInput, SecretRejected
from platform_core.settings import Settings, load_settings
from platform_core.tenancy import door
from platform_core.tenancy.provision import password_name
from platform_core.tenancy.registry import Tenant, dsn_for, get_tenant, list_tenants, open_control
from platform_core.values import Actor

STATE_FOLDER = ".local"

_REOPENED = {
    "suspended": "Run `wmctl tenant resume` when it may work again.",
    "provisioning": "Run `wmctl tenant provision` again; it ends what an earlier run began.",
}


@dataclass(frozen=True, slots=True)
class Site:
    """One installation: its administrator's connection string, its secrets, its folder of state."""

    root: Path
    state: Path
    admin_dsn: str
    secrets: FileSecretStore
    settings: Settings

    @contextmanager
    def control(self) -> Iterator[Tx]:
        """One transaction on the control database."""
        with (
            translated(self.admin_dsn),
            open_control(self.admin_dsn, application="wmctl") as connection,
            connection.transaction(),
        ):
            yield connection

    def prepare_door(self) -> None:
        """Make the door's login or repair it. On another server than the embedded one its password stays.

        Raises: DatabaseUnavailable, SecretRejected.
        """
        if self.settings.database_url is None:
            door.prepare_door(self.admin_dsn, self.secrets)
        else:
            door.prepare_door_of_host(self.admin_dsn, self.secrets)

    def tenants(self) -> list[Tenant]:
        """Every customer of the installation, by name."""
        with self.control() as tx:
            return list_tenants(tx)

    def tenant(self, slug: str | None) -> Tenant:
        """The customer meant: the named one, or the only one there is.

        Raises: UnknownTenant; InvalidInput naming the customers when there are several.
        """
        if slug:
            with self.control() as tx:
                return get_tenant(tx, slug)
        known = self.tenants()
        if len(known) == 1:
            return known[0]
        names = ", ".join(tenant.slug for tenant in known)
        raise InvalidInput(
            f"There are {len(known)} customers ({names})" if known else "There is no customer yet",
            next_step="Name one with --customer."
            if known
            else "Run `wmctl tenant provision` or `make demo`.",
        )

    @contextmanager
    def database(self, slug: str | None) -> Iterator[Tx]:
        """The customer's database as its administrator, for figures that no customer's login may see."""
        dsn = dsn_for(self.admin_dsn, dbname=self.tenant(slug).database_name)
        with translated(dsn), open_connection(dsn, application="wmctl") as connection:
            yield connection

    def account(self, tenant: Tenant, connector: str = "ycloud") -> Mapping[str, object] | None:
        """The customer's account at a provider, when this installation's secrets have it.

        Raises: SecretRejected when what is kept is no JSON object.
        """
        kept = self.secrets.get(f"tenant/{tenant.slug}/{connector}")
        if kept is None:
            return None
        try:
            found = json.loads(kept)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise SecretRejected(
                f"The {connector} account of {tenant.slug} in this installation's secrets is no JSON object",
                next_step="Write it again, as the customer's resource in Windmill has it.",
            )
        return found

    def tenant_dsn(self, tenant: Tenant) -> str:
        """How the customer's own login connects. Raises: SecretRejected when its password is not here."""
        password = self.secrets.get(password_name(tenant.slug))
        if password is None:
            raise SecretRejected(
                f"The password of {tenant.slug} is not in this installation's secrets",
                next_step=f"Run `wmctl tenant provision {tenant.slug}` again; it repairs the login.",
            )
        return dsn_for(self.admin_dsn, dbname=tenant.database_name, user=tenant.login, password=password)

    @contextmanager
    def app(self, slug: str | None) -> Iterator[App]:
        """The customer's platform, through the customer's own login."""
        tenant = self.tenant(slug)
        if tenant.state != "active":
            raise DatabaseClosed(
                f"The customer {tenant.slug} is {tenant.state}; its database accepts no connections",
                next_step=_REOPENED.get(tenant.state, "See `wmctl tenant list`."),
            )
        with self.open(tenant) as app:
            yield app

    def open(self, tenant: Tenant) -> App:
        """The platform of an active customer, with its provider account when that is here."""
        return open_app(tenant.slug, self.tenant_dsn(tenant), connector_config=self.account(tenant))


def state_folder(settings: Settings) -> Path:
    """Where an installation keeps what is its own. Raises: ConfigurationError outside a checkout."""
    return settings.state_dir or find_root(Path.cwd()) / STATE_FOLDER


def door_folder(settings: Settings, state: Path | None = None) -> Path:
    """Where the door finds a file for each customer; `state` is the installation's folder where it is known.

    Raises: ConfigurationError outside a checkout, when neither is said.
    """
    return settings.ingest_folder or (state or state_folder(settings)) / "ingest"


@contextmanager
def open_site() -> Iterator[Site]:
    """The installation this command works on.

    Raises: ConfigurationError outside a checkout, DatabaseUnavailable, SecretRejected.
    """
    settings = load_settings(os.environ)
    root = find_root(Path.cwd())
    state = settings.state_dir or root / STATE_FOLDER
    store = FileSecretStore(state / "secrets")
    if settings.database_url is not None:
        yield Site(root, state, settings.database_url.reveal(), store, settings)
        return
    folder = state / "postgres"
    if not postgres.exists(folder):
        raise ConfigurationError(
            "There is no platform on this machine yet",
            next_step="Run `make demo`, or set PLATFORM_DATABASE_URL.",
        )
    with postgres.running(folder) as cluster:
        yield Site(root, state, cluster.admin_dsn, store, settings)


def member(handle: str) -> Actor:
    """The person a command acts for. The role is looked up by the verb, never taken from here."""
    return Actor("user", handle, via=_terminal())


def operator() -> Actor:
    """The engineer at this terminal, for acts that are the agency's own."""
    return Actor("support", _terminal())


def _terminal() -> str:
    return f"os:{pwd.getpwuid(os.getuid()).pw_name}"
