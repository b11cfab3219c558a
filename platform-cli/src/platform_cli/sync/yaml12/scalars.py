"""YAML 1.2's core schema: what a plain text stands for, and which texts must be quoted to stay texts. Pure.

`on`, `yes`, `12:30` and `2024-01-01` are texts here, `0o17` and `1e3` are numbers: other than in YAML 1.1.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Final

_NULL = re.compile(r"(?:~|[Nn]ull|NULL)?")
_BOOL = re.compile(r"(?:[Tt]rue|TRUE|[Ff]alse|FALSE)")
_INT = re.compile(r"[-+]?[0-9]+")
_RADIX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.nan|\.NaN|\.NAN")
_MAY_BE_MORE = re.compile(r"[-+.0-9~nNtTfF]")
_FIRST_WITH_EXPONENT: Final = 10**21
_PLAIN_EXPONENTS: Final = range(-6, 21)  # JavaScript writes numbers of this size without an exponent

Scalar = bool | int | float | str | None


class NotJson(ValueError):
    """A number that JSON does not have: infinite, or no number."""


@lru_cache(maxsize=8192)
def plain_value(text: str) -> Scalar:
    """What a text without quotes stands for. Raises: NotJson."""
    if text and not _MAY_BE_MORE.match(text):
        return text
    if _NULL.fullmatch(text):
        return None
    return text[0] in "tT" if _BOOL.fullmatch(text) else _number(text)


def _number(text: str) -> int | float | str:
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return tidy_number(float(text))
    if _RADIX.fullmatch(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    if _NOT_FINITE.fullmatch(text):
        raise NotJson(text)
    return text


def stays_text(text: str) -> bool:
    """Whether a text without quotes is read as that text, by its looks alone."""
    try:
        return isinstance(plain_value(text), str)
    except NotJson:
        return False


def tidy_number(number: float) -> int | float:
    """A number as JavaScript sees it: without a fraction it is whole. Raises: NotJson."""
    if not math.isfinite(number):
        raise NotJson(str(number))
    return int(number) if number.is_integer() else number


def number_text(number: float) -> str:
    """A number as JavaScript writes it; a whole one keeps the digits that JavaScript would round."""
    whole = int(number) if isinstance(number, int) or number.is_integer() else None
    if whole is not None and (abs(whole) < _FIRST_WITH_EXPONENT or not _is_exact(whole)):
        return str(whole)
    digits, _, exponent = f"{float(number)!r}e".partition("e")
    sign, digits = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    ones, _, fraction = digits.partition(".")
    fraction = "" if fraction == "0" else fraction
    significant = (ones + fraction).lstrip("0")
    point = len(ones) + int(exponent.rstrip("e") or 0) - (len(ones + fraction) - len(significant))
    return sign + _placed(significant.rstrip("0"), point)


def _is_exact(number: int) -> bool:
    try:
        return int(float(number)) == number
    except OverflowError:
        return False


def _placed(digits: str, point: int) -> str:
    """Digits with the decimal point after the first `point` of them, in JavaScript's notation."""
    if point - 1 not in _PLAIN_EXPONENTS or point <= _PLAIN_EXPONENTS.start:
        mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
        return f"{mantissa}e{point - 1:+d}"
    if point <= 0:
        return "0." + "0" * -point + digits
    return digits.ljust(point, "0") if point >= len(digits) else f"{digits[:point]}.{digits[point:]}"
