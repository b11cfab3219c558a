"""The bundle of a host's secrets at a desk: fetched as it is, looked into, put back into a new host.

It is one file in the format of `age`, made on the host for people whose private keys are on no host. Here it
is opened only to see that it can be: nothing of it is written in clear.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import pyrage

from platform_cli.backups.identity import read_identity
from platform_cli.hosts.connection import LOST, Connection, Said, unreachable
from platform_core.errors import SecretRejected, UnreadableFile

HEADER = b"age-encryption.org/v1\n"
_LINE = re.compile(r"^SECRET_([A-Z_]+)=.*/([^/\n]+)$", re.MULTILINE)
_KEYS = re.compile(r"^AGE-SECRET-KEY-[A-Z0-9-]+$", re.MULTILINE)


def fetch(connection: Connection, file: Path) -> int:
    """Let the host make a bundle and keep it here, for its owner only; how many bytes it has.

    It is there whole or not at all. Raises: UnreadableFile when there is something of that name or the disk
    refuses; HostUnreachable; SecretRejected, with the host's reason, when it made none.
    """
    if file.exists():
        raise UnreadableFile(f"{file} is there already", next_step="Choose another name: a bundle is kept.")
    content = bytearray()
    with Path(os.devnull).open("rb") as nothing:
        said = connection.carry(("secrets", "bundle"), nothing, content.extend)
    if said.code == LOST:
        raise unreachable(connection.host, said.err)
    if said.code or not content.startswith(HEADER):
        raise SecretRejected(
            f"{connection.host.name} made no bundle: {said.err.strip()[-300:] or 'it sent something else'}",
            next_step="See `wmctl secret check --host`.",
        )
    staging = file.with_name(f".{file.name}.part")
    try:
        with os.fdopen(os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        staging.replace(file)
    except OSError as error:
        raise UnreadableFile(f"{file} cannot be written: {error.strerror}") from error
    return len(content)


def look(file: Path, identity: Path) -> tuple[str, ...]:
    """The names of the secrets in a bundle, which this proves can be opened.

    Raises: UnreadableFile; SecretRejected for a wrong identity, one that others may read, a damaged bundle.
    """
    content = _opened(_read(file), _content(identity), file)
    listed = content.get("secrets/secrets.env", b"").decode()
    found = {name: f"secrets/{path}" for name, path in _LINE.findall(listed)}
    missing = sorted(name for name, path in found.items() if not content.get(path))
    if missing or not found:
        raise SecretRejected(
            f"{file} lacks {', '.join(missing) or 'the list of its secrets'}", next_step="Take another one."
        )
    return tuple(sorted(found))


def put_back(connection: Connection, file: Path, identity: Path) -> Said:
    """Give a new host the secrets of the lost one; it refuses when it has some of its own.

    The identity goes by the connection, into the host's memory, and is kept nowhere. Raises: as `look`.
    """
    look(file, identity)
    with _flowing(_content(identity).strip() + b"\n" + _read(file)) as stream:
        return connection.ask("secrets", "unbundle", given=stream)


def _content(identity: Path) -> bytes:
    with read_identity(identity) as stream:
        return stream.read()


def _read(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UnreadableFile(
            f"{file} cannot be read: {error.strerror}", next_step="Check the path."
        ) from None
    if not content.startswith(HEADER):
        raise UnreadableFile(f"{file} is no bundle of a host's secrets", next_step="Check the path.")
    return content


def _opened(sealed: bytes, identity: bytes, file: Path) -> Mapping[str, bytes]:
    try:
        keys = [pyrage.x25519.Identity.from_str(key) for key in _KEYS.findall(identity.decode())]
        plain = pyrage.decrypt(sealed, keys)
        with tarfile.open(fileobj=io.BytesIO(plain)) as packed:
            read = ((member.name, packed.extractfile(member)) for member in packed if member.isfile())
            return {name: stream.read() for name, stream in read if stream is not None}
    except (pyrage.DecryptError, pyrage.IdentityError, tarfile.TarError, UnicodeDecodeError):
        raise SecretRejected(
            f"{file} does not open with this identity, or it is damaged",
            next_step="Use the identity of one of its recipients, or another copy of the bundle.",
        ) from None


def _flowing(content: bytes) -> IO[bytes]:
    """A pipe with the content, fed while it is read: an identity lies on no disk on its way."""
    reading, writing = os.pipe()

    def feed() -> None:
        # A host that refuses hangs up before it has read all.
        with suppress(BrokenPipeError), os.fdopen(writing, "wb") as stream:
            stream.write(content)

    threading.Thread(target=feed, daemon=True).start()
    return os.fdopen(reading, "rb")
