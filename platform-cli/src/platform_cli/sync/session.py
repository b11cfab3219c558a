"""One look at some customers: their folders, their Windmill and what both last agreed on, as plans.

The three are read at the same time, for all customers that are named, from one export of the workspace. What
commands do with a plan goes through here, so that each of them reads and writes in the same way.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from platform_cli.sync import journal, keeping
from platform_cli.sync.apply import Held
from platform_cli.sync.beside import Beside
from platform_cli.sync.carrying import How
from platform_cli.sync.checkout.git import head_commit, uncommitted
from platform_cli.sync.client import Client
from platform_cli.sync.deploy_lock import Lock
from platform_cli.sync.desired import Desired, read_desired
from platform_cli.sync.folder import write_changes
from platform_cli.sync.items import Item, Key, Kind, Scope
from platform_cli.sync.live import Workspace
from platform_cli.sync.plan import Act, Level, Notice, Plan, Side
from platform_cli.sync.planning import Asked, Basis, make_plan
from platform_cli.sync.promoting import Proven
from platform_cli.sync.staged import in_git, meant_for
from platform_cli.sync.state import DeployNote, State, read_state
from platform_cli.sync.tags import Taken, of_tags, read_taken, tags_of
from platform_cli.sync.targets import Target, Targets
from platform_cli.sync.undo import base_after_death
from platform_cli.sync.wire import all_of
from platform_cli.sync.workspace import read_workspaces, with_editors
from platform_core.errors import InvalidInput, NotFound
from platform_core.settings import load_target_variables

CUSTOMERS = "customers"
PLATFORM = "ops"
_RESOURCE_TYPE = ".resource-type.yaml"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_KINDS = frozenset(Kind)
_ASKED_WHO = frozenset({Act.PULL, Act.CONFLICT})


# --- Which customers --------------------------------------------------------------------------------------


def known_names(root: Path) -> list[str]:
    """The customers that have a folder, by name, and `ops` if the platform has items of its own."""
    folders = sorted(path.name for path in (root / CUSTOMERS).iterdir() if path.is_dir())
    names = [name for name in folders if _NAME.fullmatch(name)]
    return [*names, PLATFORM] if (root / PLATFORM).is_dir() else names


def folders_of(root: Path, names: Sequence[str], *, every: bool = False) -> list[Path]:
    """The folders of the customers that are named, each once, in the order given.

    Without a name it is the only customer there is, or with `every` all of them and `ops`.
    Raises: NotFound, InvalidInput.
    """
    known = known_names(root)
    if not names:
        names = known if every else [name for name in known if name != PLATFORM]
        if not every and len(names) != 1:
            raise InvalidInput(
                f"There are {len(names)} customers ({', '.join(names)}), and none is named",
                next_step="Name one or several, or ops.",
            )
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise NotFound(
                f"There is no folder for a customer {name[:40]!r}",
                next_step=f"Did you mean {near[0]}?" if near else "See `wmctl status` for those there are.",
            )
    return [_folder(root, name) for name in dict.fromkeys(names)]


def _folder(root: Path, name: str) -> Path:
    return root / PLATFORM if name == PLATFORM else root / CUSTOMERS / name


def scope_of(folder: Path) -> Scope:
    """The scope of a folder, with the resource types it declares, before anything in it is read."""
    files = (folder / "config").glob(f"*{_RESOURCE_TYPE}")
    return Scope(folder.name, frozenset(file.name.removesuffix(_RESOURCE_TYPE) for file in files))


# --- Which items ------------------------------------------------------------------------------------------


def key_of(text: str, known: Collection[Key]) -> Key:
    """The item that a person means by `schedule f/acme/x`, or by its path alone if only one has it.

    Raises: InvalidInput naming the nearest.
    """
    words = text.split()
    kind, _, path = " ".join(words).partition(" ")
    if kind in _KINDS and (whole := Key(Kind(kind), path)) in known:
        return whole
    meant = [key for key in known if len(words) == 1 and key.path == text]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise InvalidInput(
            f"{text} is each of {', '.join(map(str, sorted(meant)))}", next_step="Say the kind too."
        )
    near = get_close_matches(" ".join(words), [str(key) for key in known], n=1, cutoff=0.5)
    raise InvalidInput(
        f"There is no item {text[:100]!r} that differs or is in the folder",
        next_step=f"Did you mean {near[0]!r}?" if near else "See `wmctl plan` for their names.",
    )


def item_of(text: str) -> Key:
    """An item as it is typed in full, such as `schedule f/acme/x`. Raises: InvalidInput."""
    kind, _, path = " ".join(text.split()).partition(" ")
    if kind not in _KINDS or not path:
        raise InvalidInput(
            f"{text[:100]!r} is no item", next_step="Write kind and path, such as 'script f/acme/hello'."
        )
    return Key(Kind(kind), path)


# --- One look ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person says with a command: single items by side, as typed, and whose the switches are."""

    ours: tuple[str, ...] = ()
    theirs: tuple[str, ...] = ()
    switches: bool = False


