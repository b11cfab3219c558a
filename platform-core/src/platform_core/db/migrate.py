"""Plain-SQL migrations of one database: numbered files, each applied once, in one transaction of its own.

A file is named `NNNN_{pre,post}_<verb>_<noun>.sql`. A `pre` file runs before the new code and leaves the old
code working; a `post` file runs after it, and takes away what only the old code used. Files are forward only
and never change once applied: the database keeps each one's checksum.

Killed at any moment, the database stands between two files; running again goes on from there. A file that
would wait more than five seconds for a lock gives up, so that it never holds up the customer's own work.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import errors as pg
from psycopg.pq import TransactionStatus

from platform_core.db.connect import Tx, open_connection, translated
from platform_core.db.queries import load_queries
from platform_core.errors import ConfigurationError, SchemaDrift, StateConflict, Unavailable

Kind = Literal["tenant", "control"]
Phase = Literal["pre", "post", "all"]

LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT_S = 900

_HERE = Path(__file__).parent
_NAME = re.compile(
    r"(?P<serial>\d{4})_(?P<phase>pre|post)_(?P<verb>[a-z]+)_(?P<noun>[a-z0-9_]+)\.sql", re.ASCII
)
_META = _HERE / "meta.sql"
Q = load_queries(__file__)

SCHEMA_FILES: dict[Kind, tuple[Path, ...]] = {
    "tenant": tuple(sorted((_HERE / "tenant" / "schema").glob("*.sql"))),
    "control": (
        *sorted((_HERE / "control" / "schema").glob("*.sql")),
        _HERE / "tenant" / "schema" / "20_audit.sql",  # the platform's own acts are kept the same way
    ),
}
"""The whole schema of each kind, in order: read these first. Migrations lead to the same schema."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. `phase` says on which side of the new code it runs."""

    name: str
    phase: Literal["pre", "post"]
    sha256: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class SchemaSource:
    """The folders migrations are read from; tests may bring their own."""

    tenant: Path = _HERE / "tenant" / "migrations"
    control: Path = _HERE / "control" / "migrations"

    def migrations(self, kind: Kind) -> tuple[Migration, ...]:
        """The files of a kind in order. Raises: ConfigurationError naming the file that breaks the rule."""
        return load_migrations(self.tenant if kind == "tenant" else self.control)


PACKAGED = SchemaSource()


@dataclass(frozen=True, slots=True)
class Applied:
    """A file this database has. `statements` is how many the file held."""

    name: str
    sha256: bytes
    applied_at: datetime
    statements: int


@dataclass(frozen=True, slots=True)
class Status:
    """Where a database stands."""

    applied: tuple[Applied, ...]
    pending: tuple[Migration, ...]

    @property
    def version(self) -> str:
        """The newest applied file, or an empty string."""
        return self.applied[-1].name if self.applied else ""


@dataclass(frozen=True, slots=True)
class Progress:
    """Told before each file: `position` of `total`, counted from one."""

    name: str
    position: int
    total: int


def _silent(_: Progress) -> None:
    return None


def load_migrations(folder: Path) -> tuple[Migration, ...]:
    """Read a folder of migrations in order: serials count up from 0001 without a gap.

    Raises: ConfigurationError naming the file that breaks the rule.
    """
    found = []
    for expected, path in enumerate(sorted(folder.glob("*.sql")), start=1):
        parts = _NAME.fullmatch(path.name)
        if parts is None:
            raise ConfigurationError(
                f"{path.name} is not a migration's name", next_step="Use NNNN_{pre,post}_<verb>_<noun>.sql."
            )
        if int(parts["serial"]) != expected:
            raise ConfigurationError(f"{path.name} should have the serial number {expected:04}")
        body = path.read_bytes()
        phase: Literal["pre", "post"] = "pre" if parts["phase"] == "pre" else "post"
        found.append(Migration(path.name, phase, hashlib.sha256(body).digest(), body))
    return tuple(found)


def status(dsn: str, kind: Kind, *, source: SchemaSource = PACKAGED) -> Status:
    """What the database has and what it lacks. Reads only.

    Raises: SchemaDrift naming the file that changed after it was applied, or that this code does not know.
    """
    with _session(dsn) as admin:
        return _status(admin, source.migrations(kind))


def pending(
    dsn: str, kind: Kind, phase: Phase = "all", *, source: SchemaSource = PACKAGED
) -> tuple[Migration, ...]:
    """The files `apply` would run, in order. Raises: SchemaDrift, StateConflict."""
    return _due(status(dsn, kind, source=source).pending, phase)


