"""JSON written as YAML in the style of the official CLI: its order of names, its quotes and its folds.

That CLI uses the npm package `yaml` with lines of 80; what this writes differs from it in no character,
except where it leaves raw control characters or line separators in a text (they are escaped here, which every
reader understands) and where what it writes reads back as another text (see `_lines`). Lengths are counted
in UTF-16 units, as JavaScript does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from platform_cli.sync.items import Json
from platform_cli.sync.yaml12.folding import WIDTH, fold, fold_block, units
from platform_cli.sync.yaml12.order import name_order
from platform_cli.sync.yaml12.scalars import number_text, stays_text

_STEP: Final = "  "
_LONGEST_KEY: Final = 1024
_SHORTEST_FOLDED: Final = 40

_WORD = re.compile(r"[A-Za-z$_][A-Za-z0-9$_./]*")
_RESERVED = frozenset({"true", "True", "TRUE", "false", "False", "FALSE", "null", "Null", "NULL"})
_NEEDS_DOUBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_NOT_PLAIN = re.compile(
    r"""^[\n\t ,\[\]{}#&*!|>'"%@`]|^[?-]\Z|^[?-][ \t]|[\n:][ \t]|[ \t]\n|[\n\t ]#|[\n\t :]\Z"""
)
_DOCUMENT_MARKER = re.compile(r"^(?:%|---|\.\.\.)", re.MULTILINE)
_BLANK_BESIDE_BREAK = re.compile(r"[ \t]\n|\n[ \t]")
_BLANK_AT_END = re.compile(r"\n[\t ]+\Z")
_BREAKS = re.compile(r"\n+")
_BREAKS_INSIDE = re.compile(r"(?:^|(?<!\n))\n+(?!\n|\Z)")
_INDENTED_LINE = re.compile(r"(?:^|\n)([\t ].*)(?:([\n\t ]*)\n(?![\n\t ]))?")
_ESCAPES = {
    "0000": "\\0",
    "0007": "\\a",
    "000b": "\\v",
    "001b": "\\e",
    "0085": "\\N",
    "2028": "\\L",
    "2029": "\\P",
}


def dump(value: Mapping[str, Json]) -> str:
    """A mapping as the text of a file, with its last line end."""
    return _block(value, "") + "\n"


def pair(name: str, value: Json, indent: str) -> str:
    """One field as it stands in a mapping whose fields begin at `indent`, without its last line end."""
    return _pair(name, value, indent)


def block(value: Json, indent: str) -> str:
    """A value whose first line is written already up to `indent`, such as behind the dash of an item."""
    return _block(value, indent)


def _block(value: Json | Mapping[str, Json], indent: str) -> str:
    """A value whose first line stands after what was written already, and its others at `indent`."""
    match value:
        case Mapping() if value:
            names = sorted(value, key=name_order)
            return f"\n{indent}".join([_pair(name, value[name], indent) for name in names])
        case list() if value:
            return f"\n{indent}".join(["- " + _block(item, indent + _STEP) for item in value])
        case Mapping():
            return "{}"
        case list():
            return "[]"
        case _:
            return _scalar(value, indent, None)


def _pair(name: str, value: Json, indent: str) -> str:
    key = _text(name, indent + _STEP, None, is_key=True)
    start: int | None = units(key) + 2
    if units(key) > _LONGEST_KEY:
        key, start = f"? {key}\n{indent}", None
    if isinstance(value, dict | list) and value:
        space = f"\n{indent}{_STEP}" if start is not None else " "
        return f"{key}:{space}{_block(value, indent + _STEP)}"
    text = "{}" if value == {} else "[]" if value == [] else _scalar(value, indent + _STEP, start)
    return f"{key}:{text}" if text.startswith("\n") else f"{key}: {text}"


def _scalar(value: Json, indent: str, start: int | None) -> str:
    match value:
        case str():
            return _text(value, indent, start)
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return number_text(value)
        case _:
            raise TypeError(f"{type(value).__name__} is not JSON")


def _text(value: str, indent: str, start: int | None, *, is_key: bool = False) -> str:
    """A text, plain if it stays one, else quoted or, with several lines, as a block."""
    if len(value) < WIDTH // 4 and _WORD.fullmatch(value) and value not in _RESERVED:
        return value
    if _NEEDS_DOUBLE.search(value):
        return _double(value, indent, start, is_key=is_key)
    if "\n" in value and not is_key:
        return _lines(value, indent, start)
    marker = is_key and indent == _STEP and _DOCUMENT_MARKER.search(value)
    if marker or "\n" in value or _NOT_PLAIN.search(value) or not stays_text(value):
        return _quoted(value, indent, start, is_key=is_key)
    return value if is_key else fold(value, indent, "flow", start)


