"""How long a failed job waits. The wait itself is drawn in PostgreSQL, by its clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubles from `base_s` to `cap_s`; each wait is drawn between half of that and all of it.

    The jitter keeps jobs that failed together from coming back together.
    """

    base_s: float = 5.0
    cap_s: float = 3600.0

    def bounds_s(self, attempt: int) -> tuple[float, float]:
        """The shortest and longest wait after the attempt of that number, which starts at 1."""
        longest = min(self.cap_s, self.base_s * 2 ** min(attempt - 1, 30))
        return longest / 2, longest
