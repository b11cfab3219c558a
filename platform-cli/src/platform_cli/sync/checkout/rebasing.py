"""An item's change put on what a person wrote. Pure: three documents in, one out.

The person's document may leave out what the canonical form fills in, and may name its inline files freely. So
what is carried over is the difference between the item before and after, place by place, and all that did not
change stays as it was written. Lists of steps are matched by their `id`, other lists by position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TypeAlias

from platform_cli.sync.items import Json, text_of

INLINE = "!inline "


@dataclass(frozen=True, slots=True)
class Inline:
    """A text that stands in a file of its own."""

    name: str
    text: str


Doc: TypeAlias = "bool | int | float | str | Inline | list[Doc] | dict[str, Doc] | None"
"""A YAML document whose `!inline` references carry the text of their file."""


class _Absent:
    """What a field that is not there stands for."""


_ABSENT = _Absent()


def with_files(value: Json, files: Mapping[str, str]) -> Doc:
    """The document with the text of each file that it names; a name without file stays a text."""
    match value:
        case str() if value.startswith(INLINE):
            name = value.removeprefix(INLINE).strip()
            return Inline(name, files[name]) if name in files else value
        case list():
            return [with_files(item, files) for item in value]
        case dict():
            return {name: with_files(item, files) for name, item in value.items()}
        case _:
            return value


def without_files(doc: Doc) -> tuple[Json, dict[str, str]]:
    """The document as it is written, and the files it names with their texts."""
    files: dict[str, str] = {}
    return _written(doc, files), files


def _written(doc: Doc, files: dict[str, str]) -> Json:
    match doc:
        case Inline():
            files[doc.name] = doc.text
            return f"{INLINE}{doc.name}"
        case list():
            return [_written(item, files) for item in doc]
        case dict():
            return {name: _written(item, files) for name, item in doc.items()}
        case _:
            return doc


def rebased(written: Doc, before: Doc, after: Doc) -> Doc:
    """`written`, which stands for `before`, changed as little as makes it stand for `after`."""
    if same(before, after):
        return written
    if isinstance(after, Inline):
        return _text(written, before, after)
    if isinstance(written, dict) and isinstance(before, dict) and isinstance(after, dict):
        return _mapping(written, before, after)
    if isinstance(written, list) and isinstance(before, list) and isinstance(after, list):
        return _list(written, before, after)
    return after


def same(one: Doc | _Absent, other: Doc | _Absent) -> bool:
    """Whether two documents are equal; true is not 1."""
    if isinstance(one, _Absent) or isinstance(other, _Absent):
        return one is other
    return _digest(one) == _digest(other)


def _digest(doc: Doc) -> str:
    """A text that two documents share exactly when they are equal."""
    return text_of(_tagged(doc))


def _tagged(doc: Doc) -> Json:
    match doc:
        case Inline():
            return {"!inline": [doc.name, doc.text]}
        case list():
            return [_tagged(item) for item in doc]
        case dict():
            return {name: _tagged(item) for name, item in doc.items()}
        case _:
            return doc


def _text(written: Doc, before: Doc, after: Inline) -> Doc:
    """A text in a file of its own keeps the place and the name that the person gave it."""
    if isinstance(written, Inline):
        kept = isinstance(before, Inline) and before.name == after.name
        return Inline(written.name if kept else after.name, after.text)
    if isinstance(written, str) and isinstance(before, Inline):
        return after.text
    return after


def _mapping(written: dict[str, Doc], before: dict[str, Doc], after: dict[str, Doc]) -> dict[str, Doc]:
    found = {name: value for name, value in written.items() if name in after or name not in before}
    for name, value in after.items():
        was = before.get(name, _ABSENT)
        if same(was, value):
            continue
        if name in written and not isinstance(was, _Absent):
            found[name] = rebased(written[name], was, value)
        else:
            found[name] = value
    return found


def _list(written: list[Doc], before: list[Doc], after: list[Doc]) -> list[Doc]:
    if len(written) != len(before):
        return after
    ids = identities(before)
    if ids and identities(after) and identities(written) == ids:
        old = dict(zip(ids, zip(written, before, strict=True), strict=True))
        return [
            rebased(*old[key], item) if key in old else item
            for key, item in zip(identities(after), after, strict=True)
        ]
    found: list[Doc] = []
    matcher = SequenceMatcher(
        None, [_digest(item) for item in before], [_digest(item) for item in after], False
    )
    for act, i1, i2, j1, j2 in matcher.get_opcodes():
        if act == "equal":
            found += written[i1:i2]
        elif act == "replace" and i2 - i1 == j2 - j1:
            found += map(rebased, written[i1:i2], before[i1:i2], after[j1:j2])
        else:
            found += after[j1:j2]
    return found


def identities(items: Sequence[Doc] | Sequence[Json]) -> list[str]:
    """The `id` of each item of a list; empty unless every one has its own."""
    ids = [item["id"] for item in items if isinstance(item, dict) and isinstance(item.get("id"), str)]
    names = [name for name in ids if isinstance(name, str)]
    return names if len(names) == len(items) == len(set(names)) else []
