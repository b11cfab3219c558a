"""Carries out writes: wave after wave, sixteen at a time, each one only onto what it expects to find.

A script names the version it replaces, and the server refuses any other. For the rest the item is read just
before it is written; a flow's history is read after, and tells whether somebody came in between. An answer
that never came is settled by reading what is there. Nothing of a wave begins once something of the one before
failed, unless good writes are to be kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TypeAlias, cast

from platform_cli.sync import waits
from platform_cli.sync.client import Client
from platform_cli.sync.current import Current, item_of, read_current
from platform_cli.sync.events import Event, Happened, Say, silent
from platform_cli.sync.items import LOCKED_KINDS, Item, Json, Key, Kind
from platform_cli.sync.waves import Wave, waves
from platform_cli.sync.wire import all_of
from platform_cli.sync.writes import Step, Write, alike, same, states, steps
from platform_core.errors import (
    PlatformError,
    StateConflict,
    WindmillError,
    WindmillRefused,
    WindmillUncertain,
    WindmillUnreachable,
)

AT_ONCE: Final = 16
_STALE: Final = ("lineage must be linear", "Path conflict", "parent hash does not seem to exist")
_SAME_HASH: Final = "same hash"
_EXISTS: Final = "already exists"


class Result(StrEnum):
    """How one write went."""

    WRITTEN = "written"
    FAILED = "failed"
    """It is not as wanted; `says` why. It may be half-way, as one of the write's states."""
    FOREIGN = "foreign"
    """Somebody else's edit stands there, and was left."""
    UNKNOWN = "unknown"
    """The server gave no clear answer, nor could the item be read."""
    NOT_BEGUN = "not_begun"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one write. `version` is the new one of a script."""

    write: Write
    result: Result
    says: str = ""
    version: str | None = None
    error: PlatformError | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Carried:
    """What came of all of them. `stopped` says that a person asked to end early."""

    outcomes: Mapping[Key, Outcome]
    stopped: bool = False

    def of(self, *results: Result) -> tuple[Outcome, ...]:
        """The outcomes with one of these results, by key."""
        return tuple(
            self.outcomes[key] for key in sorted(self.outcomes) if self.outcomes[key].result in results
        )

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Those that went wrong."""
        return self.of(Result.FAILED, Result.FOREIGN, Result.UNKNOWN)


@dataclass(frozen=True, slots=True)
class How:
    """How a deploy or a rollback is carried out.

    `actor` is the person. `stopped` is asked before each write and while waiting: once it says yes nothing
    else begins. `force` takes a plan that says it is unsafe, `keep_going` goes on with the other items when
    one failed, `switches` writes what ops switch on and off. `settle` waits for relocks of importers and for
    routes, up to a minute; a sign of life is given every `beat_s` seconds, between waves.
    """

    actor: str
    say: Say = silent
    stopped: Callable[[], bool] = lambda: False
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    force: bool = False
    keep_going: bool = False
    break_lock: bool = False
    switches: bool = False
    settle: bool = True
    beat_s: float = 1.0
    patience: waits.Patience = field(default_factory=waits.Patience)


Check: TypeAlias = Callable[[], Awaitable[None]]
"""Runs before each wave, and ends it all by raising."""


async def go_on() -> None:
    """Check nothing."""


async def carry_out(client: Client, writes: Sequence[Write], how: How, check: Check = go_on) -> Carried:
    """Bring each item to where its write says. Never raises for what Windmill does to a single item.

    Raises: what `check` raises, before a wave.
    """
    run = _Run(client, how, total=len(writes))
    for wave in waves(writes):
        if how.stopped() or (run.failed and not how.keep_going):
            break
        await check()
        await run.wave(wave)
    begun = run.outcomes
    left = {w.key: Outcome(w, Result.NOT_BEGUN) for w in writes if w.key not in begun}
    return Carried({**begun, **left}, stopped=how.stopped())


