"""How named statements must be written, and that each of them is used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from tests.architecture.source import Source

_NAME = re.compile(r"^-- name: (.*)$", re.MULTILINE)
_HEADER = re.compile(r"^-- ([a-z]+): *(.*)$")
_NEEDED = ("purpose", "locks", "replay")
_KNOWN = {*_NEEDED, "moves"}
_KEYWORDS = (
    "select", "insert into", "update", "delete from", "from", "where", "and", "or", "order by", "group by",
    "having", "limit", "values", "set", "returning", "join", "left join", "on conflict", "for update", "with",
)  # fmt: skip
_LOWER = re.compile(rf"^\s*(?:{'|'.join(_KEYWORDS)})\b", re.MULTILINE)
_STAR = re.compile(r"(?i)\b(?:select|returning)\s+(?:\w+\.)?\*|,\s*\w+\.\*")
_SETS_STATE = re.compile(
    r"(?i)\bupdate\b(?:(?!\bwhere\b).)*?\bset\b(?:(?!\bwhere\b).)*?\bstate\s*=", re.DOTALL
)
_GUARDS_STATE = re.compile(r"(?i)\bwhere\b.*\bstate\b", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Statement:
    """One named statement. `headers` are its comment lines by keyword, `body` the SQL without comments."""

    path: str
    name: str
    headers: dict[str, str]
    body: str


def statements(path: str, text: str) -> list[Statement]:
    """The named statements of a file, in order."""
    found = []
    parts = _NAME.split(text)
    for name, part in zip(parts[1::2], parts[2::2], strict=True):
        headers: dict[str, str] = {}
        for line in part.strip().splitlines():
            match = _HEADER.match(line)
            if match:
                headers.setdefault(match[1], match[2].strip())
            elif not line.startswith("--"):
                break
        body = "\n".join(line for line in part.splitlines() if not line.lstrip().startswith("--"))
        found.append(Statement(path, name.strip(), headers, body))
    return found


def complaints(path: str, text: str) -> Iterator[str]:
    """What is wrong with the statements of one file."""
    named = statements(path, text)
    names = [statement.name for statement in named]
    if any(line.strip() and not line.startswith("--") for line in _NAME.split(text)[0].splitlines()):
        yield f"{path}: SQL before the first `-- name:`"
    yield from (
        f"{path}: `{name}` is there twice" for name in sorted({n for n in names if names.count(n) > 1})
    )
    for statement in named:
        yield from (f"{path}: {statement.name}: {complaint}" for complaint in _of(statement))


def _of(statement: Statement) -> Iterator[str]:
    if not re.fullmatch(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+", statement.name):
        yield "a name is a noun, then a verb, in lower case"
    for header in _NEEDED:
        if not statement.headers.get(header):
            yield f"says no {header}"
    for header in sorted(statement.headers.keys() - _KNOWN):
        yield f"`{header}` is no header"
    for found in _LOWER.findall(statement.body):
        yield f"write {found.strip().upper()} in upper case"
    if _STAR.search(statement.body):
        yield "name the columns"
    if _SETS_STATE.search(statement.body) and not _GUARDS_STATE.search(statement.body):
        yield "a change of state is guarded by the old one"
    if statement.headers.get("moves") and not re.search(r"\w+ -> \w+", statement.headers["moves"]):
        yield "moves are written `from -> to`"


def usage(named: Sequence[Statement], sources: Sequence[Source]) -> list[str]:
    """Statements nobody runs, and names that no statement has. Statements belong to their folder."""
    asked: dict[str, set[str]] = {}
    said: dict[str, set[str]] = {}
    for source in sources:
        folder = str(PurePosixPath(source.path).parent)
        asked.setdefault(folder, set()).update(_asked_for(source))
        said.setdefault(folder, set()).update(_said(source))
    given: dict[str, set[str]] = {}
    for statement in named:
        given.setdefault(str(PurePosixPath(statement.path).parent), set()).add(statement.name)
    unused = [
        f"{folder}: `{name}` is used nowhere"
        for folder, names in given.items()
        for name in sorted(names - said.get(folder, set()))
    ]
    unknown = [
        f"{folder}: there is no statement `{name}`"
        for folder, names in asked.items()
        for name in sorted(names - given.get(folder, set()))
    ]
    return unused + unknown


def _said(source: Source) -> Iterator[str]:
    """Every text of a module: a name may be chosen from a table before it is looked up."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _asked_for(source: Source) -> Iterator[str]:
    """The names looked up in what `load_queries(__file__)` returned; `Q` imported from a neighbour counts."""
    loaded = {"Q"} | {
        target.id
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        if isinstance(node.value.func, ast.Name) and node.value.func.id == "load_queries"
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Constant):
            continue
        if isinstance(node.value, ast.Name) and node.value.id in loaded:
            yield str(node.slice.value)
