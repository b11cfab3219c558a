"""Minutes of everything at once: nothing is lost, every rule is kept, memory and table stay flat."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from statistics import median

import pytest

from platform_core.db import Tx
from platform_core.jobs import queue
from platform_core.jobs.contracts import NewJob, Priority
from platform_core.values import Actor
from tests.support.databases import TenantDatabase
from tests.support.queues import change, expire_leases, look, wait_until
from tests.support.toil import (
    CAP,
    Toil,
    count_starts,
    fill,
    most_running,
    out_of_order,
    start,
    starts_of,
    toil,
)

EVERY_S = 0.25
KILL_EVERY_S = 4.0
BACKLOG = 400
OPS = Actor("user", "ops-1", "ops")
SIZE = "SELECT pg_total_relation_size('jobs.job')"
TERMS = Toil(lease_s=3.0, seconds=3600.0, pause_s=0.003, mixed=True, wait=True)


@dataclass
class Watched:
    """What was seen while the load ran. Sizes in bytes, one a second or so."""

    enqueued: set[int] = field(default_factory=set)
    rss: list[int] = field(default_factory=list)
    table: list[int] = field(default_factory=list)
    most_of_a_lane: int = 0
    kills: int = 0


@pytest.mark.timeout(1800)
def test_a_mixed_load_with_kills_leaves_nothing_behind(
    tenant_db: TenantDatabase, tmp_path: Path, *, is_short: bool
) -> None:
    """One worker is killed every few seconds, another one lives through it all."""
    # The days of history are there before anybody works, as on all days but a database's first: whoever ends
    # a job in the very moment a day is attached is refused by PostgreSQL and must do it again.
    change(tenant_db, "SELECT jobs.maintain()")
    seen = load(tenant_db, tmp_path, 45.0 if is_short else 600.0)
    expire_leases(tenant_db)
    wait_until(partial(is_drained, tenant_db, tmp_path), "everything has ended")
    cancelled = look(tenant_db, "SELECT job_id FROM jobs.done WHERE outcome = 'cancelled'")
    places = Counter(
        row[0]
        for row in look(tenant_db, "SELECT job_id FROM jobs.done UNION ALL SELECT job_id FROM jobs.dead")
    )

    assert look(tenant_db, "SELECT count(*) FROM jobs.job") == [(0,)]
    assert look(tenant_db, "SELECT count(*) FROM jobs.lease") == [(0,)]
    assert max(places.values()) == 1
    assert seen.enqueued <= set(places)
    assert {one.job_id for one in starts_of(tmp_path)} <= set(places)
    assert out_of_order(starts_of(tmp_path), frozenset(row[0] for row in cancelled)) == []
    assert seen.most_of_a_lane <= CAP
    assert (seen.kills >= 5, len(seen.enqueued) >= 500) == (True, True)
    assert is_flat(seen.rss, ratio=1.2, slack=8 << 20), seen.rss[:: max(1, len(seen.rss) // 20)]
    assert is_flat(seen.table, ratio=1.5, slack=4 << 20), seen.table[:: max(1, len(seen.table) // 20)]


def is_drained(db: TenantDatabase, folder: Path) -> bool:
    """Run what is due; whether nothing is left, also of what was put off."""
    toil(db.dsn, str(folder), Toil(pause_s=0.0, seconds=300.0))
    return look(db, "SELECT count(*) FROM jobs.job") == [(0,)]


def is_flat(sizes: list[int], *, ratio: float, slack: int) -> bool:
    """Whether the last quarter is about as large as the second: the first one is warming up."""
    quarter = len(sizes) // 4
    early, late = median(sizes[quarter : 2 * quarter]), median(sizes[3 * quarter :])
    return late <= early * ratio + slack


def load(db: TenantDatabase, folder: Path, seconds: float) -> Watched:
    """Enqueue, cancel, redrive, kill and look, for so long; stop the steady worker in order."""
    seen, dice, pause = Watched(), random.SystemRandom(), threading.Event()
    steady, victim = start(db, folder, TERMS), start(db, folder, TERMS)
    ends_s, kill_at_s = time.monotonic() + seconds, time.monotonic() + KILL_EVERY_S
    with db.connect() as tx, db.admin() as admin:
        while time.monotonic() < ends_s:
            disturb(tx, seen, dice)
            seen.rss.append(resident_bytes(steady))
            seen.table.extend(row[0] for row in admin.execute(SIZE))
            seen.most_of_a_lane = max(seen.most_of_a_lane, most_running(admin))
            if time.monotonic() >= kill_at_s:
                kill_at_s = time.monotonic() + KILL_EVERY_S * dice.uniform(0.5, 1.5)
                victim.kill()
                victim.join()
                seen.kills += 1
                victim = start(db, folder, TERMS)
            pause.wait(EVERY_S)
    victim.kill()
    victim.join()
    steady.terminate()
    steady.join(60)
    assert (steady.exitcode, count_starts(folder) > 0) == (0, True)
    wait_until(lambda: look(db, IDLE, db.name) == [(0,)], "all workers are gone")
    return seen


IDLE = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'job-%%'"


def disturb(tx: Tx, seen: Watched, dice: random.Random) -> None:
    """A little of what people and webhooks do; the backlog is kept small, so that sizes can be compared."""
    waiting = tx.execute("SELECT count(*) FROM jobs.job").fetchone()
    if waiting is not None and waiting[0] < BACKLOG:
        seen.enqueued.update(fill(tx, 90))
        urgent = [NewJob("free", {}, priority=dice.choice(list(Priority))) for _ in range(20)]
        keyed = [NewJob("free", {}, key=f"k{dice.randrange(10_000)}") for _ in range(10)]
        seen.enqueued.update(made.job_id for made in queue.enqueue_many(tx, [*urgent, *keyed]))
    if dice.random() < 0.2:
        queue.cancel(tx, entity=f"e{dice.randrange(50)}")
    for dead in queue.list_dead(tx, limit=3):
        if dead.kind == "free" and dice.random() < 0.5:
            queue.redrive(tx, dead.id, OPS)


def resident_bytes(worker: ForkServerProcess) -> int:
    """The memory of a process that is really in memory."""
    pages = int(Path(f"/proc/{worker.pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096
