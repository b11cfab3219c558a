"""Everything of a customer in one file, so that erasing it is not the end of what somebody must still prove.

A tar for its owner only: `database.dump` in PostgreSQL's own format, and under `windmill/` the items of the
folder as the server exports them. Secrets are in it as ciphertext that only the workspace can read.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from platform_cli.local.postgres import BINARIES
from platform_core.errors import ConfigurationError, StorageFull, Unavailable, UnreadableFile

DATABASE, WINDMILL = "database.dump", "windmill"
_DUMP_TIMEOUT_S = 6 * 3600
_BLOCK = 1024 * 1024

_ASKED_FOR = "PGPASSWORD"
"""Where PostgreSQL's programs look for it."""


@dataclass(frozen=True, slots=True)
class Export:
    """Where an export is, and what proves that it is still that one."""

    path: Path
    sha256: str
    size_bytes: int


def export_customer(folder: Path, name: str, *, dsn: str, tarball: bytes | None) -> Export:
    """Dump the customer's database and its part of the workspace's export into one new file of `folder`.

    The dump is read back before the file gets its name. `dsn` is the administrator's, to the database;
    `tarball` the whole workspace's export, None where no Windmill is meant.
    Raises: Unavailable when the database cannot be dumped, UnreadableFile, StorageFull.
    """
    path = folder / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as staging:
            dump, archive = Path(staging) / DATABASE, Path(staging) / "export.tar"
            _dump(dsn, dump)
            handle = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                with tarfile.open(fileobj=file, mode="w") as tar:
                    tar.add(dump, arcname=DATABASE, filter=_anonymous)
                    for member, content in _items_of(name, tarball).items():
                        _add(tar, f"{WINDMILL}/{member}", content)
                file.flush()
                os.fsync(file.fileno())
            archive.replace(path)
    except OSError as error:
        if error.errno is not None and shutil.disk_usage(folder.parent).free == 0:
            raise StorageFull(f"The disk is full: {path} was not written", next_step="Free space.") from error
        raise UnreadableFile(f"{path} cannot be written: {error.strerror}") from error
    return Export(path, _digest(path), path.stat().st_size)


def _dump(dsn: str, target: Path) -> None:
    """Dump and read back; the password is in the environment and on no command line."""
    facts = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", _ASKED_FOR: facts.pop("password", "")}
    connection = " ".join(f"{name}='{value}'" for name, value in facts.items())
    _run(["pg_dump", "--format=custom", f"--file={target}", f"--dbname={connection}"], environment)
    _run(["pg_restore", "--list", f"--file={os.devnull}", str(target)], environment)


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    program = BINARIES / "bin" / command[0]
    try:
        subprocess.run(
            [str(program), *command[1:]],
            env=dict(environment),
            capture_output=True,
            check=True,
            timeout=_DUMP_TIMEOUT_S,
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"])[-1]
        raise Unavailable(
            f"{command[0]} failed ({said[:300]})", next_step="Nothing was erased; run this again."
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"{program} cannot be run ({type(error).__name__})") from None


def _items_of(name: str, tarball: bytes | None) -> dict[str, bytes]:
    """The customer's files of a workspace's export."""
    if tarball is None:
        return {}
    with tarfile.open(fileobj=io.BytesIO(tarball)) as tar:
        members = [(one, tar.extractfile(one)) for one in tar if one.name.startswith(f"f/{name}/")]
        return {one.name: file.read() for one, file in members if file is not None}


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    tar.addfile(info, io.BytesIO(content))


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode = 0o600
    return info


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
