"""Finds the checkout that a command works in, without loading anything that only some commands need."""

from __future__ import annotations

from pathlib import Path

from platform_core.errors import ConfigurationError


def find_root(start: Path) -> Path:
    """The checkout that holds `start`. Raises: ConfigurationError."""
    for folder in (start, *start.parents):
        if (folder / "customers").is_dir() and (folder / "platform-core").is_dir():
            return folder
    raise ConfigurationError(
        f"{start} is not inside the repository", next_step="Change into the checkout first."
    )
