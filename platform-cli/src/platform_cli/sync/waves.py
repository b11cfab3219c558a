"""In which order writes are carried out: pure.

Everything that is written comes before everything that is deleted. Written are folders first, then kind by
kind in the order of `Kind`; scripts that others import before those that import them. Deleted is in the
reverse order, so that nothing ever points at what is gone. Whatever holds a route or a path that another
write of the plan needs is deleted before that kind is written.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from platform_cli.sync.items import Item, Key, Kind
from platform_cli.sync.writes import Write

_IMPORTS = re.compile(r"^[ \t]*(?:from|import)[ \t]+(?:[fu]\.|\.)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Wave:
    """Writes that do not wait for each other; the next wave begins when all of them and their locks stand."""

    name: str
    writes: tuple[Write, ...]


def waves(writes: Iterable[Write]) -> tuple[Wave, ...]:
    """The waves of some writes, none of them empty."""
    todo = _with_way(sorted(writes, key=lambda write: write.key))
    found: list[Wave] = []
    for kind in Kind:
        found += _of_kind(kind, [write for write in todo if write.key.kind is kind])
    for kind in reversed(Kind):
        gone = [w for w in todo if w.key.kind is kind and w.verb == "delete" and not w.recreate]
        found += [Wave(f"delete {kind}s", layer) for layer in reversed(_layers(gone))]
    return tuple(wave for wave in found if wave.writes)


def imports_of(item: Item) -> frozenset[str]:
    """Paths of Windmill that a Python script may import, such as `f/acme/shared`: rather too many.

    A script that is no Python imports nothing that matters here.
    """
    content = item.value.get("content")
    if item.key.kind is not Kind.SCRIPT or not isinstance(content, str) or not _IMPORTS.search(content):
        return frozenset()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return frozenset()
    return frozenset(path for node in ast.walk(tree) for path in _imported(item.key.path, node))


def _imported(importer: str, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (name.name.replace(".", "/") for name in node.names)
    elif isinstance(node, ast.ImportFrom):
        here = importer.split("/")[: -node.level] if node.level else []
        module = "/".join([*here, *(node.module or "").split(".")]).strip("/")
        yield module
        yield from (f"{module}/{name.name}" for name in node.names)


def importers(tree: Mapping[Key, Item], changed: Iterable[str]) -> tuple[Key, ...]:
    """Scripts that import one of the paths, over any number of steps, themselves left out."""
    reached = set(changed)
    begun = frozenset(reached)
    while True:
        more = {
            key.path for key, item in tree.items() if key.path not in reached and imports_of(item) & reached
        }
        if not more:
            return tuple(sorted(Key(Kind.SCRIPT, path) for path in reached - begun))
        reached |= more


def _of_kind(kind: Kind, writes: Sequence[Write]) -> list[Wave]:
    first = [w for w in writes if w.recreate and w.before is not None]
    puts = [w for w in writes if w.verb != "delete" and not (w.recreate and w.before is not None)]
    again = [w for w in first if w.after is not None]
    if (
        kind is not Kind.HTTP_TRIGGER
    ):  # a schedule is deleted and created anew in one go: nobody waits for its path
        puts, again = [*puts, *again], []
        first = [w for w in first if w.after is None]
    return [
        Wave(f"make way among {kind}s", tuple(_gone(w) for w in first)),
        *(Wave(f"{kind}s", layer) for layer in _layers(puts)),
        Wave(f"{kind}s again", tuple(_anew(w) for w in again)),
    ]


def _with_way(writes: Sequence[Write]) -> list[Write]:
    """The writes, those marked that hold a route which another one needs."""
    holders = {route(w.before): w for w in writes if w.key.kind is Kind.HTTP_TRIGGER and w.before is not None}
    in_the_way = {
        holder.key
        for write in writes
        if write.key.kind is Kind.HTTP_TRIGGER and write.after is not None
        if (holder := holders.get(route(write.after))) is not None and holder.key != write.key
    }
    return [replace(write, recreate=True) if write.key in in_the_way else write for write in writes]


def route(item: Item) -> tuple[str, ...]:
    """What no two routes of a server share; the names of parameters do not count."""
    parts = str(item.value.get("route_path")).split("/")
    key = "/".join(part[:1] if part[:1] in {":", "*"} else part for part in parts)
    return (str(item.value.get("http_method")), str(bool(item.value.get("workspaced_route"))), key)


def _gone(write: Write) -> Write:
    return replace(write, after=None, recreate=False)


def _anew(write: Write) -> Write:
    return replace(write, before=None, after=write.expected, recreate=False)


def _layers(writes: Sequence[Write]) -> list[tuple[Write, ...]]:
    """Scripts layer by layer, importees first; what imports itself in a circle comes last, together."""
    needs = {write: imports_of(item) for write in writes if (item := write.after or write.before) is not None}
    left = list(writes)
    layers: list[tuple[Write, ...]] = []
    while left:
        paths = {write.key.path for write in left}
        ready = [w for w in left if not (needs.get(w, frozenset()) & (paths - {w.key.path}))]
        layers.append(tuple(ready or left))
        left = [write for write in left if write not in ready] if ready else []
    return layers
