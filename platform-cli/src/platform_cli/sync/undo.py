"""Puts back what a deploy found, whole, from its record: also after it died half-way, and again.

An item is put back if Windmill has it as the deploy left it, or as any of the steps in between would have.
What is as it was before needs nothing. Anything else is somebody's later edit: it is named and left, unless
it is forced.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from platform_cli.sync import journal, verifying, waits
from platform_cli.sync import state as remembered
from platform_cli.sync.carrying import Carried, Check, How, Result, carry_out, go_on
from platform_cli.sync.client import Client
from platform_cli.sync.deploy_lock import Lock
from platform_cli.sync.events import Event, Happened
from platform_cli.sync.items import Item, Key, Kind, Scope, Tree
from platform_cli.sync.journal import Entry, Record, Status
from platform_cli.sync.keeping import Pulse, holding, insisting, mark
from platform_cli.sync.live import Workspace
from platform_cli.sync.state import Agreed, State
from platform_cli.sync.waves import importers
from platform_cli.sync.workspace import read_workspace
from platform_cli.sync.writes import Write, alike, states
from platform_core.errors import NotFound


class Finding(StrEnum):
    """How an item of a deploy stands."""

    THERE = "there"
    """As it was before the deploy: not reached, or put back already."""
    OURS = "ours"
    """As the deploy left it, done or half done."""
    FOREIGN = "foreign"
    """Edited by somebody since."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done about one item: `write` puts it back, None leaves it."""

    entry: Entry
    finding: Finding
    write: Write | None = None
    says: str = ""


@dataclass(frozen=True, slots=True)
class PutBack:
    """What became of a deploy's items: `there` are as before it, `left` are not, with the reason."""

    number: int
    there: tuple[Key, ...]
    left: Mapping[Key, str] = field(default_factory=dict)
    stopped: bool = False

    @property
    def whole(self) -> bool:
        """Whether everything is as it was before the deploy."""
        return not self.left


def decide(
    record: Record, live: Workspace, *, force: Collection[Key] = (), caller: str = ""
) -> tuple[Decision, ...]:
    """What undoing a deploy comes to, item by item. Pure.

    A folder that the deploy made, and in which something else stands by now, is left.
    """
    found = tuple(
        _decide(record, entry, live, forced=entry.key in force, caller=caller) for entry in record.entries
    )
    gone = {one.entry.key for one in found if one.write is not None and one.write.after is None}
    return tuple(_unless_inhabited(one, live, gone) for one in found)


async def put_back(
    client: Client,
    record: Record,
    live: Workspace,
    how: How,
    *,
    force: Collection[Key] = (),
    check: Check = go_on,
) -> PutBack:
    """Bring every item of a deploy to what it was before; those that somebody edited since are left."""
    decisions = decide(record, live, force=force, caller=await caller_of(client, record))
    left = {
        one.entry.key: one.says for one in decisions if one.write is None and one.finding is Finding.FOREIGN
    }
    for key, why in left.items():
        how.say(Event(Happened.LEFT, key, why))
    writes = [one.write for one in decisions if one.write is not None]
    carried = Carried({})
    if writes:
        carried = await carry_out(client, writes, replace(how, keep_going=True), check)
    left |= {outcome.write.key: outcome.says for outcome in carried.failed}
    left |= {outcome.write.key: "it was not begun" for outcome in carried.of(Result.NOT_BEGUN)}
    there = tuple(entry.key for entry in record.entries if entry.key not in left)
    return PutBack(record.number, there, left, carried.stopped)


async def rollback(
    client: Client, scope: Scope, how: How, *, number: int | None = None, force: Collection[Key] = ()
) -> PutBack:
    """Undo a deploy, the newest that was not undone yet if none is named. Safe to repeat after any failure.

    Raises, with nothing written: NotFound when there is none, DeployRunning, and what the client raises.
    """
    async with holding(client, scope, how, "rollback") as lock:
        state = await remembered.read_state(client, scope)
        record = await _wanted(client, state, number)
        record = record.moved(Status.ROLLING_BACK, at=how.now(), by=how.actor)
        await mark(client, record)
        how.say(Event(Happened.RECORDED, says=str(record.number), total=len(record.entries)))
        return await _undo(client, lock, state, record, how, force)


