"""Reads what SQL says about states, to compare it with `lifecycle.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from platform_core.db import Tx

_SET = re.compile(r"\bstate = '(\w+)',?$", re.MULTILINE)
_GUARD = re.compile(r"\.state (?:= '(?P<one>\w+)'|IN \((?P<many>[^)]*)\))")
_HEADER = re.compile(r"^-- moves: (?P<from>[\w, ]+) -> (?P<to>\w+)$", re.MULTILINE)


def moves_of(statements: Mapping[str, bytes]) -> dict[str, set[tuple[str, str]]]:
    """The moves each statement's header announces, by statement name."""
    found = {}
    for name, statement in statements.items():
        header = _HEADER.search(statement.decode())
        if header:
            found[name] = {(before, header["to"]) for before in header["from"].split(", ")}
    return found


def moves_done(statement: bytes) -> set[tuple[str, str]]:
    """The moves a statement's SET and WHERE make."""
    text = statement.decode()
    target = _SET.search(text)
    guard = _GUARD.search(text[text.index("WHERE") :]) if "WHERE" in text else None
    if target is None or guard is None:
        return set()
    before = [guard["one"]] if guard["one"] else re.findall(r"'(\w+)'", guard["many"])
    return {(state, target[1]) for state in before}


def states_in_check(tx: Tx, constraint: str) -> set[str]:
    """The states a CHECK constraint allows."""
    row = tx.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", (constraint,)
    ).fetchone()
    assert row is not None
    return set(re.findall(r"'(\w+)'::text", row[0]))
