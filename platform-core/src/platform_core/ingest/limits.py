"""What one request, one connection, one endpoint and one customer may use of the door."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound of the door in one place.

    A request: `head_*` and `body_*`; a body also needs `body_min_bytes_s` on average once `body_grace_s` is
    over. A connection: `keep_alive_s` idle, `answer_s` until its answer is written. The process:
    `connections`, and `held_bytes` of bodies that are read or wait to be stored. A customer: `waiting`
    deliveries, `batch*` a commit, `store_s` for one. An endpoint: `rate_s` genuine deliveries a second and
    `burst` at once.
    """

    connections: int = 512
    head_bytes: int = 16 * 1024
    head_s: float = 5.0
    body_bytes: int = 1024 * 1024
    body_s: float = 15.0
    body_grace_s: float = 2.0
    body_min_bytes_s: int = 1024
    keep_alive_s: int = 30
    answer_s: float = 20.0
    held_bytes: int = 32 * 1024 * 1024
    waiting: int = 2000
    batch: int = 250
    batch_bytes: int = 4 * 1024 * 1024
    store_s: float = 5.0
    rate_s: float = 500.0
    burst: int = 1000
    drain_s: float = 0.5
    stop_s: int = 15


class TokenBucket:
    """So many a second, with a burst. Only what is proven genuine is charged: a forger cannot empty it."""

    __slots__ = ("_at_s", "_burst", "_left", "_rate_s")

    def __init__(self, rate_s: float, burst: int) -> None:
        self._rate_s, self._burst = rate_s, burst
        self._left = float(burst)
        self._at_s = time.monotonic()

    def take(self, now_s: float) -> bool:
        """Charge one; False when there is none left."""
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._rate_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
