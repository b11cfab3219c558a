"""How the stand-in may misbehave: each value describes the answer to one request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refuse:
    """An error in YCloud's envelope. `meta_code` is Meta's code beside YCloud's own."""

    status: int
    code: str
    meta_code: str = ""
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Delay:
    """Do it, and answer only after `seconds`: beyond the caller's timeout the outcome is unknown to it."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection without an answer, after doing it or before; `reset` closes it rudely."""

    after_accepting: bool = True
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer exactly this. `truncate` promises more bytes than it sends; `accept` does the deed first."""

    status: int
    body: bytes
    content_type: str = "application/json"
    truncate: bool = False
    accept: bool = False


Scenario = Refuse | Delay | Drop | Answer


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
