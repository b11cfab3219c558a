"""The server's export of a workspace, one tar, read as items.

The tar has to be asked for with `archive_type=tar`, `include_schedules=true`, `include_triggers=true`,
`preserve_extra_perms=true` and `default_ts=bun`: the last decides what a `.ts` is.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from platform_cli.sync.items import Item, Json, Key, Kind, Tree, tree_of
from platform_cli.sync.official.canonical import canonical
from platform_cli.sync.official.naming import SCRIPT_EXTENSIONS
from platform_cli.sync.yaml12.scalars import NotJson, tidy_number
from platform_core.errors import InvalidInput

_KINDS = {
    "script": Kind.SCRIPT,
    "flow": Kind.FLOW,
    "raw_app": Kind.RAW_APP,
    "schedule": Kind.SCHEDULE,
    "http_trigger": Kind.HTTP_TRIGGER,
    "resource": Kind.RESOURCE,
    "variable": Kind.VARIABLE,
    "resource-type": Kind.RESOURCE_TYPE,
}
_BLOCK = 512
_END = bytes(_BLOCK)
_OF_NO_FOLDER = ("users/", "groups/", "dependencies/", "settings.json", "encryption_key.json")


@dataclass(frozen=True, slots=True)
class Exported:
    """A whole workspace. Secret variables are no items: only their ciphertexts are here, by path.

    `others` are items of kinds that are not kept in step, such as `app f/acme/x`, in order. `emails` tell,
    by path, whom each schedule runs as, or who switched it last: no part of the item, which is canonical.
    """

    items: Tree
    secret_ciphertexts: Mapping[str, str] = field(repr=False)
    others: tuple[str, ...] = ()
    emails: Mapping[str, str] = field(default_factory=dict, repr=False)


def read_export(tar: bytes, wanted: Callable[[Key], bool] | None = None) -> Exported:
    """Read the tar of a workspace: all of it, or only the items that are wanted; `others` are always all.

    Raises: InvalidInput naming the member that is not what it should be.
    """
    members = _members(tar)
    items: list[Item] = []
    secrets: dict[str, str] = {}
    others: list[str] = []
    emails: dict[str, str] = {}
    for name, data in members.items():
        if not name.endswith(".json") or name.startswith(_OF_NO_FOLDER):
            continue
        key = _key_of(name)
        if key is None:
            others.append(_other(name))
            continue
        if wanted is not None and not wanted(key):
            continue
        value = _json(name, data)
        if key.kind is Kind.VARIABLE and value.get("is_secret") is True:
            secrets[key.path] = str(value.get("value") or "")
            continue
        if key.kind is Kind.SCHEDULE:
            emails[key.path] = str(value.get("email") or "")
        if key.kind is Kind.SCRIPT:
            value |= _content_of(key, members)
        items.append(Item(key, canonical(key.kind, value)))
    return Exported(tree_of(items), secrets, tuple(sorted(others)), emails)


def _members(tar: bytes) -> dict[str, bytes]:
    """The files of a tar by name. Raises: InvalidInput."""
    plain = _plain_members(tar)
    if plain is not None:
        return plain
    if not tar.endswith(_END):  # tarfile takes a tar that was cut for a shorter one
        raise InvalidInput("the export is not a tar: it has no end", next_step="Look at what answers there.")
    try:
        with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
            return {
                member.name.removeprefix("./"): tar[member.offset_data : member.offset_data + member.size]
                for member in archive
                if member.isfile()
            }
    except tarfile.TarError as error:
        raise InvalidInput(
            f"the export is not a tar: {error}", next_step="Look at what answers there."
        ) from error


def _plain_members(tar: bytes) -> dict[str, bytes] | None:
    """The files of a tar in which all is simple; None for any other, which `tarfile` reads or refuses.

    Simple are ordinary files with short names and sums that are right, up to the empty block at the end:
    what an export is. `tarfile` takes five times as long, for owners, times and devices that nobody asks for.
    """
    members: dict[str, bytes] = {}
    at = 0
    try:
        while (head := tar[at : at + _BLOCK]) != _END:
            name, size = head[:100].partition(b"\0")[0].decode(), _octal(head[124:136])
            start = at + _BLOCK
            at = start + -(-size // _BLOCK) * _BLOCK
            summed = sum(head) - sum(head[148:156]) + 8 * ord(" ")  # it is made with blanks in its own place
            ordinary = head[156] in b"0\0" and not any(head[345:500]) and not name.endswith("/")
            if not ordinary or summed != _octal(head[148:156]) or at > len(tar):
                return None
            members[name.removeprefix("./")] = tar[start : start + size]
    except ValueError:
        return None
    return members


def _octal(field: bytes) -> int:
    return int(field.partition(b"\0")[0], 8)


def _content_of(key: Key, members: Mapping[str, bytes]) -> dict[str, Json]:
    """Text and language of a script, which the export has as a file beside its metadata."""
    for language, extension in SCRIPT_EXTENSIONS.items():
        data = members.get(f"{key.path}.{extension}")
        if data is not None:
            return {"content": _text(str(key), data), "language": language}
    raise InvalidInput(
        f"the export has no text for {key}", next_step="Its language may be one that wmctl does not know."
    )


def _key_of(name: str) -> Key | None:
    """Which item a member describes; None for a kind that is not kept in step."""
    if name.endswith("/folder.meta.json"):
        return Key(Kind.FOLDER, name.removesuffix("/folder.meta.json"))
    path, _, kind = name.removesuffix(".json").rpartition(".")
    return Key(_KINDS[kind], path) if kind in _KINDS else None


def _other(name: str) -> str:
    path, _, kind = name.removesuffix(".json").rpartition(".")
    return f"{kind} {path}"


def _json(name: str, data: bytes) -> dict[str, Json]:
    try:
        value = json.loads(data, parse_float=lambda text: tidy_number(float(text)), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} in the export is not JSON: {error}", next_step="Ask again.") from error
    if not isinstance(value, dict):
        raise InvalidInput(f"{name} in the export is not an object", next_step="Ask again.")
    return value


def _refuse(text: str) -> Json:
    raise NotJson(text)


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name} in the export is not UTF-8", next_step="Ask again.") from error
