"""One part of the program on the host, by itself: what it calls of other parts is said by the test."""

from __future__ import annotations

import subprocess
from pathlib import Path

PARTS = Path(__file__).resolve().parents[2] / "infra/scripts/remote/platform_host/parts"


def said_by(part: str, script: str, **variables: str) -> str:
    """What a script says that has the functions of `part` and may replace those that it calls.

    As strict as the program itself: it ends at the first command that fails, and then this raises.
    """
    done = subprocess.run(
        ["bash", "-Eeuo", "pipefail", "-c", f'source "{PARTS / part}.sh"\n{script}'],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
