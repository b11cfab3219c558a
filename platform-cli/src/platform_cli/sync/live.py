"""What a live Windmill says of the items of one scope, read at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from platform_cli.sync.items import Key, Scope, Tree


@dataclass(frozen=True, slots=True)
class Draft:
    """Work that a person has not deployed yet: the editor of Windmill keeps it by itself."""

    by: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Handle:
    """How one version of an item is told from another, and who made it. Handles are hints; digests decide.

    `version` is a script's hash, a flow's version id, an app's version, and for the rest the time of its last
    edit if the server keeps one. `permissioned_as` is there for schedules and routes. `pending` and
    `lock_error` tell a lock job that has not ended, or that failed. `error` is why a schedule stopped.
    """

    version: str | None = None
    edited_by: str | None = None
    edited_at: datetime | None = None
    permissioned_as: str | None = None
    drafts: tuple[Draft, ...] = ()
    pending: bool = False
    lock_error: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Workspace:
    """The items of a scope as the server has them, with their handles.

    `secrets` holds, for each secret variable of the scope, the SHA-256 of its ciphertext: enough to see that
    it changed, and nothing to read. `others` are items of the scope of a kind that is not kept in step, such
    as `app f/acme/x`: they are reported and never touched. `has_robot` says whether the user in whose name
    schedules and routes run is there.
    """

    scope: Scope
    items: Tree
    handles: Mapping[Key, Handle]
    read_at: datetime
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    others: tuple[str, ...] = ()
    has_robot: bool = True
