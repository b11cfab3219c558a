"""wmctl as a person uses it: in this process, or in one of its own, against an installation of a test."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg
import pytest
import typer
from psycopg import sql
from psycopg.rows import dict_row

from platform_cli.main import build, execute

REPOSITORY = Path(__file__).resolve().parents[2]
_COUNTED = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_|^information_schema$' ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What it wrote to stderr, line by line."""
        return self.err.splitlines()


@dataclass(frozen=True, slots=True)
class Terminal:
    """A shell in a folder, with variables of the platform set as given."""

    environment: Mapping[str, str]
    folder: Path = REPOSITORY

    def say(self, *arguments: str) -> Said:
        """Run a command in this process: fast, and through everything but the start of a process."""
        out, err = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as shell,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            for name in set(os.environ) - set(self._variables()):
                shell.delenv(name)
            for name, value in self._variables().items():
                shell.setenv(name, value)
            shell.chdir(self.folder)
            code = execute(list(arguments))
        return Said(code, out.getvalue(), err.getvalue())

    def run(self, *arguments: str) -> Said:
        """Run a command in a process of its own and wait for its end."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=60)
        return Said(process.returncode, out, err)

    def start(
        self, *arguments: str, out: IO[str] | None = None, err: IO[str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, as a shell does."""
        return subprocess.Popen(
            [sys.executable, "-m", "platform_cli", *arguments],
            env=self._variables(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if out is None else out,
            stderr=subprocess.PIPE if err is None else err,
            text=True,
            process_group=0,
        )

    def _variables(self) -> dict[str, str]:
        ours = ("PLATFORM_", "WMCTL_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        # What this desk's user keeps, targets with their tokens above all, is no test's business.
        return {**kept, "XDG_CONFIG_HOME": "/nowhere/at/all", **self.environment}


def commands() -> dict[str, typer.core.TyperCommand]:
    """Every command of the tree by its words, such as `claim list`."""
    return dict(_walk((), typer.main.get_command(build())))


def _walk(words: tuple[str, ...], found: object) -> Iterator[tuple[str, typer.core.TyperCommand]]:
    if isinstance(found, typer.core.TyperGroup):
        for name, inner in found.commands.items():
            yield from _walk((*words, name), inner)
    elif isinstance(found, typer.core.TyperCommand):
        yield " ".join(words), found


def content_of(dsn: str) -> dict[str, tuple[int, str]]:
    """Every table of a database: how many rows, and a digest of what they say. As the superuser."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        tables = admin.execute(_COUNTED).fetchall()
        return {f"{schema}.{table}": _digest(admin, schema, table) for schema, table in tables}


def _digest(admin: psycopg.Connection, schema: str, table: str) -> tuple[int, str]:
    row = admin.execute(
        sql.SQL(
            "SELECT count(*), coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {} AS t"
        ).format(sql.Identifier(schema, table))
    ).fetchone()
    assert row is not None
    return int(row[0]), str(row[1])


def rows_of(dsn: str, statement: str) -> list[dict[str, object]]:
    """What a query answers. As whoever the connection string says."""
    with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as connection:
        return connection.execute(statement.encode()).fetchall()
