"""The door's login, and which databases let it in through a customer's life."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from platform_core.tenancy import door
from platform_core.tenancy.drift import DriftKind, find_drift
from platform_core.tenancy.life import Move, move_tenant
from platform_core.tenancy.registry import open_control
from platform_core.values import Actor
from tests.core.tenancy.conftest import Provision
from tests.support.databases import Databases, MemorySecrets

OPERATOR = Actor("support", "a-test")


def _knock(databases: Databases, kept: MemorySecrets, database: str) -> str:
    dsn = make_conninfo(
        databases.cluster.admin_dsn, dbname=database, user=door.LOGIN, password=kept.kept[door.PASSWORD_NAME]
    )
    try:
        with psycopg.connect(dsn):
            return "entered"
    except psycopg.OperationalError as refusal:
        return "closed" if "not currently accepting" in str(refusal) else "denied"


def _granted(databases: Databases, database: str) -> bool:
    with psycopg.connect(databases.cluster.admin_dsn) as admin:
        row = admin.execute(
            "SELECT has_database_privilege('api_ingest', %s, 'CONNECT')", (database,)
        ).fetchone()
    return row == (True,)


def test_the_door_is_let_in_while_a_customer_is_active(
    databases: Databases, kept: MemorySecrets, provision_one: Provision
) -> None:
    """The privilege goes with the state, beside the database's own switch."""
    door.prepare_door(databases.cluster.admin_dsn, kept)
    tenant = provision_one().tenant
    moves: tuple[Move, ...] = ("suspend", "resume", "close")
    seen = [(_knock(databases, kept, tenant.database_name), _granted(databases, tenant.database_name))]
    for move in moves:
        move_tenant(databases.cluster.admin_dsn, tenant.slug, move, actor=OPERATOR, reason="a test")
        seen.append(
            (_knock(databases, kept, tenant.database_name), _granted(databases, tenant.database_name))
        )

    assert seen == [("entered", True), ("closed", False), ("entered", True), ("closed", False)]


@pytest.mark.parametrize(
    ("mistake", "kind"),
    [
        ("REVOKE CONNECT ON DATABASE {database} FROM api_ingest", DriftKind.DOOR_SHUT_OUT),
        ("GRANT CREATE ON DATABASE {database} TO api_ingest", DriftKind.DOOR_LET_IN),
        ("GRANT CONNECT ON DATABASE {database} TO ingest", DriftKind.DOOR_LET_IN),
        ("GRANT CONNECT ON DATABASE platform_control TO api_ingest", DriftKind.DOOR_LET_IN),
        ("GRANT api_tenant TO ingest", DriftKind.MEMBERSHIPS),
        ("ALTER ROLE ingest CREATEDB", DriftKind.LOGIN_POWERFUL),
        ("ALTER ROLE ingest CONNECTION LIMIT -1", DriftKind.CONNECTION_LIMIT),
        ("ALTER ROLE ingest SET statement_timeout = 0", DriftKind.SETTINGS),
    ],
)
def test_drift_finds_what_the_door_has_too_much_or_lacks(
    databases: Databases, kept: MemorySecrets, provision_one: Provision, mistake: str, kind: DriftKind
) -> None:
    """And making the login and the customer again repairs it."""
    admin_dsn = databases.cluster.admin_dsn
    door.prepare_door(admin_dsn, kept)
    tenant = provision_one().tenant
    subjects = {tenant.database_name, door.LOGIN, "platform_control"}

    def kinds() -> list[DriftKind]:
        with open_control(admin_dsn) as control:
            return [one.kind for one in find_drift(control) if one.subject in subjects]

    before = kinds()
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL(mistake).format(database=sql.Identifier(tenant.database_name)))
        found = kinds()
        admin.execute("REVOKE ALL ON DATABASE platform_control FROM api_ingest")
        revoke = sql.SQL("REVOKE ALL ON DATABASE {} FROM api_ingest, ingest")
        admin.execute(revoke.format(sql.Identifier(tenant.database_name)))
    door.prepare_door(admin_dsn, kept)
    provision_one()

    assert (before, found, kinds()) == ([], [kind], [])


def test_the_password_is_kept_before_it_is_given(databases: Databases, kept: MemorySecrets) -> None:
    """Making the login again keeps it."""
    first = door.prepare_door(databases.cluster.admin_dsn, kept)

    assert door.prepare_door(databases.cluster.admin_dsn, kept) == first
    assert kept.kept == {door.PASSWORD_NAME: first}


def test_a_password_that_a_host_told_the_database_stays(databases: Databases) -> None:
    """The door on that host logs in by it; a desk that keeps none, or another, does not shut it out."""
    admin_dsn, desk = databases.cluster.admin_dsn, MemorySecrets()
    door.prepare_door(admin_dsn, MemorySecrets())
    before = _verifier(admin_dsn)
    door.prepare_door_of_host(admin_dsn, desk)
    kept = dict(desk.kept)
    desk.put(door.PASSWORD_NAME, "platform_core_test_of_another_time")
    door.prepare_door_of_host(admin_dsn, desk)

    assert kept == {}
    assert _verifier(admin_dsn) == before


def _verifier(admin_dsn: str) -> object:
    with psycopg.connect(admin_dsn) as admin:
        return admin.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [door.LOGIN]).fetchone()
