"""A worker process with two threads over lanes and the open line, for tests that kill, stop or watch it.

Every start of a handler is one line in `folder/starts`: kind, lane, job, attempt. Kinds: `free` stands in the
open line, `capped` in lanes with at most two at once, `ordered` in lanes with an order, `waits` goes on when
`folder/go` is there.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from platform_core.db import Tx, open_connection
from platform_core.jobs import queue
from platform_core.jobs.backoff import Backoff
from platform_core.jobs.contracts import HandlerSpec, JobContext, Limit, NewJob
from platform_core.jobs.runner import Runner
from platform_core.values import Dead, Done, Outcome, Retry, Snooze
from tests.support.databases import TenantDatabase
from tests.support.queues import build_context, look, wait_until

BATCH = 40
CAP = 2
MANY = 1000
_context = multiprocessing.get_context("forkserver")


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a handler."""

    kind: str
    lane: str
    job_id: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Toil:
    """How a worker process works. `mixed`: its jobs fail, snooze and die now and then."""

    lease_s: float = 60.0
    seconds: float = 60.0
    pause_s: float = 0.002
    mixed: bool = False
    wait: bool = False


def toil(dsn: str, folder: str, terms: Toil) -> None:
    """Work until the queue is empty or the time is over; SIGTERM ends it in order. Counts go to a file."""
    runner = Runner(
        dsn,
        handlers(Path(folder), terms),
        build_context,
        deadline_s=terms.seconds,
        lease_s=terms.lease_s,
        max_batch=BATCH,
        wait=terms.wait,
        backoff=Backoff(base_s=0.05, cap_s=0.5),
    )
    signal.signal(signal.SIGTERM, lambda *_: runner.stop())
    counts = runner.run_until_empty()
    Path(folder, f"counts.{os.getpid()}").write_text(json.dumps(asdict(counts)), encoding="ascii")


def handlers(folder: Path, terms: Toil) -> Mapping[str, HandlerSpec]:
    """The kinds of a worker."""
    starts = os.open(folder / "starts", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    dice = random.SystemRandom()

    def work(context: JobContext) -> Outcome:
        job = context.job
        os.write(starts, f"{job.kind} {job.lane or '-'} {job.id} {job.attempt}\n".encode("ascii"))
        if job.kind == "waits":
            wait_until((folder / "go").exists, "told to go on")
        threading.Event().wait(terms.pause_s)
        return _answer(dice.random(), context) if terms.mixed else Done()

    capped = Limit(max_running=CAP)
    return {
        "free": HandlerSpec(work, max_attempts=MANY),
        "waits": HandlerSpec(work, max_attempts=MANY, timeout_s=60.0),
        "capped": HandlerSpec(work, max_attempts=MANY, lane_limit=capped),
        "ordered": HandlerSpec(work, max_attempts=MANY, ordered=True),
    }


def _answer(luck: float, context: JobContext) -> Outcome:
    if luck < 0.04:
        return Retry("no luck")
    if luck < 0.06:
        return Snooze("not now", after=timedelta(seconds=0.2))
    if luck < 0.065:
        return Dead("never")
    if luck < 0.08 and context.job.kind == "free":
        with context.tx() as tx:
            queue.enqueue(tx, "free", {"from": context.job.id})
    return Done()


def start(db: TenantDatabase, folder: Path, terms: Toil) -> ForkServerProcess:
    """A worker in a process of its own."""
    worker = _context.Process(target=toil, args=(db.dsn, str(folder), terms), daemon=True)
    worker.start()
    return worker


def starts_of(folder: Path) -> list[Start]:
    """Every start so far, in order."""
    file = folder / "starts"
    lines = file.read_text(encoding="ascii").splitlines() if file.exists() else []
    words = [line.split(" ") for line in lines]
    return [Start(kind, lane, int(job_id), int(attempt)) for kind, lane, job_id, attempt in words]


def count_starts(folder: Path) -> int:
    """How many, without reading what they say."""
    file = folder / "starts"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def fill(tx: Tx, jobs: int, lanes: int = 5) -> list[int]:
    """So many jobs of the three kinds, in turns; their numbers."""
    kinds = ("free", "capped", "ordered")
    new = [
        NewJob(kinds[n % 3], {}, lane=f"l{n // 3 % lanes}" if n % 3 else None, entity=f"e{n % 50}")
        for n in range(jobs)
    ]
    return [made.job_id for made in queue.enqueue_many(tx, new)]


def out_of_order(starts: list[Start], cancelled: frozenset[int] = frozenset()) -> list[Start]:
    """Jobs of ordered lanes whose last start came after the last start of a later job of their lane.

    Of the last ones, because a crash takes back what its worker had not settled: those jobs run again, from
    the first of them on and in their order; unless they were `cancelled` meanwhile.
    """
    last = {
        one.job_id: (place, one)
        for place, one in enumerate(starts)
        if one.kind == "ordered" and one.job_id not in cancelled
    }
    latest: dict[str, int] = {}
    wrong = []
    for job_id, (place, one) in sorted(last.items()):
        if place < latest.get(one.lane, -1):
            wrong.append(last[job_id][1])
        latest[one.lane] = max(place, latest.get(one.lane, -1))
    return wrong


def most_running(tx: Tx) -> int:
    """The most jobs that one capped lane has running."""
    row = tx.execute(
        "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM jobs.job "
        "WHERE kind = 'capped' AND lease_id IS NOT NULL GROUP BY lane) AS lanes"
    ).fetchone()
    return int(row[0]) if row else 0


def kill(worker: ForkServerProcess, db: TenantDatabase) -> None:
    """As a power cut would; PostgreSQL has noticed when this returns."""
    with open_connection(db.admin_dsn, application="test-kill") as tx:
        pids = [row[0] for row in tx.execute(SESSIONS, (db.name,))]
        worker.kill()
        worker.join()
        wait_until(
            lambda: look(db, "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY (%s)", pids) == [(0,)],
            "PostgreSQL has noticed",
        )


SESSIONS = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'job-%%'"
