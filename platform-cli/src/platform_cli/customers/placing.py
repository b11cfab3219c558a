"""Writing into customers' folders: a crash leaves the old files or the new ones, and never half of one."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from platform_core.errors import StateConflict, UnreadableFile


def place_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a whole new folder: it is there with all its files, or not at all.

    Raises: StateConflict when there is something of that name, UnreadableFile when the disk refuses.
    """
    if folder.exists() or folder.is_symlink():
        raise StateConflict(f"{folder} is there already", next_step="Choose another name.")
    staging = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        for path, content in files.items():
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            (staging / path).write_bytes(content)
        staging.rename(folder)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise UnreadableFile(
            f"{folder} cannot be written: {error.strerror}", next_step="Nothing was written."
        ) from error


def place_changes(folder: Path, changes: Mapping[str, bytes | None]) -> list[Path]:
    """Write files into a folder, None removes one; the last of them is written last.

    Every new content is on the disk before the first file is replaced, and what was replaced is put back when
    one cannot be. Raises: UnreadableFile.
    """
    mark = secrets.token_hex(4)
    staged: dict[Path, Path] = {}
    before: dict[Path, bytes | None] = {}
    try:
        for path, content in changes.items():
            if content is not None:
                place = folder / path
                place.parent.mkdir(parents=True, exist_ok=True)
                staged[place] = place.with_name(f".{place.name}.{mark}")
                staged[place].write_bytes(content)
        for path in changes:
            place = folder / path
            before[place] = place.read_bytes() if place.exists() else None
            if place in staged:
                staged[place].replace(place)
            else:
                place.unlink(missing_ok=True)
    except OSError as error:
        _put_back(before)
        raise UnreadableFile(
            f"{folder} cannot be written: {error.strerror}", next_step="Its files are as they were."
        ) from error
    finally:
        for file in staged.values():
            file.unlink(missing_ok=True)
    return list(before)


def _put_back(before: Mapping[Path, bytes | None]) -> None:
    for place, content in before.items():
        if content is None:
            place.unlink(missing_ok=True)
        else:
            place.write_bytes(content)
