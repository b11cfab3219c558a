"""A customer's login replaced while its scripts run: a second one beside it, then the first one goes.

    begin_second_login   both are good; the registry still names the first
    let_second_serve     the registry and the secret store name the second; the first is still good
    end_first_login      the first has no session left, and is gone

Each step may be repeated after a crash, and finds what it left. Between them the caller tells who connects.
"""

from __future__ import annotations

import secrets as dice
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg import sql

from platform_core import audit
from platform_core.db import Tx, load_queries
from platform_core.db.connect import translated
from platform_core.errors import StateConflict, Unavailable
from platform_core.tenancy.logins import PASSWORD_BYTES, SecretStore, password_kept, set_login
from platform_core.tenancy.provision import DEFAULT_LIMITS, login_settings, password_name
from platform_core.tenancy.registry import Tenant, get_tenant, one_at_a_time, open_control
from platform_core.values import Actor, TenantSlug

Q = load_queries(__file__)


@dataclass(frozen=True, slots=True)
class SecondLogin:
    """The login that takes over, and its password, which is never shown."""

    tenant: Tenant
    login: str
    password: str = field(repr=False)


def coming_password_name(slug: TenantSlug) -> str:
    """What the password of the login that comes is called in the secret store."""
    return f"{password_name(slug)}_next"


def begin_second_login(admin_dsn: str, slug: str, *, secrets: SecretStore) -> SecondLogin:
    """Make a second login with the rights of the first; its password is kept before it is given.

    Idempotency: an earlier run's second login is the one, also when it serves already.
    Raises: UnknownTenant, StateConflict when the customer is not active, Unavailable while another run is at
    it, DatabaseUnavailable.
    """
    with _changing(admin_dsn, slug) as (control, tenant):
        logins = _logins(control, tenant)
        login = logins[-1] if len(logins) > 1 else f"t_{dice.token_hex(8)}"
        password = _coming_password(secrets, tenant, begun=len(logins) > 1)
        with control.transaction():
            verifier = set_login(
                control,
                login,
                group="api_tenant",
                password=password,
                connections=DEFAULT_LIMITS.connections,
                settings=login_settings(control.info.server_version),
            )
            control.execute(
                Q["tenant_login_record"], {"login": login, "tenant_id": tenant.id, "verifier": verifier}
            )
            control.execute(
                sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                    sql.Identifier(tenant.database_name), sql.Identifier(login)
                )
            )
    return SecondLogin(tenant, login, password)


def let_second_serve(admin_dsn: str, second: SecondLogin, *, secrets: SecretStore) -> None:
    """Name the second login as the customer's, in the secret store and in the registry.

    Idempotency: a second time changes nothing. Raises: as `begin_second_login`.
    """
    secrets.put(password_name(second.tenant.slug), second.password)
    with _changing(admin_dsn, second.tenant.slug) as (control, tenant), control.transaction():
        control.execute(Q["tenant_login_set"], {"tenant_id": tenant.id, "login": second.login})


def end_first_login(
    admin_dsn: str, slug: str, *, actor: Actor, wait: Callable[[], bool] = lambda: False
) -> tuple[str, ...]:
    """Drop every login of the customer but the one that serves, once nobody uses it; the names of those.

    `wait` is asked while somebody does, and says whether to look again. Idempotency: nothing is left to drop.
    Raises: StateConflict when one still has sessions: then it stays; and as `begin_second_login`.
    """
    with _changing(admin_dsn, slug) as (control, tenant):
        gone = tuple(login for login in _logins(control, tenant) if login != tenant.login)
        for login in gone:
            while sessions := _sessions(control, login):
                if not wait():
                    raise StateConflict(
                        f"The old login of {tenant.slug} still has {sessions} session(s): somebody uses it",
                        next_step="Let them end, then run this again; both logins are good meanwhile.",
                    )
            with control.transaction():
                control.execute(
                    sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(
                        sql.Identifier(tenant.database_name), sql.Identifier(login)
                    )
                )
                control.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(login)))
                control.execute(Q["tenant_login_retire"], {"login": login})
                detail = {"retired": login, "serves": tenant.login}
                audit.record(control, "tenant.login_rotated", actor, ("tenant", tenant.slug), detail=detail)
    return gone


@contextmanager
def _changing(admin_dsn: str, slug: str) -> Iterator[tuple[Tx, Tenant]]:
    with open_control(admin_dsn, application="second-login") as control, translated(admin_dsn):
        tenant = get_tenant(control, slug)
        if tenant.state != "active":
            raise StateConflict(f"The customer {tenant.slug} is {tenant.state}; its login is not in use")
        with one_at_a_time(control, f"changing {tenant.slug}", Q["tenant_lock"], slug=tenant.slug):
            yield control, get_tenant(control, tenant.slug)


def _logins(control: Tx, tenant: Tenant) -> tuple[str, ...]:
    """Those that were not retired, the newest last: it is the second as long as there are two."""
    rows = control.execute(Q["tenant_login_list_present"], {"tenant_id": tenant.id}).fetchall()
    return tuple(str(login) for (login,) in rows)


def _coming_password(secrets: SecretStore, tenant: Tenant, *, begun: bool) -> str:
    """The one an earlier run kept, unless that rotation has ended: its password serves, and is no new one."""
    name = coming_password_name(tenant.slug)
    if not begun and secrets.get(name) == secrets.get(password_name(tenant.slug)):
        secrets.put(name, dice.token_urlsafe(PASSWORD_BYTES))
    return password_kept(secrets, name)


def _sessions(control: Tx, login: str) -> int:
    row = control.execute(Q["session_count_of_login"], {"login": login}).fetchone()
    if row is None:
        raise Unavailable("The server does not say who is connected")
    return int(row[0])
