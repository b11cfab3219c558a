"""How a provider's stand-in may misbehave: each value describes the answer to one request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refuse:
    """An error in the provider's own envelope, with its own code in it.

    `meta_code` is Meta's code beside YCloud's; `retry_after` is written where the provider writes it.
    """

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
