"""Size budgets: what separates calm code from the other kind is the tail, so the tail is limited."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Sequence

from tests.architecture.source import Source, in_product, in_tests, python_sources

FUNCTION_LINES = 60
FUNCTION_LINES_P90 = 30
MODULE_LINES = 500
TEST_MODULE_LINES = 600


def functions(source: Source) -> Iterator[tuple[str, int]]:
    """Each function's place and its length in lines, docstring not counted."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            first = node.body[0]
            if ast.get_docstring(node) is not None:
                length -= (first.end_lineno or first.lineno) - first.lineno + 1
            yield f"{source.path}:{node.lineno}: {node.name}", length


def percentile_90(lengths: Sequence[int]) -> int:
    """The length that nine functions of ten do not exceed."""
    return sorted(lengths)[math.ceil(len(lengths) * 0.9) - 1]


def too_long(source: Source) -> list[str]:
    """What is over its limit in one file."""
    limit = TEST_MODULE_LINES if in_tests(source.path) else MODULE_LINES
    lines = len(source.text.splitlines())
    found = [f"{source.path}: {lines} lines, at most {limit}"] if lines > limit else []
    return found + [
        f"{place}: {length} lines, at most {FUNCTION_LINES}"
        for place, length in functions(source)
        if length > FUNCTION_LINES
    ]


def test_no_function_and_no_module_is_too_long() -> None:
    """Split by noun or by step long before the limit."""
    complaints = [complaint for source in python_sources() for complaint in too_long(source)]

    assert not complaints, "\n".join(complaints)


def test_nine_functions_of_ten_are_short() -> None:
    """The 90th percentile over the product's functions."""
    measured = [pair for source in python_sources() if in_product(source.path) for pair in functions(source)]
    longest = sorted(measured, key=lambda pair: -pair[1])[:10]

    assert percentile_90([length for _, length in measured]) <= FUNCTION_LINES_P90, longest


def test_the_limits_bite() -> None:
    """Files just over each limit are complained about, files at it are not."""
    body = "    x = 1\n"
    at_limit = "def f():\n" + body * (FUNCTION_LINES - 1)
    documented = 'def f():\n    """One.\n\n    Two.\n    """\n' + body * (FUNCTION_LINES - 1)

    assert too_long(Source.parse("a.py", at_limit)) == []
    assert too_long(Source.parse("a.py", documented)) == []
    assert len(too_long(Source.parse("a.py", at_limit + body))) == 1
    assert len(too_long(Source.parse("a.py", "x = 1\n" * (MODULE_LINES + 1)))) == 1
    assert too_long(Source.parse("tests/a.py", "x = 1\n" * TEST_MODULE_LINES)) == []
    assert len(too_long(Source.parse("tests/a.py", "x = 1\n" * (TEST_MODULE_LINES + 1)))) == 1


def test_the_percentile_is_the_ninth_of_ten() -> None:
    """Not the mean, not the maximum."""
    assert percentile_90([1, 2, 3, 4, 5, 6, 7, 8, 9, 100]) == 9
