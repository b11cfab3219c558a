"""Merges JSON values that two sides changed: mappings field by field, texts by line, lists of names as such.

A place such as `value.modules.ask.value.path` names a field; every difference is noted as a `FieldChange`, so
that nothing goes into a merge, or is left out of it, unnamed.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from platform_cli.sync import texts
from platform_cli.sync.items import Json, text_of
from platform_cli.sync.plan import FieldChange, Side


class Absent(Enum):
    """What stands where a side has no such field: null is a value."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT
Found: TypeAlias = "Json | Absent"

_TEXTS = frozenset({"content", "description"})
"""Fields that people write as text of several lines, so that edits of different lines go together."""
_SETS = frozenset({"owners"})
_NAMES_OF_SCHEMA = ("required", "order")
"""Lists of a schema in which each name stands once: additions of both sides go together."""


def same(one: object, other: object) -> bool:
    """Whether two JSON values are the same. Unlike in Python, true is not 1."""
    if one is other:
        return True
    if one is ABSENT or other is ABSENT:
        return False
    return one == other and text_of(one) == text_of(other)


@dataclass(slots=True)
class Merging:
    """One merge on its way: whose side decides a conflict, if any does, and what differs so far."""

    prefer: Side | None = None
    changes: list[FieldChange] = field(default_factory=list)

    @property
    def conflicts(self) -> bool:
        """Whether a person has to decide something."""
        return any(change.conflict for change in self.changes)

    def note(self, place: str, base: Found, ours: Found, theirs: Found, *, conflict: bool = False) -> None:
        """Name a field that differs."""
        one, two, three = (None if isinstance(v, Absent) else v for v in (base, ours, theirs))
        self.changes.append(FieldChange(place, one, two, three, conflict))

    def decide(self, place: str, base: Found, ours: Found, theirs: Found) -> Found:
        """Both sides changed the same: the preferred side's, else a conflict, and git's stands in."""
        self.note(place, base, ours, theirs, conflict=self.prefer is None)
        return theirs if self.prefer is Side.THEIRS else ours

    def value(self, place: str, base: Found, ours: Found, theirs: Found) -> Found:
        """What three values come to. A mapping is merged field by field, down to what differs."""
        if same(ours, theirs):
            return ours
        if isinstance(ours, dict) and isinstance(theirs, dict) and (base is ABSENT or isinstance(base, dict)):
            return self.mapping(place, {} if base is ABSENT else base, ours, theirs)
        if same(ours, base) or same(theirs, base):
            self.note(place, base, ours, theirs)
            return theirs if same(ours, base) else ours
        return self._leaf(place, base, ours, theirs)

    def mapping(
        self, place: str, base: Mapping[str, Json], ours: Mapping[str, Json], theirs: Mapping[str, Json]
    ) -> dict[str, Json]:
        """Three mappings, field by field, in the order of their names."""
        merged: dict[str, Json] = {}
        for name in sorted({*ours, *theirs}):
            inner = f"{place}.{name}" if place else name
            found = self.value(
                inner, base.get(name, ABSENT), ours.get(name, ABSENT), theirs.get(name, ABSENT)
            )
            if not isinstance(found, Absent):
                merged[name] = found
        return merged

    def _leaf(self, place: str, base: Found, ours: Found, theirs: Found) -> Found:
        name = place.rpartition(".")[2]
        if isinstance(base, str) and isinstance(ours, str) and isinstance(theirs, str):
            merged: Json = self._text(name, base, ours, theirs)
        elif place in _SETS or (place.startswith("schema.") and name in _NAMES_OF_SCHEMA):
            merged = _names(place, base, ours, theirs)
        else:
            merged = None
        if merged is None:
            return self.decide(place, base, ours, theirs)
        self.note(place, base, ours, theirs)
        return merged

    def _text(self, name: str, base: str, ours: str, theirs: str) -> str | None:
        if name not in _TEXTS or "\n" not in ours or "\n" not in theirs:
            return None
        merged = texts.merge_text(base, ours, theirs, prefer=self.prefer)
        broken = _is_python(ours) and _is_python(theirs) and not _is_python(merged.text)
        return None if merged.conflicts or broken else merged.text


def _is_python(text: str) -> bool:
    """Whether Python can read it: two good edits may still make one bad script."""
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


# --- Lists of names ---------------------------------------------------------------------------------------


def _names(place: str, base: Found, ours: Found, theirs: Found) -> list[Json] | None:
    """A list in which each name stands once; None when one of the three is something else."""
    one, two, three = _unique(base), _unique(ours), _unique(theirs)
    if one is None or two is None or three is None:
        return None
    left = [item for item in one if item not in two or item not in three]
    kept = {item for item in (*one, *two, *three) if item not in left}
    if place in _SETS:
        return [*sorted(kept)]
    before, by_ours, by_theirs = ([item for item in names if item in kept] for names in (one, two, three))
    merged = merge_order(before, by_ours, by_theirs, loose=True)
    return None if merged is None else [*merged]


def _unique(value: Found) -> list[str] | None:
    if isinstance(value, Absent):
        return []
    if not isinstance(value, list):
        return None
    names = [item for item in value if isinstance(item, str)]
    return names if len(names) == len(value) == len(set(names)) else None


def merge_order(
    base: Sequence[str], ours: Sequence[str], theirs: Sequence[str], *, loose: bool = False
) -> list[str] | None:
    """One order of the names of both sides, each name once; None when the two contradict each other.

    Only names that stay are given. What one side alone moved or put in goes where that side has it. Where
    both put something in at one spot nobody said which comes first: a contradiction, or, if `loose`, by name.
    """
    common = set(ours) & set(theirs)
    frame = _frame(base, *([name for name in names if name in common] for names in (ours, theirs)))
    if frame is None:
        return None
    from_ours, from_theirs = _put_in(ours, common), _put_in(theirs, common)
    merged: list[str] = []
    for spot in ("", *frame):
        one, other = from_ours.get(spot, []), from_theirs.get(spot, [])
        if one and other and not loose:
            return None
        merged += [spot] if spot else []
        merged += one if not other else other if not one else sorted([*one, *other])
    return merged


def _frame(base: Sequence[str], ours: list[str], theirs: list[str]) -> list[str] | None:
    """The order of the names that both sides have: of the side that moved some; None when both did.

    What both put in has to stand after the same name on both: so it does after a pull, which brought it.
    """
    if ours == theirs:
        return ours
    known, here = set(base), set(ours)
    before = [name for name in base if name in here]
    moved = [[name for name in names if name in known] != before for names in (ours, theirs)]
    if all(moved) or _put_in(ours, known) != _put_in(theirs, known):
        return None
    return ours if moved[0] else theirs


def _put_in(names: Sequence[str], common: set[str]) -> dict[str, list[str]]:
    """The names that one side alone has, by the name that they follow there."""
    found: dict[str, list[str]] = {}
    spot = ""
    for name in names:
        if name in common:
            spot = name
        else:
            found.setdefault(spot, []).append(name)
    return found
