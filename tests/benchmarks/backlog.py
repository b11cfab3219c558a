"""What a due job costs when very many wait for a later day: a claim must not walk over those.

The later jobs are put in first, the due ones behind them; one process drains the due ones. The pause between
batches is the median of the longest pauses between two jobs: there a worker settles and claims.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from contextlib import ExitStack

from tests.benchmarks import alone
from tests.benchmarks.ground import Ground, Place
from tests.benchmarks.processes import Race
from tests.benchmarks.report import Goal, Section, Table, spread
from tests.benchmarks.settings import TITLES, Name

LATER_S = 30 * 86400.0
MOST_GROWTH = 1.2

Races = dict[tuple[Name, int], list[Race]]


def measure(ground: Ground) -> Section:
    """One database a side, its backlog growing from size to size; at each size, rounds in turn.

    The largest one is for ours alone, once.
    """
    races: Races = defaultdict(list)
    sides = ground.sides("ours", "pgqueuer")
    scale = ground.scale
    with ExitStack() as stack:
        places = {side: stack.enter_context(ground.place(side)) for side in sides}
        waiting = dict.fromkeys(sides, 0)
        for future in scale.future:
            for side in sides:
                _grow(places[side], future - waiting[side], future)
                waiting[side] = future
            for side in ground.turns(sides):
                places[side].fill(scale.due)
                races[side, future].append(places[side].race(scale.due))
        if scale.future_large:
            _grow(places["ours"], scale.future_large - waiting["ours"], scale.future_large)
            places["ours"].fill(scale.due)
            races["ours", scale.future_large].append(places["ours"].race(scale.due))
    return Section("backlog", "Claim beside a backlog", _table(races), tuple(_goals(races, scale.future)))


def _grow(place: Place, jobs: int, future: int) -> None:
    place.ground.narrate(f"{place.side}: a backlog of {future:,}")
    place.fill(jobs, later_s=LATER_S)


def _table(races: Races) -> Table:
    rows = tuple(
        (
            TITLES[side],
            f"{future:,}",
            spread((race.job_us for race in found), 1),
            spread((race.wait_s * 1000 for race in found), 2),
            f"{_median_us(found) / _median_us(races[side, min(f for s, f in races if s == side)]):.2f}x",
        )
        for (side, future), found in sorted(
            races.items(), key=lambda item: (item[0][0] != "ours", item[0][1])
        )
    )
    return Table(("side", "jobs for later", "us a due job", "pause between batches, ms", "growth"), rows)


def _median_us(races: list[Race]) -> float:
    return statistics.median(race.job_us for race in races)


def _goals(races: Races, future: tuple[int, ...]) -> list[Goal]:
    first, last = future[0], future[-1]
    growth = _median_us(races["ours", last]) / _median_us(races["ours", first])
    return [Goal(f"claim: ours beside {last:,} / beside {first:,}", growth, most=MOST_GROWTH, unit="x")]


if __name__ == "__main__":
    sys.exit(alone.main(measure))
