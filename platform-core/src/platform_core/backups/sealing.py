"""Sealing: a stream is compressed, encrypted, counted and hashed on its way to a file, and opened again.

The file is what `zstd | age` writes; `age --decrypt | zstd --decompress` reads it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol, cast

import pyrage
import zstandard
from pyrage import x25519

from platform_core.errors import (
    BackupFailed,
    ConfigurationError,
    SecretRejected,
    StorageFull,
    UnreadableFile,
)

_LEVEL = 3
_BLOCK = 1024 * 1024
_NO_SPACE = 28


class Readable(Protocol):
    """Where plain bytes come from."""

    def read(self, size: int = -1, /) -> bytes:
        """At most so many bytes; none at the end."""
        ...


class Writable(Protocol):
    """Where plain bytes go."""

    def write(self, block: bytes, /) -> int:
        """Take all of them."""
        ...


@dataclass(frozen=True, slots=True)
class Sealed:
    """What was written: its size and hash, and how much it was before."""

    size_bytes: int
    plain_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Identity:
    """The private keys that open copies. They come by stdin, live in this process and are never shown."""

    keys: tuple[x25519.Identity, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Identity:
        """Read what `age-keygen` writes. Raises: SecretRejected, which quotes none of it."""
        lines = [line.strip() for line in text.splitlines()]
        try:
            keys = [x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
        except pyrage.IdentityError:
            raise SecretRejected("What was given is no age identity") from None
        if not keys:
            raise SecretRejected("No age identity was given", next_step="Give it on standard input.")
        return cls(tuple(keys))


def read_recipients(path: Path) -> tuple[x25519.Recipient, ...]:
    """The public keys copies are made for, one a line. Raises: ConfigurationError, naming the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{path} cannot be read: no copy can be made") from None
    found = []
    for number, line in enumerate((line.strip() for line in lines), 1):
        if line and not line.startswith("#"):
            try:
                found.append(x25519.Recipient.from_str(line))
            except pyrage.RecipientError:
                raise ConfigurationError(
                    f"Line {number} of {path} is no age recipient", next_step="It begins with age1."
                ) from None
    if not found:
        raise ConfigurationError(f"{path} names no recipient: nobody could open the copies")
    return tuple(found)


def seal(source: Readable, target: Path, recipients: Sequence[x25519.Recipient]) -> Sealed:
    """Write what the source gives, sealed, into a new file that is on the disk when this returns.

    The source may still have failed: who gives it a name asks the source first.
    Raises: StorageFull, BackupFailed.
    """
    plain = _Counted(source)
    compressed = zstandard.ZstdCompressor(level=_LEVEL).stream_reader(cast("IO[bytes]", plain), closefd=False)
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    with os.fdopen(handle, "wb") as file:
        sink = _Hashed(file)
        try:
            pyrage.encrypt_io(compressed, sink, recipients)
        except (pyrage.EncryptError, OSError) as error:
            sink.failure = sink.failure or error
        if sink.failure is not None:  # the library keeps the last block's failure to itself
            raise _not_written(target, sink.failure) from None
        file.flush()
        os.fsync(file.fileno())
    return Sealed(sink.count, plain.count, sink.digest.hexdigest())


def check(path: Path, sha256: str) -> None:
    """Whether a file is what was written; takes no identity. Raises: BackupFailed."""
    if digest_of(path) != sha256:
        raise BackupFailed(f"{path.name} is not what was written: its checksum is another one")


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hex. Raises: BackupFailed when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise BackupFailed(f"{path.name} cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def unseal(path: Path, sha256: str, identity: Identity, sink: Writable) -> None:
    """Give the plain bytes of a sealed file to a sink, after its checksum was compared.

    Raises: BackupFailed, SecretRejected; what the sink raises, as BackupFailed.
    """
    check(path, sha256)
    guarded = _Guarded(sink)
    plain = zstandard.ZstdDecompressor().stream_writer(cast("IO[bytes]", guarded), closefd=False)
    try:
        with path.open("rb") as file:
            pyrage.decrypt_io(file, plain, identity.keys)
    except pyrage.DecryptError as error:
        if guarded.failure is None and "No matching keys" in str(error):
            raise SecretRejected(f"This identity does not open {path.name}") from None
        raise _not_opened(path, guarded.failure) from None
    except (OSError, zstandard.ZstdError):
        raise _not_opened(path, guarded.failure) from None
    if guarded.failure is not None:
        raise _not_opened(path, guarded.failure)


def place(staging: Path, final: Path) -> None:
    """Give a written file its name, so that it is there whole or not at all, also after a power cut."""
    staging.replace(final)
    keep_names(final.parent)


def keep_names(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, text: str) -> None:
    """Replace a small file by one rename. Raises: UnreadableFile, StorageFull."""
    staging = path.with_name(f".{path.name}.new")
    try:
        with staging.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        place(staging, path)
    except OSError as error:
        if error.errno == _NO_SPACE:
            raise StorageFull(f"The disk is full: {path.name} was not written") from None
        raise UnreadableFile(f"{path} cannot be written: {error.strerror}") from None


class _Counted:
    def __init__(self, source: Readable) -> None:
        self._source, self.count = source, 0

    def read(self, size: int = -1) -> bytes:
        block = self._source.read(size)
        self.count += len(block)
        return block


class _Hashed:
    def __init__(self, file: Writable) -> None:
        self._file, self.count, self.digest = file, 0, hashlib.sha256()
        self.failure: Exception | None = None

    def write(self, block: bytes) -> int:
        try:
            self._file.write(block)
        except OSError as error:
            self.failure = error
            raise
        self.digest.update(block)
        self.count += len(block)
        return len(block)

    def flush(self) -> None:
        """Nothing is held back here."""


class _Guarded:
    """Remembers what the sink raised: the library between it and us turns it into something else."""

    def __init__(self, sink: Writable) -> None:
        self._sink = sink
        self.failure: Exception | None = None

    def write(self, block: bytes) -> int:
        try:
            self._sink.write(block)
        except Exception as error:
            self.failure = error
            raise
        return len(block)

    def flush(self) -> None:
        """Nothing is held back here."""


def _not_written(target: Path, error: Exception) -> StorageFull | BackupFailed:
    if (isinstance(error, OSError) and error.errno == _NO_SPACE) or "os error 28" in str(error):
        return StorageFull("The disk of the copies is full", next_step="Free space there; nothing was kept.")
    reason = re.sub(r"\s+", " ", str(error))[:200]
    return BackupFailed(f"{target.name} could not be written ({reason})")


def _not_opened(path: Path, failure: Exception | None) -> BackupFailed:
    if failure is None:
        return BackupFailed(f"{path.name} cannot be decrypted: it is not what was written")
    if isinstance(failure, OSError) and failure.errno == _NO_SPACE:
        return BackupFailed(f"No room for what {path.name} holds", next_step="Free space where it is opened.")
    return BackupFailed(f"What {path.name} holds could not be taken ({type(failure).__name__})")
