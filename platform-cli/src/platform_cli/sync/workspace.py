"""Reads what a live Windmill says: one export and parallel lists, for any number of scopes at once.

The lists are read before the export. Handles are then never newer than the content they belong to: an edit
in between makes a write fail at the server, instead of going unseen. A lock job that has not ended is told
by `Handle.pending`; when one ended between list and export, everything is read once more.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import cast

from platform_cli.sync.client import Client, Row
from platform_cli.sync.items import Item, Json, Key, Kind, Scope, Tree
from platform_cli.sync.live import Draft, Handle, Workspace
from platform_cli.sync.official.export import Exported, read_export
from platform_cli.sync.wire import all_of
from platform_core.errors import PermissionDenied, WindmillDenied, WindmillNotFound

LOCK_JOBS = ("dependencies", "flowdependencies")
_READS = 3
_MAX_ERROR_CHARS = 600
_END_OF_LOG = re.compile(r"\n(?:\w+: )?Lock file generation failed\.|\ncommand: ")
_DIALECTS = ("bigquery", "duckdb", "mssql", "mysql", "oracledb", "postgresql", "snowflake")
_UNLOCKABLE = frozenset({"bash", "graphql", "nativets", *_DIALECTS})
"""Languages without lock jobs: a step in one of these never waits for its lock."""

_DRAFTS: Mapping[str, Kind] = {
    "script": Kind.SCRIPT,
    "flow": Kind.FLOW,
    "raw_app": Kind.RAW_APP,
    "resource": Kind.RESOURCE,
    "variable": Kind.VARIABLE,
    "trigger_schedule": Kind.SCHEDULE,
    "trigger_http": Kind.HTTP_TRIGGER,
}


@dataclass(frozen=True, slots=True)
class _Lists:
    """What the lists answered, one field a list."""

    scripts: list[Row]
    flows: list[Row]
    apps: list[Row]
    http_triggers: list[Row]
    resources: list[Row]
    variables: list[Row]
    folders: list[Row]
    resource_types: list[Row]
    schedules: list[Row]
    users: list[Row]


@dataclass(frozen=True, slots=True)
class _Read:
    """Everything of one read of the workspace."""

    lists: _Lists
    exported: Exported
    schedules: Mapping[str, Row]
    drafts: Mapping[Key, tuple[Draft, ...]]
    waiting: frozenset[Key]
    statuses: Mapping[Key, Row]
    at: datetime


async def read_workspace(client: Client, scope: Scope, *, thorough: bool = False) -> Workspace:
    """What Windmill has of a scope now, with handles. Nothing of a secret is kept but a digest.

    `thorough` asks for each schedule, so that the error of one that stopped is told.

    Raises: PermissionDenied when the folder is there and may not be read.
    """
    return (await read_workspaces(client, [scope], thorough=thorough))[0]


async def read_workspaces(
    client: Client, scopes: Sequence[Scope], *, thorough: bool = False
) -> list[Workspace]:
    """What Windmill has of several scopes, in their order, from one export and one set of lists."""
    read = await _read(client, scopes, thorough=thorough)
    for _ in range(_READS - 1):
        if not _torn(read):
            break
        read = await _read(client, scopes, thorough=thorough)
    await all_of(*(_require_visible(client, scope, read) for scope in scopes))
    return [_workspace(scope, read) for scope in scopes]


async def _require_visible(client: Client, scope: Scope, read: _Read) -> None:
    """Refuse a folder that is there and hidden: all of its items would look as if somebody deleted them."""
    folder = Key(Kind.FOLDER, f"f/{scope.name}")
    if folder not in read.exported.items and await client.exists(folder):
        raise PermissionDenied(
            f"The token's owner may not read the folder {folder.path}",
            next_step="Use the token of an administrator, or ask one for rights on that folder.",
        )


async def with_editors(client: Client, live: Workspace, keys: Collection[Key]) -> Workspace:
    """The same, with the authors of these scripts: lists do not tell them, so ask for the changed ones."""
    asked = [key for key in keys if key.kind is Kind.SCRIPT and key in live.handles]
    found = await all_of(*(_author(client, key) for key in asked))
    authors = {key: who for key, who in zip(asked, found, strict=True) if who}
    handles = {
        key: replace(handle, edited_by=authors[key]) if key in authors else handle
        for key, handle in live.handles.items()
    }
    return replace(live, handles=handles)


async def _author(client: Client, key: Key) -> str | None:
    try:
        return _text((await client.get(key)).get("created_by"))
    except (WindmillNotFound, WindmillDenied):
        return None  # deleted or closed since


# --- One read ---------------------------------------------------------------------------------------------


async def _read(client: Client, scopes: Sequence[Scope], *, thorough: bool) -> _Read:
    start = scopes[0].prefix if len(scopes) == 1 else ""
    lists = _Lists(
        *await all_of(
            client.scripts(start),
            client.flows(start),
            client.apps(start),
            client.http_triggers(start),
            client.resources(start),
            client.variables(start),
            client.folders(),
            client.resource_types(),
            client.schedules(start),
            client.users(),
        )
    )
    at = datetime.now(UTC)
    tar, drafts, waiting = await asyncio.gather(
        client.tarball(), client.drafts(), client.queued_jobs(*LOCK_JOBS)
    )
    exported = read_export(tar, lambda key: any(scope.holds(key) for scope in scopes))
    doubtful = _doubtful(scopes, lists, exported)
    schedules, statuses = await asyncio.gather(
        _schedules(client, scopes, lists, exported, thorough=thorough),
        all_of(*(_status(client, asked) for asked in doubtful.values())),
    )
    return _Read(
        lists,
        exported,
        schedules,
        _drafts(drafts),
        frozenset(_waiting(waiting)),
        dict(zip(doubtful, statuses, strict=True)),
        at,
    )


def _in(scopes: Sequence[Scope], row: Row) -> bool:
    return str(row.get("path", "")).startswith(tuple(scope.prefix for scope in scopes))


async def _schedules(
    client: Client, scopes: Sequence[Scope], lists: _Lists, exported: Exported, *, thorough: bool
) -> dict[str, Row]:
    """Schedules with the identity that they run as, which no list tells.

    The export has the address of that identity, unless somebody used the switch since: then it is that
    person's. Where it is the robot's the identity is the robot's; any other schedule is asked for.
    """
    emails = {str(row.get("username")): str(row.get("email")) for row in lists.users}
    names = {email: name for name, email in emails.items()}
    robots = {scope.prefix: emails.get(scope.robot.removeprefix("u/"), scope.robot) for scope in scopes}
    rows: dict[str, Row] = {}
    asked: list[str] = []
    for row in lists.schedules:
        path = str(row["path"])
        email = exported.emails.get(path, "")
        for scope in scopes:
            if path.startswith(scope.prefix):
                moved = email != robots[scope.prefix]
                rows[path] = {**row, "permissioned_as": scope.robot}
                if moved and email in names:
                    rows[path]["edited_by"] = names[email]
                if moved or thorough:
                    asked.append(path)
    found = await all_of(*(_maybe(client, Key(Kind.SCHEDULE, path)) for path in asked))
    for path, whole in zip(asked, found, strict=True):
        if whole is None:
            del rows[path]
        else:
            rows[path] |= {name: whole.get(name) for name in ("permissioned_as", "error")}
    return rows


async def _maybe(client: Client, key: Key) -> Row | None:
    try:
        return await client.get(key)
    except WindmillNotFound:
        return None  # deleted since the list


def _doubtful(scopes: Sequence[Scope], lists: _Lists, exported: Exported) -> dict[Key, tuple[Key, str]]:
    """Items without their locks, and scripts whose last deploy failed: what became of the lock job?"""
    hashes = {str(row["path"]): row for row in lists.scripts if _in(scopes, row)}
    found: dict[Key, tuple[Key, str]] = {}
    for key, item in exported.items.items():
        row = hashes.get(key.path) if key.kind is Kind.SCRIPT else None
        if row is not None and (item.value.get("lock") is None or row.get("has_deploy_errors") is True):
            found[key] = (key, str(row["hash"]))
        elif key.kind is Kind.FLOW and _misses_locks(item.value):
            found[key] = (key, "")
    return found


def _misses_locks(value: Mapping[str, Json]) -> bool:
    parts: list[Json | Mapping[str, Json]] = [value]
    while parts:
        part = parts.pop()
        if isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            waits = part.get("type") == "rawscript" and part.get("lock") is None
            if waits and part.get("language") not in _UNLOCKABLE:
                return True
            parts += part.values()
    return False


async def _status(client: Client, asked: tuple[Key, str]) -> Row:
    key, script_hash = asked
    try:
        return await (client.script_status(script_hash) if script_hash else client.flow_status(key.path))
    except WindmillNotFound:
        return {}


def _torn(read: _Read) -> bool:
    """Whether a lock came between the lists and the export: the export lacks what the status has."""
    return any(
        key.kind is Kind.SCRIPT
        and read.exported.items[key].value.get("lock") is None
        and isinstance(status.get("lock"), str)
        for key, status in read.statuses.items()
    )


def _waiting(jobs: Iterable[Row]) -> Iterable[Key]:
    for job in jobs:
        kind = Kind.FLOW if job.get("job_kind") == "flowdependencies" else Kind.SCRIPT
        if isinstance(path := job.get("script_path"), str):
            yield Key(kind, path)


def _drafts(rows: Iterable[Row]) -> dict[Key, tuple[Draft, ...]]:
    found: dict[Key, tuple[Draft, ...]] = {}
    for row in rows:
        kind = _DRAFTS.get(str(row.get("kind")))
        if kind is None:
            continue
        users = cast("list[dict[str, Json]]", row.get("draft_users") or [{}])
        at = _time(row.get("created_at"))
        key = Key(kind, str(row["path"]))
        found[key] = tuple(Draft(_text(user.get("username")) or "somebody", at) for user in users)
    return found


# --- One scope of it --------------------------------------------------------------------------------------


def _workspace(scope: Scope, read: _Read) -> Workspace:
    items = {key: item for key, item in read.exported.items.items() if scope.holds(key)}
    ciphertexts = read.exported.secret_ciphertexts
    return Workspace(
        scope,
        items,
        _handles(scope, items, read),
        read.at,
        {
            path: hashlib.sha256(text.encode()).hexdigest()
            for path, text in sorted(ciphertexts.items())
            if path.startswith(scope.prefix)
        },
        tuple(other for other in read.exported.others if other.partition(" ")[2].startswith(scope.prefix)),
        has_robot=any(f"u/{row.get('username')}" == scope.robot for row in read.lists.users),
    )


def _handles(scope: Scope, items: Tree, read: _Read) -> dict[Key, Handle]:
    """Handles of the scope's items and of its secret variables, which are no items."""
    lists = read.lists
    rows: dict[Key, Handle] = {
        Key(Kind.FOLDER, f"f/{row['name']}"): _edited(row, "edited_at") for row in lists.folders
    }
    rows |= {
        Key(Kind.RESOURCE_TYPE, str(row["name"])): _edited(row, "edited_at") for row in lists.resource_types
    }
    rows |= {_key(Kind.VARIABLE, row): _edited(row, "edited_at") for row in lists.variables}
    rows |= {_key(Kind.RESOURCE, row): _edited(row, "edited_at") for row in lists.resources}
    rows |= {_key(Kind.SCRIPT, row): _edited(row, "hash", "created_at") for row in lists.scripts}
    rows |= {_key(Kind.FLOW, row): _edited(row, "edited_at") for row in lists.flows}
    rows |= {
        _key(Kind.RAW_APP, row): _edited(row, "version") for row in lists.apps if row.get("raw_app") is True
    }
    rows |= {_key(Kind.HTTP_TRIGGER, row): _edited(row, "edited_at") for row in lists.http_triggers}
    rows |= {Key(Kind.SCHEDULE, path): _of_schedule(row) for path, row in read.schedules.items()}
    secret = {Key(Kind.VARIABLE, path) for path in read.exported.secret_ciphertexts}
    return {
        key: _completed(key, handle, items.get(key), read)
        for key, handle in rows.items()
        if scope.holds(key) and (key in items or key in secret)
    }


