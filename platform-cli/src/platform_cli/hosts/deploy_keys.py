"""A new key that may deploy in place of an old one: let in, tried, and only then is the old one shut out."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from platform_cli.hosts.connection import Connection, piped
from platform_cli.hosts.known import ACCOUNT
from platform_core.errors import HostUnreachable, InvalidInput, PermissionDenied, UnreadableFile

NEW, OLD = ".new", ".old"
"""How the files of the key that comes and of the one that goes are called while both are good."""


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """One key that may deploy, and the names it has while it changes. `kept` is the name that stays."""

    kept: Path

    @property
    def new(self) -> Path:
        """The key that comes."""
        return self.kept.with_name(self.kept.name + NEW)

    @property
    def old(self) -> Path:
        """The key that goes."""
        return self.kept.with_name(self.kept.name + OLD)


def rotate(root: Connection, files: KeyFiles, tell: Callable[[str], None]) -> None:
    """Replace the key of `files` on the host and here; `root` is a connection that may do everything there.

    A repeat ends what was cut: each step looks whether it was done. GitHub's key is a file of its own and is
    replaced by its own run. Raises: HostUnreachable, PermissionDenied when the new key does not open the
    program (the old one stays), UnreadableFile.
    """
    if not files.old.exists():
        if not files.kept.is_file():
            raise UnreadableFile(f"There is no key {files.kept}", next_step="Name the key that is replaced.")
        if not files.new.exists():
            _make(files.new)
        _say(root, "add", files.new)
        tell("the new key is let in")
        _try(root, files.new)
        tell("the new key opens the program")
        _move(files.kept, files.old)
    if files.new.exists():
        _move(files.new, files.kept)
    _try(root, files.kept)
    _say(root, "remove", files.old)
    if _opens(root, files.old):
        raise PermissionDenied(
            f"{root.host.name} still takes the old key {files.old}",
            next_step="See who else lists it: AuthorizedKeysFile in the host's sshd_config.",
        )
    for gone in (files.old, _with_pub(files.old)):
        gone.unlink(missing_ok=True)
    tell("the old key is shut out and deleted")


def _make(file: Path) -> None:
    words = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "deploy", "-f", str(file))
    done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise UnreadableFile(f"No key was made at {file}: {done.stderr.strip()[:200]}")


def _with_pub(file: Path) -> Path:
    return file.with_name(f"{file.name}.pub")


def _move(now: Path, then: Path) -> None:
    """The private key last: where it stands says how far a run came."""
    if _with_pub(now).exists():
        _with_pub(now).replace(_with_pub(then))
    now.replace(then)


def _public(file: Path) -> IO[bytes]:
    """Its public half, from the private one: the file beside it may be another's."""
    words = ("ssh-keygen", "-y", "-P", "", "-f", str(file))
    done = subprocess.run(words, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise InvalidInput(f"{file} is no private key without a passphrase", next_step="Name another one.")
    return piped(done.stdout)


def _try(root: Connection, key: Path) -> None:
    if not _opens(root, key):
        raise PermissionDenied(
            f"{root.host.name} does not take {key}; the key before stays",
            next_step="Run this again; `wmctl host bootstrap` sets up what the key leads to.",
        )


def _opens(root: Connection, key: Path) -> bool:
    """Whether the key opens the program as the deploy account's."""
    try:
        return replace(root, account=ACCOUNT, identity=str(key)).ask("secrets", "list").code == 0
    except HostUnreachable:
        return False


def _say(root: Connection, verb: str, key: Path) -> None:
    with _public(key) as given:
        said = root.ask("keys", verb, given=given)
    if said.code:
        raise PermissionDenied(
            f"The host did not change its keys: {said.err.strip()[-300:]}",
            next_step="Enter as root, or as one who may sudo: --as and --admin-key.",
        )
