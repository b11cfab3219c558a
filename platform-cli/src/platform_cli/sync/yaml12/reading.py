"""YAML 1.2 read as JSON, with the line of every field. libyaml parses; what texts mean is decided here.

libyaml knows YAML 1.1 only, so its own ideas of types and of line ends are kept out: plain texts are judged
by `scalars`, and characters that 1.2 allows and libyaml does not are hidden from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, TypeAlias

from yaml import MappingNode, Node, ScalarNode, SequenceNode
from yaml._yaml import CParser
from yaml.error import MarkedYAMLError, YAMLError

from platform_cli.sync.items import Json
from platform_cli.sync.yaml12.scalars import NotJson, number_text, plain_value
from platform_core.errors import InvalidInput

Place: TypeAlias = tuple[str | int, ...]
"""Where something stands in a file: the keys and positions that lead to it."""

_PLAIN: Final = "plain"
_TEXT: Final = "text"
_DEEPEST: Final = 200
_DEEPEST_SIGN: Final = 9
_MOST_TABBED_BLOCKS: Final = 500
_TAB: Final = "found a tab character where an indentation space is expected"
_HOLDER = re.compile(r"(?P<dashes> *(?:- +)*)(?P<key>\S.*:)? *$")
_REFERENCES = {"!inline": "!inline ", "!inline_fileset": "!inline_fileset "}
_STANDARD: Final = "tag:yaml.org,2002:"

_ODD = "".join(map(chr, range(0x7F, 0xA0))) + "\u2028\u2029\ufeff\ufffe\uffff"
_HIDDEN = {
    ord(odd): chr(0x10FF00 + number) for number, odd in enumerate(_ODD)
}  # private use: no text has them
_SHOWN = {ord(hidden): chr(odd) for odd, hidden in _HIDDEN.items()}
_FIND_ODD = re.compile(f"[{_ODD}]")

_EXPECTED = (
    ("a tab character", "indent with spaces; a block that begins with a tab has `|2` as its sign"),
    (
        "mapping values are not allowed",
        "a text that holds `: ` must be quoted, and each field needs its own line",
    ),
    ("cannot start any token", "indent with spaces, not tabs, and quote a text that begins with @, ` or %"),
    ("did not find expected key", "a `name: value` in line with the fields above was expected"),
    ("did not find expected '-'", "another `- ` in line with the items above was expected"),
    ("could not find expected ':'", "a `:` after the name was expected"),
    ("unexpected end of stream", "a quote or bracket that was opened must be closed"),
    ("did not find expected ','", "a `,` or the closing bracket was expected"),
    ("unknown escape character", "inside double quotes a backslash is written twice"),
    ("undefined alias", "a text that begins with * must be quoted"),
    ("expected alphabetic", "a text that begins with * or & must be quoted"),
    ("<document start>", "fields were expected, and nothing after them"),
    ("another document", "a single document was expected, without a second `---`"),
    ("block sequence entries", "a list begins on the line after its name"),
)


@dataclass(frozen=True)
class Document:
    """What a YAML file says. `value` is JSON; the lines are worked out when first asked for.

    `root` is the node it was made from, with the places of each part in the text; None for an empty file.
    """

    file: Path | str
    value: Json = field(repr=False)
    root: Node | None = field(repr=False)

    @cached_property
    def lines(self) -> Mapping[Place, int]:
        """The line of each field and item, counted from 1."""
        return dict(_lines(self.root, ())) if self.root is not None else {}

    def line(self, place: Place) -> int:
        """The line of a field; of what holds it when the field itself is not there."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def problem(self, place: Place, why: str, next_step: str = "Correct the file.") -> InvalidInput:
        """The error for one field: file, line, field, reason and what to do."""
        shown = ".".join(str(step) for step in place)
        return InvalidInput(
            f"{self.file}: line {self.line(place)}: {f'{shown}: ' if shown else ''}{why}", next_step=next_step
        )


def read(text: str, file: Path | str) -> Document:
    """Parse a text. `!inline PATH` as a tag becomes the text `!inline PATH`.

    Raises: InvalidInput naming file, line and what was expected: for what is not YAML, a name given twice,
    aliases, other tags, and numbers that JSON does not have.
    """
    if text.startswith("%"):
        raise InvalidInput(
            f"{file}: line 1: directives such as %YAML are not used", next_step="Remove the line."
        )
    odd = _FIND_ODD.search(text) is not None
    shown = text.translate(_HIDDEN) if odd else text
    shown += "" if shown.endswith("\n") else "\n"  # a block without its last line end would lose it
    root = _composed(shown, file)
    if root is None:
        return Document(file, None, None)
    return Document(file, _Reading(file, odd=odd).value(root), root)


def load(text: str, file: Path | str) -> Json:
    """The JSON that a YAML text stands for. Raises: as `read`."""
    return read(text, file).value


def _composed(text: str, file: Path | str) -> Node | None:
    for _ in range(_MOST_TABBED_BLOCKS):
        try:
            return _Composer(text).get_single_node()
        except YAMLError as error:
            sized = _with_indent_of_tabbed_block(text, error)
            if sized is None:
                raise _not_yaml(error, text, file) from error
            text = sized
    raise InvalidInput(
        f"{file}: too many blocks begin with a tab", next_step="Begin them with something else."
    )


