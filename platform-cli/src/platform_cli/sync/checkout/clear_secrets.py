"""Finds what looks like a secret in clear in a value that would stand in git. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from platform_cli.sync.items import Item, Json, Kind

_SECRET_NAME = re.compile(
    r"(?:.*[_-])?(?:secret|password|passwd|token|api_?key|secret_?key|private_?key|signing_?key|access_?key)",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"\$[a-z_]+:.")
_SHORTEST = 4


def clear_secrets(item: Item) -> list[str]:
    """The fields of an item that hold a secret in clear, dotted. Resources only: others have no such fields.

    A field counts when its name says so and its text is no reference such as `$var:f/acme/api_key`.
    """
    if item.key.kind is not Kind.RESOURCE:
        return []
    return list(_clear(item.value.get("value"), "value"))


def _clear(value: Json, place: str) -> Iterator[str]:
    match value:
        case dict():
            for name, inner in value.items():
                if isinstance(inner, str) and _SECRET_NAME.fullmatch(name):
                    if len(inner) >= _SHORTEST and not _REFERENCE.match(inner):
                        yield f"{place}.{name}"
                else:
                    yield from _clear(inner, f"{place}.{name}")
        case list():
            for number, inner in enumerate(value):
                yield from _clear(inner, f"{place}.{number}")
        case _:
            return
