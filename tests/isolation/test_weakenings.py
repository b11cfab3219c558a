"""The suite is held to what it promises: each deliberate mistake makes a row of the attack table fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.isolation.arena import Arena, arena_of
from tests.isolation.attacks import FIRST_HALF
from tests.isolation.attacks_door import DOOR
from tests.isolation.attacks_second import SECOND_HALF
from tests.isolation.weakenings import WEAKENINGS, Weakening
from tests.support.databases import Databases

ROWS = {attack.number: attack for attack in (*FIRST_HALF, *SECOND_HALF, *DOOR)}


def _as_superuser(arena: Arena, weakening: Weakening, statements: str) -> None:
    for name, value in arena.names.items():
        statements = statements.replace("{" + name + "}", value)
    places = {"a": arena.attacker.database, "b": arena.victim.database}
    database = places.get(weakening.place, "postgres")
    with arena.admin(database) as admin:
        admin.execute(statements.encode())


@pytest.fixture
def fresh_arena(databases: Databases) -> Iterator[Arena]:
    """A pair of its own: an attack that succeeds leaves damage behind."""
    with arena_of(databases) as made:
        yield made


@pytest.mark.parametrize("weakening", WEAKENINGS, ids=lambda weakening: weakening.name.replace(" ", "-"))
def test_a_deliberate_mistake_is_noticed(fresh_arena: Arena, weakening: Weakening) -> None:
    """The named row passes before the mistake and fails while it stands."""
    if fresh_arena.server_version < weakening.since:
        return
    row = ROWS[weakening.row]
    assert row.first_surprise(fresh_arena) == ""
    _as_superuser(fresh_arena, weakening, weakening.make)
    try:
        assert row.first_surprise(fresh_arena) != ""
    finally:
        _as_superuser(fresh_arena, weakening, weakening.undo)
