"""YAML as JSON that remembers its lines, so that every refusal names file, line and field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

from platform_cli.local.windmill.jsonb import Json
from platform_cli.sync import items, yaml12
from platform_cli.sync.yaml12 import Place
from platform_core.errors import InvalidInput

Rule: TypeAlias = "type | tuple[type, ...] | tuple[Json, ...]"
"""What a field may hold: one of the types, or one of the values."""


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping of a file, and where it stands in it."""

    document: yaml12.Document = field(repr=False)
    place: Place
    values: Mapping[str, Json] = field(repr=False)

    @property
    def file(self) -> Path:
        """The file they stand in."""
        return Path(self.document.file)

    def problem(self, name: str, why: str, next_step: str = "Correct the file.") -> InvalidInput:
        """The error for one field: file, line, field, reason and what to do."""
        return self.document.problem((*self.place, name), why, next_step)

    def only(self, **allowed: Rule) -> None:
        """Refuse what is not known, or not of its type, or not one of the values given."""
        check(self.values, allowed, self.problem)

    def mapping(self, name: str) -> Fields:
        """A required field that holds fields."""
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise self.problem(name, "a mapping of fields is required")
        return Fields(self.document, (*self.place, name), value)

    def mappings(self, name: str) -> Iterator[Fields]:
        """A list of mappings; a missing one is empty."""
        value = self.values.get(name, [])
        if not isinstance(value, list):
            raise self.problem(name, "a list is required")
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                raise self.problem(name, f"item {index + 1} is not a mapping of fields")
            yield Fields(self.document, (*self.place, name, index), item)

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
    document = yaml12.read(text, file)
    value = exact(document.value)
    if not isinstance(value, dict):
        raise document.problem((), "not a mapping of fields")
    return Fields(document, (), value)


def exact(value: items.Json) -> Json:
    """JSON with exact numbers."""
    match value:
        case int() | float() if not isinstance(value, bool):
            return Decimal(repr(value))
        case list():
            return [exact(item) for item in value]
        case dict():
            return {key: exact(item) for key, item in value.items()}
        case _:
            return value


def shown(value: object) -> str:
    """A value as a refusal shows it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)[:80]