def apply(
    dsn: str,
    kind: Kind,
    phase: Phase = "all",
    *,
    source: SchemaSource = PACKAGED,
    progress: Callable[[Progress], None] = _silent,
) -> tuple[str, ...]:
    """Apply what is due and return the names of the files applied now.

    Idempotency: a second run finds nothing to do; a killed run goes on where it stood.
    Raises: SchemaDrift, StateConflict when another release is unfinished, Unavailable when another migrator
    or the customer's own work holds a lock.
    """
    files = source.migrations(kind)
    with _session(dsn) as admin:
        _prepare(admin)
        due = _due(_status(admin, files).pending, phase)
        done = []
        for position, migration in enumerate(due, start=1):
            progress(Progress(migration.name, position, len(due)))
            if _apply_one(admin, migration, files):
                done.append(migration.name)
        return tuple(done)


def _prepare(admin: Tx) -> None:
    with admin.transaction():
        admin.execute(Q["migration_serialise"])
        admin.execute(_META.read_bytes())


def _status(admin: Tx, files: Sequence[Migration]) -> Status:
    row = admin.execute(Q["migration_table_exists"]).fetchone()
    rows = admin.execute(Q["migration_list"]).fetchall() if row is not None and row[0] else []
    applied = tuple(Applied(*row) for row in rows)
    known = {migration.name: migration for migration in files}
    for one in applied:
        if one.name not in known:
            raise SchemaDrift(
                f"The database {admin.info.dbname} has migration {one.name}, which this code does not know",
                next_step="Run the release that brought it, or a newer one.",
            )
        if one.sha256 != known[one.name].sha256:
            raise SchemaDrift(
                f"Migration {one.name} was changed after the database {admin.info.dbname} applied it",
                next_step="Restore the file and put the change in a new migration.",
            )
    have = {one.name for one in applied}
    lacking = tuple(migration for migration in files if migration.name not in have)
    if lacking and applied and lacking[0].name < applied[-1].name:
        raise SchemaDrift(f"The database {admin.info.dbname} skipped migration {lacking[0].name}")
    return Status(applied, lacking)


def _due(lacking: Sequence[Migration], phase: Phase) -> tuple[Migration, ...]:
    """The leading run of files of that phase: a file never overtakes one before it."""
    if phase == "all":
        return tuple(lacking)
    due = []
    for migration in lacking:
        if migration.phase != phase:
            break
        due.append(migration)
    if not due and any(migration.phase == phase for migration in lacking):
        raise StateConflict(
            f"Migration {lacking[0].name} comes first and is not a {phase} file",
            next_step="Finish the earlier release, or run both phases.",
        )
    return tuple(due)


def _apply_one(admin: Tx, migration: Migration, files: Sequence[Migration]) -> bool:
    """Apply one file; False when another migrator did it while this one waited."""
    with _lock_waits_named(admin, migration), admin.transaction():
        admin.execute(Q["migration_bound_locks"], {"lock_timeout": LOCK_TIMEOUT})
        admin.execute(Q["migration_lock"])
        if migration.name not in {lacking.name for lacking in _status(admin, files).pending}:
            return False
        admin.execute(Q["migration_as_owner"])
        statements = _run_file(admin, migration)
        admin.execute(
            Q["migration_insert"],
            {"name": migration.name, "sha256": migration.sha256, "statements": statements},
        )
    return True


def _run_file(admin: Tx, migration: Migration) -> int:
    cursor = admin.execute(migration.body)
    statements = 1
    while cursor.nextset():
        statements += 1
    if admin.info.transaction_status is not TransactionStatus.INTRANS:
        raise ConfigurationError(f"Migration {migration.name} ends the transaction it runs in")
    return statements


@contextmanager
def _lock_waits_named(admin: Tx, migration: Migration) -> Iterator[None]:
    try:
        yield
    except pg.LockNotAvailable as error:
        raise Unavailable(
            f"Migration {migration.name} waited {LOCK_TIMEOUT} for a lock in {admin.info.dbname} and gave up",
            next_step="Nothing of it was applied; run it again when the database is quieter.",
        ) from error
    except (psycopg.ProgrammingError, psycopg.IntegrityError, psycopg.DataError) as error:
        raise SchemaDrift(
            f"Migration {migration.name} does not fit the database {admin.info.dbname}: "
            f"{error.diag.message_primary}",
            next_step="Nothing of it was applied; compare the schema with `wmctl db status`.",
        ) from error


@contextmanager
def _session(dsn: str) -> Iterator[Tx]:
    with (
        open_connection(dsn, application="migrate", statement_timeout_s=STATEMENT_TIMEOUT_S) as admin,
        translated(dsn),
    ):
        yield admin
