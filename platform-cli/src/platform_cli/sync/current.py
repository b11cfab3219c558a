"""One item as Windmill has it at this moment: read just before it is written, and after an unclear answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from platform_cli.sync.client import Client
from platform_cli.sync.items import Item, Json, Key, Kind, Scope
from platform_cli.sync.live import Handle, Workspace
from platform_cli.sync.official.canonical import canonical
from platform_cli.sync.wire import all_of
from platform_cli.sync.workspace import read_workspace
from platform_core.errors import StateConflict, WindmillNotFound

FEW: Final = 40
"""Up to this many items are read one by one; more of them are read with everything else."""

_ONLY_IN_ANSWERS = frozenset(
    {
        "account",
        "assets",
        "deleted",
        "is_expired",
        "is_linked",
        "is_refreshed",
        "refresh_error",
    }
)


@dataclass(frozen=True, slots=True)
class Current:
    """An item and what tells its version. `item` is None when there is none, or only one in the archive.

    `version` is a script's hash or a flow's version id; `at` the time of the last edit in the server's words.
    """

    item: Item | None
    version: str | None = None
    archived: Item | None = None
    runs_as: str | None = None
    edited_by: str | None = None
    at: str | None = None
    edited_at: datetime | None = None

    @property
    def handle(self) -> Handle:
        """What tells this version from another, as a read of the whole workspace has it."""
        version = self.version if self.item is not None and self.item.key.kind is Kind.SCRIPT else self.at
        return Handle(version, self.edited_by, self.edited_at, self.runs_as)

    @property
    def editor(self) -> str:
        """Who edited it last and when, as far as the server says: " by ana at 2026-11-23T17:48:09Z"."""
        by = f" by {self.edited_by}" if self.edited_by else ""
        return f"{by} at {self.edited_at:%Y-%m-%d %H:%M:%S} UTC" if self.edited_at else by


async def read_current(client: Client, key: Key) -> Current:
    """The item as it is now. Raises: StateConflict when a variable of this path is a secret."""
    try:
        row = await client.get(key)
    except WindmillNotFound:
        return Current(None)
    if key.kind is Kind.VARIABLE and row.get("is_secret"):
        raise StateConflict(
            f"{key} is a secret in Windmill, and secrets are never overwritten",
            next_step="Delete it there, or take it out of git.",
        )
    item = item_of(key, row)
    gone = row.get("archived") is True
    at = _text(row.get("created_at") if key.kind is Kind.SCRIPT else row.get("edited_at"))
    return Current(
        item=None if gone else item,
        version=_text(row.get("hash") if key.kind is Kind.SCRIPT else row.get("version_id")),
        archived=item if gone else None,
        runs_as=_text(row.get("permissioned_as")),
        edited_by=_text(row.get("edited_by") or row.get("created_by")),
        at=at,
        edited_at=None if at is None else datetime.fromisoformat(at),
    )


async def look(client: Client, scope: Scope, keys: Collection[Key], *, whole: bool = False) -> Workspace:
    """Some items of a scope as they are now. With many of them, or if asked, it is all of the scope."""
    if whole or len(keys) > FEW:
        return await read_workspace(client, scope)
    read_at = datetime.now(UTC)
    found = dict(zip(keys, await all_of(*(read_current(client, key) for key in keys)), strict=True))
    there = {key: current for key, current in found.items() if current.item is not None}
    return Workspace(
        scope,
        items={key: current.item for key, current in there.items() if current.item is not None},
        handles={key: current.handle for key, current in there.items()},
        read_at=read_at,
    )


def item_of(key: Key, row: Mapping[str, Json]) -> Item:
    """The item in an answer of the API, in canonical form."""
    return Item(key, canonical(key.kind, _exported(row)))


def _exported(row: Mapping[str, Json]) -> dict[str, Json]:
    """What the export would have of an answer, which says more of some kinds."""
    return {name: value for name, value in row.items() if name not in _ONLY_IN_ANSWERS}


def _text(value: Json) -> str | None:
    return None if value is None else str(value)
