"""One file of a customer's folder: its fields as JSON, and refusals that name file, line and field."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from platform_cli.local.windmill.fields import Rule, as_json, check
from platform_cli.local.windmill.jsonb import Json
from platform_core.errors import InvalidInput, UnreadableFile

_ITEM_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_MAX_FILE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ItemFile:
    """One YAML file: its place, its kind, the item's path and its fields."""

    file: Path
    kind: str
    path: str
    fields: Mapping[str, Json]

    def problem(self, name: str, why: str, next_step: str = "") -> InvalidInput:
        """The error for one field."""
        line = _line_of(self.file, name)
        return InvalidInput(
            f"{self.file}: {f'line {line}: ' if line else ''}{name}: {why}",
            next_step=next_step or "Correct the file.",
        )

    def only(self, **allowed: Rule) -> None:
        """Check that each field is known, and is one of the values or of the types given."""
        check(self.fields, allowed, self.problem)

    def known_script(self, known: Collection[tuple[str, str]]) -> str:
        """The path in `script_path`; with its kind, `script` or `flow`, it has to be among the known ones."""
        path, kind = self.text("script_path"), "flow" if self.fields.get("is_flow") is True else "script"
        if (kind, path) not in known:
            raise self.problem("script_path", f"there is no {kind} {path}")
        return path

    def text(self, name: str) -> str:
        """A required text."""
        value = self.fields.get(name)
        if not isinstance(value, str) or not value:
            raise self.problem(name, "a text is required")
        return value


def _line_of(file: Path, name: str) -> int:
    """Where a field of the outermost level begins; 0 when it is not there."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return 0
    return next((number for number, line in enumerate(lines, 1) if line.startswith(f"{name}:")), 0)


def read_text(file: Path) -> str:
    """A file as text. Raises: UnreadableFile."""
    try:
        if file.stat().st_size > _MAX_FILE_BYTES:
            raise UnreadableFile(f"{file} is larger than {_MAX_FILE_BYTES} bytes")
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{file} is not UTF-8", next_step="Save it as UTF-8.") from error
    except OSError as error:
        raise UnreadableFile(f"{file} cannot be read ({error.strerror})") from error


def read_fields(file: Path) -> Mapping[str, Json]:
    """A YAML file as a mapping. Raises: InvalidInput naming the line, UnreadableFile."""
    try:
        loaded = YAML(typ="safe", pure=True).load(read_text(file))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark is not None else ""
        raise InvalidInput(
            f"{file} is not YAML{place}: {getattr(error, 'problem', None) or error}"
        ) from error
    value = as_json(loaded, file)
    if not isinstance(value, dict):
        raise InvalidInput(f"{file} is not a mapping of fields")
    return value


def check_name(name: str, file: Path) -> None:
    """Refuse what no item may be called. Raises: InvalidInput."""
    if not _ITEM_NAME.fullmatch(name):
        raise InvalidInput(f"{file}: {name!r} is not an item name", next_step="Use letters, digits, _ and -.")
