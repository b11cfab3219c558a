"""Documents that wmctl keeps in the Windmill they are about: resources of type `state` in `f/wmctl`.

The server never exports that type, so no tarball and no official pull shows them; only administrators and
members of wm_deployers may read that folder. A document has `about`, a few facts that stand in the resource's
description, so that one list shows them all, and `content`, any JSON, compressed, in parts that pass every
proxy. Content is written first and the resource that names its parts last: a reader sees the old one or the
new one. What was written by a newer wmctl, or is damaged, is refused and never guessed at.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from secrets import token_hex
from typing import NewType, cast

from platform_cli.sync.client import Client, Row
from platform_cli.sync.items import Json, Key, Kind
from platform_cli.sync.wire import all_of
from platform_core.errors import (
    PermissionDenied,
    StateConflict,
    StateUnreadable,
    WindmillDenied,
    WindmillNotFound,
    WindmillRefused,
)

FOLDER = "wmctl"
FOLDER_KEY = Key(Kind.FOLDER, f"f/{FOLDER}")
TYPE = "state"
FORMAT = 1
PART_CHARS = 700_000
"""Most characters of a part. A proxy's usual limit for what is sent is a megabyte."""

READERS = frozenset({"g/wm_deployers"})
_READS = 3
_LEVEL = 1
"""How hard zlib tries. The best makes a base of 1,300 items a quarter smaller in five times the time."""

_EXISTS = "already exists"


Packed = NewType("Packed", str)
"""A document's content as `pack` makes it."""


@dataclass(frozen=True, slots=True)
class Note:
    """What a list tells of one document. `at` is the server's time of the last change."""

    name: str
    about: Mapping[str, Json] = field(repr=False)
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Found:
    """The documents of a scope by name, and the names of all parts of their contents."""

    notes: Mapping[str, Note]
    parts: tuple[str, ...] = ()

    def parts_of(self, name: str) -> tuple[str, ...]:
        """The parts that belong to one document, also those that a crash left behind."""
        return tuple(part for part in self.parts if part.startswith(f"{name}_part_"))


@dataclass(frozen=True, slots=True)
class Document:
    """A document whole."""

    name: str
    about: Mapping[str, Json] = field(repr=False)
    content: Json = field(repr=False)


def key_of(name: str) -> Key:
    """The resource that a document is."""
    return Key(Kind.RESOURCE, f"f/{FOLDER}/{name}")


# --- Reading ----------------------------------------------------------------------------------------------


async def find_all(client: Client, scope: str) -> Found:
    """Every document of a scope, without its content, in one request.

    Raises: PermissionDenied when the folder is there and the token's owner may not read it, for then no
    document would look like none at all; StateUnreadable.
    """
    rows = await client.resources(f"f/{FOLDER}/{scope}_", resource_type=TYPE)
    if not rows:
        await _require_readable(client)
    ours = re.compile(rf"{re.escape(scope)}_(?:base|lock|beat_[0-9a-f]+|deploy_[0-9]+)(_part_\w+)?")
    by_name = {str(row["path"]).removeprefix(f"f/{FOLDER}/"): row for row in rows}
    parts = tuple(name for name in by_name if (match := ours.fullmatch(name)) and match[1])
    notes = {
        name: Note(name, _about(name, row), _time(row))
        for name, row in by_name.items()
        if ours.fullmatch(name) and name not in parts
    }
    return Found(notes, parts)


async def read(client: Client, name: str) -> Document | None:
    """A document, or None when there is none. Raises: StateUnreadable."""
    for _ in range(_READS):
        try:
            row = await client.get(key_of(name))
        except WindmillNotFound:
            return None
        except WindmillDenied:
            raise _hidden() from None
        try:
            return Document(name, _about(name, row), await _content(client, name, row.get("value")))
        except WindmillNotFound:
            continue  # somebody replaced it between its head and its parts
    raise _damaged(name, "a part of it is missing")


async def _content(client: Client, name: str, head: Json) -> Json:
    if not isinstance(head, dict) or not isinstance(head.get("format"), int):
        raise _damaged(name, "it is not in the form that wmctl writes")
    if head["format"] != FORMAT:
        raise StateUnreadable(
            f"f/{FOLDER}/{name} was written by a newer wmctl (format {head['format']}, not {FORMAT})",
            next_step="Install the wmctl that the others use.",
        )
    text = head.get("content")
    if not isinstance(text, str):
        parts = [str(part) for part in cast("list[Json]", head.get("parts") or [])]
        found = await all_of(*(client.resource_value(key_of(part).path) for part in parts))
        text = "".join(str(part) for part in found)
    if head.get("digest") != _digest(text):
        raise _damaged(name, "its content is not what was written")
    try:
        return cast("Json", json.loads(zlib.decompress(base64.b64decode(text))))
    except (ValueError, zlib.error):
        raise _damaged(name, "its content cannot be unpacked") from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _about(name: str, row: Row) -> dict[str, Json]:
    try:
        found = json.loads(str(row.get("description") or ""))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _damaged(name, "its description was changed")
    return cast("dict[str, Json]", found)


