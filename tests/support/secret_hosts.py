"""A host's folder of secrets, and the script that makes and keeps them, for tests without a host."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.aged import path_with_age
from tests.support.wmctl import REPOSITORY

SCRIPT = REPOSITORY / "infra/scripts/remote/host_secrets.sh"


@dataclass(frozen=True)
class Said:
    """What the script said and how it ended."""

    returncode: int
    stdout: str
    stderr: str


class Host:
    """A host's folder of secrets, owned by whoever runs the test."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "secrets"
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o750)

    def say(self, *words: str, given: str | bytes = "") -> Said:
        """The script, as root would call it on the host."""
        begun = self.begin(*words)
        out, err = begun.communicate(given.encode() if isinstance(given, str) else given)
        return Said(begun.returncode, out.decode(), err.decode())

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """The same, and not waited for."""
        return subprocess.Popen(
            [SCRIPT, "--root", self.root, "--owner", f"{os.getuid()}:{os.getgid()}", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PATH": f"{self._programs}:{path_with_age(self.root.with_name('age'))}"},
        )

    def program(self, name: str, *lines: str) -> None:
        """A program of the test, before those of the system."""
        self._programs.mkdir(exist_ok=True)
        file = self._programs / name
        file.write_text("\n".join(lines) + "\n")
        file.chmod(0o755)

    @property
    def _programs(self) -> Path:
        return self.root.with_name("programs")

    def listed(self) -> dict[str, Path]:
        """Which file is which, as a deploy reads it."""
        lines = (self.folder / "secrets.env").read_text(encoding="utf-8").splitlines()
        return {
            name.removeprefix("SECRET_"): Path(path) for name, path in (one.split("=", 1) for one in lines)
        }

    def content(self) -> dict[str, str]:
        """Every secret by its name."""
        return {name: self.value(name) for name in self.listed()}

    def grow_old(self, name: str, days: int) -> None:
        """Let a secret have been made so many days ago."""
        then = time.time() - days * 86_400
        os.utime(self.listed()[name], (then, then))

    def value(self, name: str) -> str:
        """What is in the file."""
        return self.listed()[name].read_text(encoding="utf-8")
