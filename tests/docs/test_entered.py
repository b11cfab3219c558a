"""Every command of wmctl that a guide or a runbook tells to type is typed by a test, or by the rehearsal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.commands.test_answers import HERE
from tests.cli.test_runbooks import TYPED
from tests.support.entered import Words, command_of, entered
from tests.support.runbooks import PAGES, ROOT, said_of_wmctl, section
from tests.support.wmctl import commands

KNOWN = {tuple(name.split()) for name in commands()}
PLAYED = {
    "tests/rehearsal/scenarios/guide.py": ("docs/guides/deploy.md", "After the very first one"),
}
"""Modules that type a section as it stands on its page, with the section; both are named in the module."""

NOT_TYPED: Mapping[Words, str] = {}
"""Commands that nobody types, each with its reason. None is best."""


def _told() -> dict[Words, list[str]]:
    """The commands that pages tell to type, with the pages."""
    found: dict[Words, list[str]] = {}
    for page in PAGES:
        for words in said_of_wmctl(page.read_text(encoding="utf-8")):
            if command := command_of(words, KNOWN):
                found.setdefault(command, []).append(page.name)
    return found


def _of_a_page(page: str, heading: str) -> set[Words]:
    text = section((ROOT / page).read_text(encoding="utf-8"), heading)
    return {command for words in said_of_wmctl(text) if (command := command_of(words, KNOWN))}


def _typed() -> set[Words]:
    """What is entered by words in source, by a row of the table of commands, or by a page that is played."""
    lines = {found for _, line in TYPED if (found := command_of(tuple(line.split()[1:]), KNOWN))}
    played = (_of_a_page(*part) for module, part in PLAYED.items() if (ROOT / module).is_file())
    by_source = entered([ROOT / "tests"], KNOWN)
    return set(by_source).union(*played, lines, {tuple(name.split()) for name in HERE})


def test_every_command_that_a_page_tells_to_type_is_typed_by_somebody() -> None:
    """A command that nobody ran is a guess; in a runbook it is made at night."""
    told = _told()
    left = {" ".join(words): sorted(set(told[words])) for words in set(told) - _typed() - set(NOT_TYPED)}

    assert len(told) > len(KNOWN) // 2
    assert left == {}


def test_what_nobody_types_is_counted_with_its_reason() -> None:
    """An exception that is typed, or told nowhere, is none any more."""
    assert len(NOT_TYPED) == 0
    assert set(NOT_TYPED) & _typed() == set()
    assert set(NOT_TYPED) - set(_told()) == set()


def test_a_module_that_plays_a_page_names_it() -> None:
    """And the section is on the page, with something to type."""
    there = {module: part for module, part in PLAYED.items() if (ROOT / module).is_file()}
    unnamed = [
        f"{module}: {word}"
        for module, (page, heading) in there.items()
        for word in (page.rpartition("/")[2], heading)
        if word not in (ROOT / module).read_text(encoding="utf-8")
    ]

    assert unnamed == []
    assert [part for part in PLAYED.values() if not _of_a_page(*part)] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def t(x):\n    x.say('job', 'list')", ["job list"]),
        ("def t(x):\n    x.say(*('job', 'list'), '--json')", ["job list"]),
        ("def help_(x, *words):\n    x.say('job', *words)\ndef t():\n    help_(1, 'list')", ["job list"]),
        (
            "def help_(words):\n    run([PY, '-m', 'platform_cli', *words])\nhelp_(['job', 'list'])",
            ["job list"],
        ),
        (
            "@p.parametrize('verb', ['list', 'show'])\ndef t(verb):\n    say('job', verb)",
            ["job list", "job show"],
        ),
        ("for words in (('job', 'list'), ('drift',)):\n    say(*words)", ["drift", "job list"]),
        ("LINE = 'job list --json'\ndef t():\n    say(*LINE.split())", ["job list"]),
        ("def t(x):\n    x.ask('job', 'list')\n    say('job', unknown())\n    say('nothing')", []),
    ],
)
def test_words_are_found_however_they_are_handed_over(tmp_path: Path, source: str, found: list[str]) -> None:
    """Through a helper's own words, a list, a loop; not where they lead elsewhere."""
    terminal = "class Terminal:\n    def say(self, *arguments):\n        execute(list(arguments))\n"
    (tmp_path / "terminal.py").write_text(terminal, encoding="utf-8")
    (tmp_path / "one.py").write_text(source, encoding="utf-8")
    known = {("job", "list"), ("job", "show"), ("drift",)}

    assert sorted(" ".join(words) for words in entered([tmp_path], known)) == found
