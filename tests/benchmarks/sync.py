"""`wmctl` beside the official command line: see what differs, deploy one script and many, pull everything.

Both keep the same items in step with one stand-in of Windmill on this machine, each as a process of its own;
ours first, then the official one, on what ours left there. Prints seconds and memory; `--page` writes them
into docs/reference/benchmarks-sync.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from platform_cli.local.windmill.workspace.standin import StandIn
from tests.benchmarks import sync_ground as ground
from tests.benchmarks.report import Goal, Section, Table, as_text, filled
from tests.benchmarks.sync_ground import CUSTOMER, QUICK, Ran, Scale

PAGE = ground.REPOSITORY / "docs/reference/benchmarks-sync.md"
MANY = "deploy of many"
GOALS_S = {
    "plan, nothing changed": 1.0,
    "deploy of one script": 0.6,
    MANY: 1.5,
    "pull of all": 3.0,
}
GOAL_MIB = 150.0


@dataclass(slots=True)
class Side:
    """What one program took: for each operation its runs."""

    name: str
    runs: dict[str, list[Ran]] = field(default_factory=dict)

    def note(self, operation: str, ran: Ran, *, codes: Sequence[int] = (0,)) -> None:
        """Keep a run that did what it was to do. Raises: RuntimeError with the end of what it said."""
        if ran.code not in codes:
            raise RuntimeError(f"{self.name}: {operation} ended with {ran.code}: {ran.said[-2000:]}")
        self.runs.setdefault(operation, []).append(ran)

    def median_s(self, operation: str) -> float:
        """Seconds of wall time."""
        return statistics.median(ran.wall_s for ran in self.runs[operation])

    def median_cpu_s(self, operation: str) -> float:
        """Seconds of processor time, with those of processes it began."""
        return statistics.median(ran.cpu_s for ran in self.runs[operation])

    @property
    def peak_mib(self) -> float:
        """The most memory that any of its processes had."""
        return max(ran.peak_mib for runs in self.runs.values() for ran in runs)


# --- Ours -------------------------------------------------------------------------------------------------


def measure_ours(server: StandIn, scale: Scale, home: Path) -> Side:
    """Deploy everything, look, change, deploy, pull into an empty folder."""
    side = Side("wmctl")
    root = home / "checkout"
    folder = ground.make_checkout(root)
    ground.fill_folder(folder, ground.make_tree(scale))

    def say(*arguments: str) -> Ran:
        return ground.run_wmctl(server, root, *arguments)

    side.note("first deploy of all", say("deploy", CUSTOMER, "--yes", "--force"))
    for _ in range(scale.rounds):
        side.note("plan, nothing changed", say("plan", CUSTOMER))
    for edition in range(1, scale.rounds + 1):
        _edit(folder / "scripts", 1, edition)
        side.note("deploy of one script", say("deploy", CUSTOMER, "--yes"))
        _edit(folder / "scripts", scale.changed, edition)
        side.note(MANY, say("deploy", CUSTOMER, "--yes"))
    for number in range(scale.rounds):
        other = home / f"empty-{number}"
        ground.make_checkout(other)
        side.note("pull of all", ground.run_wmctl(server, other, "pull", CUSTOMER, "--all"))
        _require_same(folder, other / "customers" / CUSTOMER)
    return side


def _edit(folder: Path, count: int, edition: int) -> None:
    """Change the first scripts; an edition is told from every other by how many it changed."""
    for number in range(count):
        text = ground.content(number, edition * 1000 + count)
        (folder / f"s{number:04}.py").write_text(text, encoding="utf-8")


def _require_same(one: Path, other: Path) -> None:
    """What was pulled is what was deployed, byte for byte but for the lines of YAML."""
    for file in sorted(one.rglob("*.py")):
        if (other / file.relative_to(one)).read_bytes() != file.read_bytes():
            raise RuntimeError(f"{file.name} was pulled otherwise than it was deployed")


# --- The official one -------------------------------------------------------------------------------------


def measure_official(server: StandIn, scale: Scale, home: Path) -> Side:
    """The same, in the official program's own words."""
    side = Side("windmill-cli")
    root = home / "official"
    root.mkdir()
    (root / "wmill.yaml").write_text(ground.WMILL_YAML, encoding="utf-8")

    def say(*arguments: str) -> Ran:
        return ground.run_official(server, root, *arguments)

    side.note("pull of all", say("sync", "pull", "--yes"))
    for _ in range(scale.rounds):
        side.note("plan, nothing changed", say("sync", "push", "--dry-run"))
    scripts = root / "f" / CUSTOMER
    for edition in range(scale.rounds + 1, 2 * scale.rounds + 1):
        _edit(scripts, 1, edition)
        side.note("deploy of one script", say("sync", "push", "--yes"))
        _edit(scripts, scale.changed, edition)
        side.note(MANY, say("sync", "push", "--yes", "--parallel", "8"))
    return side


