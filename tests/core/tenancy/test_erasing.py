"""Erasing a customer: only a closed one, all of it, once, on record, and never its neighbour."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from platform_core import audit
from platform_core.errors import StateConflict, UnknownTenant
from platform_core.tenancy.erasing import erase_tenant, is_erased, open_for_export
from platform_core.tenancy.life import move_tenant
from platform_core.tenancy.provision import provision
from platform_core.tenancy.registry import get_tenant, open_control
from platform_core.values import Actor
from tests.support.databases import Databases, MemorySecrets, TenantDatabase

OPERATOR = Actor("support", "os:tests")


@pytest.fixture
def doomed(databases: Databases) -> Iterator[TenantDatabase]:
    """A customer that may be erased."""
    with databases.tenant() as found:
        yield found


def close(databases: Databases, slug: str) -> None:
    """End the customer; its data stays."""
    move_tenant(databases.cluster.admin_dsn, slug, "close", actor=OPERATOR, reason="a test")


def left_of(databases: Databases, found: TenantDatabase) -> tuple[int, int]:
    """How many databases and logins of that customer the cluster has."""
    with psycopg.connect(databases.cluster.admin_dsn) as admin:
        base = admin.execute("SELECT count(*) FROM pg_database WHERE datname = %s", [found.name]).fetchone()
        role = admin.execute("SELECT count(*) FROM pg_roles WHERE rolname = %s", [found.login]).fetchone()
    assert base is not None
    assert role is not None
    return int(base[0]), int(role[0])


def test_an_open_customer_is_not_erased(databases: Databases, doomed: TenantDatabase) -> None:
    """Closing is a decision of its own."""
    with pytest.raises(StateConflict, match="is active; only a closed one can be erased"):
        erase_tenant(databases.cluster.admin_dsn, doomed.slug, actor=OPERATOR, reason="a test")

    assert left_of(databases, doomed) == (1, 1)


def test_a_closed_customer_is_gone_and_a_repeat_records_nothing(
    databases: Databases, doomed: TenantDatabase
) -> None:
    """Database and login go, the row and one entry of the trail stay; the neighbour keeps everything."""
    close(databases, doomed.slug)
    with databases.tenant() as neighbour:
        for _ in range(2):
            erase_tenant(
                databases.cluster.admin_dsn,
                doomed.slug,
                actor=OPERATOR,
                reason="they asked",
                detail={"export": "x.tar"},
            )
        with open_control(databases.cluster.admin_dsn) as control:
            tenant = get_tenant(control, doomed.slug)
            gone = is_erased(control, tenant)
            entries = [
                (one.action, one.detail)
                for one in audit.list_entries(control, limit=50)
                if one.target == ("tenant", doomed.slug)
            ]
        beside = left_of(databases, neighbour)

    assert (left_of(databases, doomed), beside, gone, tenant.state) == ((0, 0), (1, 1), True, "closed")
    assert [one for one in entries if one[0] == "tenant.erased"] == [
        ("tenant.erased", {"reason": "they asked", "export": "x.tar"})
    ]


def test_the_name_of_an_erased_customer_is_never_given_to_another(
    databases: Databases, doomed: TenantDatabase
) -> None:
    """Somebody may still hold a link or a backup of it."""
    close(databases, doomed.slug)
    erase_tenant(databases.cluster.admin_dsn, doomed.slug, actor=OPERATOR, reason="a test")

    with pytest.raises(StateConflict, match="is closed"):
        provision(
            databases.cluster.admin_dsn,
            doomed.slug,
            display_name="A customer of a test",
            timezone="America/Santiago",
            currency="CLP",
            secrets=MemorySecrets(),
            source=databases.source,
        )


def test_nobody_is_erased_by_a_name_that_is_none(databases: Databases) -> None:
    """The near ones are named instead."""
    with pytest.raises(UnknownTenant):
        erase_tenant(databases.cluster.admin_dsn, "nobody_of_that_name", actor=OPERATOR, reason="a test")


def test_only_the_administrator_enters_what_is_exported(databases: Databases, doomed: TenantDatabase) -> None:
    """Afterwards nobody does, and what is at work is not exported at all."""
    admin_dsn = databases.cluster.admin_dsn
    with pytest.raises(StateConflict, match="would go on writing"), open_for_export(admin_dsn, doomed.slug):
        pass
    move_tenant(admin_dsn, doomed.slug, "suspend", actor=OPERATOR, reason="a test")

    with open_for_export(admin_dsn, doomed.slug) as dsn:
        with psycopg.connect(dsn) as admin:
            entered = admin.execute("SELECT count(*) FROM tenancy.identity").fetchone()
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            psycopg.connect(doomed.dsn)

    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        psycopg.connect(dsn)
    move_tenant(admin_dsn, doomed.slug, "resume", actor=OPERATOR, reason="a test")
    with psycopg.connect(doomed.dsn) as again:
        back = again.execute("SELECT 1").fetchone()
    assert (entered, back) == ((1,), (1,))
