"""Disks that are full, for tests of what happens then."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from platform_cli.local.postgres import Cluster

FULL = Path("/dev/full")
"""The kernel's own full disk: every write answers "No space left on device". It needs no privilege."""


@contextmanager
def full_table(cluster: Cluster, admin_dsn: str, table: str) -> Iterator[None]:
    """A table whose first page does not fit on the disk any more. The table must be empty."""
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        row = admin.execute(
            "SELECT pg_relation_filepath(%s::text::regclass), pg_relation_size(%s::text::regclass)",
            (table, table),
        ).fetchone()
    assert row is not None
    file, kept = cluster.folder / "data" / str(row[0]), cluster.folder / "data" / f"{row[0]}.kept"
    assert row[1] == 0, f"{table} has pages already"
    file.rename(kept)
    file.symlink_to(FULL)
    try:
        yield
    finally:
        file.unlink()
        kept.rename(file)


class SmallDisk:
    """A file system of a few megabytes, mounted for one test; only root may mount."""

    def __init__(self, folder: Path, *, size_mb: int) -> None:
        self.folder, self._size_mb = folder, size_mb
        self._ballast = folder / "ballast"

    def mount(self) -> bool:
        """Mount it. False where this machine does not let us."""
        self.folder.mkdir(mode=0o755)
        options = f"size={self._size_mb}m,mode=0755"
        asked = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        return os.geteuid() == 0 and subprocess.run(asked, check=False, capture_output=True).returncode == 0

    def room_for_server(self) -> Path:
        """A folder on it that the server may use."""
        folder = self.folder / "tablespace"
        folder.mkdir()
        account = pwd.getpwnam("nobody")
        os.chown(folder, account.pw_uid, account.pw_gid)
        return folder

    def fill(self) -> None:
        """Take all the space that is left, to the last byte."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 4096):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue

    def free(self) -> None:
        """Give the space back."""
        self._ballast.unlink()

    def unmount(self) -> None:
        """Take it away, whoever still has a file open on it."""
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
