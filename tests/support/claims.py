"""The queue's statements one by one, for tests that interleave them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from platform_core.db import Tx, load_queries
from platform_core.jobs import queue, rules
from platform_core.jobs.contracts import HandlerSpec, Limit
from platform_core.jobs.execution import Settlement
from platform_core.jobs.settlement import Exchange, Lane, Reach, exchange
from platform_core.values import Done
from tests.support.databases import TenantDatabase
from tests.support.queues import AT_ONCE

Q = load_queries(queue.__file__)


def lease_row(tx: Tx, lease_s: float = 60.0) -> int:
    """A lease without a heartbeat."""
    row = tx.execute("SELECT jobs.open_lease('test', %s)", (lease_s,)).fetchone()
    assert row is not None
    return int(row[0])


def claim_ids(tx: Tx, holder: int, batch: int = 10, *lanes: Lane) -> list[int]:
    """The ids of the jobs claimed from these lanes and the open line, as the runner would run them."""
    return [row.id for row in settle_and_claim(tx, holder, [], batch, lanes).claimed]


def settle_and_claim(
    tx: Tx, holder: int, settlements: Sequence[Settlement], batch: int = 0, lanes: Sequence[Lane] = ()
) -> Exchange:
    """One exchange."""
    return exchange(tx, holder, settlements, batch=batch, backoff=AT_ONCE, reach=Reach(lanes=lanes))


def done(*ids: int) -> list[Settlement]:
    """These ended well."""
    return [Settlement(job_id, "done") for job_id in ids]


def bury(tx: Tx) -> list[tuple[int, str]]:
    """What became of the jobs of expired leases."""
    return sorted((row[0], row[1]) for row in tx.execute(Q["lease_bury"]))


def open_lanes(tx: Tx) -> list[Lane]:
    """The lanes that have something to start now."""
    rows = tx.execute(Q["lane_list_open"], {"after_kind": "", "after_lane": "", "most": 100})
    return [(kind, lane) for kind, lane, ready_in_s in rows if ready_in_s == 0]


def ruled(
    *, ordered: bool = False, limit: Limit | None = None, lane_limit: Limit | None = None
) -> HandlerSpec:
    """The rules of a kind whose handler does nothing."""
    return HandlerSpec(lambda _: Done(), ordered=ordered, limit=limit, lane_limit=lane_limit)


def declare(db: TenantDatabase, **specs: HandlerSpec) -> None:
    """Declare the rules of these kinds, and of no others."""
    with db.connect() as tx:
        rules.declare(tx, specs)


@contextmanager
def two(db: TenantDatabase) -> Iterator[tuple[Tx, Tx]]:
    """Two connections that give up waiting for locks soon."""
    with db.connect() as one, db.connect() as other:
        for tx in (one, other):
            tx.execute("SET lock_timeout = '200ms'")
        yield one, other
