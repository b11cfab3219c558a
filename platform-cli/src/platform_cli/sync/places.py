"""Finds and replaces one field of an item by its place, such as `args.limit` or `value.modules.ask.summary`.

Names may hold dots themselves, so the longest name that fits is taken first; steps of a flow go by their id,
wherever they stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from platform_cli.sync.fields import ABSENT, Absent, Found
from platform_cli.sync.items import Item, Json


def get(value: Json | Mapping[str, Json], place: str) -> Found:
    """The field at a place, or ABSENT."""
    if not place:
        return dict(value) if isinstance(value, Mapping) else value
    for inner, rest in _inside(value, place):
        found = get(inner, rest)
        if not isinstance(found, Absent):
            return found
    return ABSENT


def put(value: Json, place: str, new: Found) -> Json:
    """A copy with another value at a place; as it was if what is around that place is not there."""
    if isinstance(value, dict):
        return _put_field(value, place, new)
    if isinstance(value, list):
        return [_put_step(item, place, new) for item in value]
    return value


def _put_field(value: dict[str, Json], place: str, new: Found) -> dict[str, Json]:
    around = [name for name in value if place.startswith(f"{name}.")]
    if place not in value and around:
        name = max(around, key=len)
        return {**value, name: put(value[name], place[len(name) + 1 :], new)}
    if isinstance(new, Absent):
        return {name: item for name, item in value.items() if name != place}
    return {**value, place: new} if place in value or "." not in place else value


def _put_step(step: Json, place: str, new: Found) -> Json:
    identity = step.get("id") if isinstance(step, dict) else None
    if isinstance(step, dict) and isinstance(identity, str) and place.startswith(f"{identity}."):
        return _put_field(step, place[len(identity) + 1 :], new)
    return _inner_steps(step, place, new)


def _inner_steps(value: Json, place: str, new: Found) -> Json:
    """Looks for the step inside loops and branches."""
    if isinstance(value, dict):
        return {name: _inner_steps(item, place, new) for name, item in value.items()}
    return put(value, place, new)


def _inside(value: Json | Mapping[str, Json], place: str) -> Iterator[tuple[Json, str]]:
    if isinstance(value, Mapping):
        for name in sorted(
            (n for n in value if place == n or place.startswith(f"{n}.")), key=len, reverse=True
        ):
            yield value[name], place[len(name) + 1 :]
    elif isinstance(value, list):
        for step in _steps(value):
            identity = step.get("id")
            if isinstance(identity, str) and (place == identity or place.startswith(f"{identity}.")):
                yield step, place[len(identity) + 1 :]


def _steps(value: Json) -> Iterator[dict[str, Json]]:
    if isinstance(value, dict):
        if isinstance(value.get("id"), str):
            yield value
        for item in value.values():
            yield from _steps(item)
    elif isinstance(value, list):
        for item in value:
            yield from _steps(item)


def taking(item: Item, other: Item, places: Iterable[str]) -> Item:
    """The item with the other's values at these places, where the other has any."""
    value: Json = dict(item.value)
    for place in places:
        value = put(value, place, get(other.value, place))
    return Item(item.key, value) if isinstance(value, dict) else item
