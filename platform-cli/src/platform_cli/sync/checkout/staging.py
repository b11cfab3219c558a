"""Files moved into a folder all at once: after an interruption either none of them is there, or soon all are.

Everything new is written into the hidden folder `.wmctl` first, and the list of what moves where is put down
last. Without that list nothing has moved, and what is there is thrown away; with it the moves are finished by
whoever comes next. One program at a time writes.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from platform_core.errors import FolderBusy, UnreadableFile

PLACE = ".wmctl"
_LIST, _NEW_LIST, _LOCK = "moves.json", "moves.new", "lock"


def put(folder: Path, files: Mapping[str, bytes | None]) -> None:
    """Write files, by their path below the folder; None removes one. Empty folders go with their last file.

    Repeating it changes nothing. Raises: FolderBusy, UnreadableFile when the disk or the rights refuse: then
    nothing has changed.
    """
    if not files:
        return
    with alone(folder):
        _finish(folder)
        place = folder / PLACE
        moves = {}
        try:
            for number, (name, content) in enumerate(sorted(files.items())):
                moves[name] = None if content is None else str(number)
                if content is not None:
                    _stage(place / str(number), content, folder / name)
            (place / _NEW_LIST).write_text(json.dumps(moves))
        except OSError as error:
            _forget(place)
            raise UnreadableFile(
                f"{folder} cannot be written: {error.strerror}", next_step="Nothing was changed."
            ) from error
        except BaseException:
            _forget(place)
            raise
        (place / _NEW_LIST).replace(place / _LIST)
        _finish(folder)


def finish(folder: Path) -> None:
    """Finish what an interrupted program began to move; nothing to do is the rule.

    Raises: FolderBusy when that program still runs, UnreadableFile when the disk or the rights refuse.
    """
    if (folder / PLACE).is_dir():
        with alone(folder):
            _finish(folder)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else moves files here meanwhile; a program that dies lets go by itself."""
    place = folder / PLACE
    try:
        held = _held(place)
    except OSError as error:
        raise UnreadableFile(
            f"{folder} cannot be written: {error.strerror}", next_step="Nothing was changed."
        ) from error
    if held is None:
        raise FolderBusy(f"Another program is writing into {folder}")
    try:
        yield
        shutil.rmtree(place, ignore_errors=True)
    finally:
        os.close(held)


def _held(place: Path) -> int | None:
    """The lock's open file once it is ours; None when another program has it.

    Who had it before may have removed the file that was just opened: then it is made anew.
    """
    while True:
        place.mkdir(exist_ok=True)
        try:
            opened = os.open(place / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (place / _LOCK).stat().st_ino == os.fstat(opened).st_ino:
                return opened
        except BlockingIOError:
            os.close(opened)
            return None
        except FileNotFoundError:
            pass
        os.close(opened)


def _stage(file: Path, content: bytes, target: Path) -> None:
    file.write_bytes(content)
    if target.exists():
        file.chmod(target.stat().st_mode & 0o777)


def _finish(folder: Path) -> None:
    """Do the moves of the list, each of which may have been done already."""
    place = folder / PLACE
    if not (place / _LIST).is_file():
        _forget(place)
        return
    try:
        for name, staged in json.loads((place / _LIST).read_text()).items():
            target = folder / name
            if staged is None:
                target.unlink(missing_ok=True)
                _drop_empty(target.parent, folder)
            elif (place / staged).exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                (place / staged).replace(target)
        (place / _LIST).unlink()
    except OSError as error:
        raise UnreadableFile(
            f"{error.filename or folder} cannot be written: {error.strerror}",
            next_step="Repair that, then run the same command again: it finishes what was begun.",
        ) from error


def _drop_empty(home: Path, folder: Path) -> None:
    """Remove the folder of a flow or an app with its last file; the sub-folders of the kinds stay."""
    while folder not in {home, home.parent} and home.is_dir() and not any(home.iterdir()):
        home.rmdir()
        home = home.parent


def _forget(place: Path) -> None:
    """Throw away what was not put down in a list."""
    for file in place.iterdir():
        if file.name != _LOCK:
            file.unlink(missing_ok=True)
