"""SIGKILL in the middle of a drain: which jobs are lost, which run twice, and how long until all have run.

One worker drains, each run written down as it happens; when it is in the middle it is killed and a second
one, listening, takes over. What the first one held comes back when its lease has expired.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import alone, processes
from tests.benchmarks.ground import Ground, Place
from tests.benchmarks.payload import written_ids
from tests.benchmarks.report import Goal, Section, Table, spread
from tests.benchmarks.settings import BATCH

LEASE_S = 2.0
PATIENCE_S = 60.0
ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Wreck:
    """What became of the jobs. `held` is what the dead worker had claimed and not settled."""

    lost: int
    rerun: int
    held: int
    recovered_s: float


def measure(ground: Ground) -> Section:
    """Ours alone: the peers' documents promise nothing to compare with."""
    wrecks = []
    for side in ground.turns(ground.sides("ours")):
        with ground.place(side) as place, tempfile.TemporaryDirectory() as folder:
            place.fill(ground.scale.crashed)
            place.ground.settle(place.admin_dsn)
            wrecks.append(_crash(place, ground.scale.crashed, Path(folder)))
    rows = (
        ("jobs lost", spread(wreck.lost for wreck in wrecks)),
        ("jobs run twice", spread(wreck.rerun for wreck in wrecks)),
        ("jobs held at death", spread(wreck.held for wreck in wrecks)),
        (f"seconds to recover, lease {LEASE_S:g} s", spread((wreck.recovered_s for wreck in wrecks), 1)),
    )
    goals = (
        Goal("crash: jobs lost", max(wreck.lost for wreck in wrecks), most=0, digits=0),
        Goal("crash: jobs run twice", max(wreck.rerun for wreck in wrecks), most=BATCH, digits=0),
    )
    return Section("crash", "SIGKILL in the middle of a drain", Table(("what", "ours"), rows), goals)


def _crash(place: Place, jobs: int, folder: Path) -> Wreck:
    first, second = folder / "first", folder / "second"
    with (
        processes.worker("ours", "crash", place.dsn, path=str(second), lease_s=LEASE_S) as survivor,
        processes.worker("ours", "crash", place.dsn, path=str(first), lease_s=LEASE_S) as victim,
    ):
        victim.release()
        _wait(lambda: _size(first) >= jobs * ID_BYTES // 3)
        victim.kill()
        killed_s = time.monotonic()
        done = jobs - place.left()
        survivor.release()
        _wait(lambda: place.left() == 0)
        recovered_s = time.monotonic() - killed_s
        survivor.kill()
    ran, again = written_ids(first), written_ids(second)
    return Wreck(
        lost=jobs - len({*ran, *again}),
        rerun=len(ran) + len(again) - len({*ran, *again}),
        held=max(0, len(ran) - done),
        recovered_s=recovered_s,
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _wait(condition: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > ends_s:
            raise SystemExit(f"After {PATIENCE_S:g} s not every job has run")
        time.sleep(0.002)


if __name__ == "__main__":
    sys.exit(alone.main(measure))
