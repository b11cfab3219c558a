"""Copies brought back to a host, such as one that replaces a lost one: in pieces, proven by checksum."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from platform_cli.backups.fetching import PIECE_OF_A_FILE_BYTES, as_file, sha256_of
from platform_cli.hosts.connection import Connection
from platform_core.errors import HostUnreachable, NotFound, UnreadableFile

SIDE_BY_SIDE = 4
"""Segments of the log are many and small, and most of the time of each is its connection's."""

_PATH = re.compile(r"backups(/[A-Za-z0-9][A-Za-z0-9._-]*){1,4}", re.ASCII)
_LEFT_OUT = re.compile(r"backups/drill\.json", re.ASCII)
"""What says something of the host that is gone."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What was brought to the host, and how much of it."""

    files: int
    bytes: int


def send(
    connection: Connection,
    folder: Path,
    each: Callable[[int, int, str], None] = lambda _done, _total, _path: None,
) -> Sent:
    """Bring every copy of a folder that `fetch` filled to the host, four at a time; bundles stay here.

    The connection is root's: what is brought is what a restore reads. Idempotency: what is there already, and
    the same, is passed over. Raises: NotFound for a folder without copies, UnreadableFile, HostUnreachable
    when the host refuses or has another file of that name.
    """
    files = sorted(_copies(folder))
    if not files:
        raise NotFound(
            f"There are no copies in {folder}", next_step="Name the folder that `wmctl backup fetch` filled."
        )
    total, done = sum(file.stat().st_size for file in files), 0
    each(done, total, "")
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        under_way = {pool.submit(_send_one, connection, folder, file): file for file in files}
        try:
            for ended in as_completed(under_way):
                ended.result()
                done += under_way[ended].stat().st_size
                each(done, total, under_way[ended].relative_to(folder).as_posix())
        finally:
            pool.shutdown(cancel_futures=True)
    return Sent(len(files), total)


def _copies(folder: Path) -> Iterator[Path]:
    for file in (folder / "backups").rglob("*"):
        path = file.relative_to(folder).as_posix()
        if file.is_file() and _PATH.fullmatch(path) and not _LEFT_OUT.fullmatch(path):
            yield file


def _send_one(connection: Connection, folder: Path, file: Path) -> None:
    path = file.relative_to(folder).as_posix()
    size, digest = file.stat().st_size, sha256_of(file)
    word = path.replace("/", ":")  # a plain word has no slash
    for begin in range(0, max(size, 1), PIECE_OF_A_FILE_BYTES):
        with as_file(_piece(file, begin)) as piece:
            said = connection.ask("backup", "take", digest, word, str(size), str(begin), given=piece)
        if said.code:
            raise HostUnreachable(
                f"{connection.host.name} does not take {path}: {said.err.strip()[:300]}",
                next_step="Put that right there, then run the same command again.",
            )
        if "is here already" in said.out:
            return


def _piece(file: Path, begin: int) -> bytes:
    try:
        with file.open("rb") as stream:
            stream.seek(begin, os.SEEK_SET)
            return stream.read(PIECE_OF_A_FILE_BYTES)
    except OSError as error:
        raise UnreadableFile(f"{file} cannot be read: {error.strerror}") from None
