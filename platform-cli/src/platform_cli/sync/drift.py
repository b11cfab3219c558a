"""What became of a scope since its last deploy, told from Windmill alone: for cron, without git.

Pure facts from what was agreed on and what is there; `read_drift` reads both. An identity that moved, a
schedule that stopped, a lock that failed and a deploy that never ended are dangers. What somebody edited,
deleted or switched off is a warning. New items, drafts that grow old and things switched on are told only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from platform_cli.sync import merge
from platform_cli.sync.client import Client
from platform_cli.sync.items import SWITCHES, Item, Key, Kind, Scope
from platform_cli.sync.live import Handle, Workspace
from platform_cli.sync.plan import Level
from platform_cli.sync.state import State, read_state
from platform_cli.sync.workspace import read_workspace, with_editors

OLD_DRAFT = timedelta(days=1)
OLD_LOCK = timedelta(hours=1)
UNFINISHED = frozenset({"planned", "applying"})
"""What the record of a deploy says while it is on its way."""

_DRIFTED = 3


class Drifted(StrEnum):
    """What happened to one thing."""

    IDENTITY = "identity"
    """A schedule or route runs as somebody else than the customer's robot: it may hand out secrets."""
    STOPPED = "stopped"
    """Windmill switched a schedule off, or cannot start it."""
    LOCK_FAILED = "lock_failed"
    """The newest version cannot run."""
    DEPLOY = "deploy"
    """A deploy began and never ended, or its lock is old."""
    EXPOSED = "exposed"
    """Somebody may read what wmctl keeps in Windmill who should not."""
    EDITED = "edited"
    """Not as it was deployed."""
    DELETED = "deleted"
    """Deployed, and gone."""
    SWITCHED = "switched"
    """A schedule or route is on or off, unlike when it was deployed."""
    SEALED = "secret"
    """A secret variable has another value than at the deploy, or is gone."""
    DRAFT = "draft"
    """Somebody's work has waited for its deploy for more than a day."""
    NEW = "new"
    """In Windmill, and never deployed by wmctl."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is not as the last deploy left it.

    `about` is the item as people type it, such as `schedule f/acme/cron`. `places` are the fields of an edit.
    `by` and `at` are the last editor and when, where Windmill tells.
    """

    level: Level
    what: Drifted
    about: str
    says: str
    by: str | None = None
    at: datetime | None = None
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """Everything that is not as the last deploy of a scope left it, the weightiest first."""

    scope: str
    deploy: int | None
    deployed_at: datetime | None
    read_at: datetime
    facts: tuple[Fact, ...]

    @property
    def exit_code(self) -> int:
        """3 when anything is more than mere information, else 0."""
        return _DRIFTED if any(fact.level is not Level.INFO for fact in self.facts) else 0


async def read_drift(client: Client, scope: Scope) -> Drift:
    """Read what was agreed on and what is there, and say what differs. Writes nothing."""
    state = await read_state(client, scope)
    # Without git only the last deploy tells which resource types are this scope's.
    owned = frozenset(key.path for key in state.base if key.kind is Kind.RESOURCE_TYPE)
    scope = replace(scope, resource_types=scope.resource_types | owned)
    live = await read_workspace(client, scope, thorough=True)
    edited = [
        key
        for key, item in live.items.items()
        if _is_edited(state.base.get(key), item) or live.handles.get(key, Handle()).lock_error
    ]
    return find_drift(state, await with_editors(client, live, edited), datetime.now(UTC))


def find_drift(state: State, live: Workspace, now: datetime) -> Drift:
    """The facts. Pure."""
    dangers = (_identities, _stopped, _locks, _deploys, _exposed)
    others = (_edits, _deletions, _switches, _secrets, _drafts, _new)
    facts = [fact for find in (*dangers, *others) for fact in find(state, live, now)]
    weights = {level: number for number, level in enumerate(reversed(Level))}
    facts.sort(key=lambda fact: (weights[fact.level], fact.about, fact.what))
    return Drift(live.scope.name, state.base_id, state.written_at, live.read_at, tuple(facts))


# --- Dangers ----------------------------------------------------------------------------------------------


def _identities(_state: State, live: Workspace, _now: datetime) -> Iterator[Fact]:
    robot = live.scope.robot
    for key, handle in live.handles.items():
        if key.kind in SWITCHES and handle.permissioned_as not in (None, robot):
            says = f"runs as {handle.permissioned_as} and not as {robot}"
            yield _fact(Level.DANGER, Drifted.IDENTITY, key, says, handle)


def _stopped(_state: State, live: Workspace, _now: datetime) -> Iterator[Fact]:
    for key, handle in live.handles.items():
        if handle.error:
            yield _fact(Level.DANGER, Drifted.STOPPED, key, f"does not start: {handle.error}", handle)


def _locks(_state: State, live: Workspace, _now: datetime) -> Iterator[Fact]:
    for key, handle in live.handles.items():
        if handle.lock_error:
            says = f"its lock failed: {' '.join(handle.lock_error.split())}"
            yield _fact(Level.DANGER, Drifted.LOCK_FAILED, key, says, handle)


