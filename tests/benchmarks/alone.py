"""A single queue benchmark from the command line: `python -m tests.benchmarks.drain [--quick]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace

from tests.benchmarks import ground as grounds
from tests.benchmarks.ground import FULL, QUICK, Ground, Scale
from tests.benchmarks.report import Section, as_text, goals_table

LARGE = 10_000_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those that every queue benchmark understands."""
    parser.add_argument(
        "--quick", action="store_true", help="a small run: proves that it works, measures little"
    )
    parser.add_argument("--large", action="store_true", help=f"also claim beside {LARGE:,} future jobs")
    parser.add_argument("--without-peers", action="store_true", help="only ours and the plain loop")


def scale_of(options: argparse.Namespace) -> Scale:
    """How much the options ask for."""
    scale = QUICK if options.quick else FULL
    return replace(scale, future_large=LARGE) if options.large else scale


def narrate(line: str) -> None:
    """What goes on, beside the results."""
    sys.stderr.write(f"  {line}\n")
    sys.stderr.flush()


def show(section: Section) -> None:
    """A section's table and its goals."""
    sys.stdout.write(f"\n{section.title}\n{as_text(section.table)}")
    if section.goals:
        sys.stdout.write(f"{as_text(goals_table(section.goals))}")
    sys.stdout.flush()


def main(measure: Callable[[Ground], Section]) -> int:
    """Measure it; 1 when a goal is missed in a run that is large enough to judge."""
    parser = argparse.ArgumentParser(description=measure.__doc__)
    add_options(parser)
    options = parser.parse_args()
    with grounds.opened(scale_of(options), peers=not options.without_peers, narrate=narrate) as ground:
        section = measure(ground)
    show(section)
    return 0 if options.quick or all(goal.met for goal in section.goals) else 1
