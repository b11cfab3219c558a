"""A flow's steps as one set by id, wherever they stand: so that a step that moved is still the same step.

Branches have no id. They get one from the place they have in the base, and the branches of a side are told to
be the same by what stands in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from platform_cli.sync.fields import same
from platform_cli.sync.items import Json

ROOT = ""
BRANCHES = "branches"
_LISTS = ("modules", "default", "tools")
"""Where a step keeps steps: loops have `modules`, a branchone a `default`, an agent `tools`."""

Branch: TypeAlias = tuple[str, dict[str, Json]]


@dataclass(frozen=True, slots=True)
class Step:
    """One step without the steps inside it; those stand in `lists` by their ids."""

    fields: Mapping[str, Json]
    lists: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Steps:
    """All steps of a flow by id, with the root, which holds the flow's own list, under the empty id.

    `place` says where each stands: the id of the step around it and the name of the list.
    """

    by_id: dict[str, Step] = field(default_factory=dict)
    place: dict[str, tuple[str, str]] = field(default_factory=dict)
    branches: dict[str, list[Branch]] = field(default_factory=dict)


class _Unfit(Exception):
    """A list that is not one of steps with an id each."""


def read_steps(modules: Json, *known: Steps) -> Steps | None:
    """The steps of a flow; None when they cannot be told apart by their ids. `known` name the branches."""
    steps = Steps()
    try:
        ids = _read_list(steps, known, modules, (ROOT, "modules"))
    except _Unfit:
        return None
    steps.by_id[ROOT] = Step({}, {"modules": ids})
    return steps


def _read_list(steps: Steps, known: Sequence[Steps], modules: Json, place: tuple[str, str]) -> list[str]:
    if not isinstance(modules, list):
        raise _Unfit
    ids: list[str] = []
    for module in modules:
        identity = module.get("id") if isinstance(module, dict) else None
        if not isinstance(module, dict) or not isinstance(identity, str) or not identity:
            raise _Unfit
        ids.append(identity)
        _read_step(steps, known, identity, module, place)
    return ids


def _read_step(
    steps: Steps, known: Sequence[Steps], identity: str, module: dict[str, Json], place: tuple[str, str]
) -> None:
    if identity in steps.place or "." in identity:
        raise _Unfit
    steps.place[identity] = place
    lists: dict[str, Sequence[str]] = {}
    fields = dict(module)
    if isinstance(inner := module.get("value"), dict):
        own = dict(inner)
        for name in _LISTS:
            if name in own:
                lists[name] = _read_list(steps, known, own.pop(name), (identity, name))
        if BRANCHES in own:
            lists[BRANCHES] = _read_branches(steps, known, identity, own.pop(BRANCHES))
        fields["value"] = own
    steps.by_id[identity] = Step(fields, lists)


def _read_branches(steps: Steps, known: Sequence[Steps], parent: str, branches: Json) -> list[str]:
    if not isinstance(branches, list):
        raise _Unfit
    found = [branch for branch in branches if isinstance(branch, dict)]
    if len(found) != len(branches):
        raise _Unfit
    ids = _branch_ids(parent, found, known)
    for identity, branch in zip(ids, found, strict=True):
        steps.place[identity] = (parent, BRANCHES)
        lists: dict[str, Sequence[str]] = {}
        if "modules" in branch:
            lists["modules"] = _read_list(steps, known, branch["modules"], (identity, "modules"))
        fields = {name: value for name, value in branch.items() if name != "modules"}
        steps.by_id[identity] = Step(fields, lists)
    steps.branches[parent] = list(zip(ids, found, strict=True))
    return ids


def _known_branches(parent: str, known: Sequence[Steps]) -> list[Branch]:
    found: dict[str, dict[str, Json]] = {}
    for steps in known:
        found = {**dict(steps.branches.get(parent, [])), **found}
    return list(found.items())


def _branch_ids(parent: str, branches: list[dict[str, Json]], known: Sequence[Steps]) -> list[str]:
    free = dict(_known_branches(parent, known))
    taken = set(free)
    ids: list[str | None] = [None] * len(branches)
    for fits in _likenesses(parent, known, len(branches)):
        for number, branch in enumerate(branches):
            if ids[number] is None:
                ids[number] = next((one for one in free if fits(one, free[one], number, branch)), None)
                free.pop(ids[number] or "", None)
    mark = "+" * len(known)
    return [one or _new_id(f"{parent}.{BRANCHES}.{mark}{number}", taken) for number, one in enumerate(ids)]


def _new_id(wanted: str, taken: set[str]) -> str:
    while wanted in taken:
        wanted += "+"
    return wanted


def _likenesses(
    parent: str, known: Sequence[Steps], count: int
) -> Iterator[Callable[[str, dict[str, Json], int, dict[str, Json]], bool]]:
    """Ways to know a branch again, the surest first."""
    yield lambda _, old, __, new: same(old, new)
    yield lambda one, old, number, new: one == f"{parent}.{BRANCHES}.{number}" and _related(old, new)
    yield lambda _, old, __, new: _related(old, new)
    if known and len(known[0].branches.get(parent, [])) == count:
        yield lambda one, _, number, __: one == f"{parent}.{BRANCHES}.{number}"


def _related(old: dict[str, Json], new: dict[str, Json]) -> bool:
    shared = set(_ids(old.get("modules"))) & set(_ids(new.get("modules")))
    return bool(shared) or any(
        old.get(name) and old.get(name) == new.get(name) for name in ("expr", "summary")
    )


def _ids(modules: Json) -> list[str]:
    found = modules if isinstance(modules, list) else []
    return [str(module["id"]) for module in found if isinstance(module, dict) and module.get("id")]


def write_steps(steps: Mapping[str, Step], identity: str = ROOT) -> dict[str, Json]:
    """A step with the steps inside it, as the flow has it; for the root, a mapping with its `modules`."""
    step = steps[identity]
    written = dict(step.fields)
    inside: dict[str, Json] = {
        name: [write_steps(steps, child) for child in children] for name, children in step.lists.items()
    }
    around = written.get("value")
    if isinstance(around, dict):
        written["value"] = {**around, **inside}
    else:
        written.update(inside)
    return written
