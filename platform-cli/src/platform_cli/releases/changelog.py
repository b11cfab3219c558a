"""CHANGELOG.md, in the form of Keep a Changelog: what is not released, and a section for each release."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from platform_cli.releases.versions import Version
from platform_core.errors import NotFound, StateConflict

FILE = "CHANGELOG.md"
_UNRELEASED = "## [Unreleased]"
_HEADING = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)
_ENTRY = re.compile(r"^- \S", re.MULTILINE)


def section(text: str, name: str) -> str:
    """What stands under a heading, without the heading. Raises: NotFound."""
    headings = list(_HEADING.finditer(text))
    for number, heading in enumerate(headings):
        if heading[1] == name:
            end = headings[number + 1].start() if number + 1 < len(headings) else len(text)
            return text[heading.end() : end].strip() + "\n"
    raise NotFound(
        f"{FILE} has no section [{name}]", next_step=f"Add the heading `## [{name}]` with what changed."
    )


def notes(root: Path, version: Version) -> str:
    """The section of a release, as its page shows it. Raises: NotFound."""
    return section((root / FILE).read_text(encoding="utf-8"), str(version))


def released(text: str, version: Version, on: date) -> str:
    """The changelog after a release: what waited stands under the version, and nothing waits.

    Raises: StateConflict when nothing waits, or the version has a section already.
    """
    if any(heading[1] == str(version) for heading in _HEADING.finditer(text)):
        raise StateConflict(
            f"{FILE} has a section [{version}] already", next_step="Take the next version, or remove it."
        )
    if not _ENTRY.search(section(text, "Unreleased")):
        raise StateConflict(
            f"Nothing waits under [Unreleased] in {FILE}",
            next_step="Say there what changes for the person who upgrades, one line each, then try again.",
        )
    heading = f"{_UNRELEASED}\n\n## [{version}] - {on.isoformat()}"
    return text.replace(_UNRELEASED, heading, 1)
