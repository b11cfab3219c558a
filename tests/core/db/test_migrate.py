"""Migrations: named, ordered, each applied once, resumable, refusing what does not fit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from platform_core.db.migrate import Progress, SchemaSource, apply, load_migrations, pending, status
from platform_core.errors import ConfigurationError, SchemaDrift, StateConflict, Unavailable
from tests.support.bare import empty_database
from tests.support.databases import Databases
from tests.support.killing import run_and_kill
from tests.support.provisioning import migrate_tenant

FILES = {
    "0001_pre_create_things.sql": "CREATE SCHEMA thing; CREATE TABLE thing.one (id bigint, old text);",
    "0002_pre_add_colour.sql": "ALTER TABLE thing.one ADD COLUMN colour text;",
    "0003_post_drop_old.sql": "ALTER TABLE thing.one DROP COLUMN old;",
    "0004_pre_add_size.sql": "ALTER TABLE thing.one ADD COLUMN size_cm integer;",
}


@pytest.fixture
def dsn(databases: Databases) -> Iterator[str]:
    """An empty database."""
    with empty_database(databases.cluster) as found:
        yield found


@pytest.fixture
def source(tmp_path: Path) -> SchemaSource:
    """Four migrations of two releases."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return SchemaSource(tenant=tmp_path, control=tmp_path)


def _columns(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as admin:
        rows = admin.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('thing.one') AND attnum > 0"
            " AND NOT attisdropped ORDER BY attnum"
        ).fetchall()
    return [name for (name,) in rows]


def _names(found: tuple[object, ...]) -> list[str]:
    return [getattr(one, "name", str(one)) for one in found]


def test_every_file_is_applied_once_in_order_and_remembered(dsn: str, source: SchemaSource) -> None:
    """The second run finds nothing to do; progress counts from one."""
    told: list[Progress] = []
    first = apply(dsn, "tenant", source=source, progress=told.append)
    second = apply(dsn, "tenant", source=source, progress=told.append)

    assert (list(first), second) == (list(FILES), ())
    assert told == [Progress(name, position, 4) for position, name in enumerate(FILES, start=1)]
    assert _columns(dsn) == ["id", "colour", "size_cm"]
    found = status(dsn, "tenant", source=source)
    assert [(one.name, one.statements) for one in found.applied] == [
        ("0001_pre_create_things.sql", 2),
        ("0002_pre_add_colour.sql", 1),
        ("0003_post_drop_old.sql", 1),
        ("0004_pre_add_size.sql", 1),
    ]
    assert (found.pending, found.version) == ((), "0004_pre_add_size.sql")


def test_asking_for_the_status_of_a_bare_database_changes_nothing(dsn: str, source: SchemaSource) -> None:
    """All files are pending, and there is still no table of migrations."""
    assert _names(pending(dsn, "tenant", source=source)) == list(FILES)
    with psycopg.connect(dsn) as admin:
        assert admin.execute("SELECT to_regnamespace('platform_meta')").fetchone() == (None,)


def test_the_files_before_the_code_stop_at_the_first_one_after_it(dsn: str, source: SchemaSource) -> None:
    """`pre` takes the leading pre files; the next release's pre waits for this release's post."""
    assert apply(dsn, "tenant", "pre", source=source) == tuple(list(FILES)[:2])
    with pytest.raises(StateConflict, match=r"0003_post_drop_old\.sql comes first"):
        apply(dsn, "tenant", "pre", source=source)
    assert apply(dsn, "tenant", "post", source=source) == ("0003_post_drop_old.sql",)
    assert apply(dsn, "tenant", "pre", source=source) == ("0004_pre_add_size.sql",)


def test_what_a_migration_makes_belongs_to_the_owner_that_never_logs_in(
    dsn: str, source: SchemaSource
) -> None:
    """Also the table of migrations itself."""
    apply(dsn, "tenant", source=source)
    with psycopg.connect(dsn) as admin:
        owners = admin.execute(
            "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace IN"
            " ('thing'::regnamespace, 'platform_meta'::regnamespace)"
        ).fetchall()

    assert owners == [("platform_owner",)]


