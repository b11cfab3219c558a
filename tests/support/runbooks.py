"""What pages tell to type; and the runbooks of ops/, with their parts."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "ops/runbooks"
PARTS = ["First action", "Then", "Over when"]

PAGES = sorted([*(ROOT / "docs/guides").glob("*.md"), *(ROOT / "ops").rglob("*.md")])
"""Every page that tells people what to type: guides and runbooks."""

_FENCE = re.compile(r"^( *)```sh\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_WMCTL = re.compile(r"(?:^ *|`)wmctl ((?:[a-z]+ ?)+)", re.MULTILINE)
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Runbook:
    """One page: `name` is the alert's kind, or what people say happened."""

    name: str
    text: str

    @property
    def parts(self) -> list[str]:
        """Its headings, in order."""
        return _HEADING.findall(self.text)

    @property
    def first_action(self) -> list[str]:
        """The commands under the first heading."""
        return commands(self.text.partition("## First action")[2].partition("\n## ")[0])

    @property
    def lines_before_it(self) -> int:
        """How far somebody who was woken reads before there is something to type."""
        return self.text.partition("```sh")[0].count("\n")


def commands(text: str) -> list[str]:
    """The commands of the fenced shell blocks, also of a list's; each on one line, to the end of a quote."""
    found, begun = [], ""
    for _, block in _FENCE.findall(text):
        for line in textwrap.dedent(block).replace("\\\n", " ").splitlines():
            begun = f"{begun} {line}".strip()
            if begun.count("'") % 2 == 0:
                found.append(begun)
                begun = ""
    return [line for line in found if line and not line.startswith("#")]


def said_of_wmctl(text: str) -> list[tuple[str, ...]]:
    """The words after each `wmctl` of a page: in fences, in tables, and in the prose between."""
    return [tuple(words.split()) for words in _WMCTL.findall(text)]


def section(text: str, heading: str) -> str:
    """What stands under a heading of the second order, up to the next."""
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def runbooks() -> list[Runbook]:
    """Every page but the list of them."""
    return [
        Runbook(path.stem, path.read_text(encoding="utf-8"))
        for path in sorted(FOLDER.glob("*.md"))
        if path.name != "README.md"
    ]
