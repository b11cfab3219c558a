"""Every alert that wakes a person has a runbook, and its first action is on the first screen."""

from __future__ import annotations

import re

import pytest

from tests.support.runbooks import FOLDER, PARTS, ROOT, Runbook, runbooks

FIRST_SCREEN = 12
MOST_COMMANDS = 2
"""What is typed before anything is decided: more than two commands take more than a minute."""

BOOKS = runbooks()


def _urgent_kinds() -> list[str]:
    guide = (ROOT / "docs/guides/when-something-waits.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \| P1 \|", guide, re.MULTILINE)


def test_every_alert_that_wakes_a_person_has_a_runbook_and_no_other_kind_has() -> None:
    """The guide's table is held to the code by its own test; a name without a dot is no kind."""
    of_alerts = [book.name for book in BOOKS if "." in book.name]

    assert of_alerts == sorted(_urgent_kinds())


def test_the_list_names_every_runbook_once() -> None:
    """Whoever is woken opens the list first."""
    listed = re.findall(r"\]\(([\w.-]+)\.md\)", (FOLDER / "README.md").read_text(encoding="utf-8"))

    assert sorted(listed) == sorted(book.name for book in BOOKS)


def test_the_guide_leads_from_the_alert_to_its_runbook() -> None:
    """In the row of the alert."""
    guide = (ROOT / "docs/guides/when-something-waits.md").read_text(encoding="utf-8")
    linked = re.findall(r"^\| `([\w.]+)` \| P1 \|.*ops/runbooks/([\w.]+)\.md\) \|$", guide, re.MULTILINE)

    assert linked == [(kind, kind) for kind in _urgent_kinds()]


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.name)
def test_a_runbook_has_its_parts_and_begins_with_something_to_type(book: Runbook) -> None:
    """From the alert to the first action in under a minute."""
    assert book.text.startswith(f"# {book.name}\n")
    assert book.parts == PARTS
    assert 1 <= len(book.first_action) <= MOST_COMMANDS
    assert book.lines_before_it <= FIRST_SCREEN