def _key(kind: Kind, row: Row) -> Key:
    return Key(kind, str(row["path"]))


def _edited(row: Row, version: str, at: str = "edited_at") -> Handle:
    found = row.get(version)
    return Handle(
        version=None if found is None else str(found),
        edited_by=_text(row.get("edited_by")),
        edited_at=_time(row.get(at)),
        permissioned_as=_text(row.get("permissioned_as")),
    )


def _of_schedule(row: Row) -> Handle:
    """The server never moves a schedule's `edited_at`: it is no version, and no time of an edit."""
    return Handle(
        edited_by=_text(row.get("edited_by")),
        permissioned_as=_text(row.get("permissioned_as")),
        error=_short(_text(row.get("error"))),
    )


def _completed(key: Key, handle: Handle, item: Item | None, read: _Read) -> Handle:
    """A handle with drafts, and with what became of the lock job."""
    pending, error = key in read.waiting, None
    status = read.statuses.get(key)
    if status is not None and key.kind is Kind.SCRIPT:
        error = _text(status.get("lock_error_logs"))
        pending = pending or (item is not None and item.value.get("lock") is None and not error)
    elif status is not None:
        logs = status.get("lock_error_logs")
        pending, error = pending or logs == "", _text(logs)
    return replace(handle, drafts=read.drafts.get(key, ()), pending=pending, lock_error=_short(error))


def _short(log: str | None) -> str | None:
    """The reason in a log, which ends in it; without the command, whose addresses may hold passwords."""
    if not log:
        return None
    text = _END_OF_LOG.split(log, maxsplit=1)[0].strip()
    reason = text[max(text.rfind("\nerror:"), 0) :].strip()
    return reason[-_MAX_ERROR_CHARS:] or "no reason given"


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _time(value: Json) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None
