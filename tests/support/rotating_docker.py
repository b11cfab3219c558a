"""Plays `docker` for the host's program, as far as a rotation beside what serves goes: containers are names.

In its folder, $PLAYED, `events` is what happened, a line each; `fail` holds an event that fails once, `kill`
one at which the whole program is killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

PLAYED = Path(os.environ["PLAYED"])
SERVICES = ("postgres", "server_blue", "server_green", "worker_ops", "door", "backup", "caddy")


def event(words: str) -> None:
    """Note it; fail or be killed where the test wishes so."""
    with (PLAYED / "events").open("a") as file:
        file.write(f"{words}\n")
    for wish in ("kill", "fail"):
        file_of_wish = PLAYED / wish
        if file_of_wish.exists() and words.startswith(file_of_wish.read_text()):
            file_of_wish.unlink()
            if wish == "kill":
                os.killpg(os.getpgid(0), signal.SIGKILL)
            sys.exit(1)


def compose(words: list[str]) -> str:
    """`docker compose ... COMMAND ...`; what it says."""
    while words[0].startswith("--"):
        words = words[2:]
    names = [word for word in words if word in SERVICES]
    match words[0]:
        case "config" if "json" in words:
            return json.dumps({"services": {name: {} for name in SERVICES}})
        case "config":
            return "\n".join(SERVICES)
        case "exec":
            event(f"{words[-1]} {hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:12]}")
        case _:
            event(f"{words[0]} {' '.join(names)}")
    return ""


def main() -> None:
    """What the host's program says."""
    words = sys.argv[1:]
    said = ""
    if words[:2] == ["compose", "version"]:
        said = "2.26.1"
    elif words[0] == "compose":
        said = compose(words[1:])
    elif words[0] == "version":
        said = "26.1.5"
    elif words[0] == "info":
        said = "/"
    elif words[0] == "ps":
        said = "".join(word.split("=")[-1] for word in words if "compose.service=" in word)
    elif words[0] == "inspect":
        well = "running 0 healthy 2026-01-01T00:00:00Z"
        said = "true" if "Running" in words[2] else "\n".join(f"{one} {well} {one}" for one in words[3:])
    sys.stdout.write(f"{said}\n" if said else "")


if __name__ == "__main__":
    main()
