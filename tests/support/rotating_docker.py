"""Plays `docker` for the host's program, as far as a rotation beside what serves goes: containers are names.

In its folder, $PLAYED, `events` is what happened, a line each; `fail` holds an event that fails once, `kill`
one at which the whole program is killed, `hold` one that fails unless a file (its second line) comes within
ten seconds; `unhealthy` and `absent` name services.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

PLAYED = Path(os.environ["PLAYED"])
IMAGE = "sha256:0"
SERVICES = ("postgres", "server_blue", "server_green", "worker_ops", "door", "backup", "caddy")


def event(words: str) -> None:
    """Note it; fail or be killed where the test wishes so."""
    with (PLAYED / "events").open("a") as file:
        file.write(f"{words}\n")
    for wish in ("kill", "fail"):
        if words.startswith(wished(wish) or "\n"):
            (PLAYED / wish).unlink()
            if wish == "kill":
                os.killpg(os.getpgid(0), signal.SIGKILL)
            sys.exit(1)
    held, _, until = (wished("hold") or "\n").partition("\n")
    if held and words.startswith(held):
        ends = time.monotonic() + 10
        while not Path(until).exists():
            if time.monotonic() > ends:
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


def inspect(words: list[str]) -> str:
    """State, restarts, health of containers; an address; an image."""
    if "NetworkSettings" in words[2]:
        return f"{IMAGE} 127.0.0.1" if ".Image" in words[2] else "127.0.0.1"
    if words[2] == "{{.Image}}":
        return IMAGE
    if "Running" in words[2]:
        return "true"
    return "\n".join(f"{one} running 0 {health(one)} 2026-01-01T00:00:00Z {one}" for one in words[3:])


def health(service: str) -> str:
    """Healthy, but where the test says otherwise."""
    return "unhealthy" if service in (wished("unhealthy") or "").split() else "healthy"


def wished(name: str) -> str | None:
    """What a test wrote for this; None when it did not."""
    file = PLAYED / name
    return file.read_text() if file.exists() else None


def main() -> None:
    """What the host's program says."""
    words = sys.argv[1:]
    said = ""
    match words[0]:
        case "compose" if words[1] == "version":
            said = "2.26.1"
        case "compose":
            said = compose(words[1:])
        case "version":
            said = "26.1.5"
        case "info":
            said = "/"
        case "ps" if "--format" in words:
            there = (name for name in SERVICES if name not in (wished("absent") or "").split())
            said = "\n".join(f"{name} {name}" for name in there)
        case "image":
            said = IMAGE
        case "exec" if "curl" in words:
            said = "v1.743.0"
        case "inspect":
            said = inspect(words)
    sys.stdout.write(f"{said}\n" if said else "")


if __name__ == "__main__":
    main()