class _Run:
    """The state of one carrying out."""

    def __init__(self, client: Client, how: How, *, total: int) -> None:
        self.client = client
        self.how = how
        self.total = total
        self.outcomes: dict[Key, Outcome] = {}
        self.failed = False

    async def wave(self, wave: Wave) -> None:
        """Every write of a wave, and the locks that follow from them."""
        self._say(Event(Happened.WAVE, says=wave.name, total=len(wave.writes)))
        todo = iter(wave.writes)

        async def work() -> None:
            for write in todo:
                if self.how.stopped() or (self.failed and not self.how.keep_going):
                    return
                self._settle(await _attempt(self.client, write))

        await all_of(*(work() for _ in range(min(AT_ONCE, len(wave.writes)))))
        await self._locks([self.outcomes[w.key] for w in wave.writes if w.key in self.outcomes])

    async def _locks(self, outcomes: Sequence[Outcome]) -> None:
        waiting = {o.write.key: o for o in outcomes if o.result is Result.WRITTEN and _has_lock_job(o.write)}
        if not waiting:
            return
        self._say(Event(Happened.WAITING, says="locks", total=len(waiting)))
        failed = await waits.locks(
            self.client,
            {key: outcome.version for key, outcome in waiting.items()},
            timeout_s=self.how.patience.locks_s,
            stopped=self.how.stopped,
        )
        for key, why in failed.items():
            self._settle(replace(waiting[key], result=Result.FAILED, says=f"its lock failed: {why}"))

    def _settle(self, outcome: Outcome) -> None:
        self.outcomes[outcome.write.key] = outcome
        if outcome.result is Result.WRITTEN:
            done = sum(one.result is Result.WRITTEN for one in self.outcomes.values())
            self._say(Event(Happened.WRITTEN, outcome.write.key, outcome.write.verb, done, self.total))
            return
        self.failed = True
        self._say(Event(Happened.FAILED, outcome.write.key, outcome.says, total=self.total))

    def _say(self, event: Event) -> None:
        self.how.say(event)


# --- One write --------------------------------------------------------------------------------------------


async def _attempt(client: Client, write: Write) -> Outcome:
    """One write from the look before it to the look after it."""
    try:
        before = await _expected_to_be_there(client, write)
        if before is not None and before.item is not None:
            write = replace(write, before=before.item)  # with the switch as ops have it now
        version = await _send(client, write)
        await _nobody_between(client, write, before)
    except _Foreign as found:
        return Outcome(write, Result.FOREIGN, str(found))
    except (WindmillUncertain, WindmillUnreachable, WindmillRefused) as error:
        return await _from_facts(client, write, error)
    except PlatformError as error:
        return Outcome(write, Result.FAILED, error.one_line(), error=error)
    return Outcome(write, Result.WRITTEN, version=version)


class _Foreign(Exception):
    """Somebody else's edit is where ours should go."""


async def _expected_to_be_there(client: Client, write: Write) -> Current | None:
    """Read what is about to be changed, where the server does not look for us. None where it does."""
    if write.before is None or (write.key.kind is Kind.SCRIPT and write.after is not None and write.version):
        return None
    found = await read_current(client, write.key)
    if not alike(found.item, write.before, switches=write.switch):
        raise _Foreign(_foreign(write, found))
    return found


async def _send(client: Client, write: Write, *, again: bool = False) -> str | None:
    """Every call of a write in turn; the new hash of a script."""
    if write.key.kind is Kind.SCRIPT and write.before is not None and write.version is None:
        write = replace(write, version=(await read_current(client, write.key)).version)
    archived: Item | None = None
    version: str | None = None
    try:
        for step in steps(write):
            version = await _call(client, write, step) or version
    except WindmillRefused as error:
        if write.key.kind is Kind.FLOW and write.before is None and _EXISTS in error.said:
            found = await read_current(client, write.key)
            archived = found.archived
        if archived is None:
            if again or write.key.kind is not Kind.SCRIPT:
                raise
            return await _send(client, await _retried(client, write, error), again=True)
        for step in steps(write, archived=archived):
            await _call(client, write, step)
    return version


