"""The project's files as the rules see them, and what a rule is."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CORE = "platform-core/src/platform_core/"
CLI = "platform-cli/src/platform_cli/"
CONNECTORS = "connectors/src/platform_connectors/"
PRODUCT = (CORE, CLI, CONNECTORS, "customers/", "ops/")


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file. `path` is relative to the repository, with forward slashes."""

    path: str
    text: str
    tree: ast.Module

    @classmethod
    def parse(cls, path: str, text: str) -> Source:
        """Read a file's text, which need not exist on disk."""
        return cls(path, text, ast.parse(text, path))

    def at(self, node: ast.AST, message: str) -> str:
        """A complaint about a place in this file."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {message}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One house rule with examples: `bad` must be complained about, `good` must not."""

    name: str
    applies: Callable[[str], bool]
    judge: Callable[[Source], Iterator[str]]
    bad: tuple[tuple[str, str], ...]
    good: tuple[tuple[str, str], ...] = ()

    def complaints(self, source: Source) -> list[str]:
        """What this rule has against a file; nothing when the file is not its business."""
        return list(self.judge(source)) if self.applies(source.path) else []


def in_product(path: str) -> bool:
    """Whether a file is part of what runs for a customer, unlike the tests of it."""
    return path.startswith(PRODUCT)


def in_core(path: str) -> bool:
    """Whether a file belongs to platform_core."""
    return path.startswith(CORE)


def in_tests(path: str) -> bool:
    """Whether a file belongs to the tests."""
    return path.startswith("tests/")


@cache
def repository_files() -> tuple[str, ...]:
    """Every file that git tracks or would add, and that is still there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = {name.decode() for name in listed.stdout.split(b"\0") if name}
    return tuple(sorted(name for name in names if (ROOT / name).is_file()))


@cache
def python_sources() -> tuple[Source, ...]:
    """Every Python file of the repository, parsed."""
    return tuple(
        Source.parse(name, (ROOT / name).read_text(encoding="utf-8"))
        for name in repository_files()
        if name.endswith(".py")
    )


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a chain of attributes on a name, else nothing."""
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return node.id if isinstance(node, ast.Name) else ""


def docstrings(tree: ast.Module) -> set[ast.AST]:
    """The constants that document something: prose, not values."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, documented):
            found |= {item.value for item in node.body if isinstance(item, ast.Expr)}
    return found
