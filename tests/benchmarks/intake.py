"""Webhooks verified and stored per second in one process, beside a bare INSERT of the same bytes.

Both on one durable server, turn by turn. Ours verifies the signature and stores event and job in one commit
under a unique key; the bare one inserts the body into a table without an index.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from platform_cli.local import postgres
from platform_core.connectors import Authentic, load_connector
from platform_core.db import Tx
from platform_core.inbox.events import Delivery, receive
from tests.support.databases import Databases

SECRET = "whsec_platform_core_test"
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


def measure(databases: Databases, count: int, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each webhook, bare and ours, a block of each in turns."""
    ours_s: list[float] = []
    bare_s: list[float] = []
    with databases.tenant() as db, db.admin() as admin, db.connect() as connection:
        admin.execute(BARE_TABLE)
        for turn in range(rounds):
            events = bodies(turn * count, count)
            bare_s += [seconds(partial(admin.execute, BARE_INSERT, (body,))) for body in events]
            ours_s += [seconds(partial(store_ours, connection, body)) for body in events]
    return ours_s, bare_s


def seconds(deed: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    deed()
    return time.perf_counter() - began


def main(count: int = 500, rounds: int = 20) -> int:
    """Measure turn by turn and print one line each."""
    with tempfile.TemporaryDirectory() as folder:
        cluster_folder = Path(folder) / "cluster"
        try:
            with postgres.running(cluster_folder) as cluster:
                ours_s, bare_s = measure(Databases(cluster), count, rounds)
        finally:
            with contextlib.suppress(OSError):
                postgres.destroy(cluster_folder)
    rate, p99_ms = 1 / statistics.mean(ours_s), statistics.quantiles(ours_s, n=100)[98] * 1000
    ratio = statistics.median(ours_s) / statistics.median(bare_s)
    out = sys.stdout.write
    out(f"verify and store        {rate:>9,.0f} /s   p50 {statistics.median(ours_s) * 1000:.2f} ms")
    out(f"   p99 {p99_ms:.2f} ms   (goals {GOAL_RATE} /s, {GOAL_P99_MS} ms)\n")
    out(f"bare INSERT             {1 / statistics.mean(bare_s):>9,.0f} /s\n")
    out(f"ratio of medians        {ratio:>9.2f}   (time ours / bare, {len(ours_s):,} pairs)\n")
    return 0 if rate >= GOAL_RATE and p99_ms <= GOAL_P99_MS else 1


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
