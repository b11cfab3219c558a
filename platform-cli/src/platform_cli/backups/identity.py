"""The identity that opens copies: read from a file that is nobody else's, handed on as bytes of an input."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import IO

from platform_core.errors import SecretRejected, UnreadableFile

_LINE = re.compile(rb"^AGE-SECRET-KEY-[A-Z0-9-]{20,}\s*$", re.MULTILINE)
_LONGEST_BYTES = 16_000
"""Far more than identities take, and what a pipe holds on every system."""


def read_identity(file: Path) -> IO[bytes]:
    """The file's content, to be given to a host's standard input and to nothing else.

    Raises: UnreadableFile; SecretRejected when others may read the file, or no identity is in it. No message
    holds any of the content.
    """
    try:
        with file.open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            content = stream.read(_LONGEST_BYTES)
    except OSError as error:
        raise UnreadableFile(
            f"{file} cannot be read: {error.strerror}", next_step="Check the path."
        ) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SecretRejected(
            f"Others than you may read the identity {file} (mode {mode:04o})",
            next_step=f"Run: chmod 0600 {file}. If it lay so for long, make another and take new copies.",
        )
    if _LINE.search(content) is None:
        raise SecretRejected(
            f"{file} holds no age identity", next_step="It has a line that begins with AGE-SECRET-KEY-."
        )
    return _piped(content)


def _piped(content: bytes) -> IO[bytes]:
    """A pipe that holds the content, so that it lies on no disk on its way."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as stream:
        stream.write(content)
    return os.fdopen(reading, "rb")
