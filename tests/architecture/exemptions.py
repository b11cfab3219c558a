"""Every place where a rule is set aside, with its reason."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

from tests.architecture.imports import guards
from tests.architecture.source import Source, dotted

SHORTEST_REASON = len("same")  # as the line above
_COMMENTS = {
    "whole file": re.compile(r"#\s*(?:ruff|flake8):\s*noqa\b:?(?P<rest>.*)"),
    "noqa": re.compile(r"#\s*noqa\b:?(?P<rest>.*)"),
    "type: ignore": re.compile(r"#\s*type:\s*ignore(?P<rest>.*)"),
    "no cover": re.compile(r"#\s*pragma:\s*no\s*(?:cover|branch)(?P<rest>.*)"),
    "fmt": re.compile(r"#\s*fmt:\s*(?:skip|off)(?P<rest>.*)"),
}
_OTHER_TOOLS = re.compile(r"#\s*(?:mypy|pyright|pylint|isort):|#\s*(?:nosec|NOSONAR)\b")
_SKIPS = re.compile(r"pytest\.(?:mark\.)?(skip|skipif|xfail|importorskip)")


@dataclass(frozen=True, slots=True)
class Exemption:
    """One rule set aside at one place. `reason` is empty when none is given."""

    kind: str
    place: str
    reason: str


def exemptions(source: Source) -> Iterator[Exemption]:
    """All exemptions of a file."""
    yield from _in_comments(source)
    yield from _in_tests(source)
    for guard in guards(source.tree):
        # The reason is always the same one: what only the type checker needs is not imported at run time.
        yield Exemption("TYPE_CHECKING", f"{source.path}:{guard.lineno}", "typing only")


def _in_comments(source: Source) -> Iterator[Exemption]:
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type != tokenize.COMMENT:
            continue
        place = f"{source.path}:{token.start[0]}"
        if _OTHER_TOOLS.search(token.string):
            yield Exemption("other tool", place, "")
        for kind, pattern in _COMMENTS.items():
            match = pattern.search(token.string)
            if match:
                yield Exemption(kind, place, "layout" if kind == "fmt" else _reason(match["rest"]))


def _reason(rest: str) -> str:
    """What is said after the codes: `S108 - written by root only` or `[arg-type]  # facts carry more`."""
    said = re.sub(r"^\s*(?:\[[\w, -]*\]|[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*)", "", rest)
    return said.split("# noqa")[0].split("# type:")[0].strip(" -#:–—")


def _in_tests(source: Source) -> Iterator[Exemption]:
    calls = {node.func: node for node in ast.walk(source.tree) if isinstance(node, ast.Call)}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute):
            match = _SKIPS.fullmatch(dotted(node))
            if match:
                yield Exemption(match[1], f"{source.path}:{node.lineno}", _argument(calls.get(node)))


def _argument(node: ast.Call | None) -> str:
    """The reason a skip is given, as `reason=` or as its only text."""
    if node is None:
        return ""
    texts = [keyword.value for keyword in node.keywords if keyword.arg in {"reason", "msg"}]
    if not texts and dotted(node.func) in {"pytest.skip", "pytest.xfail"}:
        texts = node.args[:1]
    return next((str(text.value) for text in texts if isinstance(text, ast.Constant)), "")
