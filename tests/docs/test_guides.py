"""The guides name every alert and every cause of death, and lines are short enough for a terminal."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from platform_core.jobs.contracts import DeadCause
from platform_core.payments.contracts import Method
from platform_core.payments.lifecycle import Action

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "platform-core/src/platform_core"
WIDTH = 120

_IN_SQL = re.compile(r"raise_alert\(\s*'([a-z_.]+)'")
_ALERT_ROW = re.compile(r"^\| `([a-z_]+\.[a-z_]+)` \| P[123] \|", re.MULTILINE)
_RAISERS = ("raise_alert", "_alert")


def _guide(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def _raised(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in _RAISERS:
            for argument in node.args[1:2]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value


def test_the_guide_explains_every_alert_and_no_other() -> None:
    """Whoever is woken finds the kind, what waits and what to do."""
    raised = {kind for source in CORE.rglob("*.py") for kind in _raised(ast.parse(source.read_text("utf-8")))}
    raised |= {
        kind for source in CORE.rglob("schema/*.sql") for kind in _IN_SQL.findall(source.read_text("utf-8"))
    }

    assert len(raised) > len(_RAISERS)
    assert sorted(_ALERT_ROW.findall(_guide("guides/when-something-waits.md"))) == sorted(raised)


def test_every_alert_leads_to_a_section_of_the_guide() -> None:
    """A link inside the page whose heading was renamed leads nowhere."""
    text = _guide("guides/when-something-waits.md")
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", text, re.MULTILINE)}

    assert set(re.findall(r"\]\(#([a-z-]+)\)", text)) <= headings


def test_the_guide_explains_every_cause_of_a_dead_letter() -> None:
    """One line each, or one for several."""
    explained = re.findall(
        r"`(\w+)`", "".join(re.findall(r"^\| `.*", _guide("guides/when-something-waits.md"), re.MULTILINE))
    )

    assert {cause.value for cause in DeadCause} - set(explained) == set()


def test_the_guide_names_every_decision_and_every_method() -> None:
    """What the command line offers is what the guide teaches."""
    text = _guide("guides/decide-a-claim.md")
    command = {Action.NEEDS_INFO: "ask"}

    assert [a for a in Action if f"wmctl claim {command.get(a, a.value)} " not in text] == []
    assert [method for method in get_args(Method) if f"`{method}`" not in text] == []


@pytest.mark.parametrize(
    "path",
    sorted([*(ROOT / "docs").rglob("*.md"), *(ROOT / "ops").rglob("*.md")]),
    ids=lambda path: path.name,
)
def test_a_line_fits_a_terminal(path: Path) -> None:
    """Tables and what a program printed keep the width they have."""
    long, fenced = [], False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fenced ^= line.lstrip().startswith("```")
        if len(line) > WIDTH and not fenced and not line.startswith("|"):
            long.append(f"{path.name}:{number}")

    assert long == []
