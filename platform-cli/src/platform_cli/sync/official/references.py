"""References to the files beside an official file: `!inline PATH` and `!inline_fileset PATH`. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Final

from platform_cli.sync import yaml12
from platform_cli.sync.items import Json, Key
from platform_core.errors import InvalidInput

INLINE: Final = "!inline "
FILESET: Final = "!inline_fileset "
_LONGEST: Final = 400


def is_reference(value: Json) -> bool:
    """Whether a text stands for a file."""
    return isinstance(value, str) and value.startswith((INLINE, FILESET))


def refuse_reference(value: Json, owner: str) -> None:
    """Refuse a text of the server that only looks like a reference: a former push lost the file behind it.

    Raises: InvalidInput naming the item or step.
    """
    if isinstance(value, str) and value.startswith(INLINE):
        raise InvalidInput(
            f"{owner}: its text in Windmill is `{value.splitlines()[0][:_LONGEST]}`, not a script",
            next_step="An earlier push lost it: restore an older version in Windmill, or deploy it anew.",
        )


def target(reference: str, *, folder: str, file: str) -> str:
    """The path that a reference of `file` leads to, inside `folder` (empty: the root).

    Raises: InvalidInput when it leads elsewhere, or to the file itself.
    """
    named = reference.split(" ", 1)[1].strip()
    path = posixpath.normpath(posixpath.join(folder, named))
    inside = path.startswith(f"{folder}/") if folder else not path.startswith("../")
    outside = posixpath.isabs(named) or "\\" in named or not inside
    if not named or outside:
        raise InvalidInput(
            f"{file}: `{reference[:_LONGEST]}` leads out of {folder or 'the tree'}",
            next_step="Name a file beside this one.",
        )
    if path == file:
        raise InvalidInput(
            f"{file}: `{reference[:_LONGEST]}` leads to itself", next_step="Name the script's file."
        )
    return path


def text_behind(path: str, files: Mapping[str, bytes], *, file: str, key: Key) -> str:
    """The text of a file that `file` refers to.

    Raises: InvalidInput when it is not there, not UTF-8, or again a reference.
    """
    if path not in files:
        raise InvalidInput(f"{file}: {key} refers to {path}, which is not there", next_step="Add the file.")
    text = decoded(path, files[path])
    if text.startswith(INLINE):
        raise InvalidInput(
            f"{path}: it holds `{text.splitlines()[0][:_LONGEST]}` again, not a script",
            next_step="Write the script's text into the file.",
        )
    return text


def decoded(path: str, data: bytes) -> str:
    """A file's text. Raises: InvalidInput when it is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: not UTF-8", next_step="Save it as UTF-8.") from error


def fields(file: str, files: Mapping[str, bytes]) -> dict[str, Json]:
    """A YAML file as a mapping. Raises: InvalidInput when it is missing, not YAML or no mapping."""
    if file not in files:
        raise InvalidInput(f"{file} is missing", next_step="Add the file.")
    value = yaml12.load(decoded(file, files[file]), file)
    if not isinstance(value, dict):
        raise InvalidInput(f"{file}: line 1: not a mapping of fields", next_step="Correct the file.")
    return value