async def _wanted(client: Client, state: State, number: int | None) -> Record:
    if number is None:
        note = journal.latest_undoable(state.deploys)
        if note is None:
            raise NotFound(
                f"There is no deploy of {state.scope.name} to undo",
                next_step=f"See `wmctl history {state.scope.name}`.",
            )
        number = note.number
    facts, kept = await remembered.read_deploy(client, state.scope, number)
    return journal.record_of(state.scope, number, facts, kept)


async def _undo(
    client: Client, lock: Lock, state: State, record: Record, how: How, force: Collection[Key]
) -> PutBack:
    pulse = Pulse(how.beat_s)
    live = await read_workspace(client, record.scope)
    back = await put_back(client, record, live, how, force=force, check=lambda: pulse.beat(client, lock))
    if how.settle and not back.stopped:
        await settled(client, record, live.items, how)
    live = await read_workspace(client, record.scope)
    back = checked(record, live, back)
    if state.base_id is not None or any(entry.base is not None for entry in record.entries):
        base = _base_before(state, record, live, back)
        await insisting(lambda: remembered.write_base(client, lock, base))
    if back.stopped:
        record = record.moved(Status.ROLLING_BACK, at=how.now(), by=how.actor, reason="it was stopped")
    else:
        status = Status.ROLLED_BACK if back.whole else Status.FAILED
        record = record.moved(
            status,
            at=how.now(),
            by=how.actor,
            reason="" if back.whole else "not everything could be put back",
            told={str(key): why for key, why in back.left.items()},
        )
    await mark(client, record)
    return back


def checked(record: Record, live: Workspace, back: PutBack) -> PutBack:
    """What was put back, compared with what is live now. Pure."""
    wanted = {entry.key: entry.before for entry in record.entries if entry.key in set(back.there)}
    wrong = verifying.differences(live, wanted, switches=record.switches)
    there = tuple(key for key in back.there if key not in wrong)
    return replace(back, there=there, left={**back.left, **wrong})


async def settled(client: Client, record: Record, tree: Tree, how: How) -> tuple[str, ...]:
    """Wait for what the server does in its own time after scripts changed; what did not end."""
    scripts = [entry.key.path for entry in record.entries if entry.key.kind is Kind.SCRIPT]
    if not importers(tree, scripts):
        return ()
    how.say(Event(Happened.WAITING, says="relocks of importers"))
    quiet = await waits.relocks(client, record.scope.prefix, patience=how.patience, stopped=how.stopped)
    return () if quiet else ("lock jobs of importers did not end: `wmctl drift` will tell how they went",)


def _base_before(state: State, record: Record, live: Workspace, back: PutBack) -> Agreed:
    """The base as it was before the deploy, for the items that are as they were."""
    tree = dict(state.base)
    there = set(back.there)
    for entry in record.entries:
        if entry.key in there:
            tree.pop(entry.key, None)
            if entry.base is not None:
                tree[entry.key] = entry.base
    newest = state.base_id == record.number
    return Agreed(
        deploy=state.base_id or record.number,
        commit=record.base_commit if newest else state.commit,
        tree=tree,
        handles={key: live.handles[key] for key in tree if key in live.handles},
        secrets=state.secrets,
    )


async def caller_of(client: Client, record: Record) -> str:
    """The token's user as folders name him, if a folder is created; Windmill makes him its owner."""
    if not any(entry.key.kind is Kind.FOLDER for entry in record.entries):
        return ""
    return f"u/{(await client.whoami()).get('username')}"


