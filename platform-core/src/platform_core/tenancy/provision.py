"""Give a customer a database and a login of its own, in well under a second, safe to repeat after any crash.

The order is what makes repeating safe. The names are decided first, in the registry. The password is in the
secret store before the login gets it, so a crash between the two loses nothing: the next run finds the same
password and sets it again. The login may connect only when the database is complete.
"""

from __future__ import annotations

import secrets
import zoneinfo
from dataclasses import dataclass, field
from typing import Protocol

from psycopg import sql

from platform_core import audit
from platform_core.db import Tx, load_queries, open_connection
from platform_core.db.connect import translated
from platform_core.db.migrate import PACKAGED, SchemaSource
from platform_core.errors import IdempotencyConflict, InvalidInput, StateConflict
from platform_core.tenancy.cluster import TEMPLATE, create_database, require_template
from platform_core.tenancy.registry import Tenant, control_dsn, dsn_for, get_tenant, one_at_a_time
from platform_core.values import CURRENCY_EXPONENTS, Actor, TenantSlug, parse_tenant_slug

PASSWORD_BYTES = 24
MAX_DISPLAY_NAME = 200
_INHERIT_OPTIONS_SINCE = 160000
_TRANSACTION_TIMEOUT_SINCE = 170000
PROVISIONER = Actor("system", "provision")
Q = load_queries(__file__)


class SecretStore(Protocol):
    """Where secrets are kept: files, or the customer's variables in Windmill."""

    def get(self, name: str) -> str | None:
        """The secret of that name, or None when there is none."""
        ...

    def put(self, name: str, value: str) -> None:
        """Keep it. When this returns the secret survives a crash."""
        ...


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
    idle_in_transaction_s: int = 60
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
        password = _password(secrets, tenant.slug)
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
                next_step="Use an IANA name such as America/Santiago.",
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


def _password(store: SecretStore, slug: TenantSlug) -> str:
    """The password an earlier run chose, or a new one that is kept before anything uses it."""
    name = password_name(slug)
    kept = store.get(name)
    if kept:
        return kept
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    store.put(name, password)
    return password


def _give_login(control: Tx, tenant: Tenant, password: str, limits: LoginLimits) -> None:
    """Make the login or bring it back to what it should be, in one transaction with its fingerprint.

    PostgreSQL gets a SCRAM verifier, so the password is in no server log.
    """
    login = sql.Identifier(tenant.login)
    verifier = control.pgconn.encrypt_password(password.encode(), tenant.login.encode(), b"scram-sha-256")
    with control.transaction():
        row = control.execute(Q["role_exists"], {"login": tenant.login}).fetchone()
        if row is None or not row[0]:
            control.execute(sql.SQL("CREATE ROLE {}").format(login))
        for (foreign,) in control.execute(Q["role_foreign_memberships"], {"login": tenant.login}).fetchall():
            control.execute(sql.SQL("REVOKE {} FROM {} CASCADE").format(sql.Identifier(foreign), login))
        control.execute(_login_statements(control.info.server_version, login, verifier.decode(), limits))
        control.execute(
            Q["tenant_login_record"],
            {"login": tenant.login, "tenant_id": tenant.id, "verifier": verifier.decode()},
        )


def _login_statements(
    server_version: int, login: sql.Identifier, verifier: str, limits: LoginLimits
) -> sql.Composed:
    options = " WITH INHERIT TRUE, SET FALSE" if server_version >= _INHERIT_OPTIONS_SINCE else ""
    statements = [
        sql.SQL(
            "ALTER ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT NOREPLICATION NOBYPASSRLS"
            " CONNECTION LIMIT {} VALID UNTIL 'infinity' PASSWORD {}"
        ).format(login, sql.Literal(limits.connections), sql.Literal(verifier)),
        sql.SQL("GRANT api_tenant TO {}" + options).format(login),
        sql.SQL("ALTER ROLE {} RESET ALL").format(login),
    ]
    statements += [
        sql.SQL("ALTER ROLE {} SET {} = {}").format(login, sql.Identifier(name), sql.Literal(value))
        for name, value in login_settings(server_version, limits).items()
    ]
    return sql.SQL("; ").join(statements)


def login_settings(server_version: int, limits: LoginLimits = DEFAULT_LIMITS) -> dict[str, str]:
    """The settings a customer's session starts with; only `temp_file_limit` cannot be raised by it."""
    settings = {
        "statement_timeout": f"{limits.statement_s}s",
        "lock_timeout": f"{limits.lock_s}s",
        "idle_in_transaction_session_timeout": f"{limits.idle_in_transaction_s}s",
        "idle_session_timeout": f"{limits.idle_session_s}s",
        "temp_file_limit": f"{limits.temp_files_mb}MB",
        "client_connection_check_interval": "5s",
        "search_path": "pg_catalog",
    }
    if server_version >= _TRANSACTION_TIMEOUT_SINCE:
        settings["transaction_timeout"] = f"{limits.transaction_s}s"
    return settings


def _say_whose(dsn: str, tenant: Tenant) -> str:
    """Write the customer's identity and name its audit chain; the newest migration it has."""
    with open_connection(dsn, application="provision") as database, database.transaction():
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
    return "" if row is None else str(row[0])


def _open(control: Tx, tenant: Tenant, version: str) -> bool:
    """Let the login in, and say so in the registry and the platform's audit trail. True the first time."""
    with control.transaction():
        control.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                sql.Identifier(tenant.database_name), sql.Identifier(tenant.login)
            )
        )
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