def test_a_file_changed_after_it_was_applied_is_refused_by_name(dsn: str, source: SchemaSource) -> None:
    """Both looking and applying refuse."""
    apply(dsn, "tenant", source=source)
    (source.tenant / "0002_pre_add_colour.sql").write_text("SELECT 1;", encoding="utf-8")

    for verb in (apply, pending, status):
        with pytest.raises(SchemaDrift, match=r"0002_pre_add_colour\.sql was changed"):
            verb(dsn, "tenant", source=source)


def test_a_database_ahead_of_the_code_is_refused(dsn: str, source: SchemaSource) -> None:
    """The older release names the migration it does not know."""
    apply(dsn, "tenant", source=source)
    (source.tenant / "0004_pre_add_size.sql").unlink()

    with pytest.raises(SchemaDrift, match=r"0004_pre_add_size\.sql, which this code does not know"):
        apply(dsn, "tenant", source=source)


def test_a_file_that_fails_leaves_nothing_behind_and_is_taken_up_when_mended(
    dsn: str, source: SchemaSource
) -> None:
    """The file's own first statement is undone with the second."""
    bad = source.tenant / "0002_pre_add_colour.sql"
    good = bad.read_bytes()
    bad.write_text("ALTER TABLE thing.one ADD COLUMN half text; SELECT nonsense;", encoding="utf-8")
    with pytest.raises(SchemaDrift, match=r"0002_pre_add_colour\.sql does not fit"):
        apply(dsn, "tenant", source=source)
    assert _columns(dsn) == ["id", "old"]
    bad.write_bytes(good)

    assert apply(dsn, "tenant", source=source) == tuple(list(FILES)[1:])


def test_a_file_that_ends_its_transaction_is_refused(dsn: str, source: SchemaSource) -> None:
    """It would take the record of itself apart from its work."""
    (source.tenant / "0005_pre_commit_early.sql").write_text("COMMIT;", encoding="utf-8")

    with pytest.raises((ConfigurationError, psycopg.Error)):
        apply(dsn, "tenant", source=source)


@pytest.mark.timeout(60)
def test_a_file_that_would_wait_for_a_lock_gives_up(dsn: str, source: SchemaSource) -> None:
    """After five seconds, naming itself, with nothing of it applied."""
    apply(dsn, "tenant", "pre", source=source)
    with psycopg.connect(dsn) as busy:
        busy.execute("LOCK TABLE thing.one IN ACCESS SHARE MODE")
        with pytest.raises(Unavailable, match=r"0003_post_drop_old\.sql waited 5s"):
            apply(dsn, "tenant", source=source)

    assert "old" in _columns(dsn)


def test_two_migrators_at_once_apply_each_file_once(dsn: str, source: SchemaSource) -> None:
    """One waits for the other and finds its files applied."""
    done: list[str] = []
    migrators = [
        threading.Thread(target=lambda: done.extend(apply(dsn, "tenant", source=source))) for _ in range(4)
    ]
    for migrator in migrators:
        migrator.start()
    for migrator in migrators:
        migrator.join()

    assert sorted(done) == list(FILES)


def test_migrating_killed_at_any_statement_goes_on_where_it_stood(dsn: str, source: SchemaSource) -> None:
    """One database, killed at one statement further each time, ends like any other."""
    kill_at = 1
    while run_and_kill(dsn, migrate_tenant, (source,), kill_at=kill_at, moment="before") >= kill_at:
        kill_at += 3

    apply(dsn, "tenant", source=source)
    assert _columns(dsn) == ["id", "colour", "size_cm"]
    assert len(status(dsn, "tenant", source=source).applied) == len(FILES)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("1_pre_create_things.sql", "is not a migration's name"),
        ("0001_create_things.sql", "is not a migration's name"),
        ("0001_pre_create.sql", "is not a migration's name"),
        ("0001_PRE_create_things.sql", "is not a migration's name"),
        ("0002_pre_create_things.sql", "should have the serial number 0001"),
    ],
)
def test_a_badly_named_file_is_refused_by_name(tmp_path: Path, name: str, complaint: str) -> None:
    """Names carry order and phase, so they are checked before anything runs."""
    (tmp_path / name).write_text("SELECT 1;", encoding="utf-8")

    with pytest.raises(ConfigurationError, match=complaint):
        load_migrations(tmp_path)
