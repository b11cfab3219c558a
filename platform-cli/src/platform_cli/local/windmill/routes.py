"""Which route a request meets: `:param`, a final `*rest`, fixed segments first. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

_VALID = re.compile(r"(\*[-\w]+$|:?[-\w]+)(/(\*[-\w]+$|:?[-\w]+))*")
_PARAMETER = re.compile(r"(^|/)([:*])[-\w]+")


class Routed(Protocol):
    """What has a place among the routes. `full_route` is the path after `/api/r/`."""

    @property
    def full_route(self) -> str:
        """The pattern, such as `acme/ycloud/:endpoint`."""
        ...

    @property
    def http_method(self) -> str:
        """Lower case, such as `post`."""
        ...


RoutedT = TypeVar("RoutedT", bound=Routed)


@dataclass(frozen=True, slots=True)
class Match(Generic[RoutedT]):
    """The route that answers, with what its parameters stand for in this request."""

    route: RoutedT
    params: dict[str, str]


def is_valid(route_path: str) -> bool:
    """Whether Windmill accepts this as a route path."""
    return _VALID.fullmatch(route_path) is not None


def route_key(route_path: str) -> str:
    """The route with the names of its parameters taken out: two routes with one key and method clash."""
    return _PARAMETER.sub(r"\1\2key", route_path)


def find(routes: Iterable[RoutedT], method: str, path: str) -> Match[RoutedT] | None:
    """The route for `path` (decoded, without slash at either end that does not belong to it), or None.

    Segment by segment a fixed text wins over `:param`, and that over `*rest`; a parameter is never empty.
    """
    segments = path.split("/")
    best: tuple[tuple[int, ...], Match[RoutedT]] | None = None
    for route in routes:
        if route.http_method != method.lower():
            continue
        found = _match(route.full_route.split("/"), segments)
        if found is not None and (best is None or found[0] < best[0]):
            best = (found[0], Match(route, found[1]))
    return best[1] if best else None


def _match(pattern: Sequence[str], segments: Sequence[str]) -> tuple[tuple[int, ...], dict[str, str]] | None:
    params: dict[str, str] = {}
    rank: list[int] = []
    for index, part in enumerate(pattern):
        if part.startswith("*"):
            rest = "/".join(segments[index:])
            if not rest:
                return None
            params[part[1:]] = rest
            return (*rank, 2), params
        if index >= len(segments):
            return None
        if part.startswith(":"):
            if not segments[index]:
                return None
            params[part[1:]] = segments[index]
            rank.append(1)
        elif part == segments[index]:
            rank.append(0)
        else:
            return None
    return (tuple(rank), params) if len(pattern) == len(segments) else None


def clash(first: Routed, second: Routed) -> str:
    """Why these two cannot stand side by side, or an empty string.

    Windmill drops the second of a pair where one has `:param` and the other `*rest` at the same place, with
    no more than a line in its log; here it is refused.
    """
    if first.http_method != second.http_method:
        return ""
    one, two = route_key(first.full_route).split("/"), route_key(second.full_route).split("/")
    if one == two:
        return "both answer the same requests"
    for left, right in zip(one, two, strict=False):
        if left == right:
            continue
        return (
            "one has a parameter where the other has a wildcard" if {left, right} == {":key", "*key"} else ""
        )
    return ""
