"""Merges the steps of a flow that two sides changed: edited, moved, put in and taken out, each by its id.

A step taken out on one side and edited on the other is a conflict, and so is an order that both changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from platform_cli.sync.fields import ABSENT, Found, Merging, merge_order, same
from platform_cli.sync.items import Json
from platform_cli.sync.plan import Side
from platform_cli.sync.steps import ROOT, Step, Steps, read_steps, write_steps

MODULES = "value.modules"


def merge_flow(
    merging: Merging, base: Mapping[str, Json], ours: Mapping[str, Json], theirs: Mapping[str, Json]
) -> dict[str, Json]:
    """Three flows: the steps by id, all else field by field."""
    steps = _read_all(base, ours, theirs)
    if steps is None:
        return merging.mapping("", base, ours, theirs)
    merged = merging.mapping("", *(_without_steps(flow) for flow in (base, ours, theirs)))
    value = merged.get("value")
    inside = value if isinstance(value, dict) else {}
    return {**merged, "value": {**inside, "modules": _Weaving(merging, *steps).modules()}}


def _read_all(*flows: Mapping[str, Json]) -> tuple[Steps, Steps, Steps] | None:
    lists = [value.get("modules") for flow in flows if isinstance(value := flow.get("value"), dict)]
    if len(lists) != len(flows) or (base := read_steps(lists[0])) is None:
        return None
    if (ours := read_steps(lists[1], base)) is None or (theirs := read_steps(lists[2], base, ours)) is None:
        return None
    return base, ours, theirs


def _without_steps(flow: Mapping[str, Json]) -> dict[str, Json]:
    value = flow["value"]
    inside = value if isinstance(value, dict) else {}
    return {**flow, "value": {name: item for name, item in inside.items() if name != "modules"}}


def _place(identity: str, name: str = "") -> str:
    return ".".join(part for part in (MODULES, identity, name if identity else "") if part)


@dataclass(slots=True)
class _Weaving:
    """The steps of three flows becoming those of one. `kept` are those that stay, without what is inside."""

    merging: Merging
    base: Steps
    ours: Steps
    theirs: Steps
    kept: dict[str, Mapping[str, Json]] = field(default_factory=dict)
    broken: bool = False

    def modules(self) -> Json:
        """The merged list of the flow's steps."""
        for identity in _every(self.ours.by_id, self.theirs.by_id, self.base.by_id):
            self._keep(identity)
        placed = self._placed()
        steps = {
            identity: Step(fields, self._lists(identity, placed.get(identity, {})))
            for identity, fields in self.kept.items()
        }
        if not self.broken and _reached(steps) != set(steps):
            self._clash(_place(ROOT), [_shape(side) for side in (self.base, self.ours, self.theirs)])
        return self._whole() if self.broken else write_steps(steps)["modules"]

    def _whole(self) -> Json:
        """The steps in the shape of the side that decides, each with what both sides made of its fields."""
        side = self.theirs if self.merging.prefer is Side.THEIRS else self.ours
        steps = {
            identity: Step(self.kept.get(identity, step.fields), step.lists)
            for identity, step in side.by_id.items()
        }
        return write_steps(steps)["modules"]

    def _clash(self, place: str, values: Sequence[Found]) -> None:
        """The shape cannot follow both sides."""
        self.merging.note(place, *values, conflict=self.merging.prefer is None)
        self.broken = True

    # --- Which steps stay -----------------------------------------------------------------------------

    def _keep(self, identity: str) -> None:
        base, ours, theirs = (side.by_id.get(identity) for side in (self.base, self.ours, self.theirs))
        if ours is not None and theirs is not None:
            self._keep_both(identity, base, ours, theirs)
        elif base is not None:
            self._drop(identity, ours, theirs)
        else:
            added = self.ours if ours is not None else self.theirs
            self.kept[identity] = added.by_id[identity].fields
            whole = _written(added, identity)
            values = (whole, ABSENT) if ours is not None else (ABSENT, whole)
            self.merging.note(_place(identity), ABSENT, *values)

    def _keep_both(self, identity: str, base: Step | None, ours: Step, theirs: Step) -> None:
        if base is None and not same(ours.fields, theirs.fields):
            decided = self.merging.decide(_place(identity), ABSENT, {**ours.fields}, {**theirs.fields})
            self.kept[identity] = decided if isinstance(decided, dict) else {}
            return
        before = base.fields if base is not None else {}
        self.kept[identity] = self.merging.mapping(_place(identity), before, ours.fields, theirs.fields)

    def _drop(self, identity: str, ours: Step | None, theirs: Step | None) -> None:
        """One side took the step out: that stands if the other left it as it was."""
        values = [
            _written(side, identity) if step is not None else ABSENT
            for side, step in ((self.base, True), (self.ours, ours), (self.theirs, theirs))
        ]
        left = self.ours if ours is not None else self.theirs
        if (ours is None and theirs is None) or not self._edited(left, identity):
            if not (ours is None and theirs is None):
                self.merging.note(_place(identity), *values)
            return
        self._clash(_place(identity), values)

    def _edited(self, side: Steps, identity: str) -> bool:
        """Whether a side changed a step of the base, moved it, or put something into it."""
        before, now = self.base.by_id[identity], side.by_id[identity]
        grown = any(
            [one for one in before.lists.get(name, ()) if one in inside] != list(inside)
            for name, inside in now.lists.items()
        )
        return (
            grown or not same(before.fields, now.fields) or self.base.place[identity] != side.place[identity]
        )

    # --- Where they stand -----------------------------------------------------------------------------

    def _placed(self) -> dict[str, dict[str, list[str]]]:
        """Which steps stand in each list, before their order is known."""
        placed: dict[str, dict[str, list[str]]] = {}
        for identity in self.kept:
            if identity != ROOT and (spot := self._spot(identity)) is not None:
                placed.setdefault(spot[0], {}).setdefault(spot[1], []).append(identity)
        return placed

    def _spot(self, identity: str) -> tuple[str, str] | None:
        base, ours, theirs = (side.place.get(identity) for side in (self.base, self.ours, self.theirs))
        if ours is None or theirs is None or ours == theirs:
            return ours or theirs
        place, spots = f"{_place(identity)} (where it stands)", [_said(s) for s in (base, ours, theirs)]
        if base in (ours, theirs):
            self.merging.note(place, *spots)
            return theirs if base == ours else ours
        self._clash(place, spots)
        return ours

    def _lists(self, identity: str, placed: Mapping[str, list[str]]) -> dict[str, Sequence[str]]:
        sides = [side.by_id.get(identity, Step({}, {})).lists for side in (self.base, self.ours, self.theirs)]
        names = [*_every(sides[1], sides[2]), *placed]
        return {
            name: self._ordered(identity, name, sides, placed.get(name, []))
            for name in dict.fromkeys(names)
            if name in placed or all(name in side for side in sides[1:]) or name not in sides[0]
        }

    def _ordered(
        self, identity: str, name: str, sides: Sequence[Mapping[str, Sequence[str]]], members: list[str]
    ) -> list[str]:
        here = set(members)
        orders = [[one for one in side.get(name, ()) if one in here] for side in sides]
        merged = merge_order(*orders)
        if merged is None:
            self._clash(_place(identity, name), [[*order] for order in orders])
            return members
        both = [[one for one in order if all(one in other for other in orders)] for order in orders]
        if not both[0] == both[1] == both[2]:
            values: list[Json] = [[*order] for order in both]
            self.merging.note(_place(identity, name), *values)
        return merged


def _every(*sides: Mapping[str, object]) -> list[str]:
    return list(dict.fromkeys(name for side in sides for name in side))


def _written(steps: Steps, identity: str) -> Json:
    return write_steps(steps.by_id, identity)


def _said(spot: tuple[str, str] | None) -> Json:
    return None if spot is None else ".".join(part for part in spot if part)


def _shape(steps: Steps) -> Json:
    return {identity: [*spot] for identity, spot in steps.place.items()}


def _reached(steps: Mapping[str, Step]) -> set[str]:
    """The steps that can be reached from the flow's own list: two moves may have made a ring."""
    found: set[str] = set()
    ahead = [ROOT]
    while ahead:
        identity = ahead.pop()
        if identity in found or identity not in steps:
            continue
        found.add(identity)
        ahead += [child for inside in steps[identity].lists.values() for child in inside]
    return found
