"""Which files a process has open, as the kernel says."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def has_open(process: int, file: Path) -> bool:
    """Whether a process has a file open."""
    with suppress(OSError):  # it opens and closes others meanwhile
        return any(one.readlink() == file for one in Path(f"/proc/{process}/fd").iterdir())
    return False
