"""`make rehearsal`: a host from bare to serving and back, with everything that may go wrong on the way.

Needs this machine's root; installs and starts a Docker engine where it can. Leaves with 1 when something did
not come out as it must or cannot be played here, and with 0 and a table otherwise; the table is written to
docs/reference/rehearsal.md after a whole run. docs/guides/rehearsal.md says the rest.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.rehearsal import engine, machine, releases, report, world
from tests.rehearsal.scenarios import order
from tests.rehearsal.scenarios.play import Play

NEEDED_BASES = ("DEBIAN_IMAGE", "CADDY_BASE_IMAGE")
"""What nothing is built without, the proxy's last; where Windmill's image cannot be had, a stand-in plays."""


def main() -> int:
    """Build, play, tell."""
    options = _options()
    began = time.monotonic()
    # What a shell starts in its background ignores Ctrl-C, by which the desk ends its tunnel.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        machine.make_ready(_say)
        machine.require_bases({name: world.base(name) for name in NEEDED_BASES[: 1 if options.built else 2]})
    except machine.Lacking as lacking:
        _say(str(lacking))
        if options.quick:
            _say("SKIPPED: 1. No host was played, for the reason above.")
        return 0 if options.quick else 1
    engine.tidy()
    folder = Path(tempfile.mkdtemp(prefix="rehearsal-"))
    try:
        return _play(options, folder, began)
    except engine.Broke as broke:
        _say(f"There is nothing to play on: {broke}")
        return 1
    finally:
        if not options.keep:
            engine.tidy()
            shutil.rmtree(folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make rehearsal", description=__doc__)
    parser.add_argument(
        "--only", default="", help="scenarios by name, with commas; the first is always played"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one deploy, one upgrade, one rollback; times are told, not judged",
    )
    parser.add_argument(
        "--standin", action="store_true", help="a stand-in for Windmill, also where it can be had"
    )
    parser.add_argument("--built", action="store_true", help="use the images of the rehearsal before")
    parser.add_argument("--keep", action="store_true", help="leave the host and all around it when done")
    return parser.parse_args()


def _play(options: argparse.Namespace, folder: Path, began: float) -> int:
    real = releases.build_images(real=not options.standin, again=not options.built)
    if not real:
        _say("Windmill's image cannot be had here: a stand-in plays the server and its workers.")
    made = world.make(folder)
    releases.push(made)
    _say(f"The world is there after {time.monotonic() - began:.0f} s.")
    play = Play(made, _say)
    wanted = set(options.only.split(",")) if options.only else set()
    wanted |= {scenario.__name__ for scenario in order.QUICK} if options.quick else set()
    left_out = {scenario.__name__ for scenario in order.NEED_WINDMILL} if not real else set()
    broken = [
        scenario.__name__
        for scenario in order.ALL
        if _chosen(scenario, wanted) and scenario.__name__ not in left_out and not _held(scenario, play)
    ]
    _say("\n" + report.table(play.rows))
    if not wanted and not broken:
        report.write(play.rows, facts=_facts(made, began), real=real)
    if left_out and not wanted:
        _say(f"SKIPPED, because a stand-in runs no jobs: {len(left_out)}: {', '.join(sorted(left_out))}")
    # How fast somebody else's machine is, is no fault of ours; a failed request is.
    missed = [row.what for row in play.rows if not row.met and (row.count.failed or not options.quick)]
    _say(
        f"{len(play.rows)} rows; broken: {', '.join(broken) or 'none'}; "
        f"goals missed: {', '.join(missed) or 'none'}"
    )
    return 1 if missed or broken else 0


def _chosen(scenario: Callable[[Play], None], wanted: set[str]) -> bool:
    return not wanted or scenario.__name__ in {*wanted, order.ALL[0].__name__}


def _held(scenario: Callable[[Play], None], play: Play) -> bool:
    """Whether it came out as it must. Without the first, none of the others means anything."""
    try:
        scenario(play)
    except (engine.Broke, OSError, ValueError) as error:
        _say(f"{scenario.__name__}: {error}")
        if scenario is order.ALL[0]:
            raise
        return False
    return True


def _facts(made: world.World, began: float) -> dict[str, str]:
    memory = next(
        line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal")
    )
    inside = made.on_host("docker", "version", "--format", "{{.Server.Version}}")
    return {
        "Machine": f"{os.cpu_count()} cores, {int(memory.split()[1]) // 1048576} GB of memory",
        "Host": f"{made.system}, Docker {inside}, "
        f"Compose {made.on_host('docker', 'compose', 'version', '--short')}",
        "Whole rehearsal": f"{(time.monotonic() - began) / 60:.1f} minutes",
    }


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
