"""Help that helps: every command shows an example that its own parser accepts."""

from __future__ import annotations

import platform
import re
import shlex
import tomllib

import pytest

from platform_cli.main import NOUNS
from tests.support.wmctl import REPOSITORY, Terminal, commands

COMMANDS = commands()
ANYWHERE = Terminal({})


def test_wmctl_names_every_noun_and_what_it_is_for() -> None:
    """`wmctl --help` is the map."""
    said = ANYWHERE.say("--help")

    assert said.code == 0
    assert not [noun for noun in NOUNS if f"\n  {noun} " not in said.out]


def test_wmctl_says_which_version_it_is() -> None:
    """The one of the repository, with the Python it runs on; a command alone does not take the question."""
    said = ANYWHERE.say("--version")
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]

    assert (said.code, said.out, said.err) == (
        0,
        f"wmctl {version} on Python {platform.python_version()}\n",
        "",
    )
    assert ANYWHERE.say("status", "--version").code == 2


@pytest.mark.parametrize("noun", sorted({name.split()[0] for name in COMMANDS if " " in name}))
def test_a_noun_names_its_commands(noun: str) -> None:
    """`wmctl claim --help` lists them; `wmctl claim` alone shows the same and is wrong usage."""
    said, bare = ANYWHERE.say(noun, "--help"), ANYWHERE.say(noun)

    assert (said.code, bare.code) == (0, 2)
    assert said.out.split() == bare.out.split()
    assert not [n for n in COMMANDS if n.startswith(f"{noun} ") and f"\n  {n.split()[1]} " not in said.out]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_example_of_a_command_parses(name: str) -> None:
    """It calls the command itself, with options that exist and values that its types take."""
    said = ANYWHERE.say(*name.split(), "--help")
    example = _example(said.out)

    assert said.code == 0
    assert example[: len(name.split()) + 1] == ["wmctl", *name.split()]
    with COMMANDS[name].make_context("wmctl", example[len(name.split()) + 1 :]) as context:
        assert set(context.params) == {one.name for one in COMMANDS[name].params} - {"help"}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_says_what_it_is(name: str) -> None:
    """No option or argument without a word about it."""
    assert not [one.name for one in COMMANDS[name].params if not getattr(one, "help", "")]


def test_the_next_step_of_an_error_is_a_command_that_exists() -> None:
    """Every `wmctl ...` in the source, in messages and in prose, names a noun or a command of the tree."""
    known = {*COMMANDS, *NOUNS, ""}
    said = {
        (path.name, " ".join(found.split()[:2]))
        for folder in ("platform-core", "platform-cli", "connectors")
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        for found in re.findall(r"`wmctl ([a-z ]*)", path.read_text(encoding="utf-8"))
    }

    assert {(file, words) for file, words in said if words not in known} == set()


def _example(text: str) -> list[str]:
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.strip().startswith("Example: ")]
    assert len(starts) == 1, "one line that begins with Example:"
    ends = next(number for number in range(starts[0], len(lines)) if not lines[number].strip())
    return shlex.split(" ".join(lines[starts[0] : ends]).strip().removeprefix("Example: "))