# --- What comes of it -------------------------------------------------------------------------------------


def section(scale: Scale, ours: Side, official: Side | None) -> Section:
    """Seconds side by side, the memory, and the goals."""
    rows = [_row(operation, scale, ours, official) for operation in ours.runs]
    memory = (
        "peak memory, MiB",
        f"{ours.peak_mib:.0f}",
        f"{official.peak_mib:.0f}" if official else "–",
        "",
        "",
    )
    columns = ("seconds", ours.name, official.name if official else "–", "ratio", "processor")
    table = Table(columns, (*rows, memory))
    goals = [
        Goal(_said(operation, scale), ours.median_s(operation), most=most, unit=" s")
        for operation, most in GOALS_S.items()
    ]
    goals.append(Goal("memory", ours.peak_mib, most=GOAL_MIB, unit=" MiB", digits=0))
    return Section("sync", f"{scale.items:,} items, {scale.delay_ms:g} ms a request", table, tuple(goals))


def _said(operation: str, scale: Scale) -> str:
    return f"deploy of {scale.changed} scripts" if operation == MANY else operation


def _row(operation: str, scale: Scale, ours: Side, official: Side | None) -> tuple[str, ...]:
    name, mine, cpu = _said(operation, scale), ours.median_s(operation), ours.median_cpu_s(operation)
    if official is None or operation not in official.runs:
        return (name, f"{mine:.2f}", "–", "", f"{cpu:.2f}")
    theirs = official.median_s(operation)
    return (name, f"{mine:.2f}", f"{theirs:.2f}", f"{theirs / mine:.1f}", f"{cpu:.2f}")


def measure(scale: Scale, *, with_official: bool) -> Section:
    """Both programs, one after the other. Raises: RuntimeError when one does not do what it is to do."""
    with tempfile.TemporaryDirectory() as name, ground.windmill(scale) as server:
        home = Path(name)
        ours = measure_ours(server, scale, home)
        official = measure_official(server, scale, home) if with_official else None
    return section(scale, ours, official)


def main(arguments: Sequence[str] | None = None, *, out: Callable[[str], object] = sys.stdout.write) -> int:
    """Measure and print; the number of goals that were missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sync", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few items, one round: does it all work?")
    parser.add_argument("--alone", action="store_true", help="leave the official program out")
    parser.add_argument("--page", action="store_true", help="write docs/reference/benchmarks-sync.md")
    options = parser.parse_args(arguments)
    why_not = "it was left out" if options.alone else ground.install_official()
    if why_not:
        out(f"The official command line is not measured: {why_not}\n")
    found = measure(QUICK if options.quick else Scale(), with_official=not why_not)
    busy = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    out(f"{found.title}; {busy}\n{as_text(found.table)}")
    goals = Table(("goal", "bound", "measured", "verdict"), tuple(goal.row for goal in found.goals))
    out(f"\n{as_text(goals)}")
    if options.page:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(filled(page, {"sync": found.table, "sync-goals": goals}), encoding="utf-8")
    return 0 if options.quick else sum(not goal.met for goal in found.goals)


if __name__ == "__main__":
    sys.exit(main())
