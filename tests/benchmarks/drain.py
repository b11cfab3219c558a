"""Jobs drained per second by one and by two processes, and what each job costs the processors.

Every worker of every side is a process of its own. All are started, then released together; the rate is jobs
by seconds from the release to the last job's run. The processor time is that of the workers and of every
process of the server, until all have ended.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict

from tests.benchmarks import alone
from tests.benchmarks.ground import Ground
from tests.benchmarks.processes import Race
from tests.benchmarks.report import Goal, Section, Table, ratio, spread
from tests.benchmarks.settings import DIVISORS, TITLES, Name

WORKERS = (1, 2)
LEAST_OF_PGQUEUER = 3.0
LEAST_OF_PLAIN = 0.7

Races = dict[tuple[Name, int], list[Race]]


def measure(ground: Ground) -> Section:
    """Each side with one process and with two, a fresh database each time."""
    races: Races = defaultdict(list)
    sides = ground.sides("ours", "pgqueuer", "procrastinate", "plain")
    for side in ground.turns(sides):
        for workers in WORKERS:
            jobs = max(1, ground.scale.drained // DIVISORS[side])
            with ground.place(side) as place:
                place.fill(jobs)
                races[side, workers].append(place.race(jobs, workers=workers))
    return Section("drain", "Drain", _table(races, sides), tuple(_goals(races, sides)))


def _table(races: Races, sides: tuple[Name, ...]) -> Table:
    heads = ("side", "1 process, jobs/s", "2 processes, jobs/s", "CPU us/job: worker", "server")
    rows = []
    for side in sides:
        one, two = races[side, 1], races[side, 2]
        rows.append(
            (
                TITLES[side],
                spread(race.rate for race in one),
                spread(race.rate for race in two),
                f"{statistics.median(race.worker_us for race in one):,.1f}",
                f"{statistics.median(race.server_us for race in one):,.1f}",
            )
        )
    return Table(heads, tuple(rows))


def _goals(races: Races, sides: tuple[Name, ...]) -> list[Goal]:
    least: dict[Name, float] = {"pgqueuer": LEAST_OF_PGQUEUER, "plain": LEAST_OF_PLAIN}
    return [
        Goal(
            f"drain, {workers} process{'es' if workers > 1 else ''}: ours / {TITLES[side]}",
            ratio(
                [race.rate for race in races["ours", workers]], [race.rate for race in races[side, workers]]
            ),
            least=least[side],
            unit="x",
        )
        for side in sides
        if side in least
        for workers in WORKERS
    ]


if __name__ == "__main__":
    sys.exit(alone.main(measure))
