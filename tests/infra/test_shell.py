"""Every shell script of the checkout is clean for shellcheck, and says at its top what it is for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bundles import PROGRAM

ROOT = Path(__file__).resolve().parents[2]
SHELLCHECK = Path(sys.executable).with_name("shellcheck")
PARTS = "infra/scripts/remote/platform_host/"


def _scripts() -> list[str]:
    asked = [
        "git",
        "-C",
        str(ROOT),
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        ".ci",
        "infra",
    ]
    named = subprocess.run(asked, capture_output=True, check=True, text=True).stdout.split("\0")
    # The parts of the host's program are looked at as the whole that they make, below.
    return sorted(name for name in named if name and PARTS not in name and _is_shell(ROOT / name))


def _is_shell(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline()
    return first.startswith(b"#!") and (b"bash" in first or first.rstrip().endswith(b"/sh"))


@pytest.mark.parametrize("name", _scripts())
def test_a_script_is_clean_and_says_what_it_is_for(name: str) -> None:
    """What shellcheck is told to overlook, it is told on the line, in the script."""
    answer = subprocess.run([SHELLCHECK, ROOT / name], capture_output=True, text=True, check=False)

    assert answer.returncode == 0, answer.stdout
    assert (ROOT / name).read_text(encoding="utf-8").splitlines()[1].startswith("# ")


def test_the_host_s_program_is_clean_as_the_whole_that_a_host_gets(tmp_path: Path) -> None:
    """Its parts share what they name, so none can be judged alone; each says at its top what it is for."""
    program = tmp_path / "platform_host.sh"
    program.write_bytes(PROGRAM)
    answer = subprocess.run([SHELLCHECK, program], capture_output=True, text=True, check=False)

    assert answer.returncode == 0, answer.stdout
    for part in (ROOT / PARTS).rglob("*.sh"):
        assert part.read_text(encoding="utf-8").splitlines()[1].startswith("# "), part
        assert len(part.read_text(encoding="utf-8").splitlines()) < 500, part


def test_an_unclean_script_would_be_found(tmp_path: Path) -> None:
    """The check bites."""
    script = tmp_path / "unclean.sh"
    script.write_text("#!/bin/sh\nrm -rf $1/*\n", encoding="utf-8")

    assert subprocess.run([SHELLCHECK, script], capture_output=True, check=False).returncode == 1


def test_no_container_is_signalled_by_docker() -> None:
    """After any signal of Docker's it counts as stopped by hand, and stays away after the next reboot."""
    assert re.findall(r"\b(?:docker|compose\w*) kill\b", PROGRAM.decode()) == []
