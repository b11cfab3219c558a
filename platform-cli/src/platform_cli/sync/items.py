"""What is kept in step: items of Windmill as values, each in one canonical form.

An `Item` is the JSON that the server's export has for it, brought into canonical form by
`official.canonical`: what is volatile or derived is gone, defaults are filled in as the server fills them in,
and what means the same is written the same. Two items are equal exactly when nobody would call them
different. A script's Python and its lock are fields of it (`content`, `lock`, `language`); a flow's inline
scripts stand in `value.modules`. A secret variable is never an item.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""A JSON value. Floats without a fraction are written as whole numbers, as JavaScript sees no difference."""


class Kind(StrEnum):
    """The kinds of items, in the order in which they are created; they are deleted in the reverse one."""

    FOLDER = "folder"
    RESOURCE_TYPE = "resource_type"
    VARIABLE = "variable"
    RESOURCE = "resource"
    SCRIPT = "script"
    FLOW = "flow"
    RAW_APP = "raw_app"
    SCHEDULE = "schedule"
    HTTP_TRIGGER = "http_trigger"

    __hash__ = str.__hash__  # an enumeration's own is Python, and keys are hashed ten times an item


_WAVE = {kind: number for number, kind in enumerate(Kind)}
SWITCHES = {Kind.SCHEDULE: "enabled", Kind.HTTP_TRIGGER: "mode"}
"""The operational switch of a kind. It belongs to ops: a deploy leaves it as it is unless it is asked."""

TAGS = ("ops", "webhook")
"""Tags that our items carry and a worker takes: the platform's own work, and what somebody waits for."""

LOCKED_KINDS = frozenset({Kind.SCRIPT, Kind.FLOW})


@dataclass(frozen=True, slots=True)
class Key:
    """Which item: kind and path. A folder is `f/acme`, a resource type its bare name such as `c_ycloud`."""

    kind: Kind
    path: str

    @property
    def wave(self) -> int:
        """When it is created: everything of a lower number stands before it."""
        return _WAVE[self.kind]

    def __str__(self) -> str:
        """As people read and type it: `script f/acme/hello`."""
        return f"{self.kind} {self.path}"

    def __lt__(self, other: Key) -> bool:
        """By wave, then by path."""
        return (self.wave, self.path) < (other.wave, other.path)


@dataclass(frozen=True, slots=True)
class Item:
    """One item in canonical form. `value` must not be changed: it may be shared."""

    key: Key
    value: Mapping[str, Json] = field(repr=False)
    _made: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def text(self) -> str:
        """The whole value as one text: equal exactly when the values are. Made once, when first asked."""
        if (text := self._made.get("text")) is None:
            text = self._made["text"] = text_of(self.value)
        return text

    @property
    def digest(self) -> str:
        """SHA-256 of everything a person could have edited: all but the locks. Hexadecimal."""
        if (digest := self._made.get("digest")) is None:
            digest = self._made["digest"] = digest_of(without_locks(self.key.kind, self.value))
        return digest

    @property
    def lock_digest(self) -> str:
        """SHA-256 of the locks alone; a change here with an equal `digest` is a relock, made by no person."""
        return digest_of(locks_of(self.key.kind, self.value))

    def __eq__(self, other: object) -> bool:
        """Same key, same value, locks included."""
        return isinstance(other, Item) and self.key == other.key and self.text == other.text

    def __hash__(self) -> int:
        """By key: equal items have equal keys."""
        return hash(self.key)


Tree: TypeAlias = Mapping[Key, Item]
"""Items by key."""


def tree_of(items: Iterable[Item]) -> dict[Key, Item]:
    """Items as a tree, in the order of their waves."""
    return {item.key: item for item in sorted(items, key=lambda item: item.key)}


def digest_of(value: object) -> str:
    """SHA-256 of a JSON value, hexadecimal; the order of keys does not matter, their presence does."""
    return hashlib.sha256(text_of(value).encode("utf-8", "surrogatepass")).hexdigest()


def tree_digest(tree: Tree) -> str:
    """SHA-256 of a whole tree, locks included."""
    whole = hashlib.sha256()
    for key in sorted(tree):
        whole.update(f"{key}\n{tree[key].text}\n".encode("utf-8", "surrogatepass"))
    return whole.hexdigest()


_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def text_of(value: object) -> str:
    """A JSON value as one text: keys sorted, no space."""
    return _ENCODER.encode(value)


# --- Locks ------------------------------------------------------------------------------------------------


def without_locks(kind: Kind, value: Json | Mapping[str, Json]) -> Json:
    """The value without what lock jobs write: a script's `lock`, and the `lock` of scripts inside a flow."""
    if kind is Kind.SCRIPT and isinstance(value, Mapping):
        return {name: item for name, item in value.items() if name != "lock"}
    return _stripped(value) if kind is Kind.FLOW else dict(value) if isinstance(value, Mapping) else value


def locks_of(kind: Kind, value: Mapping[str, Json]) -> Json:
    """What lock jobs wrote, in the order of the value's keys."""
    if kind is Kind.SCRIPT:
        return value.get("lock")
    return _collected(value) if kind is Kind.FLOW else None


def is_raw_script(value: Mapping[str, Json]) -> bool:
    """Whether this is the value of a step whose script stands in the flow itself."""
    return value.get("type") == "rawscript" and isinstance(value.get("content"), str)


def _stripped(value: Json | Mapping[str, Json]) -> Json:
    match value:
        case Mapping():
            skip = is_raw_script(value)
            return {name: _stripped(item) for name, item in value.items() if not (skip and name == "lock")}
        case list():
            return [_stripped(item) for item in value]
        case _:
            return value


def _collected(value: Json | Mapping[str, Json]) -> list[Json]:
    match value:
        case Mapping():
            own: list[Json] = [value.get("lock")] if is_raw_script(value) else []
            return own + [lock for name in sorted(value) for lock in _collected(value[name])]
        case list():
            return [lock for item in value for lock in _collected(item)]
        case _:
            return []


# --- Whose items these are --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scope:
    """One folder of Windmill and everything in it: a customer's, or the platform's own `ops`.

    `resource_types` are the names that this scope's folder in git declares; they stand outside any folder.
    """

    name: str
    resource_types: frozenset[str] = frozenset()

    @property
    def prefix(self) -> str:
        """What the path of each of its items begins with."""
        return f"f/{self.name}/"

    @property
    def robot(self) -> str:
        """The user in whose name its schedules and routes run, as Windmill writes it in `permissioned_as`."""
        return f"u/robot{self.name}"

    def holds(self, key: Key) -> bool:
        """Whether an item belongs to this scope."""
        match key.kind:
            case Kind.RESOURCE_TYPE:
                return key.path in self.resource_types
            case Kind.FOLDER:
                return key.path == f"f/{self.name}"
            case _:
                return key.path.startswith(self.prefix)
