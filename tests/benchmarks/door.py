"""The always-on door under load, beside what could do without it, turn by turn on one durable PostgreSQL.

Beside ours, on the same server: a Starlette application that reads a body and only answers, one that inserts
each body by itself on as many connections as help it most, and a bare ASGI function that only answers. The
generator is a process of its own and every answer is counted.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks import alone
from tests.benchmarks.ground import Ground, Scale
from tests.benchmarks.report import Goal, Section, Table, ratio, spread
from tests.connectors.ycloud.deliveries import SECRET
from tests.support.databases import Databases, TenantDatabase
from tests.support.doorstep import REPOSITORY, DoorProcess, door_password, door_process, tell
from tests.support.load import Load, Order, outcome, send, start
from tests.support.written_flows import until

GOAL_RATE = 2000
GOAL_SHARE = 0.40
GOAL_P99_MS = 50.0
GOAL_MB = 120.0
PACE_S = 500
CONNECTIONS = 128
LAST_LOAD = 24_000
"""More than it can take before it is killed."""
UNDER_WAY = 8 * CONNECTIONS
"""So many are stored: a connection sends its next only once its last is answered, so most of them were."""
_UNDER_WAY = f"SELECT 1 FROM inbox.event WHERE event_id LIKE 'killed\\_%' OFFSET {UNDER_WAY} LIMIT 1"

BARE_TABLE = "CREATE TABLE public.bare (body bytea NOT NULL)"
TITLES = {
    "ours": "ours: verified, stored, answered",
    "starlette": "Starlette, only answers",
    "insert": "Starlette, one INSERT a request",
    "bare": "bare ASGI, only answers",
}
KINDS = tuple(TITLES)


@dataclass(slots=True)
class Figures:
    """Loads by kind, and what ours used of the machine."""

    loads: dict[str, list[Load]]
    paced: list[Load] = field(default_factory=list)
    processor_us: list[float] = field(default_factory=list)
    resident_mb: float = 0.0
    lost: int = 0


@contextmanager
def other_server(kind: str, dsn: str) -> Iterator[int]:
    """One of the others, in a process of its own; its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.door_others", kind, dsn],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _load(databases: Databases, folder: Path, kinds: Sequence[str], scale: Scale) -> Figures:
    """A block of each in turns, then ours paced."""
    found = Figures({kind: [] for kind in kinds})
    count, rounds = scale.knocked, scale.rounds
    with databases.tenant() as tenant, ExitStack() as stack:
        with tenant.admin() as admin:
            admin.execute(BARE_TABLE)
        tell(folder, tenant)
        door = stack.enter_context(door_process(folder, door_password(databases), "--rate-s", "1000000"))
        ports = {"ours": door.port}
        for kind in kinds[1:]:
            ports[kind] = stack.enter_context(other_server(kind, tenant.admin_dsn))
        for kind in kinds:
            _send(tenant, ports[kind], f"warm_{kind}_", count // 10)
        for turn in range(rounds):
            for kind in kinds:
                before = door.processor_s()
                share = count // 2 if kind == "insert" else count
                load = _send(tenant, ports[kind], f"{kind}_{turn}_", share)
                found.loads[kind].append(load)
                if kind == "ours":
                    found.processor_us.append((door.processor_s() - before) / share * 1e6)
        for turn in range(rounds):
            found.paced.append(_send(tenant, door.port, f"paced_{turn}_", PACE_S * 4, rate_s=PACE_S))
        found.resident_mb = door.resident_mb()
        found.lost = _lost(tenant, [*found.loads["ours"], *found.paced, _kill(door, tenant)])
    return found


def _send(tenant: TenantDatabase, port: int, prefix: str, count: int, rate_s: float = 0.0) -> Load:
    path = f"/api/r/{tenant.slug}/ycloud/inbound"
    load = send(Order(port, path, SECRET, prefix, count, CONNECTIONS, rate_s))
    if load.answers != {"200": count}:
        raise SystemExit(f"Not every request of {prefix} was answered 200: {load.answers}, {load.lost} lost")
    return load


def _lost(tenant: TenantDatabase, loads: list[Load]) -> int:
    """How many were answered 200 and are not in the inbox."""
    answered = {event_id for load in loads for event_id in load.stored}
    with tenant.admin() as admin:
        kept = {event_id for (event_id,) in admin.execute("SELECT event_id FROM inbox.event").fetchall()}
    return len(answered - kept)


def _kill(door: DoorProcess, tenant: TenantDatabase) -> Load:
    """SIGKILL in the middle of a full load: after answers to some of it, before answers to the rest."""
    path = f"/api/r/{tenant.slug}/ycloud/inbound"
    loading = start(Order(door.port, path, SECRET, "killed_", LAST_LOAD, CONNECTIONS))
    with tenant.admin() as admin:
        until(lambda: admin.execute(_UNDER_WAY).fetchone(), "the last load is under way")
    door.process.kill()
    load = outcome(loading)
    if load.answers.get("200") in (None, LAST_LOAD):
        raise SystemExit(
            f"The door was not killed in the middle of its load: {load.answers}, {load.lost} lost"
        )
    return load


def measure(ground: Ground) -> Section:
    """The door and the others, on the server of the queue's benchmarks."""
    kinds = KINDS if ground.peers else ("ours", "bare")  # Starlette comes with the peers
    with tempfile.TemporaryDirectory() as name:
        found = _load(ground.databases, Path(name) / "ingest", kinds, ground.scale)
    rates = {kind: [load.rate_s for load in loads] for kind, loads in found.loads.items()}
    rows = tuple(
        (
            TITLES[kind],
            spread(rates[kind]),
            spread((load.p50_ms for load in loads), 1),
            spread((load.p99_ms for load in loads), 1),
        )
        for kind, loads in found.loads.items()
    )
    paced = [load.p99_ms for load in found.paced]
    facts = (
        (
            f"ours, paced at {PACE_S} a second",
            spread(load.rate_s for load in found.paced),
            "",
            spread(paced, 1),
        ),
        ("ours, processor time, us a webhook", spread(found.processor_us), "", ""),
        ("ours, most memory, MB", f"{found.resident_mb:.0f}", "", ""),
    )
    shares = [ratio(rates["ours"], rates["starlette"])] if ground.peers else []
    goals = (
        Goal("door: webhooks a second", statistics.median(rates["ours"]), least=GOAL_RATE, digits=0),
        *(Goal("door: ours / Starlette that only answers", share, least=GOAL_SHARE) for share in shares),
        Goal(
            f"door: p99 at {PACE_S} a second",
            statistics.median(paced),
            most=GOAL_P99_MS,
            unit=" ms",
            digits=1,
        ),
        Goal("door: memory", found.resident_mb, most=GOAL_MB, unit=" MB", digits=0),
        Goal("door: answered 200 and not stored, killed in full load", found.lost, most=0, digits=0),
    )
    return Section(
        "door", "The door", Table(("side", "webhooks/s", "p50, ms", "p99, ms"), (*rows, *facts)), goals
    )


if __name__ == "__main__":
    sys.exit(alone.main(measure))
