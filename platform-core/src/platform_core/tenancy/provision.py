"""Give a customer a database and a login of its own, in well under a second, safe to repeat after any crash.

The order is what makes repeating safe. The names are decided first, in the registry. The password is in the
secret store before the login gets it, so a crash between the two loses nothing: the next run finds the same
password and sets it again. The login may connect only when the database is complete.
"""

from __future__ import annotations

import secrets
import zoneinfo
from dataclasses import dataclass, field

from psycopg import sql

from platform_core import audit
from platform_core.db import Tx, load_queries, open_connection
from platform_core.db.connect import translated
from platform_core.db.migrate import PACKAGED, SchemaSource
from platform_core.errors import IdempotencyConflict, InvalidInput, StateConflict
from platform_core.tenancy.cluster import TEMPLATE, create_database, require_template
from platform_core.tenancy.door import let_door_in
from platform_core.tenancy.logins import SecretStore, password_kept, session_settings, set_login
from platform_core.tenancy.registry import Tenant, control_dsn, dsn_for, get_tenant, one_at_a_time
from platform_core.values import CURRENCY_EXPONENTS, Actor, TenantSlug, parse_tenant_slug

MAX_DISPLAY_NAME = 200
PROVISIONER = Actor("system", "provision")
Q = load_queries(__file__)


@dataclass(frozen=True, slots=True)
class LoginLimits:
    """What a customer's login may use at once.

    Only `connections` and `temp_files_mb` bind a hostile customer; the times are defaults that its own
    session can raise, which is why the watchdog exists.
    """

    connections: int = 8
    temp_files_mb: int = 256
    statement_s: int = 30
    lock_s: int = 5
    idle_session_s: int = 3600
    transaction_s: int = 300


DEFAULT_LIMITS = LoginLimits()


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The customer and how its scripts connect. `dsn` holds a password, so it is never shown.

    `created` is false when the customer was complete before.
    """

    tenant: Tenant
    dsn: str = field(repr=False)
    created: bool


def password_name(slug: TenantSlug) -> str:
    """What the password of a customer's login is called in the secret store."""
    return f"tenant/{slug}/database_password"


def provision(  # noqa: PLR0913 - six say who the customer is; limits and source have one value in production
    admin_dsn: str,
    slug: str,
    *,
    display_name: str,
    timezone: str,
    currency: str,
    secrets: SecretStore,
    limits: LoginLimits = DEFAULT_LIMITS,
    source: SchemaSource = PACKAGED,
) -> Provisioned:
    """Make the customer's database and login, or finish what an earlier run began, or repair its login.

    Idempotency: repeating it with the same values changes nothing but what drifted (a password the login
    changed itself, a limit, a membership). One run per customer at a time.
    Raises: InvalidInput, IdempotencyConflict for an existing customer with other values, StateConflict for a
    suspended or closed one, SchemaDrift, DatabaseUnavailable, StorageFull.
    """
    wanted = _Wanted.parse(slug, display_name, timezone, currency)
    with (
        open_connection(control_dsn(admin_dsn), application="provision") as control,
        translated(admin_dsn),
        one_at_a_time(control, f"provisioning {wanted.slug}", Q["tenant_lock"], slug=wanted.slug),
    ):
        require_template(control, source)
        tenant = _reserve(control, wanted)
        password = password_kept(secrets, password_name(tenant.slug))
        _give_login(control, tenant, password, limits)
        create_database(control, tenant.database_name, template=TEMPLATE)
        version = _say_whose(dsn_for(admin_dsn, dbname=tenant.database_name), tenant)
        created = _open(control, tenant, version)
        return Provisioned(
            get_tenant(control, tenant.slug),
            dsn_for(admin_dsn, dbname=tenant.database_name, user=tenant.login, password=password),
            created=created,
        )


