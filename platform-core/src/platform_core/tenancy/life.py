"""The moves of a customer's life after provisioning: suspended, resumed, closed.

    provisioning -> active <-> suspended
                      |            |
                      +-> closed <-+

A customer that is not active has a database nobody can connect to; its data stays until somebody erases it.
The state, the privilege and the audit entry change in one transaction.
"""

from __future__ import annotations

from typing import Literal

from psycopg import sql

from platform_core import audit
from platform_core.db import Tx, load_queries
from platform_core.db.connect import translated
from platform_core.errors import StateConflict
from platform_core.tenancy.door import keep_door_out, let_door_in
from platform_core.tenancy.registry import Tenant, TenantState, get_tenant, open_control
from platform_core.values import Actor

Move = Literal["suspend", "resume", "close"]
Q = load_queries(__file__)

MOVES: dict[Move, tuple[frozenset[TenantState], TenantState]] = {
    "suspend": (frozenset({"active"}), "suspended"),
    "resume": (frozenset({"suspended"}), "active"),
    "close": (frozenset({"active", "suspended"}), "closed"),
}
"""Each move: the states it starts from and the state it ends in."""

_STATEMENTS: dict[Move, str] = {
    "suspend": "tenant_suspend",
    "resume": "tenant_resume",
    "close": "tenant_close",
}
_WORDS: dict[Move, str] = {
    "suspend": "tenant.suspended",
    "resume": "tenant.resumed",
    "close": "tenant.closed",
}


def move_tenant(admin_dsn: str, slug: str, move: Move, *, actor: Actor, reason: str) -> Tenant:
    """Suspend, resume or close a customer; its sessions are ended when it may no longer connect.

    Idempotency: a customer already in the end state is returned as it is and nothing is recorded; sessions an
    interrupted run left behind are ended.
    Raises: UnknownTenant; StateConflict naming the state it is in.
    """
    _, end = MOVES[move]
    with open_control(admin_dsn) as control, translated(admin_dsn):
        with control.transaction():
            tenant = get_tenant(control, slug)
            if tenant.state != end:
                _move(control, tenant, move, actor=actor, reason=reason)
        if end != "active":
            # After the commit: before it a new session could still slip in behind the last one ended.
            control.execute(Q["session_end_all"], {"database_name": tenant.database_name})
        return get_tenant(control, slug)


def _move(tx: Tx, tenant: Tenant, move: Move, *, actor: Actor, reason: str) -> None:
    starts, end = MOVES[move]
    if tx.execute(Q[_STATEMENTS[move]], {"tenant_id": tenant.id}).fetchone() is None:
        raise StateConflict(
            f"The customer {tenant.slug} is {tenant.state}; only one that is {' or '.join(sorted(starts))} "
            f"can be {end}"
        )
    tx.execute(
        sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(
            sql.Identifier(tenant.database_name), sql.Literal(end == "active")
        )
    )
    if end == "active":
        let_door_in(tx, tenant.database_name)
    else:
        keep_door_out(tx, tenant.database_name)
    audit.record(tx, _WORDS[move], actor, ("tenant", tenant.slug), detail={"reason": reason})
