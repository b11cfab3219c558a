"""How long an idle, listening worker takes from the call of enqueue to the start of the handler."""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict

from tests.benchmarks import alone, processes
from tests.benchmarks.ground import Ground, Place
from tests.benchmarks.report import Goal, Section, Table, spread
from tests.benchmarks.settings import TITLES, Name

MOST_P99_MS = 8.0
PAUSE_S = 0.025
WARM_UP = 10
LISTENING_S = 1.5  # after its release a worker connects, looks at its tables and begins to listen


def measure(ground: Ground) -> Section:
    """Each side in a fresh database; one job at a time, with a pause after each."""
    p50_ms: dict[Name, list[float]] = defaultdict(list)
    p99_ms: dict[Name, list[float]] = defaultdict(list)
    sides = ground.sides("ours", "pgqueuer", "procrastinate")
    for side in ground.turns(sides):
        with ground.place(side) as place:
            waited_ms = _latencies_ms(place, ground.scale.picked_up)
        p50_ms[side].append(statistics.median(waited_ms))
        p99_ms[side].append(statistics.quantiles(waited_ms, n=100, method="inclusive")[98])
    rows = tuple((TITLES[side], spread(p50_ms[side], 1), spread(p99_ms[side], 1)) for side in sides)
    goal = Goal(
        "pickup, p99: ours", statistics.median(p99_ms["ours"]), most=MOST_P99_MS, unit=" ms", digits=1
    )
    return Section("pickup", "Pickup when idle", Table(("side", "p50, ms", "p99, ms"), rows), (goal,))


def _latencies_ms(place: Place, jobs: int) -> list[float]:
    place.ground.settle(place.admin_dsn)
    with processes.worker(place.side, "listen", place.dsn, expected=jobs + WARM_UP) as worker:
        worker.release()
        time.sleep(LISTENING_S)
        called = processes.run(
            place.side,
            "enqueue",
            place.dsn,
            jobs=jobs + WARM_UP,
            singly=True,
            pause_s=PAUSE_S,
            warm_up=0,
        )
        began_s: list[float] = worker.report()["times_s"]
    pairs = zip(called["called_s"], began_s, strict=True)
    return [(began - call) * 1000 for call, began in pairs][WARM_UP:]


if __name__ == "__main__":
    sys.exit(alone.main(measure))
