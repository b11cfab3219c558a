"""What a rehearsal needs of its machine: had, installed from Debian's or Ubuntu's packages, or named.

Everything that is done is said in one line, and so is everything that cannot be. Done again it does nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.rehearsal import engine
from tests.rehearsal.engine import Broke, docker, run, wait_for

LOG = "rehearsal-dockerd.log"
STARTS_WITHIN_S = 30.0
GUIDE = "docs/guides/rehearsal.md"

Say = Callable[[str], None]
BACKGROUND: list[subprocess.Popen[bytes]] = []
"""Engines that go on when this program has ended; nobody waits for them."""


class Lacking(Exception):
    """What a rehearsal needs and cannot have here; the message says why, and the way out."""


@dataclass(frozen=True)
class Need:
    """A program: how it is asked whether it is there, the packages that bring it, what lacks without it."""

    asked: tuple[str, ...]
    packages: tuple[str, ...]
    without: str = ""
    """What cannot be done without it; empty when there is no rehearsal without it."""

    @property
    def name(self) -> str:
        """As people call it."""
        return " ".join(self.asked[:-1])

    def is_here(self) -> bool:
        """Whether it answers."""
        try:
            run(*self.asked)
        except Broke:
            return False
        return True


NEEDS = (
    Need(("docker", "--version"), ("docker.io", "docker-cli")),
    Need(("openssl", "version"), ("openssl",)),
    Need(("ssh", "-V"), ("openssh-client",)),
    # Debian 13 and Ubuntu have it apart from the engine; the engine of Debian 12 builds without.
    Need(("docker", "buildx", "version"), ("docker-buildx",), "an engine after 20.10 builds no image"),
    Need(
        ("docker", "compose", "version"),
        ("docker-compose-v2", "docker-compose"),
        "`make compose-config` cannot be run; the rehearsal's own host brings Compose along",
    ),
)


def make_ready(say: Say, *, is_root: bool | None = None) -> None:
    """Have an engine that answers, and the programs around it. Raises: Lacking."""
    if not (os.geteuid() == 0 if is_root is None else is_root):
        raise Lacking(
            "A rehearsal needs root, for its host is a machine with services of its own. Say: sudo make"
        )
    for need in NEEDS:
        if not need.is_here():
            _install(need, say)
    if not _answers():
        _start_engine(say)


def require_bases(bases: Mapping[str, str]) -> None:
    """Have the images that ours are built on, by the variables that name them. Raises: Lacking."""
    for variable, image in bases.items():
        if not engine.has_image(image):
            docker("pull", "--quiet", image, check=False)
        if not engine.has_image(image):
            raise Lacking(
                f"The base image {image} is not on this engine, and no registry gave it. Name one that is: "
                f"DEBIAN_IMAGE=…, CADDY_BASE_IMAGE=…, WINDMILL_BASE_IMAGE=…; this one is {variable}. "
                f"{GUIDE} says how it is made."
            )


def _answers() -> bool:
    return bool(docker("version", "--format", "{{.Server.Version}}", check=False))


def _install(need: Need, say: Say) -> None:
    why = _why_not_installed(need, say)
    if why and need.without:
        say(f"{need.name} could not be had ({why}): {need.without}.")
    elif why:
        raise Lacking(f"{need.name} is not here and could not be installed: {why}.")


def _why_not_installed(need: Need, say: Say) -> str:
    """Install what brings it; empty when it is here afterwards."""
    if shutil.which("apt-get") is None:
        return "this is no Debian or Ubuntu; install it yourself"
    wanted = [name for name in need.packages if _has_candidate(name)]
    if not wanted:
        run("apt-get", "update", "--quiet=2", check=False)
        wanted = [name for name in need.packages if _has_candidate(name)]
    if not wanted:
        return f"no package {' or '.join(need.packages)} can be had"
    try:
        run(
            *("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--quiet=2", "--yes"),
            *("--no-install-recommends", *wanted),
        )
    except Broke as broke:
        return str(broke).strip().splitlines()[-1].rpartition(" ended with ")[2]
    if not need.is_here():
        return f"{' and '.join(wanted)} brought another version of it"
    say(f"Installed for this: {' and '.join(wanted)}, for {need.name}.")
    return ""


def _has_candidate(package: str) -> bool:
    said = run("apt-cache", "policy", package, check=False)
    return "Candidate:" in said and "Candidate: (none)" not in said


def _start_engine(say: Say) -> None:
    """By the system's own way, else in the background. Raises: Lacking."""
    if elsewhere := os.environ.get("DOCKER_HOST"):
        raise Lacking(
            f"No engine answers at {elsewhere}, which DOCKER_HOST names. Unset it, or start that one."
        )
    try:
        run("service", "docker", "start")
    except Broke:
        _start_in_background(say)
        return
    if not _answers_soon(STARTS_WITHIN_S):
        raise Lacking("No Docker engine answers, though `service docker start` went well: see its log.")
    say("The Docker engine was started: service docker start.")


def _start_in_background(say: Say) -> None:
    log = Path(tempfile.gettempdir()) / LOG
    try:
        with log.open("wb") as out:
            started = subprocess.Popen(
                ["dockerd"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
    except OSError as error:
        raise Lacking(f"No Docker engine answers, and dockerd could not be started: {error}.") from None
    if not _answers_soon(STARTS_WITHIN_S, while_lives=started):
        started.kill()
        last = (log.read_text(encoding="utf-8", errors="replace").splitlines() or ["it said nothing"])[-1]
        raise Lacking(
            f"No Docker engine answers, and dockerd started here did not either: {last[:300]} ({log})"
        )
    BACKGROUND.append(started)
    say(f"A Docker engine was started in the background, process {started.pid}; what it says is in {log}.")


def _answers_soon(limit_s: float, *, while_lives: subprocess.Popen[bytes] | None = None) -> bool:
    """Whether it answers before the limit, or before that process ends."""

    def is_over() -> bool:
        return _answers() or (while_lives is not None and while_lives.poll() is not None)

    try:
        wait_for(is_over, "an engine", limit_s=limit_s)
    except Broke:
        return False
    return _answers()
