"""What git says of a folder: which files were changed and not committed, and which commit this is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from platform_core.errors import ConfigurationError

_LONGEST_S = 30
_NAME_AT = 3
_RENAMED = "RC"


def uncommitted(folder: Path) -> list[Path]:
    """The files of a folder that differ from the last commit, new and deleted ones too; sorted.

    Empty outside of a repository, where nothing can be committed. Raises: ConfigurationError without git.
    """
    top = _git(folder, "rev-parse", "--show-toplevel")
    said = _git(folder, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--", ".")
    if top is None or said is None:
        return []
    found: list[Path] = []
    entries = iter(said.split("\0"))
    for entry in entries:
        if len(entry) > _NAME_AT:
            found.append(Path(top.strip(), entry[_NAME_AT:]))
            if entry[0] in _RENAMED:
                found.append(Path(top.strip(), next(entries, "")))
    return sorted(found)


def head_commit(folder: Path) -> str | None:
    """The commit that is checked out, hexadecimal; None where there is none yet or no repository."""
    said = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    return said.strip() if said else None


def _git(folder: Path, *words: str) -> str | None:
    """What git prints; None when it refuses."""
    program = shutil.which("git")
    if program is None:
        raise ConfigurationError("git is not installed", next_step="Install git.")
    done = subprocess.run(  # noqa: S603 - fixed words and a folder, and no shell
        [program, "--no-optional-locks", "-C", str(folder), *words],
        capture_output=True,
        check=False,
        timeout=_LONGEST_S,
    )
    return done.stdout.decode("utf-8", "surrogateescape") if done.returncode == 0 else None
