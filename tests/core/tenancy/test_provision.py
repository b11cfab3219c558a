"""Provisioning makes a complete customer, says no to what it cannot mean, and repairs what drifted."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from platform_core import audit
from platform_core.db.migrate import SchemaSource
from platform_core.errors import IdempotencyConflict, InvalidInput, PlatformError, SchemaDrift, Unavailable
from platform_core.tenancy.cluster import prepare_cluster
from platform_core.tenancy.drift import Drift, DriftKind, find_drift
from platform_core.tenancy.provision import Provisioned, login_settings, password_name, provision
from platform_core.tenancy.registry import find_tenant, get_tenant, open_control
from platform_core.values import TenantSlug
from tests.core.tenancy.conftest import Provision
from tests.support.databases import Databases, MemorySecrets


def _drift_of(databases: Databases, made: Provisioned) -> set[DriftKind]:
    with open_control(databases.cluster.admin_dsn) as control:
        return {one.kind for one in find_drift(control) if one.subject == made.tenant.login}


def test_a_customer_is_complete_at_once(databases: Databases, provision_one: Provision) -> None:
    """Its database says whose it is, its trail has its name, its login connects, nothing drifted."""
    made = provision_one()

    assert made.created
    assert (made.tenant.state, made.tenant.currency, made.tenant.timezone) == (
        "active",
        "CLP",
        "America/Santiago",
    )
    assert _drift_of(databases, made) == set()
    with psycopg.connect(made.dsn, autocommit=True) as own:
        assert own.execute(
            "SELECT tenant_id, slug, display_name, timezone, currency FROM tenancy.identity"
        ).fetchall() == [(made.tenant.id, made.tenant.slug, "Academia Acme", "America/Santiago", "CLP")]
        assert audit.read_head(own).chain == str(made.tenant.id)


def test_the_days_of_history_are_there_before_the_first_job_ends(
    databases: Databases, provision_one: Provision
) -> None:
    """A runner that made one under a job that ended meanwhile would break that job's end."""
    made = provision_one()

    with psycopg.connect(made.dsn, autocommit=True) as own:
        own.execute("SELECT * FROM jobs.enqueue('test', '{}', 'once', NULL, NULL, NULL)")
        own.execute("SELECT * FROM jobs.cancel('once', NULL)")
        made_later = own.execute("SELECT created, skipped FROM jobs.maintain()").fetchone()

    with psycopg.connect(databases.cluster.dsn(made.tenant.database_name)) as admin:
        ended = admin.execute("SELECT tableoid::regclass::text, outcome FROM jobs.done").fetchall()

    assert made_later == (0, 0)
    assert [(name.startswith("jobs.done_2"), outcome) for name, outcome in ended] == [(True, "cancelled")]


def test_names_tell_a_stranger_nothing(provision_one: Provision, slug: str) -> None:
    """Neither the database nor the login has anything of the customer's name, nor of each other."""
    tenant = provision_one().tenant

    assert tenant.database_name[2:] != tenant.login[2:]
    assert slug not in tenant.database_name + tenant.login


def test_repeating_changes_nothing(
    provision_one: Provision, kept: MemorySecrets, databases: Databases
) -> None:
    """Same names, same password, one entry in the platform's trail."""
    first, second = provision_one(), provision_one()

    assert (second.tenant, second.dsn, second.created) == (first.tenant, first.dsn, False)
    assert list(kept.kept) == [password_name(first.tenant.slug)]
    with open_control(databases.cluster.admin_dsn) as control:
        entries = audit.list_entries(control, target=("tenant", first.tenant.slug))
        assert [entry.action for entry in entries] == ["tenant.provisioned"]
        assert isinstance(audit.verify(control), audit.Verified)


def test_two_runs_at_once_make_one_customer(provision_one: Provision) -> None:
    """The second waits for the first and finds it complete."""
    made: list[Provisioned] = []
    runs = [threading.Thread(target=lambda: made.append(provision_one())) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()

    assert len({one.dsn for one in made}) == 1
    assert sorted(one.created for one in made) == [False, False, True]


@pytest.mark.timeout(60)
def test_a_run_that_waits_too_long_for_another_says_so(
    databases: Databases, provision_one: Provision, slug: str
) -> None:
    """Another run, stuck, holds the customer's lock."""
    with open_control(databases.cluster.admin_dsn) as other:
        other.execute("SELECT pg_advisory_lock(4802, hashtext(%s))", (slug,))
        with pytest.raises(Unavailable, match=f"Another run is provisioning {slug}"):
            provision_one()


def test_the_password_is_in_no_message_and_no_representation(provision_one: Provision) -> None:
    """What is printed of a provisioned customer has no password."""
    made = provision_one()
    password = psycopg.conninfo.conninfo_to_dict(made.dsn)["password"]

    assert str(password) not in repr(made)


def test_a_lost_password_is_replaced(provision_one: Provision, kept: MemorySecrets) -> None:
    """The secret store lost it: the next run gives a new one, and the old one is refused."""
    first = provision_one()
    kept.kept.clear()
    second = provision_one()

    assert second.dsn != first.dsn
    psycopg.connect(second.dsn).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(first.dsn)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("ALTER ROLE {} PASSWORD 'not-a-real-one'", DriftKind.PASSWORD_CHANGED),
        ("ALTER ROLE {} CONNECTION LIMIT 100", DriftKind.CONNECTION_LIMIT),
        ("ALTER ROLE {} CREATEDB", DriftKind.LOGIN_POWERFUL),
        ("ALTER ROLE {} BYPASSRLS", DriftKind.LOGIN_POWERFUL),
        ("ALTER ROLE {} SET temp_file_limit = -1", DriftKind.SETTINGS),
        ("ALTER ROLE {} SET role = 'postgres'", DriftKind.SETTINGS),
        ("GRANT pg_monitor TO {}", DriftKind.MEMBERSHIPS),
    ],
)
def test_what_drifted_is_found_and_repaired(
    databases: Databases, provision_one: Provision, change: str, kind: DriftKind
) -> None:
    """Each change is named by the check, and gone after the next run."""
    made = provision_one()
    with psycopg.connect(databases.cluster.admin_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL(change).format(sql.Identifier(made.tenant.login)))

    assert _drift_of(databases, made) == {kind}
    provision_one()
    assert _drift_of(databases, made) == set()


