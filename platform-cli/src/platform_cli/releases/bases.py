"""infra/docker/bases.env: what the images are built on, a line an image, `NAME=REFERENCE@sha256:…`."""

from __future__ import annotations

import re
from pathlib import Path

from platform_core.errors import ConfigurationError, StateConflict

FILE = "infra/docker/bases.env"

_PINNED = re.compile(r"\w+=\S+@sha256:[0-9a-f]{64}", re.ASCII)


def read(root: Path) -> str:
    """The file's text. Raises: ConfigurationError when it is not there."""
    try:
        return (root / FILE).read_text(encoding="utf-8")
    except OSError:
        raise ConfigurationError(f"There is no {FILE}", next_step="Run this in a whole checkout.") from None


def require_pinned(root: Path) -> None:
    """Refuse a base without its digest: the images of a release are not built on one.

    Raises: StateConflict naming each such line and the way to its digest, ConfigurationError without a file.
    """
    open_lines = [
        (number, line)
        for number, line in enumerate(read(root).splitlines(), 1)
        if line.strip() and not line.startswith("#") and not _PINNED.fullmatch(line)
    ]
    if open_lines:
        asked = "; ".join(
            f"`docker buildx imagetools inspect {line.partition('=')[2].partition('@')[0]}`"
            for _, line in open_lines
        )
        raise StateConflict(
            "No image of a release is built on a base without its digest: "
            + ", ".join(f"{FILE}:{number}: {line}" for number, line in open_lines),
            next_step=f"{asked} prints the digest; write it there as NAME=IMAGE:TAG@sha256:…, commit.",
        )
