"""A schedule's tick as a job, once over all workers however often the tick is reported."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from platform_core.db.connect import Tx
from platform_core.errors import InvalidInput, InvalidTime
from platform_core.jobs.contracts import Enqueued
from platform_core.jobs.queue import enqueue


def enqueue_tick(tx: Tx, name: str, tick: datetime, kind: str, payload: Mapping[str, object]) -> Enqueued:
    """Enqueue one tick of the schedule `name`. `tick` is when it was due, not when it was noticed.

    Idempotency: overlapping and late runs report the same tick; the first one makes the job. A missed tick
    may be enqueued later under its own time, so a catch-up is visible as jobs.
    Raises: InvalidTime for a naive time, InvalidInput for an empty name.
    """
    if not name or ":" in name:
        raise InvalidInput(f"{name[:60]!r} is not a schedule's name", next_step="Use a name without a colon.")
    if tick.tzinfo is None:
        raise InvalidTime("The tick has no time zone", next_step="Pass an aware time.")
    instant = tick.astimezone(UTC).isoformat(timespec="seconds")
    return enqueue(tx, kind, payload, key=f"cron:{name}:{instant}")
