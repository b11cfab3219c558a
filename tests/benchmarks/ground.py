"""The ground all queue benchmarks stand on: one durable PostgreSQL, fresh databases, turns in turn."""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from platform_cli.local import postgres
from tests.benchmarks import processes
from tests.benchmarks.settings import Name, installed
from tests.support.databases import Databases

PEERS: tuple[Name, ...] = ("pgqueuer", "procrastinate")
LEFT: dict[Name, str] = {
    "ours": "SELECT count(*) FROM jobs.job",
    "pgqueuer": "SELECT count(*) FROM pgqueuer",
    "procrastinate": "SELECT count(*) FROM procrastinate_jobs",
    "plain": "SELECT count(*) FROM plain_job",
}
SHOWN = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "autovacuum",
    "max_connections",
)
COMMIT = "SELECT pg_logical_emit_message(true, 'benchmark', 'a small durable commit')"
COMMITS = 20
QUIET_FACTOR = 1.5
QUIET_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. `future` are the backlogs, smallest first; `quiet_s` bounds each wait."""

    rounds: int = 3
    drained: int = 100_000
    enqueued_singly: int = 2_000
    enqueued_at_once: tuple[int, ...] = (10_000, 100_000)
    future: tuple[int, ...] = (1_000, 100_000, 1_000_000)
    future_large: int = 0
    due: int = 20_000
    picked_up: int = 200
    crashed: int = 20_000
    bloated: int = 50_000
    knocked: int = 6_000
    quiet_s: float = 10.0


FULL = Scale()
QUICK = Scale(
    rounds=1,
    drained=20_000,
    enqueued_singly=300,
    enqueued_at_once=(2_000,),
    future=(1_000, 20_000),
    due=5_000,
    picked_up=40,
    crashed=5_000,
    bloated=5_000,
    knocked=1_500,
    quiet_s=2.0,
)


@dataclass(frozen=True, slots=True)
class Place:
    """A fresh database of one side. `dsn` is what its workers log in with."""

    ground: Ground
    side: Name
    dsn: str
    admin_dsn: str

    def fill(self, jobs: int, *, later_s: float = 0.0) -> None:
        """Jobs, by the side's own bulk enqueue."""
        processes.run(self.side, "fill", self.dsn, jobs=jobs, later_s=later_s)

    def race(self, jobs: int, *, workers: int = 1) -> processes.Race:
        """Drain the due ones from a vacuumed table on a quiet disk.

        Raises: SystemExit when jobs are missing, doubled or left behind.
        """
        self.ground.settle(self.admin_dsn)
        waiting = self.left() - jobs
        raced = processes.race(
            self.side, self.dsn, jobs=jobs, workers=workers, postmaster=self.ground.postmaster
        )
        if self.left() != waiting:
            raise SystemExit(f"{self.side} left {self.left() - waiting} jobs behind")
        return raced

    def left(self) -> int:
        """How many jobs are in its table."""
        with psycopg.connect(self.admin_dsn, autocommit=True) as admin:
            row = admin.execute(LEFT[self.side].encode()).fetchone()
        assert row is not None
        return int(row[0])


@dataclass(slots=True)
class Ground:
    """One running server and who is measured on it."""

    cluster: postgres.Cluster
    databases: Databases
    peers: tuple[Name, ...]
    scale: Scale
    narrate: Callable[[str], object] = lambda _line: None
    commit_s: float = field(init=False)
    _usual_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.commit_s = min(self._commit_s() for _ in range(5))
        self._usual_s = self.commit_s

    @property
    def postmaster(self) -> int:
        """The process all of the server descends from."""
        file = self.cluster.folder / "data" / "postmaster.pid"
        return int(file.read_text(encoding="ascii").splitlines()[0])

    def sides(self, *wanted: Name) -> tuple[Name, ...]:
        """Those of the wanted that take part."""
        return tuple(side for side in wanted if side not in PEERS or side in self.peers)

    def turns(self, sides: Sequence[Name]) -> Iterator[Name]:
        """Each side once a round; every round begins with another one."""
        for number in range(self.scale.rounds):
            first = number % len(sides)
            for side in (*sides[first:], *sides[:first]):
                self.narrate(f"round {number + 1} of {self.scale.rounds}: {side}")
                yield side

    @contextmanager
    def place(self, side: Name) -> Iterator[Place]:
        """A database of its own with the side's schema, gone afterwards."""
        if side == "ours":
            with self.databases.tenant() as db:
                yield Place(self, side, db.dsn, db.admin_dsn)
            return
        name = f"{side}_{secrets.token_hex(4)}"
        with psycopg.connect(self.cluster.admin_dsn, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            try:
                dsn = self.cluster.dsn(name)
                processes.run(side, "install", dsn)
                yield Place(self, side, dsn, dsn)
            finally:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def settle(self, admin_dsn: str) -> None:
        """Vacuum, checkpoint, and wait a while for commits to cost no more than they did at the beginning."""
        with psycopg.connect(admin_dsn, autocommit=True) as admin:
            admin.execute("VACUUM ANALYZE")
            admin.execute("CHECKPOINT")
        ends_s = time.monotonic() + self.scale.quiet_s
        while (now_s := self._commit_s()) > QUIET_FACTOR * self._usual_s:
            if time.monotonic() > ends_s:
                self._usual_s = now_s  # it will not become better: do not wait for that each time
                return
            time.sleep(QUIET_PAUSE_S)

    def _commit_s(self) -> float:
        times_s = []
        with psycopg.connect(self.cluster.admin_dsn, autocommit=True) as admin:
            for _ in range(COMMITS):
                began_s = time.perf_counter()
                admin.execute(COMMIT)
                times_s.append(time.perf_counter() - began_s)
        return statistics.median(times_s)


@contextmanager
def opened(scale: Scale, *, peers: bool = True, narrate: Callable[[str], object]) -> Iterator[Ground]:
    """A new embedded server, as `platform_cli.local.postgres` sets it, durable; gone afterwards.

    Raises: SystemExit when peers are wanted and not installed.
    """
    absent = [side for side in PEERS if not installed(side)] if peers else []
    if absent:
        raise SystemExit(f"{', '.join(absent)} not installed: run `make bench`, or pass --without-peers")
    with tempfile.TemporaryDirectory() as folder:
        cluster_folder = Path(folder) / "cluster"
        try:
            with postgres.running(cluster_folder) as cluster:
                taking_part = PEERS if peers else ()
                yield Ground(cluster, Databases(cluster), taking_part, scale, narrate)
        finally:
            with contextlib.suppress(OSError):
                postgres.destroy(cluster_folder)


def server_settings(ground: Ground) -> dict[str, str]:
    """What the server itself says."""
    with psycopg.connect(ground.cluster.admin_dsn, autocommit=True) as admin:
        rows = admin.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY (%s)", (list(SHOWN),)
        ).fetchall()
    found = {str(name): str(value) for name, value in rows}
    return {name: found[name] for name in SHOWN}


def machine(ground: Ground) -> dict[str, str]:
    """What it ran on."""
    cpu = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [line for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    kib = int(memory[0].split()[1]) if memory else 0
    model = cpu[0].partition(":")[2].strip() if cpu else platform.machine()
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "memory": f"{kib / 2**20:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "a small durable commit": f"{ground.commit_s * 1000:.2f} ms",
    }


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []
