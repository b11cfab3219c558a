"""Fill and drain four times while an old snapshot stays open, so that no dead row can be vacuumed away."""

from __future__ import annotations

import sys
from collections import defaultdict

import psycopg

from tests.benchmarks import alone
from tests.benchmarks.ground import Ground, Place
from tests.benchmarks.report import Goal, Section, Table, spread
from tests.benchmarks.settings import TITLES, Name

PASSES = 4
LEAST_KEPT_PCT = 75.0


def measure(ground: Ground) -> Section:
    """Each side in a fresh database."""
    rates: dict[Name, list[list[float]]] = defaultdict(list)
    sides = ground.sides("ours", "pgqueuer")
    for side in ground.turns(sides):
        with ground.place(side) as place:
            rates[side].append(_rates(place, ground.scale.bloated))
    kept = {side: [100 * found[-1] / found[0] for found in rates[side]] for side in sides}
    rows = tuple(
        (
            TITLES[side],
            *(spread(found[number] for found in rates[side]) for number in range(PASSES)),
            spread(kept[side]),
        )
        for side in sides
    )
    heads = ("side", *(f"pass {number + 1}, jobs/s" for number in range(PASSES)), "kept, %")
    middle = sorted(kept["ours"])[len(kept["ours"]) // 2]
    goal = Goal("bloat: ours keeps of its first rate", middle, least=LEAST_KEPT_PCT, unit=" %", digits=0)
    return Section("bloat", "Under an old snapshot", Table(heads, rows), (goal,))


def _rates(place: Place, jobs: int) -> list[float]:
    found = []
    with psycopg.connect(place.admin_dsn) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM pg_class")
        for _ in range(PASSES):
            place.fill(jobs)
            found.append(place.race(jobs).rate)
    return found


if __name__ == "__main__":
    sys.exit(alone.main(measure))
