"""A new connector: its files from templates, and the list of what is left to write.

Each thing to write raises NotImplementedError with its name in the contract and what to write. The list is
read from the source, so it gets shorter as the connector gets written and needs no other file to be kept in
step.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from platform_core.connectors import list_connectors
from platform_core.errors import InvalidInput, StateConflict, UnreadableFile

TEMPLATES = Path(__file__).parent / "templates"
PACKAGES = Path("connectors/src/platform_connectors")
TESTS = Path("tests/connectors")
PROJECT = Path("connectors/pyproject.toml")

_NAME = re.compile(r"[a-z][a-z0-9_]{1,39}")
_ENTRY_POINTS = '[project.entry-points."platform_core.connectors"]\n'
_FILES = {
    "package.py.txt": PACKAGES / "{name}/__init__.py",
    "signature.py.txt": PACKAGES / "{name}/signature.py",
    "events.py.txt": PACKAGES / "{name}/events.py",
    "failures.py.txt": PACKAGES / "{name}/failures.py",
    "client.py.txt": PACKAGES / "{name}/client.py",
    "README.md.txt": PACKAGES / "{name}/README.md",
    "test_conformance.py.txt": TESTS / "{name}/test_conformance.py",
}


@dataclass(frozen=True, slots=True)
class Left:
    """One thing that is left to write: where, its name in the contract, and what to write."""

    file: str
    line: int
    item: str
    what: str

    def __str__(self) -> str:
        return f"{self.item}: {self.what} ({self.file}:{self.line})"


def write_connector(root: Path, name: str) -> list[Path]:
    """Write a connector that declares itself and does nothing yet; its files come back, from the root.

    Raises: InvalidInput for a name that is none, StateConflict when something of that name is there,
    UnreadableFile when the checkout refuses.
    """
    _require_name(name)
    files = {template: Path(str(path).format(name=name)) for template, path in _FILES.items()}
    there = [path for path in files.values() if (root / path).parent.exists()]
    if there or name in list_connectors():
        raise StateConflict(
            f"There is a connector or a folder {name} already",
            next_step=f"See `wmctl connector check {name}`, or choose another name.",
        )
    words = {"@name@": name, "@Name@": name.replace("_", " ").title().replace(" ", "")}
    try:
        for template, path in files.items():
            text = (TEMPLATES / template).read_text(encoding="utf-8")
            for mark, word in words.items():
                text = text.replace(mark, word)
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        (root / TESTS / name / "payloads").mkdir()
        _declare(root / PROJECT, name)
    except OSError as error:
        raise UnreadableFile(f"{name} cannot be written: {error.strerror}") from error
    return [*files.values(), PROJECT]


def list_left(root: Path, name: str) -> list[Left]:
    """What is left to write of a connector, in the order of its files. Empty when nothing is."""
    folders = [root / PACKAGES / name, root / TESTS / name]
    sources = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    return [left for path in sources for left in _left_in(path, root)]


def _left_in(path: Path, root: Path) -> Iterator[Left]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id="NotImplementedError"), args=[ast.Constant(value=str() as text)]):
                item, _, what = text.partition(": ")
                yield Left(path.relative_to(root).as_posix(), node.lineno, item, what)
            case _:
                pass


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name in ("signed", "exchange", "wire"):
        raise InvalidInput(
            f"{name[:60]!r} is no name of a connector",
            next_step="Use 2 to 40 of a-z, 0-9 and _, beginning with a letter, such as mercado_pago.",
        )


def _declare(project: Path, name: str) -> None:
    """Add the entry point; the others stay in their lines."""
    text = project.read_text(encoding="utf-8")
    before, found, after = text.partition(_ENTRY_POINTS)
    lines, blank, rest = after.partition("\n\n")
    named = sorted([*lines.splitlines(), f'{name} = "platform_connectors.{name}:CONNECTOR"'])
    project.write_text(before + found + "\n".join(named) + blank + rest, encoding="utf-8")
