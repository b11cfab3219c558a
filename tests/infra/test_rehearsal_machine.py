"""A rehearsal names what it installs, starts, cannot have. Without a Docker, on a path of the test's own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.rehearsal import machine
from tests.rehearsal.machine import BACKGROUND, LOG, NEEDS, Lacking
from tests.rehearsal.scenarios import order
from tests.rehearsal.world import REPLACED
from tests.support.wmctl import REPOSITORY

DOCKER = """#!/bin/sh
case "$1" in
    --version) exit 0 ;;
    version) [ -e "{bin}/up" ] && echo 26.1.5 ;;
    *) exit 1 ;;
esac
"""
APT = """#!/bin/sh
case "$*" in
    *docker.io*) /bin/cp "{bin}/docker.deb" "{bin}/docker" ;;
    *install*) echo "E: no room in /var/cache/apt" >&2; exit 100 ;;
esac
"""
KNOWN = """#!/bin/sh
case "$2" in
    docker.io | docker-buildx) echo "  Candidate: 26.1.5" ;;
    *) echo "  Candidate: (none)" ;;
esac
"""


@dataclass
class Bare:
    """A machine that has the programs of one folder."""

    bin: Path
    said: list[str] = field(default_factory=list)

    def has(self, name: str, text: str = "#!/bin/sh\n") -> None:
        """Put a program there."""
        (self.bin / name).write_text(text.format(bin=self.bin), encoding="utf-8")
        (self.bin / name).chmod(0o755)

    def make_ready(self) -> list[str]:
        """What is said while it is made ready."""
        machine.make_ready(self.said.append, is_root=True)
        return self.said


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bare:
    """One without Docker, with what a rehearsal needs beside it."""
    made = Bare(tmp_path / "bin")
    made.bin.mkdir()
    made.has("openssl")
    made.has("ssh")
    (made.bin / "env").symlink_to(str(shutil.which("env")))
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return made


def _debian(bare: Bare) -> None:
    bare.has("docker.deb", DOCKER)
    bare.has("apt-get", APT)
    bare.has("apt-cache", KNOWN)


def test_on_a_debian_the_engine_is_installed_and_started_and_what_lacks_is_named(bare: Bare) -> None:
    """One line each; what nothing depends on stops nothing."""
    _debian(bare)
    bare.has("dockerd", "#!/bin/sh\n: >{bin}/up\necho listening\n")

    *installed, started = bare.make_ready()

    assert installed == [
        "Installed for this: docker.io, for docker.",
        "docker buildx could not be had (100: E: no room in /var/cache/apt): " + NEEDS[3].without + ".",
        f"docker compose could not be had (no package {' or '.join(NEEDS[4].packages)} can be had): "
        + NEEDS[4].without
        + ".",
    ]
    assert started.startswith("A Docker engine was started in the background, process ")
    assert started.endswith(f"what it says is in {bare.bin.parent / LOG}.")
    assert BACKGROUND.pop().wait(timeout=10) == 0


def test_the_systems_own_way_is_tried_first(bare: Bare) -> None:
    """An engine that answers already is left alone."""
    bare.has("docker", DOCKER)
    bare.has("service", "#!/bin/sh\n: >{bin}/up\n")

    first = [line for line in bare.make_ready() if "engine was" in line]
    bare.said.clear()
    again = [line for line in bare.make_ready() if "engine was" in line]

    assert (first, again) == (["The Docker engine was started: service docker start."], [])


def test_an_engine_that_ends_at_once_is_shown_with_its_last_word(bare: Bare) -> None:
    """And with the file that has the others."""
    bare.has("docker", DOCKER)
    bare.has("dockerd", "#!/bin/sh\necho first\necho no permission to make a bridge >&2\nexit 1\n")

    with pytest.raises(Lacking) as lacking:
        bare.make_ready()

    assert str(lacking.value) == (
        "No Docker engine answers, and dockerd started here did not either: "
        f"no permission to make a bridge ({bare.bin.parent / LOG})"
    )


def test_what_cannot_be_installed_is_said_with_the_reason(bare: Bare) -> None:
    """Elsewhere than on a Debian, without an index, without room, without root."""
    with pytest.raises(
        Lacking, match="docker is not here and could not be installed: this is no Debian or Ubuntu"
    ):
        bare.make_ready()
    bare.has("apt-get", APT)
    bare.has("apt-cache", "#!/bin/sh\n")
    with pytest.raises(Lacking, match=r"no package docker\.io or docker-cli can be had"):
        bare.make_ready()
    bare.has("apt-cache", KNOWN)
    with pytest.raises(Lacking, match=r"docker\.deb"):
        bare.make_ready()
    with pytest.raises(Lacking, match="needs root"):
        machine.make_ready(bare.said.append, is_root=False)
    assert bare.said == []


def test_a_base_image_that_no_registry_gives_is_named_with_its_variable(bare: Bare) -> None:
    """Before anything is built on it."""
    bare.has("docker", DOCKER)

    with pytest.raises(Lacking) as lacking:
        machine.require_bases({"CADDY_BASE_IMAGE": "caddy:2"})

    assert str(lacking.value).startswith(
        "The base image caddy:2 is not on this engine, and no registry gave it."
    )
    assert "this one is CADDY_BASE_IMAGE" in str(lacking.value)
    assert (REPOSITORY / machine.GUIDE).is_file()


@pytest.mark.parametrize(("options", "code"), [(["--quick"], 0), ([], 1)])
def test_where_nothing_can_be_played_it_says_so_and_the_quick_one_counts_a_skip(
    tmp_path: Path, options: list[str], code: int
) -> None:
    """Without a Docker, an apt-get, or the right to use them: no traceback."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.rehearsal", *options],
        cwd=REPOSITORY,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (code, "")
    assert ("SKIPPED: 1. No host was played" in ended.stdout) is (code == 0)
    assert ended.stdout.splitlines()[0].startswith(("docker is not here", "A rehearsal needs root"))


def test_the_guide_names_scenarios_and_variables_that_there_are() -> None:
    """In the line that plays some of them, and in the table of what stands in for a published image."""
    text = (REPOSITORY / machine.GUIDE).read_text(encoding="utf-8")
    [asked] = re.findall(r"--only ([a-z_,]+)", text)

    assert set(asked.split(",")) <= {scenario.__name__ for scenario in order.ALL}
    assert dict(re.findall(r"^\| `([A-Z_]+)` \| `(\S+)` \|", text, re.MULTILINE)) == REPLACED
