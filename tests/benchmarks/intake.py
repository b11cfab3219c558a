"""Webhooks verified and stored per second in one process, beside a bare INSERT of the same bytes.

Both on one durable server, turn by turn. Ours verifies the signature and stores event and job in one commit
under a unique key; the bare one inserts the body into a table without an index.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from platform_cli.local import postgres
from platform_core.connectors import Authentic, load_connector
from platform_core.db import Tx
from platform_core.inbox.events import Delivery, receive
from tests.support.databases import Databases

SECRET = "whsec_platform_core_test"
CONNECTIONS = os.cpu_count() or 2
"""One thread and connection a processor."""

GOAL_RATE = 1000
GOAL_P99_MS = 10.0
BARE_TABLE = "CREATE TABLE public.bare (body bytea NOT NULL)"
BARE_INSERT = "INSERT INTO public.bare (body) VALUES (%b)"


def bodies(first: int, count: int) -> list[bytes]:
    """Delivery reports as YCloud sends them, about 400 bytes each."""
    return [
        json.dumps(
            {
                "id": f"evt_bench{number}",
                "type": "whatsapp.message.updated",
                "apiVersion": "v2",
                "createTime": "2026-01-02T03:04:05.000Z",
                "whatsappMessage": {
                    "id": f"{number:024x}",
                    "status": "delivered",
                    "wamid": "wamid." + "x" * 200,
                },
            }
        ).encode()
        for number in range(first, first + count)
    ]


def store_ours(connection: Tx, body: bytes) -> None:
    """One webhook through verification and the inbox."""
    now = datetime.now(UTC)
    stamp = int(now.timestamp())
    digest = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    headers = [("content-type", "application/json"), ("ycloud-signature", f"t={stamp},s={digest}")]
    verdict = CONNECTOR.verify(headers, body, secrets=[SECRET], now=now)
    if not isinstance(verdict, Authentic):
        raise SystemExit("The benchmark's own signature was refused")
    delivery = Delivery(
        "ycloud", "bench", verdict.event_id, verdict.event_type, body, headers, now, verdict.stale
    )
    if receive(connection, delivery).outcome != "stored":
        raise SystemExit("The benchmark's event was not new")


CONNECTOR = load_connector("ycloud")


@dataclass(slots=True)
class Figures:
    """Seconds of each webhook, by how it was stored; `elapsed_s` is that of all connections at once."""

    ours_s: list[float] = field(default_factory=list)
    bare_s: list[float] = field(default_factory=list)
    crowd_s: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0


def measure(databases: Databases, count: int, rounds: int) -> Figures:
    """A block of each in turns: bare, ours on one connection, ours on several as a door holds them."""
    found = Figures()
    with databases.tenant() as db, db.admin() as admin, ExitStack() as stack:
        crowd = [stack.enter_context(db.connect()) for _ in range(CONNECTIONS)]
        pool = stack.enter_context(ThreadPoolExecutor(CONNECTIONS))
        admin.execute(BARE_TABLE)
        for turn in range(rounds):
            events = bodies(2 * turn * count, 2 * count)
            alone, shared = events[:count], events[count:]
            found.bare_s += [seconds(partial(admin.execute, BARE_INSERT, (body,))) for body in alone]
            found.ours_s += [seconds(partial(store_ours, crowd[0], body)) for body in alone]
            began = time.perf_counter()
            shares = [shared[number::CONNECTIONS] for number in range(CONNECTIONS)]
            found.crowd_s += [one for times in pool.map(store_share, crowd, shares) for one in times]
            found.elapsed_s += time.perf_counter() - began
    return found


def store_share(connection: Tx, events: list[bytes]) -> list[float]:
    """One thread's part, on a connection of its own."""
    return [seconds(partial(store_ours, connection, body)) for body in events]


def seconds(deed: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    deed()
    return time.perf_counter() - began


def main(count: int = 500, rounds: int = 10) -> int:
    """Measure turn by turn and print one line each."""
    with tempfile.TemporaryDirectory() as folder:
        cluster_folder = Path(folder) / "cluster"
        try:
            with postgres.running(cluster_folder) as cluster:
                found = measure(Databases(cluster), count, rounds)
        finally:
            with contextlib.suppress(OSError):
                postgres.destroy(cluster_folder)
    rate, p99_ms = len(found.crowd_s) / found.elapsed_s, percentile_ms(found.crowd_s)
    out = sys.stdout.write
    out(f"verify and store        {rate:>9,.0f} /s   p99 {p99_ms:.2f} ms   {CONNECTIONS} connections")
    out(f"   (goals {GOAL_RATE:,} /s, {GOAL_P99_MS:g} ms)\n")
    alone, bare = statistics.mean(found.ours_s), statistics.mean(found.bare_s)
    out(f"  on one connection     {1 / alone:>9,.0f} /s   p99 {percentile_ms(found.ours_s):.2f} ms\n")
    out(f"bare INSERT             {1 / bare:>9,.0f} /s   on one connection\n")
    ratio = statistics.median(found.ours_s) / statistics.median(found.bare_s)
    out(f"ratio of medians        {ratio:>9.2f}   (time ours / bare, one connection each)\n")
    return 0 if rate >= GOAL_RATE and p99_ms <= GOAL_P99_MS else 1


def percentile_ms(times_s: list[float]) -> float:
    """The 99th percentile in milliseconds."""
    return statistics.quantiles(times_s, n=100)[98] * 1000


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