def _with_indent_of_tabbed_block(text: str, error: YAMLError) -> str | None:
    """The text with the indent of one block written out, if that was the problem.

    libyaml takes a tab that begins a block for a bad indent, unless the block's sign says how deep it stands:
    `|2` for two columns deeper than what holds it. None for any other problem.
    """
    if not isinstance(error, MarkedYAMLError) or error.problem != _TAB or error.context_mark is None:
        return None
    lines = text.split("\n")
    number, column = error.context_mark.line, error.context_mark.column
    before, block = lines[number][:column], lines[number][column:]
    holder = _HOLDER.match(before)
    if not holder or not block.startswith(("|", ">")) or error.problem_mark is None:
        return None
    dashes, key = holder["dashes"], holder["key"]
    depth = error.problem_mark.column - (len(dashes) if key else dashes.rfind("-"))
    if not 1 <= depth <= _DEEPEST_SIGN or block[1:2].isdigit():
        return None
    lines[number] = f"{before}{block[0]}{depth}{block[1:]}"
    return "\n".join(lines)


class _Composer(CParser):
    """libyaml without the types of YAML 1.1: texts that stand plain are told from quoted ones."""

    def resolve(self, kind: type[Node], _value: object, implicit: tuple[bool, bool] | None) -> str:
        """The tag of a node that has none."""
        return _PLAIN if kind is ScalarNode and implicit and implicit[0] else _TEXT

    def descend_resolver(self, _parent: object, _index: object) -> None:
        """Do nothing: what a node means does not depend on where it stands."""

    def ascend_resolver(self) -> None:
        """Do nothing."""


class _Reading:
    """Turns nodes into JSON."""

    def __init__(self, file: Path | str, *, odd: bool) -> None:
        self._file = file
        self._odd = odd
        self._seen: set[int] = set()

    def value(self, node: Node, depth: int = 0) -> Json:
        """The JSON of a node. Raises: InvalidInput."""
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if depth > _DEEPEST:
            raise self._problem(node, f"it is nested more than {_DEEPEST} deep")
        if id(node) in self._seen:
            raise self._problem(node, "anchors and aliases are not used here: write the value out")
        self._seen.add(id(node))
        if node.tag != _TEXT and node.tag not in (f"{_STANDARD}map", f"{_STANDARD}seq"):
            raise self._problem(node, f"the tag {node.tag} is not known here")
        if isinstance(node, SequenceNode):
            return [self.value(item, depth + 1) for item in node.value]
        return self._mapping(node, depth)

    def _mapping(self, node: Node, depth: int) -> dict[str, Json]:
        values: dict[str, Json] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise self._problem(key, "the name of a field must be a text")
            name = _name(self._scalar(key))
            if name in values:
                raise self._problem(key, f"{name} is given twice; keep one of them")
            values[name] = self.value(value, depth + 1)
        return values

    def _scalar(self, node: ScalarNode) -> Json:
        text: str = node.value.translate(_SHOWN) if self._odd else node.value
        tag = node.tag
        if tag is _TEXT:
            return text
        if tag is _PLAIN:
            try:
                return plain_value(text)
            except NotJson as error:
                raise self._problem(node, f"{text} is not a number that JSON knows") from error
        if tag in _REFERENCES:
            return _REFERENCES[tag] + text
        if tag == f"{_STANDARD}str":
            return text
        raise self._problem(node, f"the tag {tag} is not known here")

    def _problem(self, node: Node, why: str) -> InvalidInput:
        return InvalidInput(
            f"{self._file}: line {node.start_mark.line + 1}: {why}", next_step="Correct the file."
        )


def _name(key: Json) -> str:
    """A field's name as JavaScript has it: it knows no other keys than texts."""
    match key:
        case str():
            return key
        case None:
            return ""
        case bool():
            return "true" if key else "false"
        case int() | float():
            return number_text(key)
        case _:
            raise TypeError(key)


def _lines(node: Node, place: Place) -> Iterator[tuple[Place, int]]:
    """The line of each field is that of its name, of each item that of its first character."""
    yield place, node.start_mark.line + 1
    if isinstance(node, MappingNode):
        for key, value in node.value:
            name = key.value.translate(_SHOWN)
            inside = _lines(value, (*place, name))
            next(inside)
            yield (*place, name), key.start_mark.line + 1
            yield from inside
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*place, index))


def _not_yaml(error: YAMLError, text: str, file: Path | str) -> InvalidInput:
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    said = " ".join(str((isinstance(error, MarkedYAMLError) and error.problem) or error).split())
    expected = next((words for sign, words in _EXPECTED if sign in said), "")
    last = text.rstrip().count("\n") + 1  # what is missing at the end is missing on the last line
    line = f": line {min(mark.line + 1, last)}" if mark is not None else ""
    return InvalidInput(
        f"{file}{line}: not YAML: {said}{f' ({expected})' if expected else ''}", next_step="Correct the file."
    )