@dataclass(frozen=True, slots=True)
class Folder:
    """A customer's folder, read: its files that no commit has yet, and the commit that is checked out."""

    desired: Desired
    uncommitted: tuple[Path, ...] = ()
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One customer as it is now. `lock` is ours, if this was seen under it; `taken` is of its tags."""

    folder: Folder
    state: State
    live: Workspace
    plan: Plan
    wish: Wish = Wish()
    lock: Lock | None = None
    taken: Taken = field(default_factory=Taken)

    @property
    def held(self) -> Held | None:
        """The lock and what was read under it, if it was taken before the look."""
        return Held(self.lock, self.live) if self.lock is not None else None

    @property
    def desired(self) -> Desired:
        """What the folder says."""
        return self.folder.desired

    @property
    def name(self) -> str:
        """The customer's folder name."""
        return self.desired.scope.name

    @property
    def theirs(self) -> set[Key]:
        """The items of which a person said that Windmill counts."""
        known = _keys(self)
        return {key for text in self.wish.theirs if (key := _key_among(text, known)) is not None}


@dataclass(slots=True)
class Session:
    """A target that was entered, and the checkout that a command runs in."""

    root: Path
    target: Target
    client: Client
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    begun: Begun | None = None

    @asynccontextmanager
    async def holding(self, folders: Sequence[Path], how: How, *, yes: bool) -> AsyncIterator[Lock | None]:
        """Hold the lock from before the look, so that nothing has to be read again after it.

        Only for one customer, and where nobody is asked: a lock must not wait for an answer, nor for the
        deploys of others. None otherwise; then a deploy takes it itself. Raises: DeployRunning.
        """
        if not yes or len(folders) != 1:
            yield None
            return
        async with keeping.holding(self.client, scope_of(folders[0]), how, "deploy") as lock:
            yield lock

    async def look(
        self,
        folders: Sequence[Path],
        wish: Wish | None = None,
        proven: Sequence[Proven] = (),
        lock: Lock | None = None,
    ) -> list[Seen]:
        """Read folders, Windmill and state at once, and plan for each customer.

        `proven` is what another target was deployed with: it is planned for instead of the folder's items.
        `lock` is that of the only folder, if it is held.
        Raises: what reading raises; InvalidInput for a wish about an item that is not there.
        """
        scopes = [scope_of(folder) for folder in folders]
        lives, states, read = await asyncio.gather(
            read_workspaces(self.client, scopes),
            all_of(*(read_state(self.client, scope) for scope in scopes)),
            asyncio.to_thread(self._folders, folders),
        )
        wish = wish or Wish()
        if proven:
            read = [_promoted(folder, one) for folder, one in zip(read, proven, strict=True)]
        states = await all_of(*map(self._mended, states, lives))
        taken = await read_taken(
            self.client, sorted({tag for one in read for tag in tags_of(one.desired.tree)})
        )
        seen = [
            self.again(replace(_seen(folder, state, live), lock=lock, taken=taken))
            for folder, state, live in zip(read, states, lives, strict=True)
        ]
        seen = self._wished(seen, wish)
        return list(await all_of(*(self._with_editors(one) for one in seen)))

    def _folders(self, folders: Sequence[Path]) -> list[Folder]:
        """The folders as they are read by now, or read here. What was begun counts once."""
        begun, self.begun = self.begun, None
        if begun is not None and begun.folders == tuple(folders):
            return begun.reading.result()
        return _all_read(folders)

    async def _mended(self, state: State, live: Workspace) -> State:
        """With what a deploy that died half-way left behind as agreed on: it is nobody's edit."""
        return replace(state, base=await base_after_death(self.client, state, live))

    async def actor(self) -> str:
        """Who we are to Windmill: what a deploy, its lock and its record are signed with."""
        me = await self.client.whoami()
        return str(me.get("email") or me.get("username"))

    def _wished(self, seen: Sequence[Seen], wish: Wish) -> list[Seen]:
        """Planned once more with what the person says of single items."""
        if wish == Wish():
            return list(seen)
        known = keys_of(seen)
        for text in (*wish.ours, *wish.theirs):
            key_of(text, known)
        return [self.again(replace(one, wish=wish)) for one in seen]

    def again(self, seen: Seen, live: Workspace | None = None) -> Seen:
        """The plan made anew from the same reading, with another wish or other handles."""
        seen = replace(seen, live=live or seen.live)
        return replace(seen, plan=_plan(self.target, self.now, seen))

    async def _with_editors(self, seen: Seen) -> Seen:
        """The lists of Windmill do not tell who edited a script: ask for those whose editor matters."""
        asked = [change.key for change in seen.plan.of(*_ASKED_WHO) if change.key.kind is Kind.SCRIPT]
        if not asked:
            return seen
        return self.again(seen, await with_editors(self.client, seen.live, asked))

    def pull(self, seen: Seen, keys: Collection[Key] | None = None) -> tuple[Seen, list[Path]]:
        """Write Windmill's edits into the folder, all of them or these; the new look and the files.

        The base stays: it moves when a deploy finds both sides equal, so a pull that is thrown away again
        leaves nothing behind.
        """
        wanted: dict[Key, Item | None] = {
            change.key: in_git(seen.desired.tree, change.pulled)
            for change in seen.plan.changes
            if change.pulls and (keys is None or change.key in keys)
        }
        if not wanted:
            return seen, []
        files = write_changes(seen.desired.folder, seen.desired.scope, wanted, read=seen.desired)
        now = _read(seen.desired.folder)
        settled = replace(seen, folder=now, wish=replace(seen.wish, theirs=()))
        return self.again(settled), files


