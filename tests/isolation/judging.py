"""One attack of the table, and how its outcome is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import psycopg
import pytest

from tests.isolation.arena import Arena

Outcome = Literal["closed", "residual", "not applicable"]


@dataclass(frozen=True, slots=True)
class Refused:
    """PostgreSQL refuses with this SQLSTATE."""

    sqlstate: str


@dataclass(frozen=True, slots=True)
class Returns:
    """The rows are exactly these; `{names}` in texts are filled in."""

    rows: tuple[tuple[object, ...], ...]


@dataclass(frozen=True, slots=True)
class Works:
    """PostgreSQL accepts it; the row says why that is harmless or what bounds it."""


Expected = Refused | Returns | Works
DENIED = Refused("42501")


@dataclass(frozen=True, slots=True)
class Probe:
    """Hostile statements in one string; the server separates them and the last one counts.

    `database` is where A tries to run them; empty means its own. `since` is the first server version that
    knows the statement; older ones skip it. With `by_door` it is the door's stolen login that tries, in B's.
    """

    statement: str
    expected: Expected = DENIED
    database: str = ""
    since: int = 0
    by_door: bool = False


Scene = Callable[[Arena], None]
"""An attack that needs more than one session; it asserts by itself."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One row: what is tried, what comes of it, and what stands against it."""

    number: int
    channel: str
    outcome: Outcome
    result: str
    mitigation: str
    probes: tuple[Probe, ...] = ()
    scenes: tuple[Scene, ...] = ()

    def first_surprise(self, arena: Arena) -> str:
        """Try everything until something goes differently; what it was, or an empty string."""
        for probe in self.probes:
            surprise = _judge(arena, probe) if arena.server_version >= probe.since else ""
            if surprise:
                return surprise
        for scene in self.scenes:
            try:
                scene(arena)
            except (AssertionError, pytest.fail.Exception) as error:
                return f"{scene.__name__}: {error}"
        return ""


def refused(*statements: str, since: int = 0) -> tuple[Probe, ...]:
    """Statements that must all be refused for want of privilege."""
    return tuple(Probe(statement, since=since) for statement in statements)


def refused_to_door(*statements: str) -> tuple[Probe, ...]:
    """The same, tried by the door's stolen login."""
    return tuple(Probe(statement, by_door=True) for statement in statements)


def _judge(arena: Arena, probe: Probe) -> str:
    statement = _filled(probe.statement, arena)
    observed = _try(arena, statement, _filled(probe.database, arena), by_door=probe.by_door)
    expected = probe.expected
    if isinstance(expected, Works):
        return f"{statement}: {observed}" if isinstance(observed, Refused) else ""
    if isinstance(expected, Returns):
        expected = Returns(
            tuple(tuple(_filled(v, arena) if isinstance(v, str) else v for v in row) for row in expected.rows)
        )
    return "" if observed == expected else f"{statement}: {observed}, not {expected}"


def _try(arena: Arena, statement: str, database: str, *, by_door: bool) -> Refused | Returns:
    try:
        with arena.door(database) if by_door else arena.attack(database) as session:
            cursor = session.execute(statement.encode())
            while cursor.nextset():
                pass
            return Returns(tuple(cursor.fetchall()) if cursor.description else ())
    except psycopg.Error as error:
        return Refused(error.sqlstate or connection_refusal(error))


def connection_refusal(error: psycopg.Error) -> str:
    """The SQLSTATE of a refused connection; the driver keeps only its words."""
    words = {
        "permission denied for database": "42501",
        "permission denied to set role": "42501",
        "not currently accepting connections": "55000",
        "too many connections for role": "53300",
    }
    return next((state for text, state in words.items() if text in str(error)), str(error))


def _filled(text: str, arena: Arena) -> str:
    for name, value in arena.names.items():
        text = text.replace("{" + name + "}", value)
    return text
