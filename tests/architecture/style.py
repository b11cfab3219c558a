"""Names, numbers, times and the shape of tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.architecture.imports import imported
from tests.architecture.source import CLI, CORE, Rule, Source, dotted, in_product, in_tests

_EMPTY_NAMES = {
    "base",
    "common",
    "helper",
    "helpers",
    "manager",
    "misc",
    "service",
    "services",
    "util",
    "utils",
}
_EMPTY_SUFFIX = re.compile(r"\w+(?:Manager|Service|Helper|Helpers|Utils)$")


def _names(source: Source) -> Iterator[str]:
    path = PurePosixPath(source.path)
    for part in (*path.parts[:-1], path.stem):
        if part.strip("_").lower() in _EMPTY_NAMES:
            yield source.at(source.tree, f"`{part}` names a layer or a drawer; name the noun")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef) and _EMPTY_SUFFIX.match(node.name):
            yield source.at(node, f"`{node.name}` names a layer; name the noun or write a verb")


_MONEY = (CORE + "payments/", CORE + "billing/", CORE + "values.py")


def _float(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name) and node.id == "float":
            yield source.at(node, "money is an integer of minor units, never a float")
        elif isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield source.at(node, f"{node.value} is a float; money is an integer of minor units")
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and not _is_a_path(node):
            yield source.at(node, "`/` makes floats; use // with a rule for the remainder")


def _is_a_path(node: ast.BinOp) -> bool:
    """A division by a text can only join a path."""
    return isinstance(node.right, ast.Constant | ast.JoinedStr) and not (
        isinstance(node.right, ast.Constant) and not isinstance(node.right.value, str)
    )


_ARGUMENTS_UP_TO_TZINFO = 8
_WALL_CLOCK = "local_time.py"
"""Where a customer's wall clock becomes an instant: the one place where a zone is taken off."""


def _naive(source: Source) -> Iterator[str]:
    wall_clock = source.path.endswith(_WALL_CLOCK)
    settled = {
        node.func.value
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _settles_zone(node)
    }
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and node not in settled:
            complaint = _complaint_about_time(node)
            if complaint:
                yield source.at(node, complaint)
        if isinstance(node, ast.keyword) and node.arg == "tzinfo" and _is_none(node.value) and not wall_clock:
            yield source.at(node.value, "a time never loses its zone")


def _complaint_about_time(call: ast.Call) -> str:
    name, given = dotted(call.func), {keyword.arg for keyword in call.keywords}
    last = name.split(".")[-1]
    if last in {"utcnow", "utcfromtimestamp"} or (last == "strptime" and "datetime" in name):
        return f"`{last}` gives a time without a zone"
    if name in {"datetime", "datetime.datetime"}:
        has_zone = "tzinfo" in given or len(call.args) >= _ARGUMENTS_UP_TO_TZINFO
        return "" if has_zone else "a datetime needs its zone"
    if re.fullmatch(r"(?:\w+\.)*datetime\.(?:now|fromtimestamp)", name):
        has_zone = "tz" in given or len(call.args) >= (1 if last == "now" else 2)
        return "" if has_zone else f"`{last}` without a zone is local time"
    return ""


def _settles_zone(call: ast.Call) -> bool:
    """Whether a time that was read without a zone gets one, or is no time but a day."""
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    return method == "date" or (method == "replace" and "tzinfo" in given and not _is_none(given["tzinfo"]))


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _unfinished(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if dotted(raised) == "NotImplementedError":
                yield source.at(node, "what is not done is not offered")
    marks = ("TO" + "DO", "FIX" + "ME", "X" + "XX")
    for number, line in enumerate(source.text.splitlines(), 1):
        if re.search(rf"#.*\b(?:{'|'.join(marks)})\b", line):
            yield f"{source.path}:{number}: finish it, or write an issue"


def _patching(source: Source) -> Iterator[str]:
    ours = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and any(name.startswith("platform_") for name in imported(node))
        for alias in node.names
    }
    for node in ast.walk(source.tree):
        if any(name.startswith(("unittest.mock", "mock")) for name in imported(node)):
            yield source.at(node, "pass another value instead of patching")
        if not isinstance(node, ast.Call) or dotted(node.func) not in {"monkeypatch.setattr", "mocker.patch"}:
            continue
        target = node.args[0] if node.args else node
        named = isinstance(target, ast.Constant) and str(target.value).startswith("platform_")
        if named or dotted(target).split(".")[0] in ours:
            yield source.at(node, "our own modules are not patched: pass another value")