async def base_after_death(client: Client, state: State, live: Workspace) -> Tree:
    """What to plan on when the newest deploy ended half-way: its own half-done items are nobody's edits.

    Without that a resource that was emptied in order to be deleted, or a schedule that was deleted in order
    to be made anew, looked like an edit in Windmill. The base is as remembered in any other case.
    """
    newest = max(state.deploys, key=lambda note: note.number, default=None)
    if newest is None or newest.status in {Status.DONE, Status.ROLLED_BACK}:
        return state.base
    facts, kept = await remembered.read_deploy(client, state.scope, newest.number)
    record = journal.record_of(state.scope, newest.number, facts, kept)
    return half_done_as_agreed(record, state.base, live, caller=await caller_of(client, record))


def half_done_as_agreed(record: Record, base: Tree, live: Workspace, *, caller: str = "") -> dict[Key, Item]:
    """The base with each item that a deploy left between its two ends as Windmill has it now. Pure.

    An item that somebody had edited before that deploy is left out: with it as the base, the next plan would
    take that edit for something that git dropped.
    """
    tree = dict(base)
    for entry in record.entries:
        item = live.items.get(entry.key)
        ends = (entry.before, entry.after)
        if any(alike(item, end) for end in ends) or not alike(entry.before, entry.base):
            continue
        if any(alike(item, state) for state in _between(entry.write(record, caller=caller))):
            tree.pop(entry.key, None)
            if item is not None:
                tree[entry.key] = item
    return tree


def _between(write: Write) -> tuple[Item | None, ...]:
    """Whatever a write, or the undoing of it, can have left."""
    return (*states(write), *states(replace(write, before=write.expected, after=write.before)))


def _decide(record: Record, entry: Entry, live: Workspace, *, forced: bool, caller: str) -> Decision:
    item = live.items.get(entry.key)
    if _is(item, entry.before) or (
        alike(item, entry.before, switches=record.switches)
        and not alike(entry.before, entry.after, switches=record.switches)
    ):
        return Decision(entry, Finding.THERE)
    write = entry.write(record, caller=caller)
    ours = any(alike(item, state, switches=record.switches) for state in _between(write))
    back = Write(
        key=entry.key,
        before=item,
        after=entry.before,
        version=handle.version if (handle := live.handles.get(entry.key)) else None,
        runs_as=write.runs_as,
        caller=caller,
        message=f"wmctl: deploy {record.number} undone",
        switch=record.switches,
    )
    if ours:
        return Decision(entry, Finding.OURS, back)
    return Decision(entry, Finding.FOREIGN, back if forced else None, _edited_since(entry, live))


def _is(one: Item | None, other: Item | None) -> bool:
    return one is None if other is None else one == other


def _edited_since(entry: Entry, live: Workspace) -> str:
    if entry.key not in live.items:
        return "it was deleted in Windmill since; it is left so"
    handle = live.handles.get(entry.key)
    by = f" by {handle.edited_by}" if handle and handle.edited_by else ""
    at = f" at {handle.edited_at:%Y-%m-%d %H:%M} UTC" if handle and handle.edited_at else ""
    return f"it was edited in Windmill{by}{at} since; it is left so"


def _unless_inhabited(one: Decision, live: Workspace, gone: Collection[Key]) -> Decision:
    key = one.entry.key
    if key.kind is not Kind.FOLDER or one.write is None or one.write.after is not None:
        return one
    stay = inhabitants(live, gone)
    return Decision(one.entry, Finding.FOREIGN, None, f"it holds {stay[0]}; it is left so") if stay else one


def inhabitants(live: Workspace, gone: Collection[Key]) -> tuple[str, ...]:
    """What would be left in a scope's folder without its folder once `gone` are gone, secrets included."""
    prefix = live.scope.prefix
    kept = [str(key) for key in live.items if key.path.startswith(prefix) and key not in gone]
    return (*kept, *(f"the secret variable {path}" for path in live.secrets), *live.others)
