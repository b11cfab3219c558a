"""One process of one side. It says when it is ready, waits to be released, works, and reports in JSON.

python -m tests.benchmarks.worker       orders on the first line of stdin, the release on the second
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import statistics
import sys
import time
from contextlib import AbstractContextManager
from io import FileIO
from typing import Any, Protocol, cast

from tests.benchmarks.payload import Ran, WrittenRan

FILL_CHUNK = 10_000
CLAIMS_LOOKED_AT = 40


class Enqueuer(Protocol):
    """What puts jobs in."""

    def singly(self, jobs: int, pause_s: float) -> list[float]:
        """One commit each; when each call began, by the monotonic clock."""
        ...

    def at_once(self, jobs: int, later_s: float) -> None:
        """All in one commit, due that much later."""
        ...


class Side(Protocol):
    """What each module in `sides` offers."""

    def install(self, dsn: str) -> None:
        """Make its schema in an empty database."""
        ...

    def open_queue(self, dsn: str) -> AbstractContextManager[Enqueuer]:
        """A connection that puts jobs in."""
        ...

    def drain(self, dsn: str, ran: Ran) -> None:
        """Work until the queue is empty."""
        ...

    def listen(self, dsn: str, ran: Ran) -> None:
        """Work for ever, woken by each new job."""
        ...


class Leased(Protocol):
    """What ours offers beside that."""

    def listen(self, dsn: str, ran: Ran, lease_s: float) -> None:
        """As `Side.listen`, under a lease of that length."""
        ...


def load(name: str) -> Side:
    """A side's module; only the worker of that side imports its packages."""
    return cast("Side", importlib.import_module(f"tests.benchmarks.sides.{name}"))


def main() -> None:
    """One order."""
    orders = json.loads(sys.stdin.readline())
    side, task, dsn = load(orders.pop("side")), orders.pop("task"), orders.pop("dsn")
    TASKS[task](side, dsn, orders)


def _released() -> None:
    _say({"ready": True})
    if not sys.stdin.readline():
        raise SystemExit("Nobody released this worker")


def _say(said: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _install(side: Side, dsn: str, _orders: dict[str, Any]) -> None:
    _released()
    side.install(dsn)
    _say({})


def _fill(side: Side, dsn: str, orders: dict[str, Any]) -> None:
    _released()
    with side.open_queue(dsn) as queue:
        for first in range(0, orders["jobs"], FILL_CHUNK):
            queue.at_once(min(FILL_CHUNK, orders["jobs"] - first), orders["later_s"])
    _say({})


def _drain(side: Side, dsn: str, orders: dict[str, Any]) -> None:
    ran = Ran(orders["expected"])
    _released()
    before_s = _cpu_s()
    side.drain(dsn, ran)
    waits_s = ran.longest_waits_s(CLAIMS_LOOKED_AT)
    _say(
        {
            "ran": len(ran.times_s),
            "last_s": ran.times_s[-1] if ran.times_s else 0.0,
            "cpu_s": _cpu_s() - before_s,
            "wait_s": statistics.median(waits_s) if waits_s else 0.0,
        }
    )


def _listen(side: Side, dsn: str, orders: dict[str, Any]) -> None:
    """Says when each job began, and ends, when the last expected one came."""

    def full(ran: Ran) -> None:
        _say({"times_s": ran.times_s})
        os._exit(0)

    _released()
    side.listen(dsn, Ran(orders["expected"], full))


def _enqueue(side: Side, dsn: str, orders: dict[str, Any]) -> None:
    with side.open_queue(dsn) as queue:
        queue.singly(orders["warm_up"], 0.0)
        _released()
        before_s, began_s = _cpu_s(), time.monotonic()
        called_s: list[float] = []
        if orders["singly"]:
            called_s = queue.singly(orders["jobs"], orders["pause_s"])
        else:
            queue.at_once(orders["jobs"], 0.0)
        _say({"elapsed_s": time.monotonic() - began_s, "cpu_s": _cpu_s() - before_s, "called_s": called_s})


def _crash(side: Side, dsn: str, orders: dict[str, Any]) -> None:
    """A worker with a short lease, each run written down at once."""
    with FileIO(orders["path"], "a") as file:
        _released()
        cast("Leased", side).listen(dsn, WrittenRan(file), orders["lease_s"])


TASKS = {
    "install": _install,
    "fill": _fill,
    "drain": _drain,
    "listen": _listen,
    "enqueue": _enqueue,
    "crash": _crash,
}

if __name__ == "__main__":
    main()
