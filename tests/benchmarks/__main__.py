"""`make bench`: every benchmark, one after the other. Leaves with 1 when a goal is missed."""

from __future__ import annotations

import os
import platform
import sys

from tests.benchmarks import drain, imports, intake, provisioning


def main() -> int:
    """Print the machine, then each benchmark's lines."""
    out = sys.stdout.write
    out(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}\n")
    missed = 0
    for title, benchmark in (
        ("Webhook intake", intake),
        ("Queue", drain),
        ("Imports", imports),
        ("Provisioning", provisioning),
    ):
        out(f"\n{title}\n")
        sys.stdout.flush()
        missed += benchmark.main()
    out(f"\n{missed or 'no'} goal{'s' if missed != 1 else ''} missed\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
