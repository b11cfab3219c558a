"""Secrets in files that only their owner can read: the store of the embedded installation.

One file per secret, mode 0600, in folders of mode 0700. A secret is written beside its place and moved there,
so a crash leaves the old one or the new one and never half of it.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from datetime import UTC, datetime
from pathlib import Path

from platform_core.errors import InvalidInput, SecretRejected, StorageFull, UnreadableFile

MAX_SECRET_BYTES = 16_384
_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,79}(/[a-z0-9_][a-z0-9_.-]{0,79}){0,4}", re.ASCII)


class FileSecretStore:
    """Secrets under one folder, which is made on the first `put`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> str | None:
        """The secret of that name, or None when there is none.

        Raises: SecretRejected when others may read the file; UnreadableFile.
        """
        path = self._path(name)
        try:
            with path.open(encoding="utf-8") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                    raise SecretRejected(
                        f"The secret {name} may be read by others on this machine",
                        next_step=f"Run `chmod 600` on {path}, then replace the secret.",
                    )
                return file.read(MAX_SECRET_BYTES)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise UnreadableFile(f"The secret {name} cannot be read: {_reason(error)}") from error

    def kept_at(self, name: str) -> datetime | None:
        """When the secret was last written, in UTC, or None when there is none. Raises: UnreadableFile."""
        try:
            return datetime.fromtimestamp(self._path(name).stat().st_mtime, UTC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnreadableFile(f"The secret {name} cannot be looked at: {_reason(error)}") from error

    def put(self, name: str, value: str) -> None:
        """Keep the secret; when this returns it survives a crash.

        Raises: InvalidInput, StorageFull, UnreadableFile when the folder refuses.
        """
        path = self._path(name)
        if not value or len(value.encode()) > MAX_SECRET_BYTES:
            raise InvalidInput(f"The secret {name} is empty or larger than {MAX_SECRET_BYTES} bytes")
        try:
            self._make_folder(path.parent)
            _write(path, value.encode())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(
                    f"The disk that keeps secrets is full; {name} was not stored",
                    next_step="Free space, then run the same command again.",
                ) from error
            raise UnreadableFile(f"The secret {name} cannot be stored: {_reason(error)}") from error

    def list_names(self, prefix: str) -> list[str]:
        """The names of the secrets below a path such as `tenant/acme`. Raises: UnreadableFile."""
        folder = self._path(prefix)
        try:
            files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
        except OSError as error:
            raise UnreadableFile(f"The secrets {prefix} cannot be listed: {_reason(error)}") from error
        return sorted(path.relative_to(self._folder).as_posix() for path in files)

    def forget(self, name: str) -> None:
        """Remove the secret; what is not there is no failure. Raises: UnreadableFile."""
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as error:
            raise UnreadableFile(f"The secret {name} cannot be removed: {_reason(error)}") from error

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f"{name[:60]!r} is not the name of a secret",
                next_step="Use lower-case words with / between them.",
            )
        return self._folder / name

    def _make_folder(self, folder: Path) -> None:
        missing = [step for step in (folder, *folder.parents) if not step.exists()]
        for step in reversed(missing):  # one by one: mkdir gives parents the default mode
            step.mkdir(mode=0o700, exist_ok=True)


def _write(path: Path, content: bytes) -> None:
    staging = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        handle = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or "no reason given") if isinstance(error, OSError) else "it is not text"
