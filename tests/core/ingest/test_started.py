"""`python -m platform_core.ingest`, as the door's image starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def _started(environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "platform_core.ingest", "--port", "0"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stderr


NOT_TOLD = (
    "The door is told neither where its customers' files are nor its password."
    " Set PLATFORM_INGEST_FOLDER and PLATFORM_INGEST_DATABASE_PASSWORD.\n"
)
DEFAULT = (
    "PLATFORM_INGEST_DATABASE_PASSWORD is a well-known default."
    " Set it to the real value; credentials.example.env says what belongs there.\n"
)


def test_without_a_folder_and_a_password_it_says_so_in_one_line() -> None:
    """A container's log is read by somebody in a hurry."""
    assert _started({}) == (1, NOT_TOLD)


def test_a_well_known_password_is_refused_before_a_port_is_open(tmp_path: Path) -> None:
    """As every other secret."""
    told = {"PLATFORM_INGEST_FOLDER": str(tmp_path), "PLATFORM_INGEST_DATABASE_PASSWORD": "changeme"}

    assert _started(told) == (1, DEFAULT)
