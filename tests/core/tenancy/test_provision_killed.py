"""Provisioning, and preparing a cluster, are killed at every statement and then run again."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from platform_cli.local import postgres
from platform_cli.local.secret_store import FileSecretStore
from platform_core.tenancy.drift import find_drift
from platform_core.tenancy.provision import Provisioned, password_name
from platform_core.tenancy.registry import control_dsn, find_tenant, open_control
from platform_core.values import TenantSlug
from tests.support.databases import Databases, schema_source
from tests.support.killing import Moment, run_and_kill
from tests.support.provisioning import prepare, provision_acme, provision_dying

MAX_STATEMENTS = 100


def _end_state(databases: Databases, made: Provisioned, folder: Path) -> dict[str, object]:
    """Everything a customer is made of, without the names that are random on purpose."""
    tenant = made.tenant
    with psycopg.connect(control_dsn(databases.cluster.admin_dsn), autocommit=True) as control:
        registry = control.execute(
            "SELECT state, activated_at IS NOT NULL, schema_version FROM control.tenant WHERE id = %s",
            (tenant.id,),
        ).fetchall()
        acts = control.execute(
            "SELECT body::jsonb ->> 'action' FROM audit.entry WHERE body::jsonb #>> '{target,id}' = %s",
            (tenant.slug,),
        ).fetchall()
        login = control.execute(
            "SELECT rolcanlogin, rolsuper, rolbypassrls, rolconnlimit, array_length(setconfig, 1)"
            " FROM pg_roles LEFT JOIN pg_db_role_setting ON setrole = pg_roles.oid WHERE rolname = %s",
            (tenant.login,),
        ).fetchall()
        privileges = control.execute(
            "SELECT acl.grantee::regrole::text, acl.privilege_type"
            " FROM pg_database, aclexplode(datacl) AS acl WHERE datname = %s ORDER BY 1, 2",
            (tenant.database_name,),
        ).fetchall()
        drift = [
            found for found in find_drift(control) if found.subject in (tenant.login, tenant.database_name)
        ]
    with psycopg.connect(made.dsn, autocommit=True) as own:
        identity = own.execute("SELECT tenant_id = %s, slug FROM tenancy.identity", (tenant.id,)).fetchall()
        chain = own.execute("SELECT chain = %s, seq FROM audit.head", (str(tenant.id),)).fetchall()
    return {
        "registry": registry,
        "acts": acts,
        "login": login,
        "privileges": [(who.replace(tenant.login, "login"), what) for who, what in privileges],
        "drift": drift,
        "identity": [(same, slug == tenant.slug) for same, slug in identity],
        "chain": chain,
        "secrets": [path.name for path in folder.rglob("*") if path.is_file()],
    }


class Arena:
    """Provisions customers to be killed, and takes them away again."""

    def __init__(self, databases: Databases, folder: Path) -> None:
        self.databases = databases
        self.folder = folder
        self.dsn = databases.cluster.admin_dsn

    def fresh(self) -> tuple[str, Path]:
        """A slug nobody used and a folder for its secrets."""
        slug = f"killed_{secrets.token_hex(6)}"
        return slug, self.folder / slug

    def finish(self, slug: str, folder: Path) -> dict[str, object]:
        """Run provisioning to its end, describe what stands, and take it away."""
        made = provision_acme(self.dsn, slug, folder, self.databases.source)
        try:
            return _end_state(self.databases, made, folder)
        finally:
            self.databases.drop(made.tenant.database_name, made.tenant.login)

    def undisturbed(self) -> tuple[dict[str, object], int]:
        """The end state and the number of statements of a run that nothing disturbs."""
        slug, folder = self.fresh()
        arguments = (slug, folder, self.databases.source)
        statements = run_and_kill(self.dsn, provision_acme, arguments, kill_at=0, moment="before")
        return self.finish(slug, folder), statements


@pytest.fixture
def arena(databases: Databases, tmp_path: Path) -> Arena:
    """Where customers are provisioned and killed."""
    return Arena(databases, tmp_path)


@pytest.mark.parametrize("moment", ["before", "during"])
def test_provisioning_killed_at_any_statement_is_finished_by_the_next_run(
    arena: Arena, moment: Moment
) -> None:
    """The end state is that of a run nobody disturbed, whichever statement was the last."""
    expected, statements = arena.undisturbed()
    assert 15 < statements < MAX_STATEMENTS

    def killed_at(statement: int) -> dict[str, object]:
        slug, folder = arena.fresh()
        arguments = (slug, folder, arena.databases.source)
        run_and_kill(arena.dsn, provision_acme, arguments, kill_at=statement, moment=moment)
        return arena.finish(slug, folder)

    with ThreadPoolExecutor(4) as rounds:
        states = dict(enumerate(rounds.map(killed_at, range(1, statements + 1)), start=1))

    assert states == dict.fromkeys(range(1, statements + 1), expected)


@pytest.mark.parametrize("after", [False, True])
def test_provisioning_killed_around_the_secret_is_finished_by_the_next_run(arena: Arena, after: bool) -> None:
    """A password that was kept and never given to the login is given to it by the next run."""
    expected, _ = arena.undisturbed()
    slug, folder = arena.fresh()
    with pytest.raises(AssertionError, match="ended with -9"):
        run_and_kill(
            arena.dsn,
            provision_dying,
            (slug, folder, arena.databases.source, after),
            kill_at=0,
            moment="before",
        )
    kept = FileSecretStore(folder).get(password_name(TenantSlug(slug)))

    assert (kept is not None) == after
    assert arena.finish(slug, folder) == expected
    assert not after or FileSecretStore(folder).get(password_name(TenantSlug(slug))) == kept


@pytest.mark.timeout(300)
def test_preparing_a_cluster_killed_at_any_statement_is_finished_by_the_next_run(
    bare_cluster: postgres.Cluster, tmp_path: Path
) -> None:
    """Each run goes on where the last was killed, so the first one that is not killed finishes it."""
    source = schema_source(tmp_path)
    kill_at = 1
    while (
        run_and_kill(bare_cluster.admin_dsn, prepare, (source,), kill_at=kill_at, moment="before") >= kill_at
    ):
        kill_at += 3
        assert kill_at < MAX_STATEMENTS
    prepare(bare_cluster.admin_dsn, source)

    assert kill_at > 20
    with open_control(bare_cluster.admin_dsn) as control:
        assert find_tenant(control, "nobody") is None
        assert find_drift(control) == ()
    provision_acme(bare_cluster.admin_dsn, "acme", tmp_path / "secrets", source)
