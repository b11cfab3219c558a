"""Each database can be had alone, by PostgreSQL's own tools, with its rights."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from platform_cli.local import postgres
from platform_core.backups.dumps import GLOBALS, database_of, dump_all
from platform_core.backups.place import Dump
from platform_core.backups.sealing import unseal
from platform_core.errors import UnknownTenant
from platform_core.tenancy import life
from platform_core.values import Actor, SystemClock
from tests.support.databases import Databases, TenantDatabase
from tests.support.vaults import Vault, a_vault


@pytest.fixture(scope="module")
def pair(peopled: Databases) -> Iterator[tuple[TenantDatabase, TenantDatabase]]:
    """Two customers, the second suspended: nobody can enter its database."""
    with peopled.tenant("gamma") as gamma, peopled.tenant("delta") as delta:
        life.move_tenant(
            peopled.cluster.admin_dsn, "delta", "suspend", actor=Actor("system", "tests"), reason="a test"
        )
        yield gamma, delta


@pytest.fixture(scope="module")
def dumped(
    peopled_cluster: postgres.Cluster, pair: tuple[TenantDatabase, TenantDatabase]
) -> Iterator[tuple[Vault, list[Dump]]]:
    """Their databases, dumped, and a copy."""
    assert pair
    with a_vault(peopled_cluster) as vault:
        made = dump_all(vault.place, SystemClock())
        vault.run("now")
        yield vault, made


def _plain(vault: Vault, dump: Dump) -> bytes:
    sink = io.BytesIO()
    unseal(vault.place.sealed_dump(dump), dump.sha256, vault.keys, sink)
    return sink.getvalue()


def _restored(vault: Vault, content: bytes, tmp_path: Path) -> str:
    """What `pg_restore --create` would do, in words."""
    path = tmp_path / "x.dump"
    path.write_bytes(content)
    path.chmod(0o644)
    done = subprocess.run(
        [vault.place.binaries / "pg_restore", "--create", "--file=-", path],
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout


def test_every_database_is_dumped_also_one_that_nobody_may_enter(
    dumped: tuple[Vault, list[Dump]], pair: tuple[TenantDatabase, TenantDatabase]
) -> None:
    """And no template, and not the empty one."""
    vault, made = dumped
    names = {dump.database for dump in made}

    assert {pair[0].name, pair[1].name, "platform_control", GLOBALS} <= names
    assert not {name for name in names if name.startswith(("tpl_", "template", "postgres"))}
    assert vault.place.list_dumps() == sorted(made, key=lambda one: one.database)
    assert len({dump.at for dump in made}) == 1
    assert not list(vault.place.scratch.glob("dumps-*"))


def test_a_dump_brings_its_rights_back(
    dumped: tuple[Vault, list[Dump]], pair: tuple[TenantDatabase, TenantDatabase], tmp_path: Path
) -> None:
    """Those of the database only with --create, which is what they are made for."""
    vault, made = dumped
    (dump,) = [one for one in made if one.database == pair[0].name]
    script = _restored(vault, _plain(vault, dump), tmp_path)

    assert f"GRANT CONNECT ON DATABASE {pair[0].name} TO {pair[0].login};" in script
    assert f"REVOKE CONNECT,TEMPORARY ON DATABASE {pair[0].name} FROM PUBLIC;" in script
    assert "CREATE TABLE payments.claim (" in script


def test_the_dump_of_roles_has_no_password(
    dumped: tuple[Vault, list[Dump]], pair: tuple[TenantDatabase, TenantDatabase]
) -> None:
    """Provisioning sets them anew; a verifier helps whoever wants to guess one."""
    vault, made = dumped
    (dump,) = [one for one in made if one.database == GLOBALS]
    script = _plain(vault, dump).decode()

    assert f"CREATE ROLE {pair[0].login};" in script
    assert "SCRAM-SHA-256" not in script


def test_one_customer_comes_out_of_a_copy(
    dumped: tuple[Vault, list[Dump]], pair: tuple[TenantDatabase, TenantDatabase], tmp_path: Path
) -> None:
    """By the customer's name, on stdout, and into a database of its own."""
    vault, _ = dumped
    content = vault.run("customer", "gamma", stdin=vault.identity).stdout
    script = _restored(vault, content, tmp_path)
    assert f"GRANT CONNECT ON DATABASE {pair[0].name} TO {pair[0].login};" in script


def test_the_login_that_copies_reads_no_customer(
    dumped: tuple[Vault, list[Dump]], pair: tuple[TenantDatabase, TenantDatabase]
) -> None:
    """Dumps take no login that may read everything."""
    vault, _ = dumped
    dsn = vault.cluster.dsn(pair[0].name, "backup", vault.place.source_password())

    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(dsn)


def test_a_customer_that_no_copy_knows_is_said(
    dumped: tuple[Vault, list[Dump]], pair: tuple[TenantDatabase, TenantDatabase]
) -> None:
    """By whatever name it was asked for."""
    vault, _ = dumped
    dsn = vault.cluster.admin_dsn

    assert database_of(dsn, "gamma", known=[pair[0].name, "platform_control"]) == pair[0].name
    assert database_of(dsn, "windmill", known=["windmill"]) == "windmill"
    for name, known in (("nobody", ["platform_control"]), ("gamma", ["platform_control"]), ("gamma", [])):
        with pytest.raises(UnknownTenant, match="The copy has no customer and no database"):
            database_of(dsn, name, known=known)
