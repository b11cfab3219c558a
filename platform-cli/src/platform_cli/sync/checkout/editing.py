"""A YAML text changed so that it says something else, and every line that need not change stays as it is.

The text is cut along its nodes, and only what belongs to a changed value is written anew: comments, blank
lines, the order of fields, quotes and blocks of all the rest are the person's own bytes. What was written is
read again: when it does not say exactly what was asked for, the whole file is written in the official style.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from yaml import MappingNode, Node, ScalarNode, SequenceNode
from yaml.nodes import CollectionNode

from platform_cli.sync import yaml12
from platform_cli.sync.checkout.rebasing import identities
from platform_cli.sync.items import Json, text_of
from platform_core.errors import InvalidInput

_HEADER = re.compile(r"[|>][-+0-9]*")
_COMMENT = re.compile(r"[ \t]+#.*")
_PLAIN_IN_FLOW = re.compile(r"[A-Za-z_](?:[\w./ -]*[\w./])?", re.ASCII)


def edited(text: str, wanted: dict[str, Json], file: str) -> str:
    """The text of a YAML file, changed to say `wanted`; the very same text when it says that already.

    Raises: InvalidInput when `text` is not YAML.
    """
    document = yaml12.read(text, file)
    if text_of(document.value) == text_of(wanted):
        return text
    if isinstance(document.value, dict) and document.value and document.root is not None and wanted:
        for edit in (_Edit(text), _Edit(text, keep_quotes=False)):
            found = edit.document(document.root, document.value, wanted)
            if _says(found, wanted, file):
                return found
    return yaml12.dump(wanted)


def _says(text: str, wanted: Json, file: str) -> bool:
    try:
        return text_of(yaml12.load(text, file)) == text_of(wanted)
    except InvalidInput:
        return False


class _Edit:
    """One text and its pieces. Offsets are characters, columns count from 0."""

    def __init__(self, text: str, *, keep_quotes: bool = True) -> None:
        self._text = text
        self._keep_quotes = keep_quotes

    def document(self, root: Node, old: Json, new: Json) -> str:
        """The whole text, with what is before and after its fields."""
        start, stop = root.start_mark.index, self._stop(root)
        return self._text[:start] + self._node(root, old, new) + self._text[stop:]

    # --- Where things stand -------------------------------------------------------------------------------

    def _end(self, node: Node) -> int:
        """Where the last character of a node's value is over."""
        if not _is_block(node) or not node.value:
            return self._trimmed(node.start_mark.index, node.end_mark.index)
        last = node.value[-1]
        return self._end(last[1] if isinstance(last, tuple) else last)

    def _trimmed(self, start: int, end: int) -> int:
        """`end` without the blank lines that a block takes in."""
        return start + len(self._text[start:end].rstrip(" \t\n")) if end > start else start

    def _stop(self, node: Node) -> int:
        """Where the last line of a node ends, with the comment behind it; the line end is not part of it."""
        end = self._text.find("\n", self._end(node))
        return len(self._text) if end < 0 else end

    # --- Writing ------------------------------------------------------------------------------------------

    def _node(self, node: Node, old: Json, new: Json) -> str:
        """The new text of a block's node, from its start to the end of its last line."""
        match node, old, new:
            case MappingNode(), dict(), dict():
                return self._mapping(node, old, new)
            case SequenceNode(), list(), list():
                return self._sequence(node, old, new)
            case _:
                raise TypeError(node)

    def _mapping(self, node: MappingNode, old: dict[str, Json], new: dict[str, Json]) -> str:
        column = node.start_mark.column
        names = list(old)
        pieces: list[tuple[str, str, str]] = []  # name, text between it and the one before, its own text
        before = node.start_mark.index
        kept = ""
        for name, (key, value) in zip(names, node.value, strict=True):
            gap = self._text[before : key.start_mark.index]
            before = self._stop(value)
            if name not in new:
                kept = _joined(kept, gap)
                continue
            pieces.append((name, _joined(kept, gap), self._entry(key, value, old[name], new[name], column)))
            kept = ""
        tail = kept.rstrip()
        for name in sorted((name for name in new if name not in old), key=yaml12.name_order):
            self._insert(pieces, name, yaml12.pair(name, new[name], " " * column), column)
        return _laid_out(pieces, column) + tail

    def _insert(self, pieces: list[tuple[str, str, str]], name: str, written: str, column: int) -> None:
        """A new field where the official order has it: behind the last one that sorts before it."""
        order = yaml12.name_order(name)
        at = max(
            (i + 1 for i, (known, _, _) in enumerate(pieces) if yaml12.name_order(known) < order), default=0
        )
        gap = f"\n{' ' * column}"
        if at == 0 and pieces:
            first = pieces[0]
            pieces[0] = (first[0], first[1] or gap, first[2])
            gap = ""
        pieces.insert(at, (name, gap, written))

    def _entry(self, key: Node, value: Node, old: Json, new: Json, column: int) -> str:
        """One field, its name as it is written."""
        start = key.start_mark.index
        if text_of(old) == text_of(new):
            return self._text[start : self._stop(value)]
        if self._is_inside(value, old, new):
            line, end, above = self._text[start : value.start_mark.index].partition("\n")
            if end and isinstance(value, SequenceNode) and isinstance(old, list) and isinstance(new, list):
                return line + self._sequence(value, old, new, above=end + above)
            return line + end + above + self._node(value, old, new)
        colon = self._text.index(":", key.end_mark.index) + 1
        return self._text[start:colon] + self._replaced(value, old, new, column, self._name(key))

    def _name(self, key: Node) -> str:
        return self._text[key.start_mark.index : key.end_mark.index]

    def _is_inside(self, node: Node, old: Json, new: Json) -> bool:
        """Whether a value is changed piece by piece, and not as a whole."""
        alike = (isinstance(old, dict) and isinstance(new, dict)) or (
            isinstance(old, list) and isinstance(new, list)
        )
        return alike and bool(old) and bool(new) and _is_block(node)

    def _sequence(self, node: SequenceNode, old: list[Json], new: list[Json], *, above: str = "") -> str:
        """A list; `above` is what stands between its name and its first item, which belongs to that item."""
        column = node.start_mark.column
        dashes, gaps = self._dashes(node)
        gaps[0] = above
        pieces: list[tuple[str, str, str]] = []
        for at, item in _matched(old, new):
            if at is None:
                pieces.append(("", "", "- " + yaml12.block(item, " " * (column + 2))))
                continue
            inner = node.value[at]
            lead = self._text[dashes[at] : inner.start_mark.index]
            if text_of(old[at]) == text_of(item):
                written = self._text[dashes[at] : self._stop(inner)]
            elif self._is_inside(inner, old[at], item):
                written = lead + self._node(inner, old[at], item)
            else:
                written = "-" + self._replaced(inner, old[at], item, column, "-")
            pieces.append(("", gaps[at], written))
        return _laid_out(pieces, column, is_below=bool(above))

    def _dashes(self, node: SequenceNode) -> tuple[list[int], list[str]]:
        """Where the dash of each item stands, and the text between the item before and it."""
        dashes: list[int] = []
        gaps: list[str] = []
        before = node.start_mark.index
        for item in node.value:
            dash = self._text.rfind("-", before, max(item.start_mark.index, before + 1))
            dashes.append(dash)
            gaps.append(self._text[before:dash])
            before = self._stop(item)
        return dashes, gaps

    def _replaced(self, node: Node, old: Json, new: Json, column: int, name: str) -> str:
        """What stands behind `name:` or `-` when the value changes as a whole; its comment stays."""
        del old
        comment = self._comment(node)
        written = self._styled(node, new, column)
        if written is None:
            whole = yaml12.pair("k" * max(len(name), 1), new, " " * column)
            written = whole[len(name) + 1 :] if name != "-" else " " + yaml12.block(new, " " * (column + 2))
        first, line_end, rest = written.partition("\n")
        if _HEADER.fullmatch(first.strip()) or not first.strip():
            return f"{first}{comment}{line_end}{rest}"
        return f"{written}{comment}" if name != "-" or not isinstance(new, dict | list) else written

    def _comment(self, node: Node) -> str:
        """The comment on the line of a value: behind a block's sign, else behind its end."""
        start = node.start_mark.index
        if isinstance(node, ScalarNode) and node.style in {"|", ">"}:
            header = _HEADER.match(self._text, start)
            start = header.end() if header else start
        elif _is_block(node):
            return ""
        else:
            start = self._end(node)
        found = _COMMENT.match(self._text, start)
        return found.group().rstrip() if found else ""

    def _styled(self, node: Node, new: Json, column: int) -> str | None:
        """A text in the quotes, or the block, that it had before; None where the official style decides."""
        if not self._keep_quotes:
            return None
        if not isinstance(node, ScalarNode):
            bracketed = not _is_block(node) and isinstance(new, dict | list) and node.value and new
            return f" {_in_flow(new)}" if bracketed else None
        if not isinstance(new, str):
            return None
        printable = (
            new.isprintable()
        )  # signs that cannot be seen are left to the official style, which escapes
        if node.style == "'" and printable:
            quoted = new.replace("'", "''")
            return f" '{quoted}'"
        if node.style == '"' and printable:
            escaped = new.replace("\\", "\\\\").replace('"', '\\"')
            return f' "{escaped}"'
        return self._literal(node, new, column) if node.style == "|" else None

    def _literal(self, node: Node, new: str, column: int) -> str | None:
        """A text as the block that it was, when it is one that needs no signs behind the `|`."""
        lines = new.split("\n")
        seen = all(line.replace("\t", " ").isprintable() for line in lines)
        if not seen or len(lines) == 1 or lines[-1] or not lines[-2] or lines[0][:1] in {" ", "\t", ""}:
            return None
        indent = " " * self._block_indent(node, column)
        return " |\n" + "\n".join(f"{indent}{line}" if line else "" for line in lines[:-1])

    def _block_indent(self, node: Node, column: int) -> int:
        """How far the lines of a block are indented now."""
        body = self._text[self._text.index("\n", node.start_mark.index) + 1 : node.end_mark.index]
        lines = [line for line in body.split("\n") if line.strip()]
        return min((len(line) - len(line.lstrip(" ")) for line in lines), default=column + 2)


