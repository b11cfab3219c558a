"""A cluster is prepared once, follows the code, and every customer can follow it too."""

from __future__ import annotations

from pathlib import Path

import psycopg

from platform_cli.local import postgres
from platform_core.db.migrate import SchemaSource
from platform_core.tenancy.cluster import fingerprint, migrate_tenant, prepare_cluster
from platform_core.tenancy.drift import find_drift
from platform_core.tenancy.registry import get_tenant, list_tenants, open_control
from tests.support.databases import schema_source
from tests.support.provisioning import provision_acme

NEWER = b"-- Why: a test. Locks: none.\nCREATE TABLE tenancy.newer (id bigint PRIMARY KEY);\n"


def _add_migration(source: SchemaSource) -> None:
    (source.tenant / "0002_pre_add_newer.sql").write_bytes(NEWER)


def _has_newer(dsn: str) -> bool:
    with psycopg.connect(dsn) as admin:
        row = admin.execute("SELECT to_regclass('tenancy.newer') IS NOT NULL").fetchone()
    return row == (True,)


def test_the_template_follows_the_code_and_customers_are_migrated_one_by_one(
    bare_cluster: postgres.Cluster, tmp_path: Path
) -> None:
    """An old customer keeps its schema until it is migrated; a new one has the newest from the start."""
    admin_dsn = bare_cluster.admin_dsn
    source = schema_source(tmp_path)
    prepare_cluster(admin_dsn, source=source)
    told: list[str] = []
    prepare_cluster(admin_dsn, source=source, progress=told.append)
    old = provision_acme(admin_dsn, "old_one", tmp_path / "secrets", source).tenant
    before = fingerprint(source)
    _add_migration(source)
    prepare_cluster(admin_dsn, source=source, progress=told.append)
    new = provision_acme(admin_dsn, "new_one", tmp_path / "secrets", source).tenant

    assert told == ["control database", "control database", "template of customers' databases"]
    assert fingerprint(source) != before
    assert [_has_newer(bare_cluster.dsn(one.database_name)) for one in (old, new)] == [False, True]
    assert migrate_tenant(admin_dsn, old, source=source) == ("0002_pre_add_newer.sql",)
    assert migrate_tenant(admin_dsn, old, source=source) == ()
    assert _has_newer(bare_cluster.dsn(old.database_name))
    with open_control(admin_dsn) as control:
        assert {one.schema_version for one in list_tenants(control)} == {"0002_pre_add_newer.sql"}
        assert get_tenant(control, "old_one").state == "active"
        assert find_drift(control) == ()


def test_a_prepared_cluster_has_no_role_that_could_log_in_but_the_superuser(
    bare_cluster: postgres.Cluster, tmp_path: Path
) -> None:
    """The owner and the group never log in, whatever an operator gave them before."""
    source = schema_source(tmp_path)
    with psycopg.connect(bare_cluster.admin_dsn, autocommit=True) as admin:
        admin.execute("CREATE ROLE platform_owner LOGIN SUPERUSER PASSWORD 'not-a-real-one'")
    prepare_cluster(bare_cluster.admin_dsn, source=source)
    with psycopg.connect(bare_cluster.admin_dsn) as admin:
        powerful = admin.execute(
            "SELECT rolname FROM pg_roles WHERE rolcanlogin OR rolsuper OR rolbypassrls ORDER BY 1"
        ).fetchall()

    assert powerful == [("postgres",)]
