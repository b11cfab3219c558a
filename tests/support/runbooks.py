"""The runbooks of ops/: their parts, and the commands in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "ops/runbooks"
PARTS = ["First action", "Then", "Over when"]

_FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
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
    """The commands of the fenced shell blocks, each on one line; one goes on while a quote is open."""
    found, begun = [], ""
    for block in _FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            begun = f"{begun} {line}".strip()
            if begun.count("'") % 2 == 0:
                found.append(begun)
                begun = ""
    return [line for line in found if line and not line.startswith("#")]


def runbooks() -> list[Runbook]:
    """Every page but the list of them."""
    return [
        Runbook(path.stem, path.read_text(encoding="utf-8"))
        for path in sorted(FOLDER.glob("*.md"))
        if path.name != "README.md"
    ]
