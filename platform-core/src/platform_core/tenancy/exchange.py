"""Put another database in a customer's place, in one short moment and without anybody else noticing.

The name is what everything points to: the registry, the login's privilege, the connection string in Windmill.
So a database is built beside it under a name of its own, and then the two change names. The one that stood
there before stays, closed, until somebody forgets it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from psycopg import sql

from platform_core.db import Tx, load_queries, open_connection
from platform_core.db.connect import translated
from platform_core.errors import NotFound, StateConflict
from platform_core.tenancy.cluster import create_database
from platform_core.tenancy.door import GROUP, let_door_in
from platform_core.tenancy.registry import Tenant, control_dsn, get_tenant, list_tenants, one_at_a_time

Role = Literal["before", "new"]
Q = load_queries(__file__)

STATEMENT_TIMEOUT_S = 300
"""A database is dropped or renamed only after a checkpoint."""

_NAME = re.compile(r"(?P<database>d_[0-9a-f]{16})_(?P<role>before|new)_(?P<at>\d{8}t\d{12}z)", re.ASCII)
_STAMP = "%Y%m%dt%H%M%S%fz"


@dataclass(frozen=True, slots=True)
class Beside:
    """A database that stands beside a customer's own. `role` is `before` for what it had until a restore.

    `slug` is empty when no customer has that database any more.
    """

    slug: str
    name: str
    role: str
    at: datetime
    size_bytes: int


@contextmanager
def alone_with(admin_dsn: str, slug: str, doing: str) -> Iterator[tuple[Tx, Tenant]]:
    """The control database and the customer, while nobody else provisions, restores or erases it.

    Raises: UnknownTenant; StateConflict for a customer without a database of its own; Unavailable when
    another run holds it.
    """
    dsn = control_dsn(admin_dsn)
    with (
        translated(dsn),
        open_connection(dsn, application="restore", statement_timeout_s=STATEMENT_TIMEOUT_S) as control,
        one_at_a_time(control, f"{doing} {slug}", Q["tenant_lock"], slug=slug),
    ):
        tenant = get_tenant(control, slug)
        if tenant.state not in ("active", "suspended"):
            raise StateConflict(
                f"The customer {tenant.slug} is {tenant.state}; only the data of one that is active or "
                "suspended can be replaced"
            )
        yield control, tenant


def stage(control: Tx, tenant: Tenant, at: datetime) -> str:
    """Make an empty database beside the customer's, closed to everybody but the administrator; its name.

    What an earlier run that died left there is taken away first.
    """
    for left in list_beside(control):
        if left.role == "new" and left.name.startswith(tenant.database_name):
            drop(control, left.name)
    name = _name(tenant, "new", at)
    create_database(control, name, template="template0")
    return name


def exchange(
    control: Tx, tenant: Tenant, staged: str, at: datetime, record: Callable[[Tx, str], None]
) -> tuple[str, int]:
    """Give the customer's name to `staged`; the name of what stood there before, and milliseconds it took.

    The customer's sessions are ended, nobody else's. `record` writes what happened in the same transaction on
    the control database, so that there is no exchange without it. When anything fails the customer has what
    it had, open as before.
    """
    aside = _name(tenant, "before", at)
    began = time.monotonic()
    # Committed before the sessions are ended: until then a new one could slip in behind the last.
    _open(control, tenant.database_name, yes=False)
    try:
        control.execute(Q["session_end_all"], {"database_name": tenant.database_name})
        with control.transaction():
            _rename(control, tenant.database_name, aside)
            _rename(control, staged, tenant.database_name)
            _shut_out(control, tenant, aside)
            _let_in(control, tenant)
            record(control, aside)
    except BaseException:
        heal(control, tenant)
        raise
    return aside, round((time.monotonic() - began) * 1000)


def heal(control: Tx, tenant: Tenant) -> None:
    """Let the customer into its database as its state says. Idempotency: a second time changes nothing."""
    with control.transaction():
        _let_in(control, tenant)


def list_beside(control: Tx) -> tuple[Beside, ...]:
    """Every database that stands beside a customer's own, by name. `control` is on the control database."""
    slugs = {tenant.database_name: tenant.slug for tenant in list_tenants(control)}
    return tuple(
        Beside(
            slugs.get(parts["database"], ""),
            name,
            parts["role"],
            datetime.strptime(parts["at"], _STAMP).replace(tzinfo=UTC),
            int(size_bytes),
        )
        for name, size_bytes in control.execute(Q["database_list_aside"]).fetchall()
        if (parts := _NAME.fullmatch(name)) is not None
    )


def newest_before(control: Tx, tenant: Tenant) -> Beside:
    """What the customer had until its last restore. Raises: NotFound."""
    found = [one for one in list_beside(control) if one.slug == tenant.slug and one.role == "before"]
    if not found:
        raise NotFound(
            f"Nothing of {tenant.slug} was set aside by a restore",
            next_step="It was never restored, or what it had before was forgotten.",
        )
    return found[-1]


def drop(control: Tx, name: str) -> None:
    """Delete a database that stands beside a customer's; never a customer's own. Raises: StateConflict."""
    if _NAME.fullmatch(name) is None:
        raise StateConflict(f"{name[:80]!r} was not set aside by a restore; it stays")
    control.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _name(tenant: Tenant, role: Role, at: datetime) -> str:
    return f"{tenant.database_name}_{role}_{at.astimezone(UTC).strftime(_STAMP)}"


def _rename(control: Tx, name: str, to: str) -> None:
    control.execute(
        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(to))
    )


def _open(control: Tx, name: str, *, yes: bool) -> None:
    control.execute(
        sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(sql.Identifier(name), sql.Literal(yes))
    )


def _let_in(control: Tx, tenant: Tenant) -> None:
    """The rights on the database itself, which no dump carries."""
    name, login = sql.Identifier(tenant.database_name), sql.Identifier(tenant.login)
    control.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    control.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, login))
    if tenant.state == "active":
        let_door_in(control, tenant.database_name)
    _open(control, tenant.database_name, yes=tenant.state == "active")


def _shut_out(control: Tx, tenant: Tenant, aside: str) -> None:
    control.execute(
        sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC, {}, {}").format(
            sql.Identifier(aside), sql.Identifier(tenant.login), sql.Identifier(GROUP)
        )
    )
    _open(control, aside, yes=False)
