"""What the kill tests run in a process of its own: it must be importable there."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from platform_cli.local.secret_store import FileSecretStore
from platform_core.db.migrate import SchemaSource, apply
from platform_core.tenancy.cluster import prepare_cluster
from platform_core.tenancy.logins import SecretStore
from platform_core.tenancy.provision import Provisioned, provision


class DyingStore:
    """A secret store whose process dies on `put`, before or after the secret is kept."""

    def __init__(self, kept: FileSecretStore, *, after: bool) -> None:
        self.kept = kept
        self.after = after

    def get(self, name: str) -> str | None:
        """The secret of that name, or None."""
        return self.kept.get(name)

    def put(self, name: str, value: str) -> None:
        """Die, having kept the secret or not."""
        if self.after:
            self.kept.put(name, value)
        os.kill(os.getpid(), signal.SIGKILL)


def provision_acme(admin_dsn: str, slug: str, folder: Path, source: SchemaSource) -> Provisioned:
    """Provision with fixed values and a store in `folder`."""
    return _provision(admin_dsn, slug, FileSecretStore(folder), source)


def provision_dying(admin_dsn: str, slug: str, folder: Path, source: SchemaSource, after: bool) -> None:
    """Provision with a store that kills the process."""
    _provision(admin_dsn, slug, DyingStore(FileSecretStore(folder), after=after), source)


def migrate_tenant(dsn: str, source: SchemaSource) -> None:
    """Apply every migration to one customer's database."""
    apply(dsn, "tenant", source=source)


def prepare(admin_dsn: str, source: SchemaSource) -> None:
    """Prepare the cluster."""
    prepare_cluster(admin_dsn, source=source)


def _provision(admin_dsn: str, slug: str, store: SecretStore, source: SchemaSource) -> Provisioned:
    return provision(
        admin_dsn,
        slug,
        display_name="Academia Acme",
        timezone="America/Santiago",
        currency="CLP",
        secrets=store,
        source=source,
    )
