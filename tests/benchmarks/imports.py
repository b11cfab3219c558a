"""What a webhook script imports, beside a database driver alone: whole processes, turn by turn."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

GOAL = 1.5
OURS = (
    "import platform_core.windmill.http as http; from platform_core.connectors import load_connector;"
    " load_connector('ycloud').verify([], b'', secrets=[], now=None)"
)
DRIVER = "import psycopg"
NOTHING = "pass"


def run_s(code: str) -> float:
    """Seconds of a fresh interpreter that runs this."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def main(rounds: int = 15) -> int:
    """Measure turn by turn and print one line each."""
    codes = {"webhook script": OURS, "psycopg alone": DRIVER, "interpreter": NOTHING}
    for code in codes.values():
        run_s(code)  # writes the bytecode
    taken = {name: [] for name in codes}  # type: dict[str, list[float]]
    for _ in range(rounds):
        for name, code in codes.items():
            taken[name].append(run_s(code))
    out = sys.stdout.write
    for name, times in taken.items():
        out(f"{name:<23} {statistics.median(times) * 1000:>9.0f} ms\n")
    pairs = zip(taken["webhook script"], taken["psycopg alone"], strict=True)
    ratio = statistics.median(ours / driver for ours, driver in pairs)
    out(f"ratio                   {ratio:>9.2f}   (goal at most {GOAL}; median of {rounds} pairs)\n")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