def _quoted(value: str, indent: str, start: int | None, *, is_key: bool = False) -> str:
    style = _double if "'" in value and '"' not in value else _single
    return style(value, indent, start, is_key=is_key)


def _single(value: str, indent: str, start: int | None, *, is_key: bool = False) -> str:
    if (is_key and "\n" in value) or _BLANK_BESIDE_BREAK.search(value):
        return _double(value, indent, start, is_key=is_key)
    inner = _BREAKS.sub(lambda found: f"{found[0]}\n{indent}", value.replace("'", "''"))
    return f"'{inner}'" if is_key else fold(f"'{inner}'", indent, "flow", start)


def _double(value: str, indent: str, start: int | None, *, is_key: bool = False) -> str:
    text = json.dumps(value, ensure_ascii=False)
    breaks = not is_key and units(text) >= _SHORTEST_FOLDED
    parts: list[str] = []
    at = 0
    while at < len(text):
        part, at = _next_part(text, at, indent if breaks else None)
        parts.append(part)
    return "".join(parts) if is_key else fold("".join(parts), indent, "quoted", start)


def _next_part(text: str, at: int, indent: str | None) -> tuple[str, int]:
    r"""What is written for the next of a JSON text, and where the one after it begins.

    With an indent, a `\n` that is not the last becomes a real line end, which YAML writes as an empty line.
    """
    blank = "\\ " if text.startswith(" \\n", at) else ""
    at += bool(blank)
    if text[at] != "\\":
        return _raw(text[at]), at + 1
    if text[at + 1] == "u":
        return blank + _escape(text[at + 2 : at + 6]), at + 6
    if text[at + 1] != "n" or indent is None or text[at + 2] == '"':
        return blank + text[at : at + 2], at + 2
    breaks = "\n\n"
    while text.startswith("\\n", at + 2) and text[at + 4] != '"':
        breaks += "\n"
        at += 2
    return blank + breaks + indent + ("\\" if text[at + 2] == " " else ""), at + 2


def _raw(character: str) -> str:
    return _escape(f"{ord(character):04x}") if _NEEDS_DOUBLE.match(character) else character


def _escape(code: str) -> str:
    """An escape of JSON, by its four digits, as YAML writes it."""
    return _ESCAPES.get(code) or (f"\\x{code[2:]}" if code.startswith("00") else f"\\u{code}")


def _lines(value: str, indent: str, start: int | None) -> str:
    """A text of several lines as a block: literal, or folded when a line is too long.

    The official CLI also writes blank texts as blocks, and breaks a first line that begins with a blank: both
    read back as another text. Here the one is quoted and the other stays literal.
    """
    if _BLANK_AT_END.search(value) or (" " in value and not value.strip(" \t\n")):
        return _quoted(value, indent, start)
    body = value.rstrip("\n\t ")
    end = value[len(body) :]
    chomp = "-" if "\n" not in end else "+" if body == "" or end.index("\n") != len(end) - 1 else ""
    end = _BREAKS_INSIDE.sub(lambda found: found[0] + indent, end.removesuffix("\n"))
    head = body[: len(body) - len(body.lstrip(" \n"))]
    first = head[: head.rfind("\n") + 1]
    body = body[len(first) :]
    header = ("2" if " " in head else "") + chomp
    first = _BREAKS.sub(lambda found: found[0] + indent, first)
    if _too_wide(value, WIDTH - len(indent)):
        folded = fold_block(first + _doubled_breaks(body, indent) + end, indent)
        line = first + body.partition("\n")[0]
        if folded is not None and (body[:1] not in ("\t", " ") or folded.startswith(line)):
            return f">{header}\n{indent}{folded}"
    literal = _BREAKS.sub(lambda found: found[0] + indent, body)
    return f"|{header}\n{indent}{first}{literal}{end}"


def _doubled_breaks(body: str, indent: str) -> str:
    """A text for a folded block, where one line end is written as two, except around indented lines."""
    doubled = _BREAKS.sub(lambda found: "\n" + found[0], body)
    kept = _INDENTED_LINE.sub(lambda found: found[1] + (found[2] or ""), doubled)
    return _BREAKS.sub(lambda found: found[0] + indent, kept)


def _too_wide(value: str, limit: int) -> bool:
    return any(units(line) > limit for line in value.split("\n"))
