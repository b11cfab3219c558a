"""The house rules, over the whole tree. Each rule carries examples that prove it can fail."""

from __future__ import annotations

import pytest

from tests.architecture import imports, placement, scripts, style
from tests.architecture.source import Rule, Source, python_sources

RULES = (*imports.RULES, *placement.RULES, *scripts.RULES, *style.RULES)


def _named(examples: str) -> list[object]:
    return [
        pytest.param(rule, path, code, id=f"{rule.name}-{number}")
        for rule in RULES
        for number, (path, code) in enumerate(getattr(rule, examples))
    ]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_tree_obeys(rule: Rule) -> None:
    """No file of the repository breaks the rule."""
    complaints = [complaint for source in python_sources() for complaint in rule.complaints(source)]

    assert not complaints, f"{rule.name}:\n" + "\n".join(complaints)


@pytest.mark.parametrize(("rule", "path", "code"), _named("bad"))
def test_a_rule_bites(rule: Rule, path: str, code: str) -> None:
    """A rule that lets its own bad example pass judges nothing."""
    assert rule.complaints(Source.parse(path, code)) != []


@pytest.mark.parametrize(("rule", "path", "code"), _named("good"))
def test_a_rule_lets_good_code_pass(rule: Rule, path: str, code: str) -> None:
    """A rule that stops everything would be switched off."""
    assert rule.complaints(Source.parse(path, code)) == []


def test_every_rule_has_a_bad_example() -> None:
    """Otherwise nobody knows whether it can fail."""
    assert [rule.name for rule in RULES if not rule.bad] == []


def test_there_is_a_tree_to_judge() -> None:
    """Rules over no files would pass for ever."""
    judged = {rule.name: sum(rule.applies(source.path) for source in python_sources()) for rule in RULES}

    assert [name for name, files in judged.items() if files == 0] == []
