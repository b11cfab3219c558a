"""Every named statement PREPAREs on the migrated schema, and a customer's login may run its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

import platform_cli
import platform_connectors
import platform_core
from platform_cli.local.postgres import Cluster
from platform_cli.local.windmill.flows.state import State
from platform_core.db import Queries, Tx, open_connection
from platform_core.tenancy import door
from platform_core.tenancy.registry import open_control
from tests.support.databases import Databases, TenantDatabase
from tests.support.doorstep import door_password
from tests.support.written_flows import new_state

PACKAGES = [
    Path(str(module.__file__)).parent for module in (platform_core, platform_cli, platform_connectors)
]
PLATFORM = re.compile(r"^-- run as: (platform|ingest)$", re.MULTILINE)
DOOR = re.compile(r"^-- run as: ingest$", re.MULTILINE)
CONTROL = re.compile(r"\bcontrol\.")
OF_FLOWS = "flows/"
"""The statements about what the local runtime remembers of flows, in a database of its own."""
_PARAMETER = re.compile(r"%\((\w+)\)[sbt]")
_UTILITY = re.compile(r"^(LOCK|SET|LISTEN|NOTIFY)\b", re.MULTILINE)


def _statements() -> Iterator[tuple[str, str]]:
    for file in sorted(file for package in PACKAGES for file in package.rglob("queries.sql")):
        for name, statement in Queries(file).items():
            yield f"{file.parent.name}/{name}", statement.decode()


STATEMENTS = dict(_statements())


def _numbered(statement: str) -> tuple[str, int]:
    """The statement as PostgreSQL prepares it: `%(name)s` becomes `$1`, the same name the same number."""
    numbers: dict[str, int] = {}
    text = _PARAMETER.sub(lambda found: f"${numbers.setdefault(found[1], len(numbers) + 1)}", statement)
    return text.replace("%%", "%").rstrip().rstrip(";"), len(numbers)


def _failures(connection: Tx, names: list[str], *, planned: bool = False) -> dict[str, str]:
    """Why each statement cannot be prepared, or, `planned`, not be started: that checks every privilege."""
    failed = {}
    connection.execute("SET plan_cache_mode = force_generic_plan")  # NULLs would be folded away otherwise
    for name in names:
        text, parameters = _numbered(STATEMENTS[name])
        values = f"({', '.join(['NULL'] * parameters)})" if parameters else ""
        try:
            with connection.transaction(force_rollback=True):
                connection.execute(f"DEALLOCATE ALL; PREPARE checked AS {text}".encode())
                if planned:
                    connection.execute(f"EXPLAIN EXECUTE checked{values}".encode())
        except psycopg.Error as error:
            failed[name] = str(error).splitlines()[0]
    return failed


def _of_tenants() -> list[str]:
    return [
        name
        for name, text in STATEMENTS.items()
        if not (CONTROL.search(text) or _UTILITY.search(text) or name.startswith(OF_FLOWS))
    ]


def test_every_statement_of_a_customers_database_can_be_prepared(tenant_db: TenantDatabase) -> None:
    """A renamed column, a missing function or a wrong type fails here and not at a customer."""
    assert len(_of_tenants()) > 10
    with tenant_db.admin() as admin:
        assert _failures(admin, _of_tenants()) == {}


def test_every_statement_of_the_control_database_can_be_prepared(databases: Databases) -> None:
    """Likewise."""
    names = [name for name, text in STATEMENTS.items() if CONTROL.search(text)]
    assert names
    with open_control(databases.cluster.admin_dsn) as admin:
        assert _failures(admin, names) == {}


def test_every_statement_of_the_local_runtimes_flows_can_be_prepared(cluster: Cluster) -> None:
    """In the database it makes for itself."""
    names = [
        name
        for name, text in STATEMENTS.items()
        if name.startswith(OF_FLOWS) and "DATABASE" not in text and not _UTILITY.search(text)
    ]
    dsn = new_state(cluster)
    with closing(State(dsn)), open_connection(dsn, application="test") as own:
        assert len(names) > 10
        assert _failures(own, names) == {}


def test_a_customers_login_may_run_every_statement_that_is_not_the_platforms(
    tenant_db: TenantDatabase,
) -> None:
    """In the locked database, with column grants: planning for execution checks each privilege."""
    names = [name for name in _of_tenants() if not PLATFORM.search(STATEMENTS[name])]
    with tenant_db.connect() as tx:
        assert _failures(tx, names, planned=True) == {}


def test_a_customers_login_may_run_none_of_the_platforms_statements(tenant_db: TenantDatabase) -> None:
    """The mark is a promise that somebody checks: nothing marked so works for a customer."""
    names = [
        name
        for name in _of_tenants()
        if PLATFORM.search(STATEMENTS[name])
        and "SELECT set_config" not in STATEMENTS[name]  # harmless to all
    ]
    with tenant_db.connect() as tx:
        failed = _failures(tx, names, planned=True)

    assert [name for name in names if "permission denied" not in failed.get(name, "")] == []


def test_the_doors_login_may_run_its_one_statement_and_no_other(
    databases: Databases, tenant_db: TenantDatabase
) -> None:
    """What is marked so works for it, and nothing else of a customer's database does."""
    facts = {"user": door.LOGIN, "password": door_password(databases), "dbname": tenant_db.name}
    touching = [
        name
        for name in _of_tenants()
        if re.search(r"\b(?:FROM|INTO|UPDATE)\s+[a-z]+\.[a-z]", STATEMENTS[name])
    ]
    with open_connection(make_conninfo(tenant_db.dsn, **facts), application="test") as tx:
        failed = _failures(tx, touching, planned=True)

    assert (
        [name for name in touching if name not in failed]
        == [name for name in touching if DOOR.search(STATEMENTS[name])]
        == ["ingest/batch_receive"]
    )