async def _call(client: Client, write: Write, step: Step) -> str | None:
    call = step.call
    answer = await client.request(call.method, call.tail, call.body)
    return str(answer) if write.key.kind is Kind.SCRIPT and call.tail == "scripts/create" else None


async def _retried(client: Client, write: Write, error: WindmillRefused) -> Write:
    """A script's write once more, if what the server refuses is no edit of anybody."""
    if _SAME_HASH in error.said and write.before is None:
        # The hash is made of body and parent: this very script lies in the archive, as after a rollback.
        found = await read_current(client, write.key)
        if found.archived is None:
            raise error
        return replace(write, version=found.version)
    if not any(words in error.said for words in _STALE):
        raise error
    found = await read_current(client, write.key)
    if write.before is None or not same(found.item, write.before) or found.version == write.version:
        raise error
    return replace(write, version=found.version)  # locked anew: another hash, and nobody's edit


async def _nobody_between(client: Client, write: Write, before: Current | None) -> None:
    """Look whether somebody deployed a flow after we read it and before we wrote it; if so, give it back."""
    if write.key.kind is not Kind.FLOW or write.after is None or before is None or before.version is None:
        return
    ids = [int(cast("int", row["id"])) for row in await client.history(write.key)]
    between = [one for one in sorted(ids) if one > int(before.version)][:-1]
    for one in reversed(between):
        theirs = await client.flow_version(one)
        # The answer has the value of that version, but the summary of the newest one.
        steps_of = {name: item_of(write.key, theirs).value[name] for name in ("value", "schema")}
        if any(_has(state, steps_of) for state in states(write)):
            continue
        if before.item is not None:
            await _give_back(client, write, Item(write.key, {**before.item.value, **steps_of}))
        raise _Foreign(
            f"{theirs.get('edited_by')} deployed it while it was being written (version {one}); "
            "its steps are in place again"
        )


def _has(state: Item | None, fields: Mapping[str, Json]) -> bool:
    return state is not None and same(Item(state.key, {**state.value, **fields}), state)


async def _give_back(client: Client, write: Write, theirs: Item) -> None:
    ours = replace(write, before=write.expected, after=theirs, message="wmctl: put back what it overwrote")
    for step in steps(ours):
        await _call(client, ours, step)


async def _from_facts(client: Client, write: Write, error: WindmillError) -> Outcome:
    """What a refusal or an unclear answer left behind, by what is there now."""
    try:
        found = await read_current(client, write.key)
    except StateConflict as conflict:
        return Outcome(write, Result.FOREIGN, conflict.one_line(), error=error)
    except PlatformError:
        return Outcome(write, Result.UNKNOWN, error.one_line(), error=error)
    if alike(found.item, write.expected, switches=write.switch):
        return Outcome(write, Result.WRITTEN, version=found.version)
    if any(alike(found.item, state, switches=write.switch) for state in states(write)):
        return Outcome(write, Result.FAILED, error.one_line(), error=error)
    return Outcome(write, Result.FOREIGN, _foreign(write, found), error=error)


def _foreign(write: Write, found: Current) -> str:
    if found.item is None:
        return "it is gone from Windmill since the plan was made; plan again"
    if write.before is None:
        return f"it was created in Windmill{found.editor} since the plan was made; plan again"
    return f"it was edited in Windmill{found.editor} since the plan was made; plan again"


def _has_lock_job(write: Write) -> bool:
    """Whether a lock job follows: for each flow, and for a script that came without a lock."""
    if write.after is None or write.key.kind not in LOCKED_KINDS:
        return False
    return write.key.kind is Kind.FLOW or not write.after.value.get("lock")
