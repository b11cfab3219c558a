"""Jobs put in per second: one commit each, and many in one commit, by each side's own bulk call.

One process a measurement, connected before the clock starts. Payloads are equal; no job has a key.
"""

from __future__ import annotations

import sys
from collections import defaultdict

from tests.benchmarks import alone, processes
from tests.benchmarks.ground import Ground, Place
from tests.benchmarks.report import Goal, Section, Table, ratio, spread
from tests.benchmarks.settings import TITLES, Name

LEAST_SINGLE = 1.4
LEAST_BULK = 1.8
WARM_UP = 50

Rates = dict[tuple[Name, str], list[float]]


def measure(ground: Ground) -> Section:
    """Each side in a fresh database: singly first, then each size of bulk."""
    rates: Rates = defaultdict(list)
    sides = ground.sides("ours", "pgqueuer", "procrastinate")
    scale = ground.scale
    for side in ground.turns(sides):
        with ground.place(side) as place:
            rates[side, "single"].append(_rate(place, scale.enqueued_singly, singly=True))
            for jobs in scale.enqueued_at_once:
                rates[side, _bulk(jobs)].append(_rate(place, jobs, singly=False))
    ways = ("single", *(_bulk(jobs) for jobs in scale.enqueued_at_once))
    rows = tuple((TITLES[side], *(spread(rates[side, way]) for way in ways)) for side in sides)
    heads = ("side", *(f"{way}, jobs/s" for way in ways))
    return Section("enqueue", "Enqueue", Table(heads, rows), tuple(_goals(rates, ways, sides)))


def _bulk(jobs: int) -> str:
    return f"bulk of {jobs:,}"


def _rate(place: Place, jobs: int, *, singly: bool) -> float:
    place.ground.settle(place.admin_dsn)
    before = place.left()
    report = processes.run(
        place.side, "enqueue", place.dsn, jobs=jobs, singly=singly, pause_s=0.0, warm_up=WARM_UP
    )
    if place.left() - before != jobs + WARM_UP:
        raise SystemExit(f"{place.side} put in {place.left() - before - WARM_UP} of {jobs} jobs")
    return jobs / float(report["elapsed_s"])


def _goals(rates: Rates, ways: tuple[str, ...], sides: tuple[Name, ...]) -> list[Goal]:
    return [
        Goal(
            f"enqueue, {way}: ours / PgQueuer",
            ratio(rates["ours", way], rates["pgqueuer", way]),
            least=LEAST_SINGLE if way == "single" else LEAST_BULK,
            unit="x",
        )
        for way in ways
        if "pgqueuer" in sides
    ]


if __name__ == "__main__":
    sys.exit(alone.main(measure))
