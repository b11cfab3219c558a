"""A file is there as it was or as it is to be, and never half: written beside its place, then moved there."""

from __future__ import annotations

import secrets
from pathlib import Path


def replace_file(file: Path, text: str) -> Path:
    """Put a text in the file's place at once; the file. Raises: OSError, and then the old one stands."""
    staging = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        staging.write_text(text, encoding="utf-8")
        return staging.replace(file)
    finally:
        staging.unlink(missing_ok=True)
