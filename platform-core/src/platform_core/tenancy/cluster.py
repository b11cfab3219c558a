"""Prepare a PostgreSQL cluster for customers: roles, control database and template, all closed to PUBLIC.

A database is made closed and opened last: `CREATE DATABASE` always grants CONNECT to PUBLIC, so for a moment
every customer's login could enter it. It is therefore created without connections, PUBLIC is taken away, and
only then may anybody connect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from psycopg import sql

import platform_core.db
from platform_core.db import Tx, load_queries, migrate, open_connection
from platform_core.db.connect import translated
from platform_core.db.lockdown import STATEMENTS as LOCKDOWN
from platform_core.db.lockdown import lockdown
from platform_core.db.migrate import PACKAGED, Phase, Progress, SchemaSource
from platform_core.errors import SchemaDrift
from platform_core.tenancy.door import let_door_in
from platform_core.tenancy.registry import (
    CONTROL_DATABASE,
    Tenant,
    dsn_for,
    one_at_a_time,
    open_control,
)

TEMPLATE = "tpl_tenant"
PLATFORM_CHAIN = "platform"

_DB = Path(platform_core.db.__file__).parent
_ROLES = _DB / "roles.sql"
_STAGING = f"{TEMPLATE}_new"
_OUTGOING = f"{TEMPLATE}_old"
Q = load_queries(__file__)


def prepare_cluster(
    admin_dsn: str,
    *,
    source: SchemaSource = PACKAGED,
    progress: Callable[[str], None] = lambda _: None,
) -> None:
    """Make the roles, the control database and the template, or bring them up to this code.

    Idempotency: repeating it changes nothing; killed anywhere, the next run goes on. One run at a time.
    Raises: SchemaDrift, DatabaseUnavailable, StorageFull.
    """
    with (
        open_connection(admin_dsn, application="prepare", statement_timeout_s=300) as admin,
        translated(admin_dsn),
        one_at_a_time(admin, "preparing the cluster", Q["cluster_lock"]),
    ):
        with admin.transaction():
            admin.execute(_ROLES.read_bytes())
        close_to_public(admin)
        _drop(admin, _OUTGOING)
        progress("control database")
        _prepare_control(admin, admin_dsn, source)
        if _template_fingerprint(admin) != fingerprint(source):
            progress("template of customers' databases")
            _build_template(admin, admin_dsn, source)


def fingerprint(source: SchemaSource = PACKAGED) -> str:
    """What a template built by this code is made of."""
    digest = hashlib.sha256()
    for migration in source.migrations("tenant"):
        digest.update(migration.name.encode() + migration.sha256)
    for path in (LOCKDOWN, _ROLES, _DB / "meta.sql"):
        digest.update(path.read_bytes())
    return f"platform template {digest.hexdigest()[:32]}"


def migrate_tenant(
    admin_dsn: str,
    tenant: Tenant,
    phase: Phase = "all",
    *,
    source: SchemaSource = PACKAGED,
    progress: Callable[[Progress], None] = lambda _: None,
) -> tuple[str, ...]:
    """Bring one customer's database up to this code, close it again, and record where it stands.

    What a migration makes is closed like the rest, so the lockdown follows every time.
    Idempotency: a second run applies nothing. Raises: as `migrate.apply`.
    """
    dsn = dsn_for(admin_dsn, dbname=tenant.database_name)
    applied = migrate.apply(dsn, "tenant", phase, source=source, progress=progress)
    lockdown(dsn)
    version = migrate.status(dsn, "tenant", source=source).version
    with open_control(admin_dsn, application="migrate") as control, control.transaction():
        if tenant.state == "active":
            let_door_in(control, tenant.database_name)
        control.execute(Q["tenant_set_version"], {"tenant_id": tenant.id, "schema_version": version})
    return applied


def require_template(admin: Tx, source: SchemaSource = PACKAGED) -> None:
    """Refuse to clone a template that is not this code's. Raises: SchemaDrift."""
    if _template_fingerprint(admin) != fingerprint(source):
        raise SchemaDrift(
            f"The template {TEMPLATE} is missing or was built by another release",
            next_step="Run `wmctl db migrate`, then the same command again.",
        )


def create_database(admin: Tx, name: str, *, template: str) -> None:
    """Make sure the database exists, takes connections and gives PUBLIC nothing.

    Idempotency: an existing database is only closed to PUBLIC; one that was being dropped is made again.
    """
    row = admin.execute(Q["database_find"], {"database_name": name}).fetchone()
    if row is not None and row[1]:
        admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
        row = None
    if row is None:
        admin.execute(
            sql.SQL(
                "CREATE DATABASE {} OWNER platform_owner TEMPLATE {} ENCODING 'UTF8' ALLOW_CONNECTIONS false"
            ).format(sql.Identifier(name), sql.Identifier(template))
        )
    if row is None or not row[0]:
        with admin.transaction():
            admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(name)))


def close_to_public(admin: Tx) -> tuple[str, ...]:
    """Take CONNECT and TEMP from PUBLIC on every database of the cluster; the names of those that had it."""
    found = tuple(name for (name,) in admin.execute(Q["database_list_open_to_public"]).fetchall())
    for name in found:
        admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
    return found


def _prepare_control(admin: Tx, admin_dsn: str, source: SchemaSource) -> None:
    dsn = dsn_for(admin_dsn, dbname=CONTROL_DATABASE)
    create_database(admin, CONTROL_DATABASE, template="template0")
    migrate.apply(dsn, "control", source=source)
    lockdown(dsn)
    with open_connection(dsn, application="prepare") as control, control.transaction():
        control.execute(Q["chain_start"], {"chain": PLATFORM_CHAIN})


def _build_template(admin: Tx, admin_dsn: str, source: SchemaSource) -> None:
    """Build beside the old template and exchange the two, so that there is one to clone at any moment."""
    dsn = dsn_for(admin_dsn, dbname=_STAGING)
    _drop(admin, _STAGING)
    create_database(admin, _STAGING, template="template0")
    migrate.apply(dsn, "tenant", source=source)
    lockdown(dsn)
    remark = sql.Literal(fingerprint(source))
    admin.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(_STAGING), remark))
    admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(_STAGING)))
    _exchange_template(admin)


def _exchange_template(admin: Tx) -> None:
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    with admin.transaction():
        if admin.execute(Q["database_find"], {"database_name": TEMPLATE}).fetchone() is not None:
            admin.execute(rename.format(sql.Identifier(TEMPLATE), sql.Identifier(_OUTGOING)))
        admin.execute(rename.format(sql.Identifier(_STAGING), sql.Identifier(TEMPLATE)))
    _drop(admin, _OUTGOING)


def _drop(admin: Tx, name: str) -> None:
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _template_fingerprint(admin: Tx) -> str:
    row = admin.execute(Q["database_find"], {"database_name": TEMPLATE}).fetchone()
    return "" if row is None else str(row[2])
