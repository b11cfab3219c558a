"""A cluster and the backup beside it: its program in processes of its own, as in its container.

As root everything of PostgreSQL belongs to `nobody`, the folders of the backup too.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import psycopg
from pyrage import x25519

from platform_cli.local import postgres
from platform_core.backups.place import Place
from platform_core.backups.sealing import Identity
from tests.support.written_flows import until

PASSWORD = "not-a-real-password-of-backup"
SETTINGS = {
    **postgres.DURABILITY_OFF,
    "archive_mode": "on",
    "archive_command": "/bin/true",
    "max_connections": "60",
    "wal_keep_size": "256MB",
}


@dataclass
class Vault:
    """One cluster and its backup. `identity` opens the copies and is in no file."""

    cluster: postgres.Cluster
    place: Place
    identity: str
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def keys(self) -> Identity:
        """The identity, read."""
        return Identity.parse(self.identity)

    @property
    def environment(self) -> dict[str, str]:
        """What the container is told."""
        return {
            "PATH": "/usr/bin:/bin",
            "PLATFORM_BACKUP_FOLDER": str(self.place.folder),
            "PLATFORM_BACKUP_SCRATCH": str(self.place.scratch),
            "PLATFORM_BACKUP_DATA": str(self.place.data),
            "PLATFORM_BACKUP_SECRETS": str(self.place.secrets),
            "PLATFORM_BACKUP_PROGRAMS": str(self.place.binaries),
            "PLATFORM_BACKUP_SOURCE": self.place.source,
        }

    def run(self, *words: str, stdin: str = "", check: int | None = 0) -> subprocess.CompletedProcess[bytes]:
        """The program, to its end."""
        command = [sys.executable, "-m", "platform_core.backups", *words]
        done = subprocess.run(
            command, input=stdin.encode(), env=self.environment, capture_output=True, check=False, timeout=100
        )
        assert check is None or done.returncode == check, (done.returncode, done.stdout, done.stderr)
        return done

    def say(self, *words: str, stdin: str = "", check: int = 0) -> Any:  # Any: whatever the JSON is
        """The program's answer as JSON."""
        return json.loads(self.run(*words, "--json", stdin=stdin, check=check).stdout)

    @contextmanager
    def serving(self) -> Iterator[subprocess.Popen[bytes]]:
        """The service, until the block ends."""
        command = [sys.executable, "-m", "platform_core.backups", "serve"]
        with (self.place.scratch / "serve.log").open("ab") as log:
            child = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
            try:
                yield child
            finally:
                child.send_signal(signal.SIGTERM)
                child.wait(60)

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """As the superuser."""
        with psycopg.connect(self.cluster.dsn(database), autocommit=True) as admin:
            cursor = admin.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def now(self) -> datetime:
        """The server's time."""
        (row,) = self.sql("SELECT clock_timestamp()")
        at: datetime = row[0]
        return at.astimezone(UTC)

    def fill(self) -> None:
        """Write something and end the segment that it is in."""
        self.sql("SELECT pg_logical_emit_message(true, 'test', 'x'), pg_switch_wal()")

    def switch(self) -> int:
        """End the segment that is written; how many are stored once that one is."""
        self.sql("SELECT pg_logical_emit_message(true, 'test', 'x')")
        (row,) = self.sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
        self.sql("SELECT pg_switch_wal()")
        until(lambda: row[0] in {one.name for one in self.segments()}, f"segment {row[0]}")
        return len(self.segments())

    def segments(self) -> list[Any]:
        """What is stored of the log, all clusters together, in order."""
        found = [one for those in self.place.list_segments().values() for one in those]
        return sorted(found, key=lambda one: (one.timeline, one.number))

    def events(self) -> list[Mapping[str, Any]]:
        """What the service logged."""
        text = (self.place.scratch / "serve.log").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@contextmanager
def a_vault(cluster: postgres.Cluster) -> Iterator[Vault]:
    """The backup of a cluster that runs; its folders are gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="vault-", dir="/var/tmp"))
    folder.chmod(0o755)
    identity = x25519.Identity.generate()
    place = Place(
        folder / "backups",
        folder / "scratch",
        folder / "database" / "data",
        folder / "secrets",
        postgres.binaries_of(cluster.folder) / "bin",
        f"host=127.0.0.1 port={cluster.port} user=backup",
        time(3, 10),
    )
    for path in (place.folder, place.scratch, place.data.parent, place.secrets):
        path.mkdir()
        _give(path)
    (place.secrets / "backup_database_password").write_text(f"{PASSWORD}\n", encoding="ascii")
    (place.secrets / "backup_recipients").write_text(
        f"# the desk\n{identity.to_public()}\n", encoding="ascii"
    )
    with psycopg.connect(cluster.admin_dsn, autocommit=True) as admin:
        if admin.execute("SELECT 1 FROM pg_roles WHERE rolname = 'backup'").fetchone() is None:
            admin.execute("CREATE ROLE backup REPLICATION CONNECTION LIMIT 4")
        admin.execute(f"ALTER ROLE backup LOGIN PASSWORD '{PASSWORD}'".encode())
        admin.execute("CHECKPOINT")  # a slot begins at the last one
    place.prepare()
    try:
        yield Vault(cluster, place, str(identity))
    finally:
        with psycopg.connect(cluster.admin_dsn, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'backup'"
            )
            until(
                lambda: (
                    admin.execute(
                        "SELECT 1 FROM pg_replication_slots WHERE slot_name = 'backup' AND active"
                    ).fetchone()
                    is None
                ),
                "the slot to be free",
            )
            admin.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                " WHERE slot_name = 'backup'"
            )
        shutil.rmtree(folder, ignore_errors=True)


def new_identity() -> str:
    """The private key of somebody else."""
    return str(x25519.Identity.generate())


def _give(path: Path) -> None:
    if os.geteuid() == 0:
        account = pwd.getpwnam("nobody")
        os.chown(path, account.pw_uid, account.pw_gid)
