"""How the YCloud stand-in may misbehave: the answers of any provider, and the reports it sends by itself."""

from __future__ import annotations

from dataclasses import dataclass

from platform_cli.local.scenarios import Answer, Delay, Drop, Refuse, Scenario

__all__ = ["Answer", "Delay", "Drop", "Refuse", "ReportPlan", "Scenario"]


@dataclass(frozen=True, slots=True)
class ReportPlan:
    """Which reports follow an accepted message by themselves.

    `drop` are statuses that never arrive, `backwards` sends the last one first, `copies` repeats each.
    """

    statuses: tuple[str, ...] = ()
    drop: frozenset[str] = frozenset()
    backwards: bool = False
    copies: int = 1

    def order(self) -> tuple[str, ...]:
        """The statuses as they will be sent."""
        kept = tuple(status for status in self.statuses if status not in self.drop)
        return kept[::-1] if self.backwards else kept