def _time(row: Row) -> datetime | None:
    text = row.get("edited_at")
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _damaged(name: str, what: str) -> StateUnreadable:
    return StateUnreadable(
        f"f/{FOLDER}/{name} is damaged: {what}",
        next_step=(
            "Restore it from a backup of Windmill. Without one delete that resource: the next plan then "
            "takes git and Windmill as never agreed, and overwrites nothing unseen."
        ),
    )


# --- Writing ----------------------------------------------------------------------------------------------


def pack(content: Json) -> Packed:
    """Content as it is kept: its JSON, compressed quickly rather than well, as text."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Packed(base64.b64encode(zlib.compress(text.encode(), _LEVEL)).decode("ascii"))


async def create(client: Client, name: str, about: Mapping[str, Json], content: Json = None) -> None:
    """Keep a new document. The server makes sure that of several at once one succeeds.

    Raises: StateConflict when there is one of that name.
    """
    body, parts = await _stored(client, name, about, pack(content))
    try:
        await client.create(key_of(name), body)
    except WindmillRefused as error:
        await remove(client, parts)
        if _EXISTS in error.said:
            raise StateConflict(f"f/{FOLDER}/{name} is there already") from None
        raise


async def replace(
    client: Client, name: str, about: Mapping[str, Json], content: Packed, *, parts: Iterable[str] = ()
) -> None:
    """Put a document in place of the one of that name, or keep it anew. Whoever calls holds the lock.

    `parts` are those of the old one: they go last.
    """
    body, _ = await _stored(client, name, about, content)
    await client.upsert_resource(body)
    await remove(client, parts)


async def annotate(client: Client, name: str, about: Mapping[str, Json]) -> None:
    """Change what a document says about itself; its content stays. Raises: WindmillNotFound."""
    await client.update(key_of(name), {"description": _text(about)})


async def remove(client: Client, names: Iterable[str]) -> None:
    """Forget documents or parts, side by side; what is gone is no failure."""
    await all_of(*(_remove(client, name) for name in names))


async def _remove(client: Client, name: str) -> None:
    with suppress(WindmillNotFound):
        await client.delete(key_of(name))


async def ensure_folder(client: Client) -> None:
    """Make the folder if it is not there, for deployers and administrators alone."""
    if await client.exists(FOLDER_KEY):
        return
    try:
        await client.create(
            FOLDER_KEY,
            {
                "name": FOLDER,
                "summary": "What wmctl knows of its deploys. Nothing here is to be edited.",
                "extra_perms": dict.fromkeys(READERS, True),
            },
        )
    except WindmillRefused as error:
        if _EXISTS not in error.said:  # else another wmctl was faster
            raise


async def strangers(client: Client) -> tuple[str, ...]:
    """Groups and robots that may read the folder and should not; empty when all is well."""
    try:
        folder = await client.get(FOLDER_KEY)
    except (WindmillNotFound, WindmillDenied):
        return ()
    rights = folder.get("extra_perms")
    owners = rights if isinstance(rights, dict) else {}
    return tuple(
        sorted(name for name in owners if name not in READERS and name.startswith(("g/", "u/robot")))
    )


async def _require_readable(client: Client) -> None:
    if not await client.exists(FOLDER_KEY):
        return
    try:
        await client.get(FOLDER_KEY)
    except (WindmillNotFound, WindmillDenied):
        raise _hidden() from None


def _hidden() -> PermissionDenied:
    return PermissionDenied(
        f"You may not read the folder f/{FOLDER}, where wmctl keeps what was deployed",
        next_step="Ask an administrator to make you a member of the group wm_deployers.",
    )


async def _stored(
    client: Client, name: str, about: Mapping[str, Json], text: Packed
) -> tuple[Row, list[str]]:
    """The resource that a document is; parts that do not fit into it are written before it exists."""
    head: dict[str, Json] = {"format": FORMAT, "digest": _digest(text)}
    parts: list[str] = []
    if len(text) <= PART_CHARS:
        head["content"] = text
    else:
        mark = token_hex(4)
        cut = [text[start : start + PART_CHARS] for start in range(0, len(text), PART_CHARS)]
        parts = [f"{name}_part_{mark}_{number}" for number in range(len(cut))]
        await all_of(
            *(
                client.create(key_of(part), _body(part, "{}", piece))
                for part, piece in zip(parts, cut, strict=True)
            )
        )
        head["parts"] = list(parts)
    return _body(name, _text(about), head), parts


def _body(name: str, description: str, value: Json) -> Row:
    return {
        "path": key_of(name).path,
        "resource_type": TYPE,
        "description": description,
        "value": value,
    }


def _text(about: Mapping[str, Json]) -> str:
    return json.dumps(dict(about), ensure_ascii=False)
