"""What a probe is, and what looking found: one fact each, expected beside seen.

The docstring of the function that looks says how it looks. It returns a JSON value; the fact holds exactly
when that equals `expected`. `NotLooked` says that this token or this build gives nothing to look at.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from platform_cli.instances.scratch import Scratch
from platform_cli.instances.server import Json

Look: TypeAlias = Callable[[Scratch], Awaitable[Json]]


class Verdict(StrEnum):
    """`differs`: wmctl would act on a belief that is not true here."""

    OK = "ok"
    DIFFERS = "differs"
    NOT_APPLICABLE = "not-applicable"


class Weight(StrEnum):
    """What a difference means."""

    RELIED_ON = "relied-on"
    """wmctl's behaviour depends on it: do not deploy to such a server before it was looked into."""
    FINDING = "finding"
    """A property of this instance that its owner should know; wmctl works either way."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One fact about a server. `name` is stable: `area.fact`; JSON output and the report use it."""

    name: str
    relies: str
    why: str
    how: str
    expected: Json
    look: Look = field(repr=False)
    weight: Weight = Weight.RELIED_ON

    @property
    def area(self) -> str:
        """What it is about, such as `scripts`."""
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one probe found. `seen` is what was there instead of, or beside, what was expected."""

    probe: Probe
    verdict: Verdict
    seen: Json
    took_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run. `left` names what could not be removed again; it is empty after a run that went well."""

    server_version: str
    workspace: str
    at: datetime
    took_s: float
    outcomes: tuple[Outcome, ...]
    left: tuple[str, ...] = ()

    @property
    def differing(self) -> list[Outcome]:
        """Facts that wmctl relies on and that are not so here."""
        return self._that(Verdict.DIFFERS, Weight.RELIED_ON)

    @property
    def findings(self) -> list[Outcome]:
        """What the owner of the instance should know."""
        return self._that(Verdict.DIFFERS, Weight.FINDING)

    @property
    def unlooked(self) -> list[Outcome]:
        """What this token or this build gave nothing to look at."""
        return [one for one in self.outcomes if one.verdict is Verdict.NOT_APPLICABLE]

    def _that(self, verdict: Verdict, weight: Weight) -> list[Outcome]:
        return [one for one in self.outcomes if one.verdict is verdict and one.probe.weight is weight]


class Catalogue:
    """The probes of one module, in the order in which they are written."""

    def __init__(self) -> None:
        """Empty; `probe` adds."""
        self.probes: list[Probe] = []

    def probe(
        self, name: str, *, relies: str, why: str, expected: Json, weight: Weight = Weight.RELIED_ON
    ) -> Callable[[Look], Look]:
        """Make a probe of the function below; its docstring says how it looks."""

        def add(look: Look) -> Look:
            how = " ".join((look.__doc__ or "").split())
            self.probes.append(Probe(name, relies, why, how, expected, look, weight))
            return look

        return add
