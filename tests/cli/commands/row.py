"""One command of wmctl with a line that works, and what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import typer

from tests.support.offices import SLUG, Office

Value: TypeAlias = "str | Callable[[Office], str]"


@dataclass(frozen=True, slots=True)
class Row:
    """One command. `values` are its parameters by name, `says` is in what it shows to a person.

    A flag has any value.
    `keys` are those of its JSON document, or of each item of it; empty for a command without `--json`.
    `spoilt` are values that this command alone must refuse, with the exit code and words of the refusal.
    `before` brings about what it shows, `after` puts things right again.
    """

    values: Mapping[str, Value]
    says: str
    keys: str = ""
    spoilt: tuple[tuple[Mapping[str, str], int, str], ...] = ()
    code: int = 0
    before: Callable[[Office], None] | None = field(default=None, repr=False)
    after: Callable[[Office], None] | None = field(default=None, repr=False)

    def line(self, command: typer.core.TyperCommand, office: Office) -> dict[str, str]:
        """The parameters' values for a run in this office."""
        known = {one.name for one in command.params}
        assert set(self.values) <= known, f"no such parameter: {set(self.values) - known}"
        chosen = {"customer": SLUG} if "customer" in known else {}
        made = {name: value(office) if callable(value) else value for name, value in self.values.items()}
        return {**chosen, **made}


def words(name: str, command: typer.core.TyperCommand, values: Mapping[str, str]) -> list[str]:
    """A command line: the command's words, its arguments in order, its options."""
    found = name.split()
    for one in command.params:
        if one.name not in values:
            continue
        if one.param_type_name == "argument":
            found.append(values[one.name])
        elif getattr(one, "is_flag", False):
            found.append(max(one.opts, key=len))
        else:
            found += [max(one.opts, key=len), values[one.name]]
    return found
