"""All queue benchmarks on one ground, and the page they write: docs/reference/benchmarks.md.

The page's prose is written by people; only what stands between its marks is replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks import backlog, bloat, crash, door, drain, enqueue, pickup
from tests.benchmarks.ground import Ground, machine, server_settings
from tests.benchmarks.report import Section, Table, facts_table, filled, goals_table
from tests.benchmarks.settings import SETTINGS, TITLES, versions

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "benchmarks.md"
MEASURES = (
    drain.measure,
    enqueue.measure,
    backlog.measure,
    pickup.measure,
    crash.measure,
    bloat.measure,
    door.measure,
)


def tables(ground: Ground, sections: Sequence[Section]) -> dict[str, Table]:
    """Every block of the page by its name."""
    facts = {"measured on": datetime.now(UTC).date().isoformat(), **machine(ground)}
    goals = [goal for section in sections for goal in section.goals]
    return {
        "machine": facts_table("machine", facts),
        "server": facts_table("PostgreSQL", server_settings(ground)),
        "versions": Table(("side", "packages"), tuple((TITLES[side], versions(side)) for side in TITLES)),
        "settings": settings_table(),
        "goals": goals_table(goals),
        **{section.name: section.table for section in sections},
    }


def settings_table() -> Table:
    """The one table of settings, as rows."""
    rows = tuple((TITLES[one.side], one.what, one.value, one.why) for one in SETTINGS)
    return Table(("side", "setting", "value", "why"), rows)


def write(path: Path, found: dict[str, Table]) -> None:
    """Bring the page up to date, by the prose of the one in the repository."""
    path.write_text(filled(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
