"""Every file of a folder, and what none may be: a link, too large, not UTF-8, with lines as on Windows."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from platform_cli.sync.checkout.problems import Problems

MAX_FILE_BYTES = 10 * 1024 * 1024
_SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules"})
_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "begins with a byte order mark"),
    (b"\xff\xfe", "is UTF-16"),
    (b"\xfe\xff", "is UTF-16"),
)


def files_of(folder: Path, problems: Problems) -> Iterator[str]:
    """The path of every file below the folder, in order; hidden ones and caches are left out.

    A link is refused, since the official command line follows none.
    """
    for name, entry in sorted(_entries(str(folder), "", problems)):
        if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
            problems.add(folder / name, "it is no plain file", "Move it out of the folder.")
            continue
        yield name


def _entries(top: str, below: str, problems: Problems) -> Iterator[tuple[str, os.DirEntry[str]]]:
    try:
        with os.scandir(f"{top}/{below}") as found:
            entries = list(found)
    except OSError as error:
        problems.add(Path(top, below), f"cannot be read ({error.strerror})", "Look at its rights.")
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _SKIPPED_FOLDERS:
            continue
        name = f"{below}{entry.name}"
        if entry.is_symlink():
            problems.add(Path(top, name), *_link(Path(top), Path(top, name)))
        elif entry.is_dir():
            yield from _entries(top, f"{name}/", problems)
        else:
            yield name, entry


def _link(top: Path, file: Path) -> tuple[str, str]:
    outside = not file.resolve().is_relative_to(top.resolve())
    where = " out of the folder" if outside else ""
    return f"it is a symbolic link{where}", "Put the file itself here."


def read_bytes(file: Path, problems: Problems) -> bytes | None:
    """A file's bytes if they are text as Windmill keeps it; None otherwise, with the reason in `problems`."""
    try:
        with FileIO(file) as opened:  # Path.open takes four times as long, and there are thousands
            content = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        problems.add(file, f"cannot be read ({error.strerror})", "Look at its rights.")
        return None
    if len(content) > MAX_FILE_BYTES:
        problems.add(file, "it is larger than 10 MB", "Windmill is no place for files of this size.")
        return None
    if content.isascii() and b"\r" not in content and b"\0" not in content:
        return content
    return content if _is_plain_text(file, content, problems) else None


def _is_plain_text(file: Path, content: bytes, problems: Problems) -> bool:
    for mark, reason in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            problems.add(file, f"it {reason}", "Save it as UTF-8 without byte order mark.", line=1)
            return False
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        problems.add(
            file, "it is not UTF-8", "Save it as UTF-8.", line=content.count(b"\n", 0, error.start) + 1
        )
        return False
    for byte, reason, next_step in (
        (b"\0", "it has a NUL character", "Remove it."),
        (b"\r", "its lines end as on Windows (CRLF)", "Save it with LF; see `git config core.autocrlf`."),
    ):
        if (at := content.find(byte)) >= 0:
            problems.add(file, reason, next_step, line=content.count(b"\n", 0, at) + 1)
            return False
    return True
