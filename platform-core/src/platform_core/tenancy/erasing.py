"""Take a closed customer's data away for good: its database, then its logins. What was exported is elsewhere.

The registry keeps the customer's row and its opaque names, so that neither is ever given out again, and the
platform's trail keeps that it was erased, by whom and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from psycopg import sql

from platform_core import audit
from platform_core.db import Tx, load_queries
from platform_core.db.connect import translated
from platform_core.errors import StateConflict
from platform_core.tenancy import exchange
from platform_core.tenancy.registry import Tenant, dsn_for, get_tenant, one_at_a_time, open_control
from platform_core.values import Actor

Q = load_queries(__file__)


def erase_tenant(
    admin_dsn: str, slug: str, *, actor: Actor, reason: str, detail: Mapping[str, object] | None = None
) -> Tenant:
    """Drop a closed customer's database and logins. There is no way back but an export.

    Idempotency: what is gone already is passed over, and the trail gets its entry once.
    Raises: UnknownTenant; StateConflict for a customer that is not closed; Unavailable while it is being
    provisioned.
    """
    with open_control(admin_dsn, application="erase") as control, translated(admin_dsn):
        tenant = get_tenant(control, slug)
        if tenant.state != "closed":
            raise StateConflict(
                f"The customer {tenant.slug} is {tenant.state}; only a closed one can be erased",
                next_step=f"Close it first: `wmctl tenant close {tenant.slug}`.",
            )
        with one_at_a_time(control, f"provisioning {tenant.slug}", Q["tenant_lock"], slug=tenant.slug):
            # What a restore set aside is the customer's data too.
            for beside in exchange.list_beside(control):
                if beside.slug == tenant.slug:
                    exchange.drop(control, beside.name)
            # Outside a transaction: PostgreSQL drops a database in no other way.
            control.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(
                    sql.Identifier(tenant.database_name)
                )
            )
            for (login,) in control.execute(Q["tenant_login_list"], {"tenant_id": tenant.id}).fetchall():
                control.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(str(login))))
            with control.transaction():
                _record(control, tenant, actor=actor, detail={"reason": reason, **(detail or {})})
        return tenant


def _record(tx: Tx, tenant: Tenant, *, actor: Actor, detail: Mapping[str, object]) -> None:
    if tx.execute(Q["tenant_logins_retire"], {"tenant_id": tenant.id}).fetchall():
        audit.record(tx, "tenant.erased", actor, ("tenant", tenant.slug), detail=detail)


def is_erased(tx: Tx, tenant: Tenant) -> bool:
    """Whether the customer's database is gone. `tx` is on the control database."""
    return tx.execute(Q["database_find"], {"database_name": tenant.database_name}).fetchone() is None


@contextmanager
def open_for_export(admin_dsn: str, slug: str) -> Iterator[str]:
    """Let the administrator, and nobody else, into the database of a customer that is suspended or closed.

    Gives its connection string. Afterwards the database takes no connections again. Needs a superuser: the
    limit that keeps the others out does not bind one.
    Raises: UnknownTenant; StateConflict for a customer at work, whose writes would be lost after the export.
    """
    with open_control(admin_dsn, application="export") as control, translated(admin_dsn):
        tenant = get_tenant(control, slug)
        if tenant.state not in ("suspended", "closed"):
            raise StateConflict(
                f"The customer {tenant.slug} is {tenant.state}: it would go on writing after the export",
                next_step=f"Suspend it first: `wmctl tenant suspend {tenant.slug}`.",
            )
        _admit(control, tenant, "CONNECTION LIMIT 0")
        _admit(control, tenant, "ALLOW_CONNECTIONS true")
        try:
            yield dsn_for(admin_dsn, dbname=tenant.database_name)
        finally:
            _admit(control, tenant, "ALLOW_CONNECTIONS false")
            _admit(control, tenant, "CONNECTION LIMIT -1")


_Setting = Literal[
    "CONNECTION LIMIT 0", "ALLOW_CONNECTIONS true", "ALLOW_CONNECTIONS false", "CONNECTION LIMIT -1"
]


def _admit(control: Tx, tenant: Tenant, setting: _Setting) -> None:
    control.execute(sql.SQL("ALTER DATABASE {} " + setting).format(sql.Identifier(tenant.database_name)))