def _deploys(state: State, _live: Workspace, now: datetime) -> Iterator[Fact]:
    lock = state.lock
    if lock is not None:
        if lock.alive_at is not None and now - lock.alive_at > OLD_LOCK:
            says = f"{lock.holder} holds the lock without a sign of life ({lock.what})"
            yield Fact(Level.DANGER, Drifted.DEPLOY, "lock", says, lock.holder, lock.alive_at)
        return  # a deploy is on its way: its record is not ended yet
    for deploy in state.deploys[:1]:
        if deploy.status in UNFINISHED:
            about, by = f"deploy {deploy.number}", deploy.about.get("actor")
            says = "began and never ended; the next plan tells what was applied"
            yield Fact(
                Level.DANGER, Drifted.DEPLOY, about, says, by if isinstance(by, str) else None, deploy.at
            )


def _exposed(state: State, _live: Workspace, _now: datetime) -> Iterator[Fact]:
    for stranger in state.strangers:
        says = f"{stranger} may read f/wmctl, where every version of every script is kept"
        yield Fact(Level.DANGER, Drifted.EXPOSED, "folder f/wmctl", says)


# --- Warnings ---------------------------------------------------------------------------------------------


def _edits(state: State, live: Workspace, _now: datetime) -> Iterator[Fact]:
    for key, item in live.items.items():
        base = state.base.get(key)
        if base is not None and _is_edited(base, item):
            places = tuple(change.place for change in merge.compare(base, base, item))
            left = tuple(place for place in places if place != SWITCHES.get(key.kind))
            yield _fact(
                Level.WARNING,
                Drifted.EDITED,
                key,
                "was edited since it was deployed",
                live.handles.get(key),
                left,
            )


def _is_edited(base: Item | None, item: Item) -> bool:
    """Whether a person changed it: neither its locks nor its switch count."""
    if base is None:
        return False
    return _without_switch(base).digest != _without_switch(item).digest


def _without_switch(item: Item) -> Item:
    switch = SWITCHES.get(item.key.kind)
    if switch is None:
        return item
    return Item(item.key, {name: value for name, value in item.value.items() if name != switch})


def _deletions(state: State, live: Workspace, _now: datetime) -> Iterator[Fact]:
    for key in state.base:
        if key not in live.items:
            yield Fact(Level.WARNING, Drifted.DELETED, str(key), "was deleted since it was deployed")


def _switches(state: State, live: Workspace, _now: datetime) -> Iterator[Fact]:
    for key, item in live.items.items():
        switch, base = SWITCHES.get(key.kind, ""), state.base.get(key)
        if base is None or base.value.get(switch) == item.value.get(switch):
            continue
        off = item.value.get(switch) in (False, "disabled")
        level = Level.WARNING if off else Level.INFO
        says = f"was switched {'off' if off else 'on'} since it was deployed"
        yield _fact(level, Drifted.SWITCHED, key, says, live.handles.get(key))


def _secrets(state: State, live: Workspace, _now: datetime) -> Iterator[Fact]:
    for path, digest in state.secrets.items():
        key, now = Key(Kind.VARIABLE, path), live.secrets.get(path)
        if now != digest:
            says = (
                "this secret is gone" if now is None else "this secret has another value than when deployed"
            )
            yield _fact(Level.WARNING, Drifted.SEALED, key, says, live.handles.get(key))


# --- Told only --------------------------------------------------------------------------------------------


def _drafts(_state: State, live: Workspace, now: datetime) -> Iterator[Fact]:
    for key, handle in live.handles.items():
        for draft in handle.drafts:
            if draft.at is not None and now - draft.at > OLD_DRAFT:
                says = f"{draft.by} has not deployed a draft that is more than a day old"
                yield Fact(Level.INFO, Drifted.DRAFT, str(key), says, draft.by, draft.at)


def _new(state: State, live: Workspace, _now: datetime) -> Iterator[Fact]:
    if state.base_id is None:
        yield Fact(Level.INFO, Drifted.NEW, f"folder f/{live.scope.name}", "was never deployed by wmctl")
        return
    for key in live.items:
        if key not in state.base:
            yield _fact(
                Level.INFO, Drifted.NEW, key, "is new and was never deployed by wmctl", live.handles.get(key)
            )
    secrets: Sequence[str] = sorted(set(live.secrets) - set(state.secrets))
    for path in secrets:
        secret = Key(Kind.VARIABLE, path)
        yield _fact(Level.INFO, Drifted.NEW, secret, "this secret is new", live.handles.get(secret))


def _fact(
    level: Level, what: Drifted, key: Key, says: str, handle: Handle | None, places: tuple[str, ...] = ()
) -> Fact:
    by, at = (handle.edited_by, handle.edited_at) if handle else (None, None)
    return Fact(level, what, str(key), says, by, at, places)
