"""The lockdown can be repeated, leaves drivers working, and is in the template and every clone."""

from __future__ import annotations

import psycopg
from psycopg.types import TypeInfo
from psycopg.types.enum import EnumInfo
from psycopg.types.json import Jsonb

from platform_core.db.lockdown import lockdown
from tests.support.bare import dump_of
from tests.support.databases import TenantDatabase

_PRIVILEGES = """
SELECT oid::regclass::text, relacl::text FROM pg_class WHERE relacl IS NOT NULL
UNION ALL SELECT oid::regprocedure::text, proacl::text FROM pg_proc WHERE proacl IS NOT NULL
UNION ALL SELECT nspname, nspacl::text FROM pg_namespace
UNION ALL SELECT lanname, lanacl::text FROM pg_language
UNION ALL SELECT attrelid::regclass::text || attname, attacl::text FROM pg_attribute WHERE attacl IS NOT NULL
ORDER BY 1, 2
"""


def test_repeating_the_lockdown_changes_nothing(tenant_db: TenantDatabase) -> None:
    """Every privilege of every catalog object is the same before and after."""
    with tenant_db.admin() as admin:
        before = admin.execute(_PRIVILEGES).fetchall()
    lockdown(tenant_db.admin_dsn)
    with tenant_db.admin() as admin:
        after = admin.execute(_PRIVILEGES).fetchall()

    assert len(before) > 500
    assert after == before


def test_the_driver_works_in_a_locked_database(tenant_db: TenantDatabase) -> None:
    """Types are looked up, arrays, JSON, dates and server-side cursors come and go."""
    with tenant_db.connect() as tx:
        found = TypeInfo.fetch(tx, "jsonb")
        missing = EnumInfo.fetch(tx, "no_such_enum")
        row = tx.execute(
            "SELECT %s::jsonb, %s::text[], now() - now(), %s::uuid, 1.50::numeric, '{1,2}'::bigint[]",
            (Jsonb({"a": [1]}), ["x", "ñ"], "00000000-0000-4000-8000-000000000001"),
        ).fetchone()
        with tx.transaction(), tx.cursor("named") as cursor:
            cursor.execute("SELECT g FROM generate_series(1, 3) AS g")
            numbers = cursor.fetchall()

    assert found is not None
    assert missing is None
    assert row is not None
    assert (row[0], row[1], str(row[4]), row[5]) == ({"a": [1]}, ["x", "ñ"], "1.50", [1, 2])
    assert numbers == [(1,), (2,), (3,)]


def test_the_lockdown_travels_with_a_dump(tenant_db: TenantDatabase) -> None:
    """A restored database has it without running anything; CONNECT alone is set again where it is created."""
    dumped = "\n".join(dump_of(tenant_db.admin_dsn))

    assert "REVOKE ALL ON FUNCTION pg_catalog.pg_sleep" in dumped
    assert "REVOKE SELECT ON TABLE pg_catalog.pg_stat_activity FROM PUBLIC" in dumped


def test_the_owner_reads_what_was_taken_from_everybody(tenant_db: TenantDatabase) -> None:
    """Migrations run as the owner and may look at the catalogs; what only a superuser could read stays so."""
    with tenant_db.admin() as admin:
        admin.execute("SET ROLE platform_owner")
        admin.execute("SELECT conname FROM pg_constraint")
        try:
            admin.execute("SELECT rolpassword FROM pg_authid")
        except psycopg.errors.InsufficientPrivilege:
            return
    raise AssertionError("the owner reads passwords' verifiers")