@dataclass(frozen=True, slots=True)
class Begun:
    """Folders that are being read in another process."""

    folders: tuple[Path, ...]
    reading: Beside[list[Folder]]


@asynccontextmanager
async def open_session(
    root: Path, target: str | None, folders: Sequence[Path] = ()
) -> AsyncIterator[Session]:
    """Enter a target, the one named or the one in use, and begin to read the folders that will be looked at.

    Raises: ConfigurationError, NotFound.
    """
    chosen = Targets(load_target_variables()).choose(target)
    begun = Begun(tuple(folders), Beside(lambda: _all_read(folders))) if folders else None
    try:
        async with chosen.client() as client:
            yield Session(root, chosen.target, client, begun=begun)
    finally:
        if begun is not None:
            begun.reading.drop()


def _all_read(folders: Iterable[Path]) -> list[Folder]:
    return [_read(folder) for folder in folders]


def _read(folder: Path) -> Folder:
    return Folder(read_desired(folder), tuple(uncommitted(folder)), head_commit(folder))


def _seen(folder: Folder, state: State, live: Workspace) -> Seen:
    scope = folder.desired.scope
    nothing = Plan(scope.name, "", live.read_at, state.base_id, folder.commit, "", "")
    return Seen(folder, state, replace(live, scope=scope), nothing)


def _promoted(folder: Folder, proven: Proven) -> Folder:
    """The folder's settings with the items and the commit that another target was deployed with."""
    tree = {key: item for key, it in proven.tree.items() if (item := in_git(folder.desired.tree, it))}
    return Folder(replace(folder.desired, tree=tree), (), proven.commit)


def _plan(target: Target, now: datetime, seen: Seen) -> Plan:
    sides = _sides(seen.wish, _keys(seen))
    asked = Asked(target.name, now, seen.folder.commit, seen.wish.switches, sides, tuple(_told(seen)))
    basis = Basis(seen.state.base, seen.state.base_id, seen.state.secrets)
    meant = replace(seen.desired, tree=meant_for(target.kind, seen.desired.tree))
    return make_plan(basis, meant, seen.live, asked)


def keys_of(seen: Iterable[Seen]) -> set[Key]:
    """Every item that these customers have anywhere."""
    return {key for one in seen for key in _keys(one)}


def _keys(seen: Seen) -> set[Key]:
    return {*seen.state.base, *seen.desired.tree, *seen.live.items}


def _sides(wish: Wish, known: Collection[Key]) -> Mapping[Key, Side]:
    """The items of this customer that a person said a word about; those of others are not its business."""
    found: dict[Key, Side] = {}
    for side, texts in ((Side.OURS, wish.ours), (Side.THEIRS, wish.theirs)):
        for text in texts:
            key = _key_among(text, known)
            if key is not None and found.setdefault(key, side) is not side:
                raise InvalidInput(
                    f"{key} cannot be both git's and Windmill's", next_step="Keep one of them."
                )
    return found


def _key_among(text: str, known: Collection[Key]) -> Key | None:
    try:
        return key_of(text, known)
    except InvalidInput:
        return None


# --- What the record of deploys says ----------------------------------------------------------------------


def _told(seen: Seen) -> Iterable[Notice]:
    """Deploys that died half-way, who deploys now, tags without workers, what git says that no commit has."""
    held = seen.state.lock
    if held is not None and (seen.lock is None or held.nonce != seen.lock.nonce):
        says = f"is being deployed by {held.holder} since {_clock(held.since)} ({held.what})"
        yield Notice(Level.WARNING, seen.name, says)
    else:
        yield from (
            Notice(Level.WARNING, seen.name, half_way(seen.name, d))
            for d in journal.half_way(seen.state.deploys)
        )
    for group in seen.state.strangers:
        yield Notice(
            Level.DANGER, "f/wmctl", f"may be read by {group}, who would see every customer's settings"
        )
    yield from of_tags(seen.desired.tree, seen.taken)
    for warning in seen.desired.warnings:
        yield Notice(Level.WARNING, seen.name, str(warning))


def half_way(name: str, deploy: DeployNote) -> str:
    """What a deploy that never ended means, and the two ways on."""
    began = f"deploy {deploy.number} by {deploy.about.get('actor', 'somebody')}"
    return (
        f"has {began} that never ended ({_clock(deploy.at)}): what it wrote is the same on both sides now; "
        f"`wmctl deploy {name}` goes on, `wmctl rollback {name}` undoes it"
    )


def _clock(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z" if at is not None else "an unknown time"
