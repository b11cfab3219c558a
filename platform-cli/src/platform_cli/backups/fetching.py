"""Copies carried off a host: only what is new, from the byte where it was cut, proven by its checksum.

A file is in its folder whole and proven, or under a name that begins with a dot. Everything is encrypted
before it leaves its container. Bundles of secrets, which hold the salt, come only where a folder of their own
is named: together with the copies and an identity they open everything.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from platform_cli.hosts.connection import LOST, Connection, unreachable
from platform_core.errors import HostUnreachable, InvalidInput, UnreadableFile

ATTEMPTS = 10
PAUSE_S = 2.0
BATCH_BYTES = 512 * 1024 * 1024
BATCH_FILES = 2000
"""How much is asked for by one connection: what a cut loses nothing of, and what a check waits for."""

PIECE_OF_A_FILE_BYTES = 64 * 1024 * 1024
"""How much of a file one connection brings to a host: what a cut makes be sent again."""

CHANGING = re.compile(r".*\.json|.*/[0-9A-F]{8}\.history", re.ASCII)
"""Small files that may be other ones tomorrow; they are fetched each time."""

BUNDLES = "bundles/"
"""How the host's name of a bundle begins; what else it names is a copy, or belongs to one."""

_PATH = re.compile(r"(backups|bundles)(/[A-Za-z0-9][A-Za-z0-9._-]*){1,4}", re.ASCII)
_LINE = re.compile(r"(\d{1,15}) (\S{1,500})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Remote:
    """One file on the host, by the path that the host gave it."""

    path: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch brought: new files, their bytes, how many were here, how many bundles stayed there."""

    files: int
    bytes: int
    kept: int
    bundles_left: int = 0


@dataclass(frozen=True, slots=True)
class Shelves:
    """Where copies go, and where bundles of secrets do; None for what is not brought."""

    copies: Path | None
    bundles: Path | None

    def takes(self, one: Remote) -> bool:
        """Whether a file of the host is brought at all."""
        return (self.bundles if one.path.startswith(BUNDLES) else self.copies) is not None

    def place_of(self, one: Remote) -> Path:
        """Where a file of the host that is brought stands here."""
        if one.path.startswith(BUNDLES):
            return (self.bundles or Path()) / one.path.removeprefix(BUNDLES)
        return (self.copies or Path()) / one.path


def shelves(copies: Path | None, bundles: Path | None) -> Shelves:
    """Two folders of which none is in the other. Raises: InvalidInput for others, and for none at all."""
    if copies is None and bundles is None:
        raise InvalidInput(
            "Nothing is fetched", next_step="Give --to for copies, --bundles-to for bundles of secrets."
        )
    if copies is not None and bundles is not None:
        one, other = copies.resolve(), bundles.resolve()
        if one.is_relative_to(other) or other.is_relative_to(one):
            raise InvalidInput(
                f"{bundles} and {copies} are not apart: bundles hold the salt, which copies must lack",
                next_step="Give bundles another place, better on another machine.",
            )
    return Shelves(copies, bundles)


def fetch(
    connection: Connection,
    to: Shelves,
    each: Callable[[int, int, str], None] = lambda _done, _total, _path: None,
    *,
    pause_s: float = PAUSE_S,
) -> Fetched:
    """Bring everything that the folders lack. `each` is told bytes done, bytes in all, and the file.

    Idempotency: a repeat brings what is new; a killed one goes on where it stood.
    Raises: HostUnreachable when the host stays away or answers nonsense; UnreadableFile; OSError when
    a folder cannot be written.
    """
    listed = _listed(connection)
    wanted = [one for one in listed if to.takes(one)]
    lacking = [one for one in wanted if not _is_here(to, one)]
    total, done = sum(one.bytes for one in lacking), 0
    for batch in _batches(lacking):
        _bring(connection, to, batch, partial(each, done, total), pause_s)
        done += sum(one.bytes for one in batch)
    each(total, total, "")
    left = sum(one.path.startswith(BUNDLES) for one in listed) if to.bundles is None else 0
    return Fetched(len(lacking), total, len(wanted) - len(lacking), left)


def _listed(connection: Connection) -> list[Remote]:
    said = connection.ask("backup", "files")
    if said.code:
        raise HostUnreachable(f"{connection.host.name} names no files: {said.err.strip()[:200]}")
    found = []
    for line in said.out.splitlines():
        parts = _LINE.fullmatch(line)
        # What a host says is not trusted with a place on this machine.
        if parts is None or _PATH.fullmatch(parts[2]) is None:
            raise HostUnreachable(f"{connection.host.name} names a file that is none: {line[:100]!r}")
        found.append(Remote(parts[2], int(parts[1])))
    return found


def _is_here(to: Shelves, one: Remote) -> bool:
    file = to.place_of(one)
    return not CHANGING.fullmatch(one.path) and file.is_file() and file.stat().st_size == one.bytes


def _batches(files: Sequence[Remote]) -> list[list[Remote]]:
    batches: list[list[Remote]] = []
    room = 0
    for one in files:
        if not batches or len(batches[-1]) >= BATCH_FILES or room < one.bytes:
            batches.append([])
            room = BATCH_BYTES
        batches[-1].append(one)
        room -= one.bytes
    return batches


def _bring(
    connection: Connection,
    to: Shelves,
    batch: Sequence[Remote],
    each: Callable[[str], None],
    pause_s: float,
) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        writer = _Writer(to, batch, each)
        try:
            with as_file(writer.wanted()) as wanted:
                said = connection.carry(("backup", "bytes"), wanted, writer.take)
        finally:
            writer.close()
        if said.code == 0 and writer.is_whole:
            break
        if said.code not in (0, LOST):
            raise HostUnreachable(f"{connection.host.name} gives no copies: {said.err.strip()[:200]}")
        if attempt == ATTEMPTS:
            raise unreachable(connection.host, said.err or "the connection was cut again and again")
        time.sleep(pause_s)
    _prove(connection, to, batch)


class _Writer:
    """Cuts one stream of bytes into the files that were asked for, each beside its place."""

    def __init__(self, to: Shelves, batch: Sequence[Remote], each: Callable[[str], None]) -> None:
        self._to = to
        self._each = each
        self._rest = [(one, _have(to, one)) for one in batch]
        self._at = 0
        self._stream: IO[bytes] | None = None

    def wanted(self) -> bytes:
        """What to ask the host for: PATH FROM TO, a line each."""
        return "".join(f"{one.path} {have} {one.bytes}\n" for one, have in self._rest).encode()

    @property
    def is_whole(self) -> bool:
        """Whether every byte came."""
        self._skip_full()
        return self._at == len(self._rest)

    def take(self, piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            self._skip_full()
            if self._at == len(self._rest):
                raise HostUnreachable("The host sent more than it was asked for")
            one, have = self._rest[self._at]
            part = view[: one.bytes - have]
            self._opened(one).write(part)
            self._rest[self._at] = (one, have + len(part))
            view = view[len(part) :]

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _skip_full(self) -> None:
        while self._at < len(self._rest) and self._rest[self._at][1] == self._rest[self._at][0].bytes:
            self._opened(self._rest[self._at][0])  # an empty file is a file
            self.close()
            self._at += 1

    def _opened(self, one: Remote) -> IO[bytes]:
        if self._stream is None:
            part = _part(self._to, one)
            part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._stream = part.open("ab")
            self._each(one.path)
        return self._stream


def _have(to: Shelves, one: Remote) -> int:
    part = _part(to, one)
    if not part.is_file():
        return 0
    size = part.stat().st_size
    if size > one.bytes or CHANGING.fullmatch(one.path):
        part.unlink()
        return 0
    return size


def _part(to: Shelves, one: Remote) -> Path:
    file = to.place_of(one)
    return file.with_name(f".part-{file.name}")


def _prove(connection: Connection, to: Shelves, batch: Sequence[Remote]) -> None:
    """Compare with the host's checksums, and only then give each file its name."""
    with as_file("".join(f"{one.path}\n" for one in batch).encode()) as paths:
        said = connection.ask("backup", "sums", given=paths)
    if said.code:
        raise HostUnreachable(f"{connection.host.name} proves nothing: {said.err.strip()[:200]}")
    sums = {path: digest for digest, _, path in (line.partition(" ") for line in said.out.splitlines())}
    for one in batch:
        part = _part(to, one)
        if sums.get(one.path) != sha256_of(part):
            part.unlink()
            if CHANGING.fullmatch(one.path):
                continue  # it became another one meanwhile; the next fetch brings that
            raise HostUnreachable(
                f"{one.path} arrived other than it stands on {connection.host.name}",
                next_step="Run the same command again; it brings that file anew.",
            )
        part.replace(to.place_of(one))


def sha256_of(file: Path) -> str:
    """The checksum of a file here. Raises: UnreadableFile."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableFile(f"{file} cannot be read: {error.strerror}") from None


@contextmanager
def as_file(content: bytes) -> Iterator[IO[bytes]]:
    """A file without a name that holds these bytes, for another program's input; it is on a disk."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        yield file
