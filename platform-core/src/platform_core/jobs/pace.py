"""How many jobs to claim at once: as many as end in about half a second, so that a crash reruns little."""

from __future__ import annotations

TARGET_S = 0.5
FIRST_BATCH = 10
SLOW_BATCH = 2  # one running, one ready
GROWTH = 4


class Pace:
    """Follows the speed of the last batches, upwards by steps and downwards at once."""

    def __init__(self, max_batch: int) -> None:
        self._max = max(1, max_batch)
        self.batch = min(FIRST_BATCH, self._max)

    def record(self, jobs: int, elapsed_s: float) -> None:
        """A batch of that many jobs took that long."""
        if jobs <= 0:
            return
        fitting = int(TARGET_S * jobs / max(elapsed_s, 1e-6))
        self.batch = min(self._max, max(SLOW_BATCH, min(fitting, self.batch * GROWTH)))
