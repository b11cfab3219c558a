"""Exemptions are counted: each carries its reason, and the number of each kind is agreed on here."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.architecture.exemptions import SHORTEST_REASON, Exemption, exemptions
from tests.architecture.source import ROOT, Source, python_sources

# The agreed numbers. Lower one when an exemption goes; raise one only in the change that argues for it.
AGREED = {
    "noqa": 116,
    "type: ignore": 24,
    "fmt": 106,
    "TYPE_CHECKING": 15,
    "skip": 2,
    "whole file": 1,
}


def _all() -> list[Exemption]:
    return [exemption for source in python_sources() for exemption in exemptions(source)]


def test_the_number_of_exemptions_is_the_agreed_one() -> None:
    """Prints the table to agree on, and where each exemption stands."""
    found = _all()
    counted = dict(Counter(exemption.kind for exemption in found))
    places = "\n".join(
        f"{e.kind}: {e.place}: {e.reason}" for e in sorted(found, key=lambda e: (e.kind, e.place))
    )

    assert counted == {kind: number for kind, number in AGREED.items() if number}, f"{counted}\n{places}"


def test_every_exemption_carries_its_reason() -> None:
    """On its own line, in words."""
    silent = [f"{e.place}: {e.kind}" for e in _all() if len(e.reason) < SHORTEST_REASON and e.kind != "fmt"]

    assert not silent, "\n".join(silent)


def test_every_rule_switched_off_for_the_linter_carries_its_reason() -> None:
    """In pyproject.toml, on the line of the code."""
    silent = _without_reason((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert not silent, "\n".join(silent)


def _without_reason(text: str) -> list[str]:
    linter = text.split("[tool.ruff.lint]", 1)[-1].partition("[tool.ruff.lint.pylint]")[0]
    code = re.compile(r'"[A-Z]{1,5}[0-9]{1,4}"')
    return [
        line.strip()
        for line in linter.splitlines()
        if code.search(line) and len(line.partition("#")[2].strip()) < len("same")
    ]


# Written in pieces, or this file would count itself.
_NOQA, _IGNORE = "# no" + "qa", "# type: ig" + "nore"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (f"x = 1  {_NOQA}: S108 - written by root only", ("noqa", "written by root only")),
        (f"x = 1  {_NOQA}: S108, S603 - written by root only", ("noqa", "written by root only")),
        (f"x = 1  {_NOQA}: S108", ("noqa", "")),
        (f"x = 1  {_NOQA}", ("noqa", "")),
        (f"x = 1  {_IGNORE}[arg-type]  # facts carry more", ("type: ignore", "facts carry more")),
        (f"x = 1  {_IGNORE}[arg-type]", ("type: ignore", "")),
        (f"x = 1  {_IGNORE}", ("type: ignore", "")),
        ("x = 1  # fm" + "t: skip", ("fmt", "layout")),
        ("x = 1  # pragma: no" + " cover", ("no cover", "")),
        (
            "# ru" + "ff: no" + "qa: E501 - answers stay on one line",
            ("whole file", "answers stay on one line"),
        ),
        ("# ru" + "ff: no" + "qa", ("whole file", "")),
        ("# my" + "py: ignore-errors", ("other tool", "")),
        ("@pytest.mark.skip\ndef f(): ...", ("skip", "")),
        ('@pytest.mark.skip(reason="PostgreSQL 15 only")\ndef f(): ...', ("skip", "PostgreSQL 15 only")),
        ('@pytest.mark.xfail(reason="known defect 12")\ndef f(): ...', ("xfail", "known defect 12")),
        ('pytest.skip("no network here")', ("skip", "no network here")),
        ('pytest.importorskip("x")', ("importorskip", "")),
        ("if TYPE_CHECKING:\n    import x", ("TYPE_CHECKING", "typing only")),
    ],
)
def test_an_exemption_is_found_with_its_reason(code: str, expected: tuple[str, str]) -> None:
    """In every form people write it."""
    found = list(exemptions(Source.parse("a.py", code)))

    assert [(exemption.kind, exemption.reason) for exemption in found] == [expected]


def test_a_text_about_an_exemption_is_none() -> None:
    """Only comments set rules aside."""
    assert list(exemptions(Source.parse("a.py", f'x = "{_NOQA}"'))) == []


def test_a_linter_rule_without_a_reason_is_found() -> None:
    """The check of pyproject.toml bites."""
    assert _without_reason('[tool.ruff.lint]\nignore = [\n  "S101",\n]') == ['"S101",']
    assert (
        _without_reason('[tool.ruff.lint]\nignore = [\n  "S101",  # asserting is what a test does\n]') == []
    )
