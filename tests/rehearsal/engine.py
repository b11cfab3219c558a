"""The Docker engine of this machine, as the rehearsal uses it: everything it makes has one prefix."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

PREFIX = "rehearsal"
PAUSE = threading.Event()
"""Never set: waiting for it is the pause between two looks."""


class Broke(Exception):
    """A program that had to work ended badly; the message holds what it said."""


def run(*words: str, given: bytes | None = None, check: bool = True, limit_s: int = 900) -> str:
    """Run a program and return what it said on stdout. Raises: Broke, unless `check` is off.

    A program that is not there has said nothing.
    """
    try:
        done = subprocess.run(words, input=given, capture_output=True, check=False, timeout=limit_s)
    except FileNotFoundError:
        if check:
            raise Broke(f"{words[0]} is not on this machine") from None
        return ""
    except subprocess.TimeoutExpired:
        raise Broke(f"{' '.join(words[:6])} did not end within {limit_s} s") from None
    if check and done.returncode:
        said = (done.stdout + done.stderr).decode("utf-8", "replace")[-2000:]
        raise Broke(f"{' '.join(words[:6])} ended with {done.returncode}: {said}")
    return done.stdout.decode("utf-8", "replace").strip()


def docker(*words: str, given: bytes | None = None, check: bool = True) -> str:
    """Ask the engine of this machine."""
    return run("docker", *words, given=given, check=check)


def has_image(name: str) -> bool:
    """Whether the engine has an image of that name, with its tag or its digest."""
    return bool(docker("image", "inspect", "--format", "{{.Id}}", name, check=False))


def build(tag: str, folder: Path, **arguments: str) -> None:
    """Build an image from a folder with a Dockerfile."""
    given = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    docker("build", "--quiet", "--tag", tag, *given, str(folder))


def wait_for(true: Callable[[], bool], what: str, *, limit_s: float = 60) -> None:
    """Look until it is so. Raises: Broke when the limit is over."""
    until = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > until:
            raise Broke(f"{what}: not so after {limit_s:.0f} s")
        PAUSE.wait(0.1)


def tidy() -> None:
    """Remove every container, volume and network of a rehearsal; images stay, they are the cache."""
    for kind, listed in (
        ("container", ("ps", "--all", "--quiet", "--filter", f"name=^{PREFIX}-")),
        ("network", ("network", "ls", "--quiet", "--filter", f"name=^{PREFIX}(-names)?$")),
        ("volume", ("volume", "ls", "--quiet", "--filter", f"name=^{PREFIX}-")),
    ):
        for name in docker(*listed).split():
            force = () if kind == "network" else ("--force",)
            docker(kind, "rm", *force, *(("--volumes",) if kind == "container" else ()), name, check=False)
