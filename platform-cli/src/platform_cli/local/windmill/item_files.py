"""One file of a customer's folder: its fields as JSON, and refusals that name file, line and field."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from platform_cli.local.windmill.fields import Fields, read_fields
from platform_core.errors import InvalidInput, UnreadableFile

_ITEM_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_MAX_FILE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ItemFile(Fields):
    """The fields of one item: its kind, its path and what its YAML file says."""

    kind: str
    path: str

    def known_script(self, known: Collection[tuple[str, str]]) -> str:
        """The path in `script_path`; with its kind, `script` or `flow`, it has to be among the known ones."""
        path, kind = self.text("script_path"), "flow" if self.flag("is_flow") else "script"
        if (kind, path) not in known:
            raise self.problem("script_path", f"there is no {kind} {path}")
        return path


def read_item_file(file: Path, kind: str, path: str) -> ItemFile:
    """An item's YAML file. Raises: InvalidInput naming the line, UnreadableFile."""
    fields = read_fields(file, read_text(file))
    return ItemFile(fields.document, fields.place, fields.values, kind, path)


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


def check_name(name: str, file: Path) -> None:
    """Refuse what no item may be called. Raises: InvalidInput."""
    if not _ITEM_NAME.fullmatch(name):
        raise InvalidInput(f"{file}: {name!r} is not an item name", next_step="Use letters, digits, _ and -.")
