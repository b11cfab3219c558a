"""What cannot be right between the items of one folder: what starts what, and routes that clash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from platform_cli.local.windmill import routes
from platform_cli.sync.checkout.judging import ItemFiles, steps_of
from platform_cli.sync.checkout.problems import Problems, near
from platform_cli.sync.items import Key, Kind
from platform_cli.sync.yaml12 import Place


@dataclass(frozen=True, slots=True)
class _Route:
    """A route of the folder, as `routes` compares them."""

    item: ItemFiles
    full_route: str
    http_method: str


def judge_together(items: Mapping[Key, ItemFiles], broken: set[Key], problems: Problems) -> None:
    """Look at all items of a folder. `broken` are there too, and cannot be used: they are named elsewhere."""
    known = {*items, *broken}
    for item in items.values():
        for place, target in _starts(item):
            _judge_target(item, place, target, known, problems)
    _judge_routes([item for key, item in items.items() if key.kind is Kind.HTTP_TRIGGER], problems)


def _starts(item: ItemFiles) -> Iterator[tuple[Place, Key]]:
    """Each script or flow that an item starts, and where it says so."""
    match item.key.kind:
        case Kind.SCHEDULE | Kind.HTTP_TRIGGER:
            path = item.fields.get("script_path")
            if isinstance(path, str):
                kind = Kind.FLOW if item.fields.get("is_flow") is True else Kind.SCRIPT
                yield ("script_path",), Key(kind, path)
        case Kind.FLOW:
            value = item.fields.get("value")
            for place, step in steps_of(value if isinstance(value, dict) else {}):
                work = step.get("value")
                if isinstance(work, dict) and work.get("type") in {"script", "flow"}:
                    path = work.get("path")
                    if isinstance(path, str):
                        yield (*place, "value", "path"), Key(Kind(str(work["type"])), path)
        case _:
            return


def _judge_target(item: ItemFiles, place: Place, target: Key, known: set[Key], problems: Problems) -> None:
    name = item.layout.name
    if target in known or not target.path.startswith(("f/", "u/", "g/")):  # else one of Windmill's public hub
        return
    line, shown = item.line(place), ".".join(str(step) for step in place)
    if not target.path.startswith(f"f/{name}/"):
        problems.warn(
            item.file,
            f"{shown}: {target} is not of this folder",
            f"u/robot{name} may not be allowed to run it.",
            line=line,
        )
        return
    other = Key(Kind.SCRIPT if target.kind is Kind.FLOW else Kind.FLOW, target.path)
    if other in known:
        next_step = f"{target.path} is a {other.kind}: say so here."
    else:
        paths = [key.path for key in known if key.kind is target.kind]
        next_step = near(target.path, paths) if paths else "Write it, or correct the path."
    problems.add(item.file, f"{shown}: there is no {target} in the folder", next_step, line=line)


def _judge_routes(items: list[ItemFiles], problems: Problems) -> None:
    found: list[_Route] = []
    for item in sorted(items, key=lambda item: item.key):
        path, method = item.fields.get("route_path"), item.fields.get("http_method")
        prefix = "{workspace}/" if item.fields.get("workspaced_route") is True else ""
        second = _Route(item, f"{prefix}{path}", str(method))
        for first in found:
            if why := routes.clash(first, second):
                problems.add(
                    item.file,
                    f"route_path: it clashes with {first.item.key.path} on {method} /{path}: {why}",
                    "Change route_path of one of them.",
                    line=item.line(("route_path",)),
                )
                break
        found.append(second)
