"""docs/reference/data.md has one line for each table, under its schema, and none for a table that is gone."""

from __future__ import annotations

import re
from pathlib import Path

from platform_core.db.migrate import SCHEMA_FILES

ROOT = Path(__file__).resolve().parents[2]
META = ROOT / "platform-core/src/platform_core/db/meta.sql"

_TABLE = re.compile(r"^CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?(\w+\.\w+)", re.MULTILINE)
_LINE = re.compile(r"^\| `(\w+\.\w+)` \| \S.* \|$", re.MULTILINE)


def tables_in(sql: str) -> list[str]:
    """The tables a schema file makes."""
    return _TABLE.findall(sql)


def _page() -> str:
    return (ROOT / "docs/reference/data.md").read_text(encoding="utf-8")


def test_every_table_has_a_line_and_every_line_a_table() -> None:
    """Tables of the customers' databases, of the control database, and the one in all of them."""
    files = {file for files in SCHEMA_FILES.values() for file in files} | {META}
    tables = {table for file in files for table in tables_in(file.read_text(encoding="utf-8"))}

    assert len(tables) > len(SCHEMA_FILES)
    assert sorted(_LINE.findall(_page())) == sorted(tables)


def test_a_table_stands_under_its_schema() -> None:
    """A reader looks for the schema first."""
    sections = re.split(r"^## ", _page(), flags=re.MULTILINE)[1:]
    misplaced = [
        table
        for section in sections
        for table in _LINE.findall(section)
        if table.split(".")[0] != section.split("\n")[0]
    ]

    assert misplaced == []


def test_a_new_table_would_be_found() -> None:
    """In each form the schema files use."""
    sql = "CREATE TABLE a.b (\nCREATE TABLE a.c PARTITION OF a.b DEFAULT;\n  CREATE TABLE IF NOT EXISTS x"

    assert tables_in(sql) == ["a.b", "a.c"]
