"""Every workflow names only what exists, holds the least it needs, and pins what it borrows."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.pipeline import (
    ROOT,
    declared,
    names_nothing,
    parsed,
    pins,
    read_from_settings,
    unsafe,
    workflows,
)

SOUND = """\
name: sound
on: [push]
permissions: {}
concurrency: {group: sound}
jobs:
  one:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    permissions: {contents: read}
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
        with: {persist-credentials: false}
      - run: make check
"""


@pytest.mark.parametrize("name", sorted(workflows()))
def test_a_workflow_names_only_what_exists(name: str) -> None:
    """Make targets, files and scripts, secrets and variables."""
    assert list(names_nothing(name, workflows()[name])) == []


@pytest.mark.parametrize("name", sorted(workflows()))
def test_a_workflow_holds_the_least_it_needs(name: str) -> None:
    """No permission at the top, only agreed ones in jobs, no token left behind, no text pasted into shell."""
    assert list(unsafe(name, workflows()[name])) == []


def test_every_setting_that_is_written_down_is_read_by_a_workflow() -> None:
    """A secret that nobody reads is one more to lose."""
    used = {setting for text in workflows().values() for setting in read_from_settings(text)}

    assert declared() - used == set()


def test_an_action_has_one_pin_everywhere() -> None:
    """One version of it, and one commit for that version."""
    used = {pin for text in workflows().values() for pin in pins(text)}

    assert len({name for name, _, _ in used}) == len(used) > 0


def test_the_workflow_of_every_push_judges_and_tests_as_a_desk_does() -> None:
    """The verbs of the README's last section, on both ends of what PostgreSQL is supported."""
    text = workflows()["check.yml"]
    asked = set(re.findall(r"run: make ([a-z-]+)$", text, re.MULTILINE))

    assert {"check", "test", "test-on-oldest", "soak-short", "demo"} <= asked
    assert set(parsed(text, "check.yml")["on"]) >= {"push", "pull_request"}


def test_actionlint_finds_nothing_where_it_is_installed(repository: Path) -> None:
    """`make actionlint` installs it, and is part of `make check`; the lint of shell is ours."""
    tool = ROOT / ".tools/bin/actionlint"
    shell = f"-shellcheck={ROOT / '.venv/bin/shellcheck'}"
    wanted = [str(tool), "-no-color", shell] if tool.exists() else ["make", "--dry-run", "check"]

    answer = subprocess.run(wanted, cwd=repository, capture_output=True, text=True, check=False)

    assert answer.returncode == 0, answer.stdout
    assert tool.exists() or ".tools/bin/actionlint" in answer.stdout


@pytest.mark.parametrize(
    ("sound", "broken", "complaint"),
    [
        ("make check", "make chekc", "sound.yml: one: 2: no make target chekc"),
        ("make check", "bash .ci/no-such-script", "sound.yml: one: 2: no file .ci/no-such-script"),
        ("make check", "infra/scripts/none.sh x", "sound.yml: one: 2: no file infra/scripts/none.sh"),
        (
            "run: make check",
            "run: make check\n        env: {KEY: '${{ secrets.UNKNOWN }}'}",
            "sound.yml: secrets.UNKNOWN is not in .github/settings.toml",
        ),
    ],
)
def test_a_name_of_what_does_not_exist_is_found(sound: str, broken: str, complaint: str) -> None:
    """The rule bites, and lets the sound one pass."""
    assert list(names_nothing("sound.yml", SOUND)) == []
    assert list(names_nothing("sound.yml", SOUND.replace(sound, broken))) == [complaint]


@pytest.mark.parametrize(
    ("sound", "broken", "complaint"),
    [
        ("permissions: {}\n", "permissions: write-all\n", "sound.yml: the workflow itself holds permissions"),
        ("concurrency: {group: sound}\n", "", "sound.yml: no concurrency group"),
        (
            "on: [push]",
            "on: [push, pull_request_target]",
            "sound.yml: pull_request_target runs a stranger's code with our secrets",
        ),
        (
            "@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1",
            "@v7",
            "sound.yml: an action is not pinned by commit with its version beside it",
        ),
        (
            " # v7.0.1",
            "",
            "sound.yml: an action is not pinned by commit with its version beside it",
        ),
        ("ubuntu-24.04", "ubuntu-latest", "sound.yml: one: not on ubuntu-24.04"),
        ("    timeout-minutes: 5\n", "", "sound.yml: one: no time limit"),
        ("    permissions: {contents: read}\n", "", "sound.yml: one: no permissions of its own"),
        ("contents: read", "contents: write", "sound.yml: one: writes more or less than was agreed on"),
        (
            "        with: {persist-credentials: false}\n",
            "",
            "sound.yml: one: 1: the checkout leaves a token in .git",
        ),
        (
            "make check",
            "make check ARGS=${{ inputs.tag }}",
            "sound.yml: one: 2: an expression is pasted into shell text; hand it over through env",
        ),
        (
            "make check",
            "ssh -o StrictHostKeyChecking=no host",
            "sound.yml: one: 2: the host's key is not checked",
        ),
    ],
)
def test_what_is_unsafe_is_found(sound: str, broken: str, complaint: str) -> None:
    """Each of them has let somebody into somebody's repository."""
    assert list(unsafe("sound.yml", SOUND)) == []
    assert list(unsafe("sound.yml", SOUND.replace(sound, broken, 1))) == [complaint]