def _sleeping(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and dotted(node.func) in {"time.sleep", "sleep"}:
            yield source.at(node, "do not sleep: move the clock, or wait for the thing itself with a limit")


_PROOFS = re.compile(r"(?:^|\.|_)(?:assert|raises|warns|check|expect|prove|must|verify)", re.IGNORECASE)


def _asserting(source: Source) -> Iterator[str]:
    functions = [n for n in ast.walk(source.tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    proving = {f.name for f in functions if any(isinstance(part, ast.Assert) for part in ast.walk(f))}
    for function in functions:
        if not function.name.startswith("test") or function.name in proving:
            continue
        if "never raises" in (ast.get_docstring(function) or ""):
            continue  # that it comes back is what is tested
        called = {dotted(part.func) for part in ast.walk(function) if isinstance(part, ast.Call)}
        if not any(_PROOFS.search(name) or name.split(".")[-1] in proving for name in called):
            yield source.at(function, f"`{function.name}` asserts nothing")


def _packages(source: Source) -> Iterator[str]:
    if source.path.endswith("/__init__.py") and not source.path.startswith("tests/support/"):
        yield source.at(source.tree, "test folders are not packages")


def _endless(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and not _leaves(node):
            yield source.at(node, "an endless loop has no limit in sight")


def _leaves(loop: ast.While) -> bool:
    return any(isinstance(part, ast.Break | ast.Return | ast.Raise) for part in ast.walk(loop))


RULES = (
    Rule(
        "modules and classes are named for nouns",
        lambda _: True,
        _names,
        bad=(
            (CORE + "jobs/utils.py", ""),
            (CORE + "common/thing.py", ""),
            ("tests/helpers.py", ""),
            (CORE + "jobs/_base.py", ""),
            (CORE + "jobs/queue.py", "class JobManager:\n    pass"),
        ),
        good=((CORE + "db/queries.py", "class Queries:\n    pass"),),
    ),
    Rule(
        "money never meets a float",
        lambda path: path.startswith(_MONEY),
        _float,
        bad=(
            (CORE + "payments/claims.py", "x: float = y"),
            (CORE + "payments/claims.py", "total = amount * 1.19"),
            (CORE + "billing/invoices.py", "share = amount_minor / 2"),
            (CORE + "billing/invoices.py", "share = amount_minor / parts"),
        ),
        good=((CORE + "payments/claims.py", 'half = amount_minor // 2\nfile = folder / "policy.toml"'),),
    ),
    Rule(
        "every instant has its zone",
        in_product,
        _naive,
        bad=(
            (CORE + "jobs/queue.py", "datetime.utcnow()"),
            (CORE + "jobs/queue.py", "datetime.now()"),
            (CORE + "jobs/queue.py", "datetime(2026, 1, 1)"),
            (CORE + "jobs/queue.py", "datetime.fromtimestamp(0)"),
            (CORE + "jobs/queue.py", "at.replace(tzinfo=None)"),
            (CORE + "jobs/queue.py", 'datetime.strptime(text, "%Y")'),
        ),
        good=(
            (
                CORE + "jobs/queue.py",
                "datetime.fromtimestamp(0, UTC)\ndatetime(2026, 1, 1, tzinfo=UTC)",
            ),
            (CORE + "jobs/queue.py", 'datetime.strptime(text, "%Y").replace(tzinfo=UTC)'),
            (CORE + "payments/local_time.py", "wall = at.replace(tzinfo=None)"),
            (
                CORE + "jobs/queue.py",
                '"a".replace("b", "c")',
            ),
        ),
    ),
    Rule(
        "nothing unfinished is in the tree",
        in_product,
        _unfinished,
        bad=(
            (CORE + "jobs/queue.py", "def f():\n    raise NotImplementedError"),
            (CORE + "jobs/queue.py", "x = 1  # TO" + "DO later"),
        ),
        good=((CORE + "jobs/queue.py", "raise UnsupportedCapability"),),
    ),
    Rule(
        "tests do not patch our own modules",
        in_tests,
        _patching,
        bad=(
            ("tests/core/test_x.py", "from unittest.mock import patch"),
            ("tests/core/test_x.py", 'monkeypatch.setattr("platform_core.values.SystemClock", None)'),
            ("tests/core/test_x.py", 'from platform_core import db\nmonkeypatch.setattr(db, "x", 1)'),
        ),
        good=(("tests/core/test_x.py", 'monkeypatch.setenv("A", "b")\nmonkeypatch.chdir(folder)'),),
    ),
    Rule(
        "tests do not sleep",
        lambda path: in_tests(path) and not path.startswith(("tests/journeys/", "tests/benchmarks/")),
        _sleeping,
        bad=(("tests/core/test_x.py", "time.sleep(1)"), ("tests/core/test_x.py", "sleep(1)")),
        good=(("tests/core/test_x.py", "clock.advance(1)"), ("tests/journeys/test_x.py", "time.sleep(0.01)")),
    ),
    Rule(
        "every test asserts something",
        in_tests,
        _asserting,
        bad=(("tests/core/test_x.py", "def test_it():\n    run()"),),
        good=(
            ("tests/core/test_x.py", "def test_it():\n    assert run()"),
            ("tests/core/test_x.py", 'def test_it():\n    """Reading never raises."""\n    read()'),
            ("tests/core/test_x.py", "def test_it():\n    with pytest.raises(Refused):\n        run()"),
            ("tests/core/test_x.py", "def same():\n    assert 1\n\ndef test_it():\n    same()"),
        ),
    ),
    Rule(
        "test folders are not packages",
        in_tests,
        _packages,
        bad=(("tests/core/__init__.py", ""),),
        good=(("tests/support/__init__.py", ""),),
    ),
    Rule(
        "an endless loop has a way out",
        lambda path: path.startswith((CORE, CLI)),
        _endless,
        bad=((CLI + "local/schedules.py", "while True:\n    time.sleep(1)"),),
        good=((CLI + "local/schedules.py", "while True:\n    if done():\n        break"),),
    ),
)
