"""The scan of images says clean only of what was scanned, against a list of holes of today."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".ci/scan-images"
GRYPE = """#!/bin/sh
case "$1" in
    version) exit 0 ;;
    db) exit {update} ;;
    *) echo "looked at $1" && exit {scan} ;;
esac
"""
"""As the pinned grype ends: 2 for holes, 1 for whatever else stopped it."""


def _scan(folder: Path, *images: str, update: int = 0, scan: int = 0) -> subprocess.CompletedProcess[str]:
    for name in (".ci", ".tools/bin"):
        (folder / name).mkdir(parents=True)
    shutil.copy(SCRIPT, folder / ".ci/scan-images")
    grype = folder / ".tools/bin/grype"
    grype.write_text(GRYPE.format(update=update, scan=scan), encoding="utf-8")
    grype.chmod(0o755)
    return subprocess.run(
        ["bash", folder / ".ci/scan-images", *images], capture_output=True, text=True, check=False, timeout=30
    )


def test_without_a_list_of_holes_nothing_is_called_clean(tmp_path: Path) -> None:
    """The host that has the list is named, and no image is looked at."""
    said = _scan(tmp_path, "platform-door:1.4.2", update=1)

    assert (said.returncode, said.stdout) == (2, "")
    assert "cannot be had from grype.anchore.io (above); nothing was scanned." in said.stderr


@pytest.mark.parametrize(
    ("scan", "code", "words"),
    [
        (0, 0, "platform-door:1.4.2: clean"),
        (2, 1, "platform-door:1.4.2: holes that can be mended"),
        (1, 2, "platform-door:1.4.2: grype stopped with status 1"),
    ],
)
def test_holes_are_told_from_a_scan_that_stopped(tmp_path: Path, scan: int, code: int, words: str) -> None:
    """Only the first is green."""
    said = _scan(tmp_path, "platform-door:1.4.2", scan=scan)

    assert said.returncode == code
    assert f"image scan: {words}" in said.stdout + said.stderr
