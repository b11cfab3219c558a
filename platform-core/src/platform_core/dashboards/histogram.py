"""Percentiles from counts by bucket: a year of durations in a few hundred small numbers. Pure.

Bucket b holds durations from 2^(b/4) up to 2^((b+1)/4) milliseconds, so whatever is read from it is at most a
fifth away from what was measured. `recount.sql` sorts durations into the same buckets.
"""

from __future__ import annotations

from collections.abc import Mapping

PER_DOUBLING = 4
LAST = 119


def lower_ms(bucket: int) -> float:
    """Where a bucket begins; the first one holds everything below a millisecond too."""
    return float(2 ** (bucket / PER_DOUBLING))


def percentile_ms(counts: Mapping[int, int], percent: int) -> float | None:
    """The duration that `percent` of all did not exceed, by nearest rank; None when nothing was measured."""
    total = sum(counts.values())
    if total == 0:
        return None
    rank = max(1, -(-total * percent // 100))
    seen = 0
    for bucket, count in sorted(counts.items()):
        if seen + count >= rank:
            # Inside a bucket they are taken as evenly spread on its own scale.
            share = (rank - seen - 0.5) / count
            return lower_ms(bucket) * float(2 ** (share / PER_DOUBLING))
        seen += count
    raise AssertionError("the last bucket ends at the total")
