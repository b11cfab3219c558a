"""The door's log: one line an outcome, and no flood of lines when a stranger sends a flood of requests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from platform_core.observability.logs import get_logger

if TYPE_CHECKING:  # only the type checker reads these names
    from structlog.typing import FilteringBoundLogger

LINES_A_SECOND = 10


class Journal:
    """Writes lines; of one kind at most ten a second, the next one says how many were left out."""

    def __init__(self) -> None:
        self._log: FilteringBoundLogger = get_logger("ingest")
        self._written: dict[tuple[str, ...], tuple[int, int, int]] = {}

    @property
    def log(self) -> FilteringBoundLogger:
        """For lines that only our own acts cause."""
        return self._log

    def refused(self, **facts: object) -> None:
        """A request was answered 4xx. Nothing a stranger wrote is among the facts."""
        left_out = self._left_out("refused", facts)
        if left_out is not None:
            self._log.warning("webhook.refused", **facts, **left_out)

    def not_stored(self, error: Exception | None = None, **facts: object) -> None:
        """A delivery was answered 5xx: the provider sends it again."""
        left_out = self._left_out("not_stored", facts)
        if left_out is not None:
            self._log.error("webhook.not_stored", **facts, **left_out, exc_info=error)

    def _left_out(self, kind: str, facts: dict[str, object]) -> dict[str, object] | None:
        """None when this line is one too many; else how many before it were."""
        key = (kind, *(str(facts.get(name, "")) for name in ("tenant", "endpoint", "reason", "code")))
        second = int(time.monotonic())
        at, written, skipped = self._written.get(key, (second, 0, 0))
        if at == second and written >= LINES_A_SECOND:
            self._written[key] = (at, written, skipped + 1)
            return None
        self._written[key] = (second, written + 1 if at == second else 1, 0)
        return {"left_out": skipped} if skipped else {}
