"""What git and Windmill last agreed on, and what every deploy did: kept in the Windmill it is about.

A workspace that is restored brings its state along. `<scope>_base` holds the canonical tree that was agreed
on, with handles and the digests of secrets; `<scope>_deploy_<n>` is a deploy's record, written before its
first write. A record is only ever created anew, so that none is lost, and the base is written under the lock.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from platform_cli.sync import deploy_lock, documents
from platform_cli.sync.client import Client
from platform_cli.sync.deploy_lock import Lock
from platform_cli.sync.documents import FOLDER, Found, Packed
from platform_cli.sync.items import Item, Json, Key, Kind, Scope, Tree, tree_of
from platform_cli.sync.live import Handle
from platform_cli.sync.wire import all_of, both
from platform_core.errors import InvalidInput, NotFound, StateConflict, StateUnreadable

KEPT_DEPLOYS = 20
_DEPLOY = re.compile(r"_deploy_([0-9]{1,9})")
_KINDS = {kind.value: kind for kind in Kind}  # a look-up; to call an enumeration takes ten times as long
_MOST_TRIES = 50


@dataclass(frozen=True, slots=True)
class DeployNote:
    """One deploy as a list shows it. `about` is what its journal says, `at` its last change."""

    number: int
    status: str
    about: Mapping[str, Json] = field(repr=False)
    at: datetime | None


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered of one scope; before the first deploy everything is empty.

    `base_id` is the deploy after which both sides agreed, `commit` git's then. `deploys` are newest first.
    `strangers` are groups and robots that may read all this and should not.
    """

    scope: Scope
    base: Tree = field(default_factory=dict, repr=False)
    base_id: int | None = None
    commit: str | None = None
    written_at: datetime | None = None
    handles: Mapping[Key, Handle] = field(default_factory=dict, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    deploys: tuple[DeployNote, ...] = ()
    lock: Lock | None = None
    strangers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Agreed:
    """What both sides agree on after a deploy: items, their handles, SHA-256 of secrets' ciphertexts."""

    deploy: int
    commit: str | None
    tree: Tree = field(repr=False)
    handles: Mapping[Key, Handle] = field(default_factory=dict, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


# --- Reading ----------------------------------------------------------------------------------------------


async def read_state(client: Client, scope: Scope) -> State:
    """What is remembered of a scope, in two rounds of requests.

    Raises: PermissionDenied when the folder is there and may not be read; StateUnreadable.
    """
    _require_name(scope)
    found, base, strangers = await _read(client, scope)
    state = State(
        scope,
        deploys=_deploys(scope, found),
        lock=deploy_lock.lock_in(scope, found.notes),
        strangers=strangers,
    )
    return state if base is None else _with_base(state, base, found)


async def read_states(client: Client, scopes: Sequence[Scope]) -> list[State]:
    """What is remembered of several scopes, in their order."""
    return await all_of(*(read_state(client, scope) for scope in scopes))


async def _read(client: Client, scope: Scope) -> tuple[Found, documents.Document | None, tuple[str, ...]]:
    return await asyncio.gather(
        documents.find_all(client, scope.name),
        documents.read(client, f"{scope.name}_base"),
        documents.strangers(client),
    )


def _with_base(state: State, base: documents.Document, found: Found) -> State:
    content = base.content
    try:
        tables = cast("dict[str, dict[str, Json]]", content)
        items = [_item(name, value) for name, value in tables["items"].items()]
        handles = {_key(name): _handle(value) for name, value in tables["handles"].items()}
        secrets = {path: str(digest) for path, digest in tables["secrets"].items()}
        base_id = base.about["deploy"]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise StateUnreadable(f"f/{FOLDER}/{base.name} does not say what a base says") from None
    return State(
        state.scope,
        tree_of(items),
        base_id if isinstance(base_id, int) else None,
        cast("str | None", base.about.get("commit")),
        found.notes[base.name].at if base.name in found.notes else None,
        handles,
        secrets,
        state.deploys,
        state.lock,
        state.strangers,
    )


def _deploys(scope: Scope, found: Found) -> tuple[DeployNote, ...]:
    deploys = []
    for note in found.notes.values():
        numbered = _DEPLOY.fullmatch(note.name.removeprefix(scope.name))
        if numbered:
            status = str(note.about.get("status") or "")
            deploys.append(DeployNote(int(numbered[1]), status, note.about, note.at))
    return tuple(sorted(deploys, key=lambda deploy: -deploy.number))


# --- The base ---------------------------------------------------------------------------------------------


async def write_base(client: Client, lock: Lock, agreed: Agreed) -> None:
    """Remember what both sides agree on after a deploy, in place of what was remembered.

    Raises: LockLost when the lock is not ours any more; StateConflict when a later deploy wrote it.
    """
    name = f"{lock.scope}_base"
    # The content is made while the answer about the lock is on its way.
    found, content = await both(deploy_lock.require_held(client, lock), _packed(agreed))
    before = found.notes[name].about.get("deploy") if name in found.notes else None
    if isinstance(before, int) and before > agreed.deploy:
        raise StateConflict(
            f"Deploy {before} of {lock.scope} is later than deploy {agreed.deploy}",
            next_step="Run `wmctl plan` again.",
        )
    about: dict[str, Json] = {
        "deploy": agreed.deploy,
        "commit": agreed.commit,
        "by": lock.holder,
        "items": len(agreed.tree),
    }
    await documents.replace(client, name, about, content, parts=found.parts_of(name))


async def _packed(agreed: Agreed) -> Packed:
    return documents.pack(
        {
            "items": {str(key): dict(item.value) for key, item in agreed.tree.items()},
            "handles": {str(key): _facts(handle) for key, handle in agreed.handles.items()},
            "secrets": dict(agreed.secrets),
        }
    )


def _item(name: str, value: Json) -> Item:
    return Item(_key(name), cast("dict[str, Json]", value))


def _key(name: str) -> Key:
    kind, _, path = name.partition(" ")
    return Key(_KINDS[kind], path)


def _facts(handle: Handle) -> dict[str, Json]:
    return {
        "version": handle.version,
        "edited_by": handle.edited_by,
        "edited_at": handle.edited_at.isoformat() if handle.edited_at else None,
        "permissioned_as": handle.permissioned_as,
    }


def _handle(value: Json) -> Handle:
    facts = cast("dict[str, str | None]", value)
    at = facts["edited_at"]
    return Handle(
        facts["version"],
        facts["edited_by"],
        datetime.fromisoformat(at) if at else None,
        facts["permissioned_as"],
    )


# --- Deploys ----------------------------------------------------------------------------------------------


async def record_deploy(
    client: Client, lock: Lock, about: Mapping[str, Json], record: Json, *, after: int = 0
) -> int:
    """Write a new deploy's record and return its number, the first one after `after` that is free.

    `about` is small and holds `status`; `record` may be large. `after` is the newest deploy that the plan
    knew of; none is ever written over.
    """
    scope = Scope(lock.scope)
    for number in range(after + 1, after + 1 + _MOST_TRIES):
        try:
            await documents.create(client, _deploy_name(scope, number), about, record)
        except StateConflict:
            continue
        return number
    raise StateConflict(
        f"Deploys {after + 1} to {after + _MOST_TRIES} of {scope.name} are there", next_step="Plan again."
    )


async def mark_deploy(client: Client, scope: Scope, number: int, about: Mapping[str, Json]) -> None:
    """Change what a deploy's record says about itself, such as its status; the record stays."""
    await documents.annotate(client, _deploy_name(scope, number), about)


async def read_deploy(client: Client, scope: Scope, number: int) -> tuple[Mapping[str, Json], Json]:
    """A deploy's facts and its record. Raises: NotFound naming the deploys that are kept."""
    found = await documents.read(client, _deploy_name(scope, number))
    if found is None:
        kept = _deploys(scope, await documents.find_all(client, scope.name))
        said = ", ".join(str(deploy.number) for deploy in kept) or "none"
        raise NotFound(
            f"There is no deploy {number} of {scope.name}; kept are: {said}",
            next_step=f"See `wmctl history {scope.name}`.",
        )
    return found.about, found.content


async def prune(client: Client, scope: Scope, *, keep: int = KEPT_DEPLOYS) -> list[int]:
    """Forget all but the newest deploys; their numbers."""
    found = await documents.find_all(client, scope.name)
    old = [deploy.number for deploy in _deploys(scope, found)[keep:]]
    names = [_deploy_name(scope, number) for number in old]
    await documents.remove(client, [*names, *(part for name in names for part in found.parts_of(name))])
    return old


def _deploy_name(scope: Scope, number: int) -> str:
    return f"{scope.name}_deploy_{number}"


def _require_name(scope: Scope) -> None:
    if scope.name == FOLDER:
        raise InvalidInput(
            f"{FOLDER!r} cannot be a customer's name: wmctl keeps its own state in f/{FOLDER}",
            next_step="Choose another name.",
        )
