"""One customer's group commit: what is verified while a commit is in flight, the next one stores together.

Each customer has a committer of its own, so a slow or dead database makes nobody else wait. Nothing is
answered before its commit, and nothing waits for a batch to fill: an idle committer stores the first
delivery at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from platform_core.errors import DatabaseUnavailable
from platform_core.inbox.events import Delivery
from platform_core.ingest.limits import Limits
from platform_core.ingest.metrics import Metrics
from platform_core.ingest.store import Store, Stored

FLUSH_S = 1.0
"""Refusals of a quiet customer are counted in the database at most once in this time."""


@dataclass(slots=True)
class _Waiting:
    delivery: Delivery
    done: asyncio.Future[tuple[str, int]]


@dataclass(slots=True)
class Committer:
    """Stores one customer's deliveries. After each commit `on_pulse` hears: runner awake, job due, news."""

    customer: str
    store: Store
    limits: Limits
    metrics: Metrics
    on_pulse: Callable[[bool, bool, bool], None]
    on_lost: Callable[[Exception | None], None]
    _waiting: deque[_Waiting] = field(default_factory=deque)
    _refusals: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _work: asyncio.Event = field(default_factory=asyncio.Event)
    _timer: asyncio.TimerHandle | None = None
    _look: bool = False
    _stopping: bool = False
    _in_flight: int = 0

    @property
    def waiting(self) -> int:
        """Deliveries accepted and not yet committed."""
        return len(self._waiting) + self._in_flight

    def full(self) -> bool:
        """Whether another delivery must be sent away."""
        return self.waiting >= self.limits.waiting

    async def stored(self, delivery: Delivery) -> tuple[str, int]:
        """Wait until the delivery is committed: its outcome and our event.

        Raises: DatabaseUnavailable at once while the database is known to be away; what stopped the commit.
        """
        if not self.store.reachable and time.monotonic() < self.store.retry_at_s:
            raise DatabaseUnavailable(f"The database of {self.customer} was not reachable a moment ago")
        done: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(delivery, done))
        self._work.set()
        return await done

    def count_refusal(self, source: str, endpoint: str, reason: str) -> None:
        """Count a delivery that was refused; it goes with the next commit, or within a second."""
        self._refusals[source, endpoint, reason] += 1
        self._wake_in(FLUSH_S)

    def look_in(self, seconds: float) -> None:
        """Ask again soon whether a job waits and nobody works."""
        self._look = True
        self._wake_in(seconds)

    def stop(self) -> None:
        """Store what waits and count what was refused, then end `run`."""
        self._stopping = True
        self._work.set()

    async def run(self) -> None:
        """Commit until stopped. One commit at a time."""
        while not self._stopping or self._waiting:
            await self._work.wait()
            self._work.clear()
            await self._commit()
            if self._waiting:
                self._work.set()
        if self._refusals:
            await self._commit()
        if self._timer is not None:
            self._timer.cancel()
        await self.store.close()

    def _wake_in(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self._work.set()

    def _batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and len(batch) < self.limits.batch and size < self.limits.batch_bytes:
            batch.append(self._waiting.popleft())
            size += len(batch[-1].delivery.body)
        return batch

    async def _commit(self) -> None:
        batch = self._batch()
        refusals, self._refusals = self._refusals, Counter()
        if not (batch or refusals or self._look):
            return
        self._look, self._in_flight = False, len(batch)
        try:
            found = await self.store.receive([one.delivery for one in batch], refusals)
        except Exception as error:  # noqa: BLE001 - whatever it is, every waiting delivery gets its answer
            self._refusals.update(refusals)
            self._not_stored(batch, error)
        else:
            self._stored(batch, found)
        finally:
            self._in_flight = 0

    def _stored(self, batch: list[_Waiting], found: Stored) -> None:
        for one, receipt in zip(batch, found.receipts, strict=True):
            if one.done.done():  # nobody waits any more: the connection was lost
                continue
            if isinstance(receipt, Exception):
                one.done.set_exception(receipt)
            else:
                one.done.set_result(receipt)
        if batch:
            self.metrics.batch.observe(len(batch))
        self.on_lost(None)
        self.on_pulse(found.awake, found.due, bool(batch))

    def _not_stored(self, batch: list[_Waiting], error: Exception) -> None:
        self.metrics.commits_failed[self.customer] += 1
        for one in batch:
            if not one.done.done():
                one.done.set_exception(error)
        self.on_lost(error)
        if not self._stopping:  # counters and looks wait for the database; deliveries do not
            self.look_in(max(self.store.retry_at_s - time.monotonic(), FLUSH_S))
