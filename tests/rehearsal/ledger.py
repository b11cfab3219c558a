"""Writes that the database acknowledged, so that one that is lost is seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.rehearsal.engine import Broke
from tests.rehearsal.world import World

NOTED = "/run/rehearsal-acknowledged"
DATABASE = "windmill"
_PSQL = f"docker exec -i platform-postgres-1 psql -h /run/postgresql -U postgres -d {DATABASE} -qAtX"
_WRITER = f"""
while [ ! -e {NOTED}.stop ]; do
    n=$(echo "INSERT INTO rehearsal_ledger DEFAULT VALUES RETURNING n" | timeout 5 {_PSQL} 2>/dev/null)
    case $n in ''|*[!0-9]*) sleep 0.2 ;; *) echo $n >>{NOTED} ;; esac
done
"""


@contextmanager
def writing(world: World) -> Iterator[None]:
    """Somebody writes row after row, and notes each that was acknowledged, as long as the block runs."""
    table = "CREATE TABLE IF NOT EXISTS rehearsal_ledger (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)"
    world.on_host("rm", "-f", NOTED, f"{NOTED}.stop")
    world.sql(DATABASE, table)
    world.on_host("systemd-run", "--quiet", "--collect", "--unit", "rehearsal-writer", "sh", "-c", _WRITER)
    try:
        yield
    finally:
        world.on_host("sh", "-c", f"touch {NOTED}.stop; systemctl stop rehearsal-writer", check=False)


def kept(world: World) -> int:
    """How many rows were acknowledged; all of them are there. Raises: Broke with those that are lost."""
    acknowledged = set(world.on_host("cat", NOTED).split())
    there = set(world.sql(DATABASE, "SELECT n FROM rehearsal_ledger").split())
    lost = acknowledged - there
    if lost or not acknowledged:
        raise Broke(f"of {len(acknowledged)} acknowledged rows these are lost: {sorted(lost)[:10]}")
    return len(acknowledged)


def takes(world: World) -> bool:
    """Whether the database takes a write now."""
    insert = "INSERT INTO rehearsal_ledger DEFAULT VALUES RETURNING n"
    return world.sql(DATABASE, insert, check=False).isdigit()
