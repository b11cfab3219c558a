"""YAML as JSON that remembers its lines, so that every refusal names file, line and field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from platform_cli.local.windmill.jsonb import Json
from platform_core.errors import InvalidInput

Place: TypeAlias = tuple[str | int, ...]
"""Where something stands in a file: the keys and positions that lead to it."""

Rule: TypeAlias = "type | tuple[type, ...] | tuple[Json, ...]"
"""What a field may hold: one of the types, or one of the values."""


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping of a file, and where it stands in it."""

    file: Path
    lines: Mapping[Place, int] = field(repr=False)
    place: Place
    values: Mapping[str, Json] = field(repr=False)

    def problem(self, name: str, why: str, next_step: str = "Correct the file.") -> InvalidInput:
        """The error for one field: file, line, field, reason and what to do."""
        place = (*self.place, name)
        while place not in self.lines and place:
            place = place[:-1]
        shown = ".".join(str(step) for step in (*self.place, name))
        return InvalidInput(
            f"{self.file}: line {self.lines.get(place, 1)}: {shown}: {why}", next_step=next_step
        )

    def only(self, **allowed: Rule) -> None:
        """Refuse what is not known, or not of its type, or not one of the values given."""
        check(self.values, allowed, self.problem)

    def mapping(self, name: str) -> Fields:
        """A required field that holds fields."""
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise self.problem(name, "a mapping of fields is required")
        return Fields(self.file, self.lines, (*self.place, name), value)

    def mappings(self, name: str) -> Iterator[Fields]:
        """A list of mappings; a missing one is empty."""
        value = self.values.get(name, [])
        if not isinstance(value, list):
            raise self.problem(name, "a list is required")
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                raise self.problem(name, f"item {index + 1} is not a mapping of fields")
            yield Fields(self.file, self.lines, (*self.place, name, index), item)

    def text(self, name: str) -> str:
        """A required text that is not empty."""
        value = self.values.get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.problem(name, "a text is required")
        return value

    def whole(self, name: str, default: int = 0) -> int:
        """A whole number, not negative."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, Decimal) or value < 0 or value != value.to_integral_value():
            raise self.problem(name, f"{shown(value)} is not a whole number of zero or more")
        return int(value)

    def flag(self, name: str) -> bool:
        """Whether the field is there and true."""
        return self.values.get(name) is True


def check(
    values: Mapping[str, Json], allowed: Mapping[str, Rule], problem: Callable[..., InvalidInput]
) -> None:
    """Refuse a field that is not known, or not of its type, or not one of the values given.

    `problem` makes the error from the field's name, the reason and, if there is one, the next step.
    """
    for name, value in values.items():
        if name not in allowed:
            raise problem(
                name, "the local runtime does not do this", "Remove the field, or use a Windmill server."
            )
        rule = allowed[name]
        choices = rule if isinstance(rule, tuple) else (rule,)
        types = tuple(choice for choice in choices if isinstance(choice, type))
        if types and not isinstance(value, types):
            raise problem(name, f"{shown(value)} is not of the right type")
        if not types and not any(value == choice and type(value) is type(choice) for choice in choices):
            known = ", ".join(shown(choice) for choice in choices)
            raise problem(name, f"{shown(value)} is not done here; known: {known}")


def read_fields(file: Path, text: str) -> Fields:
    """Parse a YAML text. Raises: InvalidInput naming the line."""
    try:
        loaded = YAML(typ="safe", pure=True).load(text)
        node = YAML(pure=True).compose(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f": line {mark.line + 1}" if mark is not None else ""
        why = " ".join(str(getattr(error, "problem", None) or error).split())
        raise InvalidInput(f"{file}{line}: not YAML: {why}", next_step="Correct the file.") from error
    lines = dict(_lines(node, ())) if node is not None else {}
    value = as_json(loaded, file)
    if not isinstance(value, dict):
        raise InvalidInput(f"{file}: line 1: not a mapping of fields", next_step="Correct the file.")
    return Fields(file, lines, (), value)


def _lines(node: Node, place: Place) -> Iterator[tuple[Place, int]]:
    yield place, node.start_mark.line + 1
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield (*place, str(key.value)), key.start_mark.line + 1
            yield from (
                pair
                for pair in _lines(value, (*place, str(key.value)))
                if pair[0] != (*place, str(key.value))
            )
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*place, index))


def as_json(value: object, file: Path) -> Json:
    """What YAML loaded, as JSON with exact numbers. Raises: InvalidInput for what JSON does not know."""
    match value:
        case None | bool() | str():
            return value
        case int():
            return Decimal(value)
        case float():
            return Decimal(repr(value))
        case list():
            return [as_json(item, file) for item in value]
        case dict():
            return {str(key): as_json(item, file) for key, item in value.items()}
        case date() | datetime():
            return value.isoformat()
        case _:
            raise InvalidInput(f"{file}: a value of type {type(value).__name__} is not JSON")


def shown(value: object) -> str:
    """A value as a refusal shows it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)[:80]
