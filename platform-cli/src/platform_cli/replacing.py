"""A file is there as it was or as it is to be, and never half: written beside its place, then moved there."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

OWN = 0o600
"""The mode of a file that only its owner may read."""


def replace_file(file: Path, text: str, mode: int = 0o666) -> Path:
    """Put a text in the file's place at once; the file. Raises: OSError, and then the old one stands.

    `mode` is less what the terminal's umask takes away.
    """
    staging = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        handle = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        return staging.replace(file)
    finally:
        staging.unlink(missing_ok=True)
