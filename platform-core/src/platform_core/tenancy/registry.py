"""Who our customers are: the registry in the control database, and the moves of a customer's life.

Every function takes a transaction on the control database (`open_control`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from psycopg import errors as pg
from psycopg.conninfo import make_conninfo

from platform_core.db import Tx, load_queries, open_connection
from platform_core.errors import Unavailable, UnknownTenant
from platform_core.values import TenantSlug

CONTROL_DATABASE = "platform_control"
MAX_LISTED = 10_000

TenantState = Literal["provisioning", "active", "suspended", "closed"]
Q = load_queries(__file__)


@dataclass(frozen=True, slots=True)
class Tenant:
    """One customer. `database_name` and `login` are opaque: they tell a stranger nothing.

    `schema_version` is the newest migration its database is known to have, empty while provisioning.
    """

    id: UUID
    slug: TenantSlug
    display_name: str
    database_name: str
    login: str
    cluster: str
    state: TenantState
    timezone: str
    currency: str
    schema_version: str | None


def control_dsn(admin_dsn: str) -> str:
    """The control database of the cluster that `admin_dsn` administers."""
    return dsn_for(admin_dsn, dbname=CONTROL_DATABASE)


def dsn_for(admin_dsn: str, **changes: str) -> str:
    """The same cluster, another database or login."""
    return make_conninfo(admin_dsn, **changes)


def open_control(admin_dsn: str, *, application: str = "control") -> Tx:
    """Open a connection to the control database. Raises: DatabaseUnavailable, SecretRejected."""
    return open_connection(control_dsn(admin_dsn), application=application)


@contextmanager
def one_at_a_time(admin: Tx, what: str, statement: bytes, **values: str) -> Iterator[None]:
    """Hold an advisory lock of the administrator; it ends with the connection, so a crash frees it.

    Raises: Unavailable when another run holds it for longer than the lock timeout.
    """
    try:
        admin.execute(statement, values)
    except pg.LockNotAvailable:
        raise Unavailable(
            f"Another run is {what} right now", next_step="Wait for it to end, then run this again."
        ) from None
    yield


def find_tenant(tx: Tx, slug: str) -> Tenant | None:
    """The customer of that folder name, or None."""
    row = tx.execute(Q["tenant_find"], {"slug": slug}).fetchone()
    return Tenant(*row) if row else None


def get_tenant(tx: Tx, slug: str) -> Tenant:
    """The customer of that folder name. Raises: UnknownTenant, naming the customers it may have meant."""
    found = find_tenant(tx, slug)
    if found is not None:
        return found
    known = [tenant.slug for tenant in list_tenants(tx)]
    close = difflib.get_close_matches(slug, known, n=3)
    raise UnknownTenant(
        f"There is no customer {slug[:60]!r}",
        next_step=f"Did you mean {' or '.join(close)}?" if close else "See `wmctl tenant list`.",
    )


def list_tenants(tx: Tx, *, limit: int = MAX_LISTED) -> list[Tenant]:
    """Every customer in any state, by folder name."""
    return [Tenant(*row) for row in tx.execute(Q["tenant_list"], {"limit": limit}).fetchall()]
