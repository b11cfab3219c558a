"""What a flow costs besides its scripts, and how soon a script starts: warm, cold, and beside a bare process.

One chain of script steps is run as a flow, and the same script as often by itself; the difference, per step,
is what flows add. A step of type identity is all flow. Everything is stored on a durable server.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from platform_cli.local import postgres
from platform_cli.local.windmill.processes import Mode
from platform_cli.local.windmill.runtime import Runtime
from tests.support.windmill import add_script
from tests.support.written_flows import add_flow, identity, new_state, step

GOAL_STEP_MS = 15.0
GOAL_START_MS = 100.0
STEPS = 20
_MILLISECONDS = 1000
NOTHING = "def main(x=None):\n    return x\n"


def _taken_ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * _MILLISECONDS


def _prepare(root: Path, steps: int) -> None:
    add_script(root, "nothing", NOTHING)
    scripts = [step(f"s{number}", "f/acme/nothing", x=number) for number in range(steps)]
    add_flow(root, "scripts", {"modules": scripts})
    add_flow(root, "identities", {"modules": [identity(f"i{number}") for number in range(steps)]})


def _measured(runtime: Runtime, steps: int, rounds: int) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds a step of a flow of scripts, of identities, and of the script by itself."""
    scripts, identities, alone = [], [], []
    for path in ("f/acme/scripts", "f/acme/identities"):
        runtime.run_flow(path, {})  # the first one starts what starts jobs
    for _ in range(rounds):
        scripts.append(_taken_ms(lambda: runtime.run_flow("f/acme/scripts", {})) / steps)
        identities.append(_taken_ms(lambda: runtime.run_flow("f/acme/identities", {})) / steps)
        alone.append(
            statistics.mean(
                _taken_ms(lambda: runtime.run_script("f/acme/nothing", {"x": 1})) for _ in range(steps)
            )
        )
    return scripts, identities, alone


def _starts_ms(root: Path, mode: Mode, rounds: int) -> float:
    with Runtime(root, {}, mode=mode) as runtime:
        runtime.run_script("f/acme/nothing", {})
        return statistics.median(
            _taken_ms(lambda: runtime.run_script("f/acme/nothing", {})) for _ in range(rounds)
        )


def main(rounds: int = 7, steps: int = STEPS) -> int:
    """Measure turn by turn and print one line each."""
    out = sys.stdout.write
    with tempfile.TemporaryDirectory() as folder:
        root, home = Path(folder) / "customers", Path(folder) / "cluster"
        _prepare(root, steps)
        try:
            with (
                postgres.running(home) as cluster,
                Runtime(root, {}, state_dsn=new_state(cluster)) as runtime,
            ):
                scripts, identities, alone = _measured(runtime, steps, rounds)
        finally:
            postgres.destroy(home)
        warm_ms, cold_ms = _starts_ms(root, "warm", rounds * 3), _starts_ms(root, "cold", rounds)
    bare_ms = statistics.median(_taken_ms(_interpreter) for _ in range(rounds))
    added_ms = statistics.median(flow - script for flow, script in zip(scripts, alone, strict=True))
    identity_ms = statistics.median(identities)
    out(f"script step of a flow   {statistics.median(scripts):>9.1f} ms\n")
    out(f"the script by itself    {statistics.median(alone):>9.1f} ms\n")
    goal = f"goal under {GOAL_STEP_MS:.0f}"
    out(f"added by the flow       {added_ms:>9.1f} ms   ({goal}; median of {rounds} pairs)\n")
    out(f"identity step           {identity_ms:>9.1f} ms   ({goal})\n")
    out(f"script start, warm      {warm_ms:>9.1f} ms   (goal under {GOAL_START_MS:.0f})\n")
    out(f"script start, cold      {cold_ms:>9.1f} ms   ({cold_ms / warm_ms:.1f} times warm)\n")
    out(f"bare interpreter        {bare_ms:>9.1f} ms   (warm is {warm_ms / bare_ms:.2f} of it)\n")
    met = added_ms < GOAL_STEP_MS and identity_ms < GOAL_STEP_MS and warm_ms < GOAL_START_MS
    return 0 if met else 1


def _interpreter() -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=True)


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
