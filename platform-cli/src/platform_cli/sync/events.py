"""What a deploy and a rollback tell while they run, one event after the other, for whoever shows progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from platform_cli.sync.items import Key


class Happened(StrEnum):
    """What an event is about."""

    LOCKED = "locked"
    """No other deploy of this scope can begin now."""
    RECORDED = "recorded"
    """The deploy is on record; from here on it can be rolled back."""
    WAVE = "wave"
    """A wave of writes begins; `says` is its name, `total` how many there are."""
    WRITTEN = "written"
    """One item is written; `says` is its verb."""
    FAILED = "failed"
    """One item could not be written, and why."""
    WAITING = "waiting"
    """The server works on something; `says` what, `total` on how many."""
    PUTTING_BACK = "putting_back"
    """What was written is being undone, and why."""
    LEFT = "left"
    """One item is left as it is, and why."""
    CHECKED = "checked"
    """What is live was read back; `says` how it compares."""
    NOTED = "noted"
    """Something worth knowing that stops nothing."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `done` of `total` are counted over the whole of what was announced."""

    happened: Happened
    key: Key | None = None
    says: str = ""
    done: int = 0
    total: int = 0


Say: TypeAlias = Callable[[Event], None]


def silent(_: Event) -> None:
    """Tell nobody."""