def test_a_login_cannot_give_its_own_access_away(databases: Databases, provision_one: Provision) -> None:
    """DROP OWNED BY itself is accepted and takes nothing: its privileges are not its own to revoke."""
    made = provision_one()
    with psycopg.connect(made.dsn, autocommit=True) as own:
        own.execute("DROP OWNED BY CURRENT_USER")
        own.execute("SELECT slug FROM tenancy.identity")

    assert _drift_of(databases, made) == set()
    psycopg.connect(made.dsn).close()


def test_a_database_opened_to_everybody_is_found_and_closed(databases: Databases) -> None:
    """A new database of anybody's is open when PostgreSQL makes it; preparing the cluster closes it."""
    with psycopg.connect(databases.cluster.admin_dsn, autocommit=True) as admin:
        admin.execute("CREATE DATABASE strangers")
        try:
            with open_control(databases.cluster.admin_dsn) as control:
                before = find_drift(control)
            prepare_cluster(databases.cluster.admin_dsn, source=databases.source)
            with open_control(databases.cluster.admin_dsn) as control:
                after = find_drift(control)
        finally:
            admin.execute("DROP DATABASE strangers WITH (FORCE)")

    opened = Drift(DriftKind.DATABASE_OPEN_TO_PUBLIC, "strangers")
    assert (opened in before, opened in after) == (True, False)


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({"currency": "USD"}, "currency"),
        ({"timezone": "UTC", "display_name": "B"}, "display_name and timezone"),
    ],
)
def test_an_existing_customer_with_other_values_is_refused(
    provision_one: Provision, changes: dict[str, str], differing: str
) -> None:
    """Which values differ is named; nothing changes."""
    provision_one()

    with pytest.raises(IdempotencyConflict, match=f"another {differing}$"):
        provision_one(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"slug": "Acme"},
        {"slug": "a"},
        {"slug": "acme; DROP ROLE postgres"},
        {"slug": "ácme"},
        {"display_name": "  "},
        {"display_name": "x" * 201},
        {"display_name": "Acme\x00"},
        {"timezone": "America"},
        {"timezone": "../../etc/passwd"},
        {"timezone": "Santiago"},
        {"timezone": ""},
        {"currency": "clp"},
        {"currency": "XXX"},
    ],
)
def test_bad_values_are_refused_before_anything_is_made(
    databases: Databases, provision_one: Provision, slug: str, changes: dict[str, str]
) -> None:
    """One line, with the thing and the next step; no row, no secret."""
    with pytest.raises(InvalidInput) as refusal:
        provision_one(**changes)

    assert "\n" not in refusal.value.one_line()
    with open_control(databases.cluster.admin_dsn) as control:
        assert find_tenant(control, slug) is None


def test_a_template_of_another_release_is_not_cloned(
    databases: Databases, tmp_path: Path, slug: str, kept: MemorySecrets
) -> None:
    """A customer would get a schema this code does not know."""
    newer = tmp_path / "0001_pre_create_tenant.sql"
    newer.write_text("SELECT 1;", encoding="utf-8")
    with pytest.raises(SchemaDrift, match="template tpl_tenant is missing or was built by another release"):
        provision(
            databases.cluster.admin_dsn,
            slug,
            display_name="Acme",
            timezone="UTC",
            currency="CLP",
            secrets=kept,
            source=SchemaSource(tenant=tmp_path, control=tmp_path),
        )

    with open_control(databases.cluster.admin_dsn) as control, pytest.raises(PlatformError):
        get_tenant(control, TenantSlug(slug))


def test_transactions_are_bounded_where_the_server_can() -> None:
    """`transaction_timeout` came with PostgreSQL 17."""
    assert (
        "transaction_timeout" in login_settings(160000),
        "transaction_timeout" in login_settings(170000),
    ) == (
        False,
        True,
    )
