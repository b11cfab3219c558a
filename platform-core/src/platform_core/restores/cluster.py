"""A whole cluster that was put back: closed again, held, and proven, before anybody is let in.

A physical copy brings every right with it. They are set all the same: what a drill proves and what an
emergency relies on must be the same code. Messages that were about to be sent at that instant are held by
nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from platform_core import audit
from platform_core.db import Tx, load_queries, open_connection
from platform_core.db.connect import translated
from platform_core.db.lockdown import lockdown
from platform_core.errors import PlatformError
from platform_core.messaging.holding import hold_unsent
from platform_core.restores.customer import STATEMENT_TIMEOUT_S, Origin, prove_trail
from platform_core.tenancy.cluster import close_to_public
from platform_core.tenancy.erasing import is_erased, open_for_export
from platform_core.tenancy.exchange import heal
from platform_core.tenancy.isolation import find_leaks
from platform_core.tenancy.registry import CONTROL_DATABASE, Tenant, control_dsn, dsn_for, list_tenants
from platform_core.values import Actor, Clock, SystemClock

Q = load_queries(__file__)

PLATFORM = "the platform"


@dataclass(frozen=True, slots=True)
class Settled:
    """One database after a restore: `entries` of its proven trail, `held` messages, what is wrong with it.

    `slug` is a customer's folder name, or "the platform" for the control database.
    """

    slug: str
    entries: int = 0
    held: int = 0
    complaint: str = ""


def settle_cluster(
    admin_dsn: str, *, origin: Origin, actor: Actor, clock: Clock | None = None
) -> tuple[Settled, ...]:
    """Look after every database of the platform; one that is not well stops none of the others.

    Empty for a cluster that has no customers yet. Idempotency: repeating it holds nothing new; the platform's
    trail gets another entry. Raises: DatabaseUnavailable.
    """
    with translated(admin_dsn), _opened(admin_dsn) as admin:
        close_to_public(admin)
        if admin.execute(Q["control_find"], {"database_name": CONTROL_DATABASE}).fetchone() is None:
            return ()
    dsn = control_dsn(admin_dsn)
    lockdown(dsn)
    with translated(dsn), _opened(dsn) as control:
        done = [_prove_platform(control)]
        done += [
            _settle(admin_dsn, control, tenant, clock or SystemClock())
            for tenant in list_tenants(control)
            if tenant.state != "provisioning" and not is_erased(control, tenant)
        ]
        with control.transaction():
            facts = {**origin.detail, "not_well": [one.slug for one in done if one.complaint]}
            audit.record(control, "cluster.restored", actor, ("cluster", "main"), detail=facts)
    return tuple(done)


def _opened(dsn: str) -> Tx:
    return open_connection(dsn, application="restore", statement_timeout_s=STATEMENT_TIMEOUT_S)


def _prove_platform(control: Tx) -> Settled:
    try:
        return Settled(PLATFORM, prove_trail(control, PLATFORM))
    except PlatformError as error:
        return Settled(PLATFORM, complaint=error.one_line())


def _settle(admin_dsn: str, control: Tx, tenant: Tenant, clock: Clock) -> Settled:
    try:
        with _entered(admin_dsn, control, tenant) as dsn:
            lockdown(dsn)
            with translated(dsn), _opened(dsn) as database:
                with database.transaction():
                    held = hold_unsent(database, now=clock.now())
                leaks = find_leaks(database, tenant.login) if tenant.state == "active" else ()
                entries = prove_trail(database, tenant.slug)
    except PlatformError as error:
        return Settled(tenant.slug, complaint=error.one_line())
    return Settled(tenant.slug, entries, held, "; ".join(f"its login {leak}" for leak in leaks))


@contextmanager
def _entered(admin_dsn: str, control: Tx, tenant: Tenant) -> Iterator[str]:
    """The administrator's way into a customer's database, whatever state it is in."""
    if tenant.state == "active":
        heal(control, tenant)
        yield dsn_for(admin_dsn, dbname=tenant.database_name)
        return
    with open_for_export(admin_dsn, tenant.slug) as dsn:
        yield dsn
