"""A whole cluster after it was put back: closed, held, proven; and told of what is not well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_cli.local import postgres
from platform_core import audit
from platform_core.messaging.lifecycle import OutboxState
from platform_core.restores.cluster import PLATFORM, Settled, settle_cluster
from platform_core.restores.customer import Origin
from platform_core.tenancy.drift import find_drift
from platform_core.tenancy.life import move_tenant
from platform_core.tenancy.registry import open_control
from platform_core.values import Actor
from tests.support.databases import Databases, TenantDatabase
from tests.support.messaging import Desk

OPERATOR = Actor("support", "os:tests")
ORIGIN = Origin("20260301T031000Z-daily", "2026-03-01T10:15:00Z")


@pytest.fixture
def desk(tenant_db: TenantDatabase) -> Iterator[Desk]:
    """A customer that sends messages."""
    with tenant_db.connect() as connection:
        yield Desk(tenant_db, connection)


def settled(databases: Databases, *slugs: str) -> dict[str, Settled]:
    """Look after the cluster; what was found of these."""
    done = settle_cluster(databases.cluster.admin_dsn, origin=ORIGIN, actor=OPERATOR)
    return {one.slug: one for one in done if one.slug in slugs}


def test_a_message_about_to_be_sent_is_held_and_waits_for_a_person(
    databases: Databases, tenant_db: TenantDatabase, desk: Desk
) -> None:
    """It may have gone out after the instant; a second time nothing is held anew."""
    outbox = desk.message()
    first = settled(databases, tenant_db.slug)[tenant_db.slug]
    second = settled(databases, tenant_db.slug)[tenant_db.slug]
    held = desk.outbox(outbox)
    desk.send(outbox)

    assert (first.held, second.held) == (1, 0)
    assert (held.state, held.error_code) == (OutboxState.AMBIGUOUS, "restored")
    assert (desk.client.sent, len(desk.jobs("outbox.unreported"))) == ([], 1)


def test_what_came_open_is_closed_again(databases: Databases, tenant_db: TenantDatabase) -> None:
    """Rights on the database itself, and the catalogs inside it."""
    with tenant_db.admin() as admin:
        admin.execute(f"GRANT CONNECT ON DATABASE {tenant_db.name} TO PUBLIC".encode())
        admin.execute("GRANT SELECT ON pg_catalog.pg_stat_activity TO PUBLIC")
    found = settled(databases, tenant_db.slug)[tenant_db.slug]
    with open_control(databases.cluster.admin_dsn) as control:
        drifted = [one for one in find_drift(control) if one.subject == tenant_db.name]

    assert (found, drifted) == (Settled(tenant_db.slug), [])


def test_a_broken_trail_and_a_leak_are_named_and_stop_nobody_else(
    databases: Databases, tenant_db: TenantDatabase
) -> None:
    """Each by its customer; the platform's own trail tells who is not well."""
    with databases.tenant() as leaking:
        with tenant_db.admin() as admin:
            admin.execute("UPDATE audit.head SET seq = 7")
        with leaking.admin() as admin:
            admin.execute("GRANT CREATE ON SCHEMA public TO api_tenant")
        found = settled(databases, tenant_db.slug, leaking.slug, PLATFORM)
        slug = leaking.slug
    with open_control(databases.cluster.admin_dsn) as control:
        entry = audit.list_entries(control, 1, action="cluster.restored")[0]

    assert "is broken at entry" in found[tenant_db.slug].complaint
    assert found[slug] == Settled(slug, complaint="its login makes tables")
    assert found[PLATFORM].complaint == ""
    assert entry.detail["copy"] == ORIGIN.copy
    assert f"'{slug}'" in str(entry.detail["not_well"])


def test_customers_nobody_may_enter_are_looked_after_and_stay_shut(
    databases: Databases, tenant_db: TenantDatabase
) -> None:
    """Suspended: held and proven like the rest."""
    move_tenant(databases.cluster.admin_dsn, tenant_db.slug, "suspend", actor=OPERATOR, reason="a test")
    found = settled(databases, tenant_db.slug)
    with open_control(databases.cluster.admin_dsn) as control:
        opened = control.execute(
            "SELECT datallowconn FROM pg_database WHERE datname = %s", [tenant_db.name]
        ).fetchone()
    move_tenant(databases.cluster.admin_dsn, tenant_db.slug, "resume", actor=OPERATOR, reason="a test")

    assert (found, opened) == ({tenant_db.slug: Settled(tenant_db.slug)}, (False,))


def test_a_cluster_without_customers_has_nothing_to_settle(tmp_path: Path) -> None:
    """A host that was restored before its first customer came."""
    try:
        with postgres.running(tmp_path / "bare", postgres.DURABILITY_OFF) as bare:
            found = settle_cluster(bare.admin_dsn, origin=ORIGIN, actor=OPERATOR)
    finally:
        postgres.destroy(tmp_path / "bare")

    assert found == ()
