"""The always-on door under load, beside what could do without it, turn by turn on one durable PostgreSQL.

Beside ours: an ASGI application on the same server that reads a body and only answers, and one that inserts
each body by itself, on as many connections as help it most. The generator is a process of its own and every
answer is counted.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from platform_cli.local import postgres
from tests.connectors.ycloud.deliveries import SECRET
from tests.support.databases import Databases, TenantDatabase
from tests.support.doorstep import REPOSITORY, DoorProcess, door_password, door_process, tell
from tests.support.load import Load, Order, send

GOAL_RATE = 2000
GOAL_SHARE = 0.40
GOAL_P99_MS = 50.0
GOAL_MB = 120.0
PACE_S = 500
CONNECTIONS = 128
BARE_TABLE = "CREATE TABLE public.bare (body bytea NOT NULL)"
KINDS = ("ours", "bare", "insert")


@dataclass(slots=True)
class Figures:
    """Loads by kind, and what ours used of the machine."""

    loads: dict[str, list[Load]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    paced: list[Load] = field(default_factory=list)
    processor_us: list[float] = field(default_factory=list)
    resident_mb: float = 0.0


@contextmanager
def other_server(kind: str, dsn: str) -> Iterator[int]:
    """One of the two others, in a process of its own; its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.door_others", kind, dsn],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def measure(databases: Databases, folder: Path, count: int, rounds: int) -> Figures:
    """A block of each in turns, then ours paced."""
    found = Figures()
    with databases.tenant() as tenant, ExitStack() as stack:
        with tenant.admin() as admin:
            admin.execute(BARE_TABLE)
        tell(folder, tenant)
        door = stack.enter_context(door_process(folder, door_password(databases), "--rate-s", "1000000"))
        ports = {"ours": door.port}
        for kind in ("bare", "insert"):
            ports[kind] = stack.enter_context(other_server(kind, tenant.admin_dsn))
        for kind in KINDS:
            _send(tenant, ports[kind], f"warm_{kind}_", count // 10)
        for turn in range(rounds):
            for kind in KINDS:
                before = door.processor_s()
                share = count // 2 if kind == "insert" else count
                load = _send(tenant, ports[kind], f"{kind}_{turn}_", share)
                found.loads[kind].append(load)
                if kind == "ours":
                    found.processor_us.append((door.processor_s() - before) / share * 1e6)
        for turn in range(rounds):
            found.paced.append(_send(tenant, door.port, f"paced_{turn}_", PACE_S * 4, rate_s=PACE_S))
        found.resident_mb = door.resident_mb()
        _check_nothing_lost(tenant, [*found.loads["ours"], *found.paced])
        _check_killed(door, tenant, count)
    return found


def _send(tenant: TenantDatabase, port: int, prefix: str, count: int, rate_s: float = 0.0) -> Load:
    path = f"/api/r/{tenant.slug}/ycloud/inbound"
    load = send(Order(port, path, SECRET, prefix, count, CONNECTIONS, rate_s))
    if load.answers != {"200": count}:
        raise SystemExit(f"Not every request of {prefix} was answered 200: {load.answers}, {load.lost} lost")
    return load


def _check_nothing_lost(tenant: TenantDatabase, loads: list[Load]) -> None:
    answered = {event_id for load in loads for event_id in load.stored}
    with tenant.admin() as admin:
        kept = {event_id for (event_id,) in admin.execute("SELECT event_id FROM inbox.event").fetchall()}
    if answered - kept:
        raise SystemExit(f"{len(answered - kept)} webhooks were answered 200 and are not in the inbox")


def _check_killed(door: DoorProcess, tenant: TenantDatabase, count: int) -> None:
    """SIGKILL in the middle of a full load: what was answered 200 is there."""
    killer = threading.Timer(0.5, door.process.kill)
    killer.start()
    path = f"/api/r/{tenant.slug}/ycloud/inbound"
    load = send(Order(door.port, path, SECRET, "killed_", count * 4, CONNECTIONS))
    killer.join()
    if load.answers.get("200") in (None, count * 4):
        raise SystemExit("The door was not killed in the middle of its load")
    _check_nothing_lost(tenant, [load])


def main(count: int = 6000, rounds: int = 4) -> int:
    """Measure turn by turn and print one line each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            with postgres.running(folder / "cluster") as cluster:
                found = measure(Databases(cluster), folder / "ingest", count, rounds)
        finally:
            with contextlib.suppress(OSError):
                postgres.destroy(folder / "cluster")
    return _report(found)


def _report(found: Figures) -> int:
    out = sys.stdout.write
    rates = {kind: statistics.median(load.rate_s for load in loads) for kind, loads in found.loads.items()}
    says = {"ours": "verify, store, answer", "bare": "only answer", "insert": "one INSERT each"}
    out(f"{CONNECTIONS} connections, fsync on, {os.cpu_count()} processors for everything\n")
    for kind, loads in found.loads.items():
        p50, p99 = (statistics.median(getattr(load, name) for load in loads) for name in ("p50_ms", "p99_ms"))
        out(f"{says[kind]:<24}{rates[kind]:>9,.0f} /s   p50 {p50:.1f} ms   p99 {p99:.1f} ms\n")
    share, paced = rates["ours"] / rates["bare"], statistics.median(load.p99_ms for load in found.paced)
    out(f"share of only answering {share:>9.0%}      (goal {GOAL_SHARE:.0%}; ours {GOAL_RATE:,} /s)\n")
    out(f"times one INSERT each   {rates['ours'] / rates['insert']:>9.1f}\n")
    out(f"p99 at {PACE_S} a second    {paced:>9.1f} ms   (goal {GOAL_P99_MS:g} ms)\n")
    out(f"processor of the door   {statistics.median(found.processor_us):>9.0f} us a webhook\n")
    out(f"memory of the door      {found.resident_mb:>9.0f} MB   (goal {GOAL_MB:g} MB)\n")
    out("killed in full load: nothing that was answered 200 is missing\n")
    met = (
        rates["ours"] >= GOAL_RATE,
        share >= GOAL_SHARE,
        paced <= GOAL_P99_MS,
        found.resident_mb <= GOAL_MB,
    )
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