def _is_block(node: Node) -> bool:
    """Whether a node is fields or items one below the other, not between brackets."""
    return isinstance(node, CollectionNode) and not node.flow_style


def _laid_out(pieces: Sequence[tuple[str, str, str]], column: int, *, is_below: bool = False) -> str:
    """Fields or items one below the other, each with the comments that stand above it.

    `is_below` says that the first begins on a line of its own, too.
    """
    written = ""
    for index, (_, gap, text) in enumerate(pieces):
        if index == 0 and not is_below:
            comments = gap.strip()
            written = f"{comments}\n{' ' * column}{text}" if comments else text
        else:
            written += (gap if "\n" in gap else f"\n{' ' * column}") + text
    return written


def _joined(first: str, second: str) -> str:
    """The texts above two fields, when the first of the fields is gone."""
    return first.rstrip(" \t") + second.lstrip(" \t").removeprefix("\n") if first.strip() else second or first


def _matched(old: list[Json], new: list[Json]) -> list[tuple[int | None, Json]]:
    """Each new item with the place of the old one that it came from."""
    ids, wanted = identities(old), identities(new)
    if ids and wanted:
        places = {name: at for at, name in enumerate(ids)}
        return [(places.get(name), item) for name, item in zip(wanted, new, strict=True)]
    found: list[tuple[int | None, Json]] = []
    matcher = SequenceMatcher(None, [text_of(item) for item in old], [text_of(item) for item in new], False)
    for act, i1, i2, j1, j2 in matcher.get_opcodes():
        paired = act == "equal" or (act == "replace" and i2 - i1 == j2 - j1)
        found += [(i1 + number if paired else None, item) for number, item in enumerate(new[j1:j2])]
    return found


def _in_flow(value: Json) -> str:
    """A value between brackets, on one line."""
    match value:
        case dict():
            return (
                "{" + ", ".join(f"{_in_flow(name)}: {_in_flow(item)}" for name, item in value.items()) + "}"
            )
        case list():
            return "[" + ", ".join(map(_in_flow, value)) + "]"
        case str() if _PLAIN_IN_FLOW.fullmatch(value) and _says(value, value, ""):
            return value
        case str() if value.isprintable():
            quoted = value.replace("'", "''")
            return f"'{quoted}'"
        case _:
            return text_of(value)
