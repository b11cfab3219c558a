"""What is said to a host over SSH: plain words to the program on it, bytes to its standard input.

The host's key is the pinned one or nothing is said. Words are checked here and again there; none is ever put
into a shell's text.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from platform_cli.hosts.known import ACCOUNT, Host
from platform_core.errors import HostUnreachable, InvalidInput

LOST = 255
"""What ssh itself ends with: it could not connect, or the connection was cut."""

_WORD = re.compile(r"(--)?[A-Za-z0-9][A-Za-z0-9._:@+-]*", re.ASCII)
_NOT_ENTERED = re.compile(
    r"^ssh: |Host key verification failed|IDENTIFICATION HAS CHANGED|Permission denied \("
    r"|kex_exchange_identification|banner exchange",
    re.MULTILINE,
)
"""What ssh says when it did not get in. Whatever else it ends with may be a connection that was cut later."""
_OPTIONS = (
    "BatchMode=yes",
    "IdentitiesOnly=yes",
    "ConnectTimeout=10",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
)
PIECE_BYTES = 1024 * 1024

_HOST_PROGRAM = "/opt/platform/bin/platform_host.sh"
_NO_PROGRAM = "There is no `ssh` on this machine"


@dataclass(frozen=True, slots=True)
class Said:
    """What a host answered: exit code, and both outputs as text."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Connection:
    """A way into a host: as whom, with which key, trusting which."""

    host: Host
    known_hosts: Path
    account: str = ACCOUNT
    identity: str | None = None

    @property
    def _program(self) -> str:
        """What a line begins with: the deploy key opens the program itself, another account names it."""
        if self.account == ACCOUNT:
            return ""
        return f"{_HOST_PROGRAM} " if self.account == "root" else f"sudo -n {_HOST_PROGRAM} "

    def ask(self, *words: str, given: IO[bytes] | None = None) -> Said:
        """Say words and wait for the answer, whatever it is.

        Raises: HostUnreachable when the host cannot be entered, and nothing was changed then; or when the
        connection was cut before the answer was here.
        """
        return self.run(self._program + _line(words), given)

    def begin(self, *words: str, given: IO[bytes] | None = None) -> Said:
        """As `ask`, for what goes on at the host by itself once it was begun.

        Raises: HostUnreachable, which says whether nothing was begun or nobody knows.
        """
        said = self._answer(self._program + _line(words), given)
        if said.code == LOST and not _NOT_ENTERED.search(said.err):
            raise HostUnreachable(
                f"The connection to {self.host.name} was cut while a run was begun; "
                "whether it began is not known",
                next_step="Run `wmctl host status`, which names the run, and then `wmctl host follow RUN`.",
            )
        return self._entered(said)

    def run(self, line: str, given: IO[bytes] | None = None) -> Said:
        """As `ask`, with a fixed line for a shell: only for a host that has no program of ours yet."""
        return self._entered(self._answer(line, given))

    def listen(self, words: Sequence[str], each: Callable[[bytes], None]) -> Said:
        """Say words and hand on each line of the answer as it comes, with its line end.

        The code is LOST when the connection was cut: it is for the caller to ask again.
        """
        done = self._started(self._program + _line(words), None)
        if done.stdout is not None:
            for line in done.stdout:
                each(line)
        _, err = done.communicate()
        return Said(done.returncode, "", err.decode("utf-8", "replace"))

    def carry(self, words: Sequence[str], given: IO[bytes], take: Callable[[bytes], None]) -> Said:
        """Say words and hand on the bytes of the answer as they come, in pieces of any size.

        The code is LOST when the connection was cut: it is for the caller to ask for the rest.
        """
        with self._started(self._program + _line(words), given) as done:
            try:
                while done.stdout is not None and (piece := os.read(done.stdout.fileno(), PIECE_BYTES)):
                    take(piece)
            except BaseException:
                done.kill()
                raise
            _, err = done.communicate()
        return Said(done.returncode, "", err.decode("utf-8", "replace"))

    def forward(self, local_port: int, inside: str) -> subprocess.Popen[bytes]:
        """Lead a port of this machine to an address inside the host, until the process is ended.

        The process ends by itself when the host cannot be entered or the port cannot be had.
        """
        leads = f"127.0.0.1:{local_port}:{inside}"
        return self._spawned("-N", "-o", "ExitOnForwardFailure=yes", "-L", leads, line=())

    def _answer(self, line: str, given: IO[bytes] | None) -> Said:
        done = self._started(line, given)
        out, err = done.communicate()
        return Said(done.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))

    def _entered(self, said: Said) -> Said:
        if said.code == LOST and said.err.strip() and not _NOT_ENTERED.search(said.err):
            raise HostUnreachable(
                f"The connection to {self.host.name} was cut before it answered: {_last(said.err)}",
                next_step="Look with `wmctl host status`, then run the same again.",
            )
        if said.code == LOST:
            raise unreachable(self.host, said.err)
        return said

    def _started(self, line: str, given: IO[bytes] | None) -> subprocess.Popen[bytes]:
        return self._spawned("-T", line=(line,), given=given)

    def _spawned(
        self, *how: str, line: tuple[str, ...], given: IO[bytes] | None = None
    ) -> subprocess.Popen[bytes]:
        options = [*_OPTIONS, f"UserKnownHostsFile={_quoted(self.known_hosts)}"]
        command = [
            *("ssh", *how, "-p", str(self.host.port), "-i", self.identity or self.host.identity),
            *(word for option in options for word in ("-o", option)),
            *("--", f"{self.account}@{self.host.address}", *line),
        ]
        try:
            return subprocess.Popen(
                command, stdin=given or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except FileNotFoundError:
            raise HostUnreachable(_NO_PROGRAM, next_step="Install OpenSSH's client.") from None


def piped(content: bytes) -> IO[bytes]:
    """A pipe that holds a little content, so that a secret lies on no disk on its way to a host."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as stream:
        stream.write(content)
    return os.fdopen(reading, "rb")


def unreachable(host: Host, said: str) -> HostUnreachable:
    """Why a host cannot be entered, in words, from what ssh said."""
    if "IDENTIFICATION HAS CHANGED" in said or "Host key verification failed" in said:
        return HostUnreachable(
            f"{host.name} shows another key than the pinned one; nothing was sent",
            next_step="Compare fingerprints on its console (ssh-keygen -lf FILE.pub) "
            "and only then `wmctl host add` it again: somebody may stand between.",
        )
    if "Permission denied" in said:
        return HostUnreachable(
            f"{host.name} does not take the key {host.identity}",
            next_step="Run `wmctl host bootstrap` with its public half, or choose the right key.",
        )
    return HostUnreachable(f"{host.name} cannot be entered: {_last(said)}")


def _last(said: str) -> str:
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "it did not answer")
    return last.strip()[:200]


def _line(words: Sequence[str]) -> str:
    for word in words:
        if not _WORD.fullmatch(word):
            raise InvalidInput(
                f"{word[:60]!r} is not a plain word", next_step="Use letters, digits and . _ : @ + - only."
            )
    return " ".join(words)


def _quoted(path: Path) -> str:
    """A path as ssh's options take it: one with a space is two otherwise."""
    return f'"{path}"'
