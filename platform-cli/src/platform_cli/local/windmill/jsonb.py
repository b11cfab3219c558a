"""JSON as Windmill keeps it: job arguments and results pass through PostgreSQL's `jsonb`.

What a script and a caller see is therefore not what was sent: keys come ordered by length and then by bytes,
doubled keys keep the last value, numbers are written out without exponent, `, ` and `: ` separate. Two texts
that are legal JSON cannot be kept at all: an escaped NUL and half of a surrogate pair.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TypeAlias

from platform_cli.local.windmill.jsontext import explain

Json: TypeAlias = "bool | str | float | Decimal | list[Json] | dict[str, Json] | None"

_MAX_DIGITS_BEFORE_POINT = 131_072
_MAX_DIGITS_AFTER_POINT = 16_383


class NotJson(ValueError):
    """The text is not JSON; the message is the server's."""


class NotStorable(ValueError):
    """The text is JSON, and PostgreSQL cannot keep it; the message is PostgreSQL's."""


class TooDeep(ValueError):
    """The text nests deeper than a Python job can read."""


def parse(text: str) -> Json:
    """Read JSON keeping every number exact.

    Raises: NotJson with the server's words, NotStorable for a number out of range, TooDeep.
    """
    try:
        value: Json = json.loads(
            text, parse_float=Decimal, parse_int=Decimal, parse_constant=_refuse_constant
        )
    except RecursionError as error:
        raise TooDeep("maximum recursion depth exceeded while decoding JSON") from error
    except ArithmeticError as error:
        raise NotStorable("value overflows numeric format") from error
    except ValueError as error:
        raise NotJson(explain(text.encode("utf-8", "surrogatepass"))) from error
    return value


def _refuse_constant(name: str) -> Json:
    raise ValueError(name)


def from_python(value: object) -> Json:
    """A Python value as the JSON it stands for.

    Raises: TypeError and ValueError as `json.dumps`, and as `parse`.
    """
    return parse(json.dumps(value, allow_nan=False))


def to_python(text: str) -> object:
    """The plain Python value of a JSON text, as a caller of `json.loads` gets it."""
    value: object = json.loads(text)
    return value


def to_text(value: Json, *, separators: tuple[str, str] = (", ", ": ")) -> str:
    """The text PostgreSQL gives for `value`. Raises: NotStorable, TooDeep."""
    parts: list[str] = []
    try:
        _write(value, parts, separators)
    except RecursionError as error:
        raise TooDeep("maximum recursion depth exceeded while encoding JSON") from error
    return "".join(parts)


def _write(value: Json, parts: list[str], separators: tuple[str, str]) -> None:
    match value:
        case None:
            parts.append("null")
        case bool():
            parts.append("true" if value else "false")
        case str():
            parts.append(_string(value))
        case Decimal():
            parts.append(_number(value))
        case float():
            parts.append(repr(value))
        case list():
            parts.append("[")
            for index, item in enumerate(value):
                parts.append(separators[0] if index else "")
                _write(item, parts, separators)
            parts.append("]")
        case dict():
            parts.append("{")
            for index, key in enumerate(sorted(value, key=_key_order)):
                parts.append((separators[0] if index else "") + _string(key) + separators[1])
                _write(value[key], parts, separators)
            parts.append("}")


def _key_order(key: str) -> tuple[int, bytes]:
    encoded = key.encode("utf-8", "surrogatepass")
    return len(encoded), encoded


def _string(text: str) -> str:
    if "\x00" in text:
        raise NotStorable("unsupported Unicode escape sequence")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise NotStorable("invalid input syntax for type json") from error
    return json.dumps(text, ensure_ascii=False)


def _number(value: Decimal) -> str:
    exponent = value.as_tuple().exponent
    if (
        not isinstance(exponent, int)
        or value.adjusted() >= _MAX_DIGITS_BEFORE_POINT
        or exponent < -_MAX_DIGITS_AFTER_POINT
    ):
        raise NotStorable("value overflows numeric format")
    written = f"{abs(value):f}" if value.is_zero() else f"{value:f}"
    return "0" if value.is_zero() and exponent >= 0 else written
