"""Throw-away customer databases, made by the real provisioning."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase

import psycopg
from psycopg import sql

from platform_cli.local.postgres import Cluster
from platform_core.db import Tx, open_connection
from platform_core.db.migrate import SCHEMA_FILES, Kind, SchemaSource
from platform_core.tenancy.cluster import prepare_cluster
from platform_core.tenancy.logins import SecretStore
from platform_core.tenancy.provision import LoginLimits, provision
from platform_core.tenancy.registry import control_dsn

# Tests of concurrency hold more sessions than a customer may; tests of limits provision with the defaults.
ROOMY = LoginLimits(connections=32)


_FORGOTTEN_LOGINS = """
DELETE FROM control.tenant_login AS known USING control.tenant
WHERE known.tenant_id = tenant.id AND tenant.database_name = %s RETURNING known.login
"""


class MemorySecrets:
    """A secret store that forgets at the end."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        """The secret of that name, or None."""
        return self.kept.get(name)

    def put(self, name: str, value: str) -> None:
        """Keep it."""
        self.kept[name] = value


@dataclass(frozen=True, slots=True)
class TenantDatabase:
    """One customer's database: `dsn` is the customer's own login, `admin_dsn` the superuser's."""

    name: str
    login: str
    dsn: str
    admin_dsn: str
    slug: str = ""

    def connect(self) -> Tx:
        """As the customer's login, exactly as its scripts connect."""
        return open_connection(self.dsn, application="test")

    def admin(self) -> Tx:
        """As the superuser: to look behind the curtain, never to do what a script does."""
        return open_connection(self.admin_dsn, application="test-admin")


class Databases:
    """Prepares the cluster once, then provisions customers."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.door_secrets = MemorySecrets()
        self.source = schema_source(Path(tempfile.mkdtemp(dir=cluster.folder)))
        prepare_cluster(cluster.admin_dsn, source=self.source)

    @contextmanager
    def tenant(
        self,
        slug: str = "",
        *,
        store: SecretStore | None = None,
        display_name: str = "A customer of a test",
        timezone: str = "America/Santiago",
        currency: str = "CLP",
    ) -> Iterator[TenantDatabase]:
        """A customer with a database and a login of its own, gone afterwards."""
        # Letters alone: a name that is digits by chance is taken for a phone number, and redacted in logs.
        slug = slug or f"test_{''.join(secrets.choice(ascii_lowercase) for _ in range(12))}"
        made = provision(
            self.cluster.admin_dsn,
            slug,
            display_name=display_name,
            timezone=timezone,
            currency=currency,
            secrets=store or MemorySecrets(),
            limits=ROOMY,
            source=self.source,
        )
        name, login = made.tenant.database_name, made.tenant.login
        try:
            yield TenantDatabase(name, login, made.dsn, self.cluster.dsn(name), slug)
        finally:
            self.drop(name, login)

    def drop(self, name: str, login: str) -> None:
        """Take a customer away as if it had never been; whatever of it exists."""
        with psycopg.connect(control_dsn(self.cluster.admin_dsn), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            known = admin.execute(_FORGOTTEN_LOGINS, (name,))
            for one in {login, *(str(found) for (found,) in known.fetchall())}:
                admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(one)))
            admin.execute("DELETE FROM control.tenant WHERE database_name = %s", (name,))


def schema_source(folder: Path) -> SchemaSource:
    """Migrations made of the schema files as they are; tests/migrations proves the packaged ones equal."""
    kinds: tuple[Kind, ...] = ("tenant", "control")
    for kind in kinds:
        (folder / kind).mkdir()
        (folder / kind / f"0001_pre_create_{kind}.sql").write_bytes(schema_of(kind))
    return SchemaSource(tenant=folder / "tenant", control=folder / "control")


def schema_of(kind: Kind) -> bytes:
    """The schema files of a kind, one after the other."""
    return b"\n".join(path.read_bytes() for path in SCHEMA_FILES[kind])
