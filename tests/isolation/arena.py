"""Two customers made by the real provisioning, and what an attack may ask of them.

Everything hostile runs through customer A's own login on a connection of its own, so no attack inherits
another's settings. The superuser only prepares, weakens and looks.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from platform_core.db import open_connection
from platform_core.tenancy import door
from platform_core.tenancy.provision import LoginLimits, Provisioned, provision
from platform_core.tenancy.registry import control_dsn, dsn_for
from tests.support.databases import Databases, MemorySecrets

Connection = psycopg.Connection[TupleRow]

LIMITS = LoginLimits(temp_files_mb=16)  # small, so that reaching it is quick
PRODUCT_SCHEMAS = (
    "tenancy",
    "audit",
    "jobs",
    "inbox",
    "messaging",
    "payments",
    "attendance",
    "bookings",
    "panel",
    "alerts",
)


@dataclass(frozen=True, slots=True)
class Customer:
    """One side of the arena, with the session it keeps open."""

    made: Provisioned
    session: Connection

    @property
    def login(self) -> str:
        """The customer's login."""
        return self.made.tenant.login

    @property
    def database(self) -> str:
        """The customer's database."""
        return self.made.tenant.database_name


@dataclass
class Arena:
    """A attacks, B is attacked. `mark` is in B's data and nowhere else."""

    databases: Databases
    attacker: Customer
    victim: Customer
    secrets: MemorySecrets
    mark: str
    names: dict[str, str] = field(default_factory=dict)

    @property
    def admin_dsn(self) -> str:
        """The superuser, on the cluster's first database."""
        return self.databases.cluster.admin_dsn

    @property
    def server_version(self) -> int:
        """As in 180006."""
        return self.attacker.session.info.server_version

    @contextmanager
    def attack(self, database: str = "", **parameters: str) -> Iterator[Connection]:
        """A fresh session of A's login, in its own database unless told otherwise."""
        dsn = dsn_for(self.attacker.made.dsn, dbname=database or self.attacker.database, **parameters)
        with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as session:
            yield session

    @contextmanager
    def door(self, database: str = "") -> Iterator[Connection]:
        """A fresh session of the door's stolen login, in B's database unless told otherwise."""
        dsn = dsn_for(
            self.victim.made.dsn,
            dbname=database or self.victim.database,
            user=door.LOGIN,
            password=self.secrets.kept[door.PASSWORD_NAME],
        )
        with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as session:
            yield session

    @contextmanager
    def admin(self, database: str = "postgres") -> Iterator[Connection]:
        """The superuser in a database, ours to prepare and to look."""
        dsn = dsn_for(self.admin_dsn, dbname=database)
        with open_connection(dsn, application="arena") as session:
            yield session

    @contextmanager
    def control(self) -> Iterator[Connection]:
        """The superuser in the control database."""
        with open_connection(control_dsn(self.admin_dsn), application="arena") as session:
            yield session

    def say(self, customer: Customer, detail: str) -> None:
        """Let a customer write into its own database through the product's function."""
        customer.session.execute(
            "SELECT audit.append('arena.said', %s, %s, 'ok', %s)",
            (
                '{"type": "system", "id": "arena"}',
                '{"type": "arena", "id": "x"}',
                psycopg.types.json.Jsonb({"said": detail}),
            ),
        )

    def provision_attacker_again(self) -> Provisioned:
        """What an operator does when drift is reported."""
        return _provision(self.databases, self.attacker.made.tenant.slug, self.secrets)


@contextmanager
def arena_of(databases: Databases) -> Iterator[Arena]:
    """Provision A and B with the limits customers have, give B some data, and take both away at the end."""
    kept = MemorySecrets()
    mark = f"mark_{secrets.token_hex(8)}"
    door.prepare_door(databases.cluster.admin_dsn, kept)
    made = [_provision(databases, f"{side}_{secrets.token_hex(4)}", kept) for side in ("attacker", "victim")]
    try:
        with (
            psycopg.connect(made[0].dsn, autocommit=True) as own,
            psycopg.connect(made[1].dsn, autocommit=True) as other,
        ):
            arena = Arena(databases, Customer(made[0], own), Customer(made[1], other), kept, mark)
            arena.names = _names(arena)
            arena.say(arena.attacker, "attacker")
            arena.say(arena.victim, mark)
            yield arena
    finally:
        for one in made:
            databases.drop(one.tenant.database_name, one.tenant.login)


def _provision(databases: Databases, slug: str, kept: MemorySecrets) -> Provisioned:
    return provision(
        databases.cluster.admin_dsn,
        slug,
        display_name=f"Customer {slug}",
        timezone="America/Santiago",
        currency="CLP",
        secrets=kept,
        limits=LIMITS,
        source=databases.source,
    )


def _names(arena: Arena) -> dict[str, str]:
    """What an attack's statement may mention: the attacker is assumed to have learnt all of it."""
    victim = arena.victim.made.tenant
    return {
        "a_login": arena.attacker.login,
        "a_database": arena.attacker.database,
        "a_tenant": str(arena.attacker.made.tenant.id),
        "b_login": arena.victim.login,
        "b_database": arena.victim.database,
        "b_tenant": str(victim.id),
        "b_slug": victim.slug,
        "b_pid": str(arena.victim.session.info.backend_pid),
        "mark": arena.mark,
    }


def product_tables(session: Connection) -> list[sql.Identifier]:
    """Every table of the product, as an identifier; read by the superuser."""
    rows = session.execute(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s) ORDER BY 1, 2",
        (list(PRODUCT_SCHEMAS),),
    ).fetchall()
    return [sql.Identifier(schema, table) for schema, table in rows]
