"""docs/reference/events.md names every log event and every audit action, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
PRODUCT = ("platform-core/src", "platform-cli/src", "connectors/src", "customers")
_EVENT = re.compile(r"[a-z][a-z_]*(\.[a-z][a-z_]*)+")
_ROW = re.compile(r"^\| `([a-z_.]+)` \|", re.MULTILINE)


@pytest.fixture(scope="module")
def trees(repository: Path) -> list[ast.Module]:
    """Every module of the product."""
    files = (path for folder in PRODUCT for path in sorted((repository / folder).rglob("*.py")))
    return [ast.parse(path.read_text(encoding="utf-8")) for path in files]


def _documented(repository: Path, heading: str) -> set[str]:
    text = (repository / "docs/reference/events.md").read_text(encoding="utf-8")
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    return {name for name in _ROW.findall(section) if "." in name}


def _texts(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and _EVENT.fullmatch(part.value):
            yield part.value


def _logged(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            if node.func.attr in LEVELS:
                yield from _texts(node.args[0])
        elif isinstance(node, ast.Dict):  # the writer's own lines
            keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
            if "event" in keys:
                yield from _texts(node.values[keys.index("event")])


def _recorded(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "audit.record" and len(node.args) > 1:
            yield from _texts(node.args[1])


def test_every_log_event_is_documented_and_every_documented_one_exists(
    repository: Path, trees: list[ast.Module]
) -> None:
    """Whoever greps a log finds the meaning of the line."""
    assert {event for tree in trees for event in _logged(tree)} == _documented(repository, "Log lines")


def test_every_audit_action_is_documented_and_every_documented_one_exists(
    repository: Path, trees: list[ast.Module]
) -> None:
    """Actions chosen from a table stand in it as they are; claims' are named after the state reached."""
    documented = _documented(repository, "Audit entries")
    written = {text for tree in trees for text in _texts(tree)}
    by_state = {f"claim.{state}" for tree in trees for state in _states(tree)}

    assert {action for tree in trees for action in _recorded(tree)} - documented == set()
    assert documented - written - by_state == set()


def _states(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == "ClaimState":
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value
