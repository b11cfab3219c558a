"""What the door counts, and the text Prometheus reads it as.

A renderer of our own: the format is twenty lines, a library for it brings a registry, threads and more
memory. Label values are route names and our own words, never anything a stranger sent.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_Key = TypeVar("_Key", tuple[str], tuple[str, str], tuple[str, str, str])
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """How many observations were at most each bound, and their sum."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def lines(self, name: str) -> Iterator[str]:
        """As cumulative buckets."""
        seen = 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            seen += count
            yield f'{name}_bucket{{le="{bound}"}} {seen}'
        yield f"{name}_sum {self._total:.6f}"
        yield f"{name}_count {seen}"


class Metrics:
    """The counters of one process. `requests` by customer, endpoint and outcome; the rest by one word."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.refused_requests: Counter[str] = Counter()
        self.wakes: Counter[tuple[str, str]] = Counter()
        self.commits_failed: Counter[str] = Counter()
        self.received_bytes = 0
        self.latency_s = Histogram(LATENCY_S)
        self.batch = Histogram(BATCH)

    def render(self, gauges: Iterable[tuple[str, dict[str, str], float]]) -> bytes:
        """All of it, with what is true just now: (name, labels, value)."""
        lines = [
            *_counted("door_requests_total", "Deliveries by outcome.", self.requests,
                      ("customer", "endpoint", "outcome")),
            *_counted("door_refused_requests_total", "Requests that reached no endpoint, by reason.",
                      {(reason,): count for reason, count in self.refused_requests.items()}, ("reason",)),
            *_counted("door_wakes_total", "Runners asked for, by what came of it.", self.wakes,
                      ("customer", "outcome")),
            *_counted("door_commits_failed_total", "Commits that stored nothing.",
                      {(name,): count for name, count in self.commits_failed.items()}, ("customer",)),
            "# TYPE door_received_bytes_total counter",
            f"door_received_bytes_total {self.received_bytes}",
            "# HELP door_latency_seconds From the head of a delivery to its answer.",
            "# TYPE door_latency_seconds histogram",
            *self.latency_s.lines("door_latency_seconds"),
            "# HELP door_batch_deliveries Deliveries in one commit.",
            "# TYPE door_batch_deliveries histogram",
            *self.batch.lines("door_batch_deliveries"),
            *_gauges(gauges),
        ]  # fmt: skip
        return ("\n".join(lines) + "\n").encode()


def _counted(name: str, says: str, counts: Mapping[_Key, int], labels: Sequence[str]) -> Iterator[str]:
    yield f"# HELP {name} {says}"
    yield f"# TYPE {name} counter"
    for values, count in sorted(counts.items()):
        yield f"{name}{_labelled(dict(zip(labels, values, strict=True)))} {count}"


def _gauges(gauges: Iterable[tuple[str, dict[str, str], float]]) -> Iterator[str]:
    typed: set[str] = set()
    for name, labels, value in gauges:
        if name not in typed:
            yield f"# TYPE {name} gauge"
            typed.add(name)
        yield f"{name}{_labelled(labels)} {value:g}"


def _labelled(labels: dict[str, str]) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
