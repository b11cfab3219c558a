"""PostgreSQL's programs as children: their words in English, their last line as the reason when they fail."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from platform_core.errors import BackupFailed, ConfigurationError

_WORDS = 400


@dataclass(frozen=True, slots=True)
class Programs:
    """Where they are. As root they run as whoever owns `room`, because PostgreSQL refuses root.

    `password` is the source's; a program that needs it finds it in its own environment.
    """

    folder: Path
    room: Path
    password: str = field(default="", repr=False)

    @property
    def account(self) -> tuple[int, int] | None:
        """User and group of the children; None for our own."""
        if os.geteuid() != 0:
            return None
        owner = self.room.stat()
        return owner.st_uid, owner.st_gid

    def give(self, path: Path) -> None:
        """Let the children have what this process made."""
        if self.account is not None:
            os.chown(path, *self.account)

    def start(
        self,
        *command: str | Path,
        stdin: int = subprocess.DEVNULL,
        stdout: int | IO[bytes] | None = None,
        stderr: IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start one, by its name among PostgreSQL's or by its path. Raises: ConfigurationError."""
        program, *words = command
        path = self.folder / program if "/" not in str(program) else Path(program)
        user, group = self.account or (None, None)
        try:
            return subprocess.Popen(
                [str(path), *map(str, words)],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=self._environment(),
                user=user,
                group=group,
                extra_groups=None if user is None else [],
                umask=0o077,
                start_new_session=True,  # a signal for us is ours: we end what we started in order
            )
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be run: {error.strerror}") from None

    def run(self, *command: str | Path) -> str:
        """Run one to its end; what it said on stderr. Raises: BackupFailed with its last line."""
        with self.watched() as said:
            child = self.start(*command, stdout=subprocess.DEVNULL, stderr=said)
            self.end(child, said, str(command[0]))
            return words_of(said)

    @contextmanager
    def watched(self) -> Iterator[IO[bytes]]:
        """A file for a child's stderr."""
        with tempfile.TemporaryFile() as said:
            yield said

    def end(self, child: subprocess.Popen[bytes], said: IO[bytes], name: str) -> None:
        """Wait for a child. Raises: BackupFailed with its last line."""
        if child.wait() != 0:
            lines = [line for line in words_of(said).splitlines() if line.strip()]
            last = lines[-1].strip()[-_WORDS:] if lines else f"it ended with {child.returncode}"
            raise BackupFailed(f"{name} failed: {without_secrets(last)}")

    def _environment(self) -> Mapping[str, str]:
        told = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
        return told | ({"PGPASSWORD": self.password} if self.password else {})


def words_of(said: IO[bytes]) -> str:
    """What a child wrote."""
    said.seek(0)
    return said.read().decode("utf-8", "replace")


def without_secrets(line: str) -> str:
    """A line of a program without what a connection string could hold."""
    return re.sub(r"password=\S+", "password=***", line)


def end_left_over(data: Path) -> None:
    """End the server that a killed run left on a folder of plain data, if it left one."""
    try:
        pid = int((data / "postmaster.pid").read_text(encoding="ascii").split("\n", 1)[0])
        if Path(f"/proc/{pid}/cwd").resolve() == data.resolve():  # the number may be another program's by now
            os.kill(pid, signal.SIGQUIT)
    except (OSError, ValueError):
        return