@dataclass(frozen=True, slots=True)
class _Wanted:
    slug: TenantSlug
    display_name: str
    timezone: str
    currency: str

    @classmethod
    def parse(cls, slug: str, display_name: str, timezone: str, currency: str) -> _Wanted:
        name = display_name.strip()
        if not name or len(name) > MAX_DISPLAY_NAME or not name.isprintable():
            raise InvalidInput(f"The display name of {slug[:40]!r} is not 1 to {MAX_DISPLAY_NAME} characters")
        if not _is_time_zone(timezone):
            raise InvalidInput(
                f"{timezone[:60]!r} is not a time zone",
                next_step="Use an IANA name such as America/Lima.",
            )
        if currency not in CURRENCY_EXPONENTS:
            raise InvalidInput(
                f"{currency[:8]!r} is not a known currency",
                next_step=f"Use one of {', '.join(CURRENCY_EXPONENTS)}.",
            )
        return cls(parse_tenant_slug(slug), name, timezone, currency)


def _is_time_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # not a key, a path, a folder of zones
        return False
    return True


def _reserve(control: Tx, wanted: _Wanted) -> Tenant:
    """The customer's row, made now or by an earlier run. Refuses one that means something else."""
    mark = secrets.token_hex(8)
    with control.transaction():
        control.execute(
            Q["tenant_reserve"],
            {
                "slug": wanted.slug,
                "display_name": wanted.display_name,
                "timezone": wanted.timezone,
                "currency": wanted.currency,
                "database_name": f"d_{mark}",
                "login": f"t_{secrets.token_hex(8)}",
            },
        )
        tenant = get_tenant(control, wanted.slug)
    differing = [
        name
        for name in ("display_name", "timezone", "currency")
        if getattr(tenant, name) != getattr(wanted, name)
    ]
    if differing:
        raise IdempotencyConflict(
            f"The customer {tenant.slug} exists with another {' and '.join(differing)}",
            next_step="Give the values it was provisioned with; see `wmctl tenant list`.",
        )
    if tenant.state in ("suspended", "closed"):
        raise StateConflict(f"The customer {tenant.slug} is {tenant.state}")
    return tenant


def _give_login(control: Tx, tenant: Tenant, password: str, limits: LoginLimits) -> None:
    """Make the login or bring it back to what it should be, in one transaction with its fingerprint."""
    with control.transaction():
        verifier = set_login(
            control,
            tenant.login,
            group="api_tenant",
            password=password,
            connections=limits.connections,
            settings=login_settings(control.info.server_version, limits),
        )
        control.execute(
            Q["tenant_login_record"], {"login": tenant.login, "tenant_id": tenant.id, "verifier": verifier}
        )


def login_settings(server_version: int, limits: LoginLimits = DEFAULT_LIMITS) -> dict[str, str]:
    """The settings a customer's session starts with; only `temp_file_limit` cannot be raised by it."""
    return session_settings(
        server_version,
        statement_s=limits.statement_s,
        lock_s=limits.lock_s,
        idle_session_s=limits.idle_session_s,
        transaction_s=limits.transaction_s,
        temp_mb=limits.temp_files_mb,
    )


def _say_whose(dsn: str, tenant: Tenant) -> str:
    """Write the customer's identity and name its audit chain; the newest migration it has.

    The days of the queue's history are made here too. The first runner would make them, but another worker
    may end a job in that moment, and a day cannot be made under rows that stand in it already.
    """
    with open_connection(dsn, application="provision") as database:
        with database.transaction():
            database.execute(
                Q["identity_store"],
                {
                    "tenant_id": tenant.id,
                    "slug": tenant.slug,
                    "display_name": tenant.display_name,
                    "timezone": tenant.timezone,
                    "currency": tenant.currency,
                },
            )
            database.execute(Q["chain_start"], {"chain": str(tenant.id)})
            row = database.execute(Q["schema_version"]).fetchone()
        with database.transaction():
            database.execute(Q["history_prepare"])
    return "" if row is None else str(row[0])


def _open(control: Tx, tenant: Tenant, version: str) -> bool:
    """Let the login in, and say so in the registry and the platform's audit trail. True the first time."""
    with control.transaction():
        control.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                sql.Identifier(tenant.database_name), sql.Identifier(tenant.login)
            )
        )
        let_door_in(control, tenant.database_name)
        control.execute(Q["tenant_set_version"], {"tenant_id": tenant.id, "schema_version": version})
        moved = control.execute(Q["tenant_activate"], {"tenant_id": tenant.id}).fetchone() is not None
        if moved:
            audit.record(
                control,
                "tenant.provisioned",
                PROVISIONER,
                ("tenant", tenant.slug),
                detail={"schema_version": version},
            )
    return moved
