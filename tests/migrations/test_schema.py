"""The schema files and the migrations are two accounts of one schema."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from platform_core.db.migrate import PACKAGED, SCHEMA_FILES, Kind, apply
from tests.support.bare import dump_of, empty_database
from tests.support.databases import Databases

KINDS: tuple[Kind, ...] = ("tenant", "control")
META = Path(next(iter(SCHEMA_FILES["tenant"]))).parents[2] / "meta.sql"
_ENDS_TRANSACTION = re.compile(
    r"^\s*(BEGIN|COMMIT|ROLLBACK|START\s+TRANSACTION|END)\s*(TRANSACTION|WORK)?\s*;",
    re.IGNORECASE | re.MULTILINE,
)


@pytest.mark.parametrize("kind", KINDS)
def test_schema_files_and_migrations_make_the_same_database(databases: Databases, kind: Kind) -> None:
    """Schema files run on one database, every migration on another; `pg_dump` writes the same of both."""
    with empty_database(databases.cluster) as migrated, empty_database(databases.cluster) as written:
        apply(migrated, kind)
        with psycopg.connect(written) as admin:
            admin.execute(META.read_bytes())
            admin.execute("SET ROLE platform_owner")
            for file in SCHEMA_FILES[kind]:
                admin.execute(file.read_bytes())

        assert dump_of(migrated) == dump_of(written)


@pytest.mark.parametrize("kind", KINDS)
def test_migrations_are_numbered_without_a_gap_and_leave_the_transaction_alone(kind: Kind) -> None:
    """`load_migrations` checks names and serials; each file says why it is there and which lock it takes."""
    migrations = PACKAGED.migrations(kind)

    assert migrations
    for migration in migrations:
        first = migration.body.decode().splitlines()[0]
        assert first.startswith("-- Why: "), migration.name
        assert "Locks: " in first, migration.name
        without_bodies = re.sub(r"\$(\w*)\$.*?\$\1\$", "", migration.body.decode(), flags=re.DOTALL)
        assert not _ENDS_TRANSACTION.search(without_bodies), migration.name


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_migration_is_before_the_code(kind: Kind) -> None:
    """A database can be made before anything runs on it."""
    assert PACKAGED.migrations(kind)[0].phase == "pre"
