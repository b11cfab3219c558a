"""What was measured, as tables and goals, and how they become lines for a terminal and a page for people."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts. The first column names, the others are figures."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure, and the bound it should keep: `least` or `most`."""

    name: str
    measured: float
    least: float | None = None
    most: float | None = None
    unit: str = ""
    digits: int = 2

    @property
    def met(self) -> bool:
        """Whether it is within its bound."""
        enough = self.least is None or self.measured >= self.least
        return enough and (self.most is None or self.measured <= self.most)

    @property
    def bound(self) -> str:
        """The goal in words."""
        if self.least is not None:
            return f"at least {self.least:g}{self.unit}"
        return f"at most {self.most:g}{self.unit}"

    @property
    def verdict(self) -> str:
        """Met, or by how much not."""
        if self.met:
            return "met"
        bound = self.least if self.least is not None else self.most
        if not bound:
            return "missed"
        return f"missed by {abs(self.measured - bound) / bound:.0%}"

    @property
    def row(self) -> tuple[str, ...]:
        """For the table of goals."""
        return (self.name, self.bound, f"{self.measured:,.{self.digits}f}{self.unit}", self.verdict)


@dataclass(frozen=True, slots=True)
class Section:
    """One benchmark's outcome. `name` is its mark on the page."""

    name: str
    title: str
    table: Table
    goals: tuple[Goal, ...] = ()


def spread(values: Iterable[float], digits: int = 0) -> str:
    """The median, and from where to where."""
    found = sorted(values)
    middle = f"{statistics.median(found):,.{digits}f}"
    return f"{middle} ({found[0]:,.{digits}f}..{found[-1]:,.{digits}f})" if len(found) > 1 else middle


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios, round by round: what was measured at nearly the same time."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


def goals_table(goals: Iterable[Goal]) -> Table:
    """All goals in one table."""
    return Table(("goal", "bound", "measured", "verdict"), tuple(goal.row for goal in goals))


def facts_table(head: str, facts: dict[str, str]) -> Table:
    """Names and values."""
    return Table((head, "value"), tuple(facts.items()))


def as_text(table: Table) -> str:
    """Aligned columns, for a terminal."""
    lines = (table.heads, *table.rows)
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.heads))]
    return "".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        + "\n"
        for line in lines
    )


def as_markdown(table: Table) -> str:
    """A table of a page."""
    rule = tuple("---" for _ in table.heads)
    return "".join(f"| {' | '.join(line)} |\n" for line in (table.heads, rule, *table.rows))


def filled(page: str, tables: dict[str, Table]) -> str:
    """The page with every measured block replaced. Raises: ValueError when blocks and tables differ."""
    block = re.compile(r"<!-- measured: ([a-z-]+) -->\n.*?<!-- end -->\n", re.DOTALL)
    wanted = block.findall(page)
    if sorted(wanted) != sorted(tables):
        raise ValueError(f"The page has blocks {sorted(wanted)}, the run measured {sorted(tables)}")

    def fill(found: re.Match[str]) -> str:
        return f"<!-- measured: {found[1]} -->\n\n{as_markdown(tables[found[1]])}\n<!-- end -->\n"

    return block.sub(fill, page)
