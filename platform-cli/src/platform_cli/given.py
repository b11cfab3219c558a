"""What a person gives in a file or on stdin; on a command line a secret is in the shell's history."""

from __future__ import annotations

import sys
from pathlib import Path

from platform_core.errors import UnreadableFile

STDIN = "-"


def read_given(source: str, *, most_chars: int) -> str:
    """The text of a file, or of stdin for `-`; what is longer is cut. Raises: UnreadableFile naming why."""
    if source == STDIN:
        return sys.stdin.read(most_chars)
    try:
        with Path(source).open(encoding="utf-8") as file:
            return file.read(most_chars)
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{source} is not text in UTF-8", next_step="Save it as UTF-8.") from error
    except OSError as error:
        raise UnreadableFile(
            f"{source} cannot be read ({error.strerror})", next_step="Check the path."
        ) from error
