"""One deploy of a scope at a time: a lock that lives in the Windmill it protects.

To create a resource is atomic there, so of several who try one has it. It says who holds it, since when and
for what, and shows when its holder last gave a sign of life. It never ends by itself: that a deploy is dead
only a person can know, and `break_lock` tells whose it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex

from platform_cli.sync import documents
from platform_cli.sync.client import Client
from platform_cli.sync.documents import Note
from platform_cli.sync.items import Scope
from platform_cli.sync.wire import all_of
from platform_core.errors import (
    DeployRunning,
    LockLost,
    PlatformError,
    StateConflict,
    WindmillNotFound,
    WindmillRefused,
    WindmillUncertain,
)


@dataclass(frozen=True, slots=True)
class Lock:
    """Who deploys a scope. Times are the server's; `nonce` tells this holding from any other."""

    scope: str
    holder: str
    what: str
    nonce: str
    since: datetime | None = None
    alive_at: datetime | None = None


def _name(scope: str) -> str:
    return f"{scope}_lock"


def _beat_name(lock: Lock) -> str:
    return f"{lock.scope}_beat_{lock.nonce}"


def lock_in(scope: Scope, notes: Mapping[str, Note]) -> Lock | None:
    """The lock among a scope's documents, or None when nobody holds it."""
    note = notes.get(_name(scope.name))
    if note is None:
        return None
    facts = {name: str(note.about.get(name) or "") for name in ("holder", "what", "nonce")}
    lock = Lock(scope.name, **facts, since=note.at, alive_at=note.at)
    beat = notes.get(_beat_name(lock))
    return lock if beat is None else Lock(scope.name, **facts, since=note.at, alive_at=beat.at)


async def find(client: Client, scope: Scope) -> Lock | None:
    """Who holds the lock now."""
    return lock_in(scope, (await documents.find_all(client, scope.name)).notes)


async def acquire(client: Client, scope: Scope, *, holder: str, what: str) -> Lock:
    """Take the lock. `holder` is the person, `what` the deploy in a few words.

    Raises: DeployRunning naming who has it.
    """
    lock = Lock(scope.name, holder, what, token_hex(8))
    try:
        await all_of(documents.ensure_folder(client), _take(client, lock))
    except (StateConflict, WindmillUncertain):
        # An answer that was cut says nothing; what stands there does.
        held = await find(client, scope)
        if held is None or held.nonce != lock.nonce:
            raise _running(held, scope) from None
        await documents.replace(client, _beat_name(lock), {}, documents.pack(None))
    except PlatformError:
        with suppress(PlatformError):  # what went wrong is told already
            await release(client, lock)
        raise
    return lock


async def _take(client: Client, lock: Lock) -> None:
    """Create lock and sign of life. Before the first deploy the folder may have to be made first."""
    facts = {"holder": lock.holder, "what": lock.what, "nonce": lock.nonce}
    try:
        await documents.create(client, _name(lock.scope), facts)
    except WindmillRefused:
        await documents.ensure_folder(client)
        await documents.create(client, _name(lock.scope), facts)
    await documents.create(client, _beat_name(lock), {})


def _running(held: Lock | None, scope: Scope) -> DeployRunning:
    if held is None:
        return DeployRunning(
            f"Somebody took and released the lock of {scope.name} just now", next_step="Try again."
        )
    return DeployRunning(
        f"{scope.name} is being deployed by {held.holder} since {_clock(held.since)} ({held.what}); "
        f"its last sign of life was at {_clock(held.alive_at)}",
        next_step="Wait until it ends. If it is dead, run `wmctl deploy` with --break-lock.",
        lock=held,
    )


def _clock(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "an unknown time"


async def beat(client: Client, lock: Lock) -> None:
    """Give a sign of life. Raises: LockLost when somebody broke the lock."""
    try:
        await documents.annotate(client, _beat_name(lock), {})
    except WindmillNotFound:
        raise _lost(lock) from None


async def require_held(client: Client, lock: Lock) -> documents.Found:
    """Make sure that the lock is still ours; every document of the scope comes along. Raises: LockLost."""
    found = await documents.find_all(client, lock.scope)
    held = lock_in(Scope(lock.scope), found.notes)
    if held is None or held.nonce != lock.nonce:
        raise _lost(lock, held)
    return found


def _lost(lock: Lock, held: Lock | None = None) -> LockLost:
    by = f"; {held.holder} has it now" if held else ""
    return LockLost(f"The lock of {lock.scope} was broken while {lock.holder} had it{by}")


async def release(client: Client, lock: Lock) -> None:
    """Give the lock back. One that is not ours any more stays where it is."""
    held = await find(client, Scope(lock.scope))
    ours = held is not None and held.nonce == lock.nonce
    await documents.remove(client, [_beat_name(lock), *([_name(lock.scope)] if ours else [])])


async def break_lock(client: Client, scope: Scope) -> Lock | None:
    """Take a dead deploy's lock away; whose it was, or None when there was none."""
    held = await find(client, scope)
    if held is not None:
        await documents.remove(client, [_beat_name(held), _name(scope.name)])
    return held
