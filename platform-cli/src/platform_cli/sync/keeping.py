"""Writes of wmctl's own state that may be lost on their way, and that are safe to send again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from platform_cli.sync import deploy_lock, journal, state
from platform_cli.sync.carrying import How
from platform_cli.sync.client import Client
from platform_cli.sync.deploy_lock import Lock
from platform_cli.sync.events import Event, Happened
from platform_cli.sync.items import Scope
from platform_cli.sync.journal import Record
from platform_core.errors import WindmillError, WindmillUncertain

_TIMES: Final = 3


async def insisting(write: Callable[[], Awaitable[None]]) -> None:
    """Send a write that is the same when sent twice, until an answer comes. Raises: WindmillUncertain."""
    for _ in range(_TIMES - 1):
        try:
            return await write()
        except WindmillUncertain:
            continue
    return await write()


async def mark(client: Client, record: Record) -> None:
    """Keep how far a deploy came."""
    facts = journal.about(record)
    await insisting(lambda: state.mark_deploy(client, record.scope, record.number, facts))


@dataclass
class Pulse:
    """Signs of life while the lock is held, at most one every so many seconds, and none in the first."""

    every_s: float
    last: float = field(default_factory=time.monotonic)

    async def beat(self, client: Client, lock: Lock) -> None:
        """Give one if it is due. Raises: LockLost when somebody broke the lock."""
        if time.monotonic() - self.last >= self.every_s:
            await insisting(lambda: deploy_lock.beat(client, lock))
            self.last = time.monotonic()


@asynccontextmanager
async def holding(client: Client, scope: Scope, how: How, what: str) -> AsyncIterator[Lock]:
    """Hold a scope's lock; a dead deploy's one is broken first if `how` says so. Raises: DeployRunning."""
    if how.break_lock:
        await deploy_lock.break_lock(client, scope)
    lock = await deploy_lock.acquire(client, scope, holder=how.actor, what=what)
    how.say(Event(Happened.LOCKED, says=lock.holder))
    try:
        yield lock
    finally:
        await _give_back(client, lock, how)


async def _give_back(client: Client, lock: Lock, how: How) -> None:
    """Release the lock; one that could not be released is told of, since the next deploy meets it."""
    try:
        await insisting(lambda: deploy_lock.release(client, lock))
    except WindmillError as error:
        how.say(Event(Happened.NOTED, says=f"the lock may still be there: {error.message}"))
