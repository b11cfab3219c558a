"""Windmill scripts are thin: they name the customer and call the platform."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.architecture.imports import imported
from tests.architecture.source import Rule, Source, docstrings

LINES = 20


def is_script(path: str) -> bool:
    """Whether Windmill runs this file."""
    return PurePosixPath(path).match("customers/*/scripts/*.py") or path.startswith("ops/")


def _lines(source: Source) -> Iterator[str]:
    written = [line for line in source.text.splitlines() if line.strip() and not line.strip().startswith("#")]
    if len(written) > LINES:
        yield source.at(source.tree, f"a script has at most {LINES} lines, this one {len(written)}")


def _imports(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        for name in imported(node):
            allowed = name == "wmill" or name.startswith(("platform_core.windmill.", "wmill.", "__future__."))
            if not allowed:
                yield source.at(node, "a script imports platform_core.windmill and wmill, and nothing else")


def _texts(source: Source) -> Iterator[str]:
    sql = re.compile(r"(?i)\b(?:select\s.+\sfrom|insert\s+into|update\s.+\sset|delete\s+from)\b", re.DOTALL)
    prose = docstrings(source.tree)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose:
            if sql.search(node.value):
                yield source.at(node, "a script holds no SQL")
            if re.search(r"https?://", node.value):
                yield source.at(node, "a script calls no address; a connector does")


_SCRIPT = "customers/einstein_kids/scripts/decide.py"

RULES = (
    Rule(
        f"a script has at most {LINES} lines",
        is_script,
        _lines,
        bad=((_SCRIPT, "x = 1\n" * (LINES + 1)), ("ops/alerts/collect.py", "x = 1\n" * (LINES + 1))),
        good=((_SCRIPT, "x = 1\n\n" * LINES),),
    ),
    Rule(
        "a script imports the edge and nothing else",
        is_script,
        _imports,
        bad=(
            (_SCRIPT, "import os"),
            (_SCRIPT, "import httpx"),
            (_SCRIPT, "from platform_core.payments import claims"),
            (_SCRIPT, "def main():\n    import platform_core.db"),
        ),
        good=((_SCRIPT, "import wmill\nfrom platform_core.windmill.steps import decide_claim"),),
    ),
    Rule(
        "a script holds no SQL and calls nobody",
        is_script,
        _texts,
        bad=(
            (_SCRIPT, 'query = "select id from payments.claim"'),
            (_SCRIPT, 'url = "https://api.example.com"'),
        ),
        good=((_SCRIPT, '"""Staff decide a claim: select it from the list."""\nCUSTOMER = "einstein_kids"'),),
    ),
)
