"""What is wrong in a folder: all of it, in one refusal that names file, line, reason and next step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from platform_core.errors import FolderRefused

SHOWN = 40
"""How many problems a refusal names one by one; the rest are counted."""
LISTED = 12


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong. `line` is 0 where the whole file is meant."""

    file: Path
    line: int
    reason: str
    next_step: str = "Correct the file."

    def __str__(self) -> str:
        """As people read it, on one line."""
        place = f"{self.file}: line {self.line}" if self.line else str(self.file)
        return f"{place}: {self.reason}. {self.next_step}"


def refusal(folder: Path, problems: Iterable[Problem]) -> FolderRefused:
    """The refusal of a folder: its message names the first problems, `problems_of` gives all of them."""
    found = tuple(sorted(set(problems)))
    if len(found) == 1:
        first = found[0]
        said = str(first).removesuffix(f". {first.next_step}")
        return FolderRefused(said, next_step=first.next_step, problems=found)
    lines = [f"{folder}: {len(found)} problems", *(f"- {problem}" for problem in found[:SHOWN])]
    if len(found) > SHOWN:
        lines.append(f"- and {len(found) - SHOWN} more")
    return FolderRefused("\n".join(lines), problems=found)


def problems_of(refused: FolderRefused) -> tuple[Problem, ...]:
    """Everything that was wrong, in the order of the files."""
    return cast("tuple[Problem, ...]", refused.facts["problems"])


class Problems:
    """Collects what is wrong while a folder is read; a problem of one file never hides those of others."""

    def __init__(self) -> None:
        self.found: list[Problem] = []
        self.warnings: list[Problem] = []

    def add(self, file: Path, reason: str, next_step: str = "Correct the file.", *, line: int = 0) -> None:
        """Something that stops."""
        self.found.append(Problem(file, line, reason, next_step))

    def warn(self, file: Path, reason: str, next_step: str = "", *, line: int = 0) -> None:
        """Something that a person should know and that stops nothing."""
        self.warnings.append(Problem(file, line, reason, next_step or "Nothing needs to be done now."))

    def refuse(self, folder: Path) -> None:
        """Raise when anything was found. Raises: FolderRefused."""
        if self.found:
            raise refusal(folder, self.found)


def near(word: str, known: Iterable[str]) -> str:
    """The known word that somebody most likely meant, as a next step; else the list of the known ones."""
    words = sorted(known)
    found = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if found:
        return f"Did you mean {found[0]}?"
    if len(words) > LISTED:
        return "Remove it, or correct its name."
    return f"Known are: {', '.join(words)}."
