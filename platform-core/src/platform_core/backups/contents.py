"""What is asked of a recovered cluster."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from platform_core.db import Queries, Tx

Q = Queries(Path(__file__).with_name("contents.sql"))


def last_commit(admin: Tx) -> datetime | None:
    """The newest commit that recovery played; None where it played none."""
    row = admin.execute(Q["last_commit"]).fetchone()
    return row[0] if row is not None else None


def timeline_of(admin: Tx) -> int:
    """The timeline the cluster writes."""
    row = admin.execute(Q["segment_current"]).fetchone()
    return int(str(row[0])[:8], 16) if row is not None else 0


def list_databases(admin: Tx) -> list[str]:
    """Every database worth a dump, by name."""
    return [str(name) for (name,) in admin.execute(Q["database_list"]).fetchall()]


def open_all(admin: Tx) -> None:
    """Let the superuser into databases that take no connections. For a throw-away cluster alone."""
    admin.execute(Q["database_open_all"])
