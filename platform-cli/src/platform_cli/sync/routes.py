"""Sees to it that a route is free before another trigger takes it: Windmill refuses a route that is held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from platform_cli.sync.items import Item, Key, Kind
from platform_cli.sync.live import Workspace
from platform_cli.sync.plan import Act, Change

_GOING = frozenset({Act.UPDATE, Act.DELETE})
_TAKING = frozenset({Act.CREATE, Act.UPDATE})


def route_of(item: Item) -> str:
    """What makes two routes the same to Windmill: method, and path with every parameter alike."""
    parts = str(item.value.get("route_path", "")).split("/")
    path = "/".join("key" if part.startswith((":", "*")) else part for part in parts)
    within = "workspace " if item.value.get("workspaced_route") else ""
    return f"{within}{str(item.value.get('http_method', '')).upper()} /{path}"


def in_turn(changes: Sequence[Change], live: Workspace) -> tuple[Change, ...]:
    """The changes, with `retarget` set on each trigger that has to free its route for another one."""
    if not any(change.key.kind is Kind.HTTP_TRIGGER for change in changes):
        return tuple(changes)
    wanted = {route for _, route in _taken(changes)}
    held = {key: route_of(item) for key, item in live.items.items() if key.kind is Kind.HTTP_TRIGGER}
    return tuple(
        replace(change, retarget=True) if change.act in _GOING and held.get(change.key) in wanted else change
        for change in changes
    )


def clashes(changes: Sequence[Change], live: Workspace) -> list[str]:
    """Routes that would be taken from a trigger that stays."""
    going = {change.key for change in changes if change.act in _GOING}
    holders: dict[str, Key] = {
        route_of(item): key
        for key, item in live.items.items()
        if key.kind is Kind.HTTP_TRIGGER and key not in going
    }
    holders |= _staying(changes)
    said = []
    for change, route in _taken(changes):
        holder = holders.setdefault(route, change.key)
        if holder != change.key:
            said.append(f"{change.key} wants the route {route}, which {holder} has: Windmill would refuse it")
    return said


def _staying(changes: Sequence[Change]) -> Mapping[str, Key]:
    """The routes of triggers that are updated and keep theirs."""
    return {
        route_of(change.after): change.key
        for change in changes
        if change.key.kind is Kind.HTTP_TRIGGER
        and change.act is Act.UPDATE
        and change.before is not None
        and change.after is not None
        and route_of(change.before) == route_of(change.after)
    }


def _taken(changes: Sequence[Change]) -> Iterator[tuple[Change, str]]:
    """Each trigger that will be at a route where it is not yet."""
    for change in changes:
        if change.key.kind is not Kind.HTTP_TRIGGER or change.act not in _TAKING or change.after is None:
            continue
        route = route_of(change.after)
        if change.before is None or route_of(change.before) != route:
            yield change, route
