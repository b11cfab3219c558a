"""Rows as the server's tables hold them, and the JSON it writes from them.

A row is a JSON object. Text that the server hands through as it was sent is a `Raw`. What PostgreSQL keeps
as `jsonb` is ordered by length and bytes of its keys, which `as_jsonb` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]  # Any: JSON, and `Raw` where the text itself is kept

_PLACE = re.compile(r'"\\u0000raw(\d+)\\u0000"')
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Raw:
    """JSON that is written as it is, with the spaces and the order it came with."""

    text: str


class Table:
    """Rows by key, in the order in which they came. A row is replaced, never changed."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._at: dict[str, dict[str, None]] = {}
        self.exported: dict[str, bytes] = {}

    def __iter__(self) -> Iterator[Row]:
        return iter(list(self._rows.values()))

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, key: str) -> Row | None:
        """The row, or None."""
        return self._rows.get(key)

    def items(self) -> Iterable[tuple[str, Row]]:
        """Keys with their rows."""
        return list(self._rows.items())

    def at(self, path: str) -> list[Row]:
        """The rows of a path."""
        return [self._rows[key] for key in self._at.get(path, ())]

    def keys_at(self, path: str) -> list[str]:
        """The keys of those rows."""
        return list(self._at.get(path, ()))

    def put(self, key: str, row: Row) -> None:
        """Insert or replace."""
        before = self._rows.get(key)
        if before is None or before.get("path") != row.get("path"):
            self._leave(key, before)
            self._at.setdefault(str(row.get("path")), {})[key] = None
        self._rows[key] = row
        self.exported.pop(key, None)

    def _leave(self, key: str, row: Row | None) -> None:
        if row is not None:
            self._at.get(str(row.get("path")), {}).pop(key, None)

    def change(self, key: str, **fields: object) -> Row:
        """Replace some fields of a row that is there; gives the new row."""
        row = {**self._rows[key], **fields}
        self.put(key, row)
        return row

    def remove(self, key: str) -> bool:
        """Whether there was one to remove."""
        self.exported.pop(key, None)
        self._leave(key, self._rows.get(key))
        return self._rows.pop(key, None) is not None


def words(text: str) -> tuple[str, ...]:
    """The words of a text: names of fields, without a line for each."""
    return tuple(text.split())


# --- Writing ----------------------------------------------------------------------------------------------


def to_json(value: object, *, pretty: bool = False) -> str:
    """As the server writes it: without a space, or with two of indentation."""
    raws: list[str] = []

    def placed(item: object) -> str:
        if not isinstance(item, Raw):
            raise TypeError(f"{type(item).__name__} is not JSON")
        raws.append(item.text)
        return f"\x00raw{len(raws) - 1}\x00"

    separators = None if pretty else (",", ":")
    text = json.dumps(
        value, ensure_ascii=False, indent=2 if pretty else None, separators=separators, default=placed
    )
    return _PLACE.sub(lambda found: raws[int(found.group(1))], text) if raws else text


def as_jsonb(value: Any) -> Any:  # Any: JSON
    """The value with its keys in PostgreSQL's order."""
    match value:
        case dict():
            return {key: as_jsonb(value[key]) for key in sorted(value, key=_jsonb_order)}
        case list():
            return [as_jsonb(item) for item in value]
        case _:
            return value


def _jsonb_order(key: str) -> tuple[int, bytes]:
    encoded = key.encode("utf-8", "surrogatepass")
    return len(encoded), encoded


def jsonb_text(value: object) -> Raw | None:
    """A `jsonb` value as PostgreSQL prints it, a space after each comma and colon; None stays None."""
    return None if value is None else Raw(json.dumps(value, ensure_ascii=False))


def instant(at: datetime) -> str:
    """An instant as the server writes it, to the microsecond."""
    written = f"{at:%Y-%m-%dT%H:%M:%S}"
    return f"{written}.{at.microsecond:06d}Z" if at.microsecond else f"{written}Z"


# --- Reading ----------------------------------------------------------------------------------------------


def members(text: str) -> dict[str, tuple[Any, str]]:
    """The members of a JSON object: each value with the very text it was written in.

    Raises: ValueError when the text is no JSON object; the message is Python's.
    """
    found: dict[str, tuple[Any, str]] = {}
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        raise ValueError("no object")
    at = _skip(text, at + 1)
    while text[at : at + 1] != "}":
        key, at = _DECODER.raw_decode(text, at)
        at = _expect(text, _skip(text, at), ":")
        value, end = _DECODER.raw_decode(text, at)
        found[key] = (value, text[at:end])
        at = _skip(text, end)
        if text[at : at + 1] != "}":
            at = _expect(text, at, ",")
    return found


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _expect(text: str, at: int, what: str) -> int:
    if text[at : at + 1] != what:
        raise ValueError(f"expected {what} at {at}")
    return _skip(text, at + 1)


# --- Choosing ---------------------------------------------------------------------------------------------


def filled(row: Mapping[str, Any], always: Sequence[str], if_set: Sequence[str] = ()) -> Row:
    """A row's fields in this order; those in `if_set` only when they have a value."""
    chosen = {name: row.get(name) for name in always}
    for name in if_set:
        if row.get(name) is not None:
            chosen[name] = row[name]
    return chosen
