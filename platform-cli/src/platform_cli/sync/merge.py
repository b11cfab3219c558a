"""Merges one item that both git and Windmill changed since they last agreed.

Mappings go field by field, a flow's steps by id, scripts line by line; an app is one piece. Locks are no
person's work and never a conflict: the side whose script won brings its lock, and a script that was merged
has none, so that it is made anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from platform_cli.sync.fields import ABSENT, Absent, Found, Merging, same
from platform_cli.sync.flows import merge_flow
from platform_cli.sync.items import Item, Json, Kind, is_raw_script, without_locks
from platform_cli.sync.plan import FieldChange, Side


@dataclass(frozen=True, slots=True)
class ItemMerge:
    """What two edits of one item come to. `item` is None when a person has to decide."""

    item: Item | None
    fields: tuple[FieldChange, ...]


def merge_items(base: Item | None, ours: Item, theirs: Item, *, prefer: Side | None = None) -> ItemMerge:
    """One item from git's and Windmill's; `prefer` decides where both changed the same.

    Without a base nobody knows which side a difference comes from, so that each one is a conflict.
    """
    kind = ours.key.kind
    bare = [_bare(item) for item in (base, ours, theirs)]
    if base is None or kind is Kind.RAW_APP:
        return _whole(bare, ours, theirs, prefer)
    merging = Merging(prefer)
    merged = merge_flow(merging, *bare) if kind is Kind.FLOW else merging.mapping("", *bare)
    if merging.conflicts:
        return ItemMerge(None, tuple(merging.changes))
    return ItemMerge(Item(ours.key, with_locks(kind, merged, base, ours, theirs)), tuple(merging.changes))


def compare(base: Item | None, ours: Item, theirs: Item) -> tuple[FieldChange, ...]:
    """Field by field, how git's item and Windmill's differ; locks are left out."""
    merging = Merging(Side.OURS)
    bare = [_bare(item) for item in (base or theirs, ours, theirs)]
    if ours.key.kind is Kind.FLOW:
        merge_flow(merging, *bare)
    else:
        merging.mapping("", *bare)
    return tuple(merging.changes)


def _whole(bare: Sequence[Mapping[str, Json]], ours: Item, theirs: Item, prefer: Side | None) -> ItemMerge:
    """Items that are not merged: each field in which they differ is a conflict."""
    merging = Merging(prefer)
    for name in sorted({*bare[1], *bare[2]}):
        sides: list[Found] = [side.get(name, ABSENT) for side in bare]
        if not same(sides[1], sides[2]):
            merging.decide(name, *sides)
    if prefer is None and merging.conflicts:
        return ItemMerge(None, tuple(merging.changes))
    return ItemMerge(theirs if prefer is Side.THEIRS else ours, tuple(merging.changes))


def _bare(item: Item | None) -> dict[str, Json]:
    value = without_locks(item.key.kind, item.value) if item is not None else {}
    return value if isinstance(value, dict) else {}


# --- Locks ------------------------------------------------------------------------------------------------


def with_locks(
    kind: Kind, merged: Mapping[str, Json], base: Item | None, ours: Item, theirs: Item
) -> dict[str, Json]:
    """The merged value, each script in it with the lock of the side that has that very script."""
    values = [item.value if item is not None else {} for item in (base, ours, theirs)]
    if kind is Kind.SCRIPT:
        return {**merged, "lock": _null_if_absent(_lock(merged, *values))}
    if kind is not Kind.FLOW:
        return dict(merged)
    scripts = [dict(_scripts(value)) for value in values[1:]]
    locks = {  # without a base: the server locks the steps of a flow anew at every write, whatever it is sent
        identity: _lock(script, {}, *(side.get(identity, {}) for side in scripts))
        for identity, script in _scripts(merged)
    }
    locked = _locked(merged, locks)
    return locked if isinstance(locked, dict) else {}


def relocked(base: Item | None, ours: Item, theirs: Item) -> Item:
    """Two items that differ in their locks at most, with the locks that both will have."""
    return Item(theirs.key, with_locks(theirs.key.kind, _bare(theirs), base, ours, theirs))


def _lock(
    script: Mapping[str, Json],
    base: Mapping[str, Json],
    ours: Mapping[str, Json],
    theirs: Mapping[str, Json],
) -> Found:
    """Windmill's lock, unless it is still being made or git's was written anew; each only for this script."""
    from_ours = ours.get("lock", ABSENT) if _same_script(script, ours) else ABSENT
    from_theirs = theirs.get("lock", ABSENT) if _same_script(script, theirs) else ABSENT
    if from_theirs in (None, ABSENT):
        return from_ours
    if from_ours in (None, ABSENT):
        return from_theirs
    written_anew = bool(base) and same(base.get("lock", ABSENT), from_theirs)
    return from_ours if written_anew else from_theirs


def _same_script(one: Mapping[str, Json], other: Mapping[str, Json]) -> bool:
    return all(one.get(name) == other.get(name) for name in ("content", "language"))


def _null_if_absent(lock: Found) -> Json:
    return None if isinstance(lock, Absent) else lock


def _scripts(
    value: Json | Mapping[str, Json], identity: str = ""
) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """Every script that stands in a flow, by the id of its step."""
    if isinstance(value, Mapping):
        if is_raw_script(value):
            yield identity, value
        inner = value.get("id")
        name = inner if isinstance(inner, str) else identity
        for part in value.values():
            yield from _scripts(part, name)
    elif isinstance(value, list):
        for part in value:
            yield from _scripts(part, identity)


def _locked(value: Json | Mapping[str, Json], locks: Mapping[str, Found], identity: str = "") -> Json:
    if isinstance(value, Mapping):
        inner = value.get("id")
        name = inner if isinstance(inner, str) else identity
        written = {key: _locked(part, locks, name) for key, part in value.items()}
        lock = locks.get(identity, ABSENT) if is_raw_script(value) else ABSENT
        return written if isinstance(lock, Absent) else {**written, "lock": lock}
    if isinstance(value, list):
        return [_locked(part, locks, identity) for part in value]
    return value
