"""`make bench`: every benchmark, one after the other. Leaves with 1 when a goal is missed.

The queue is measured beside its peers, all on one server, and the page docs/reference/benchmarks.md is
written anew. A quick run proves that everything works; it is too small to judge goals or to write the page.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.benchmarks import alone, flow_steps, imports, intake, page, panel, provisioning
from tests.benchmarks import ground as grounds
from tests.benchmarks.report import as_text


def main() -> int:
    """Print the machine, then each benchmark's lines."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    alone.add_options(parser)
    parser.add_argument("--page", type=Path, help="where to write the page, also after a quick run")
    options = parser.parse_args()
    began_s = time.monotonic()
    missed = _measure_queue(options) + _measure_others(quick=options.quick)
    took = f"{(time.monotonic() - began_s) / 60:.1f} minutes"
    sys.stdout.write(f"\n{missed or 'no'} goal{'s' if missed != 1 else ''} missed, in {took}\n")
    return 1 if missed and not options.quick else 0


def _measure_queue(options: argparse.Namespace) -> int:
    scale, with_peers = alone.scale_of(options), not options.without_peers
    with grounds.opened(scale, peers=with_peers, narrate=alone.narrate) as ground:
        sections = []
        for measure in page.MEASURES:
            section = measure(ground)
            alone.show(section)
            sections.append(section)
        found = page.tables(ground, sections)
    for name in ("machine", "server", "versions"):
        sys.stdout.write(f"\n{as_text(found[name])}")
    if options.page or (with_peers and not options.quick):
        page.write(options.page or page.PAGE, found)
    return sum(not goal.met for section in sections for goal in section.goals)


def _measure_others(*, quick: bool) -> int:
    missed = 0
    others: tuple[tuple[str, Callable[[], int]], ...] = (
        ("Webhook intake by one connection", partial(intake.main, 100, 2) if quick else intake.main),
        ("Imports", partial(imports.main, 3) if quick else imports.main),
        (
            "Flows and scripts of the local runtime",
            partial(flow_steps.main, 2, 5) if quick else flow_steps.main,
        ),
        ("Provisioning", partial(provisioning.main, 3) if quick else provisioning.main),
        ("The panel, with a year behind it", partial(panel.main, 5_000, 20_000, 5) if quick else panel.main),
    )
    for title, measure in others:
        sys.stdout.write(f"\n{title}\n")
        sys.stdout.flush()
        missed += measure()
    return missed


if __name__ == "__main__":
    sys.exit(main())
