"""The always-on door in a process of its own, over throw-away customers, and what it says while it runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from platform_core.ingest.files import DatabaseFile, set_endpoint
from platform_core.tenancy.door import prepare_door
from tests.connectors.ycloud.deliveries import SECRET
from tests.support.databases import Databases, TenantDatabase

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 20.0


def wait_for(what: Callable[[], object], *, limit_s: float = PATIENCE_S) -> None:
    """Ask until it is so. Fails when it is not within the limit."""
    until = time.monotonic() + limit_s
    pause = threading.Event()
    while not what():
        assert time.monotonic() < until, f"{what} did not come true within {limit_s} s"
        pause.wait(0.02)


def database_of(tenant: TenantDatabase) -> DatabaseFile:
    """Where a customer's database is, as the door's file says it."""
    facts = conninfo_to_dict(tenant.dsn)
    return DatabaseFile(host=str(facts["host"]), port=int(str(facts["port"])), dbname=tenant.name)


def tell(
    folder: Path, tenant: TenantDatabase, *secrets: str, endpoints: tuple[str, ...] = ("inbound", "status")
) -> Path:
    """Write a customer's file."""
    given = list(secrets or (SECRET,))
    made = [
        set_endpoint(folder, tenant.slug, database_of(tenant), source="ycloud", endpoint=name, secrets=given)
        for name in endpoints
    ]
    return made[-1][1]


@dataclass(slots=True)
class DoorProcess:
    """A running door. `lines` are those of its log, as they come."""

    process: subprocess.Popen[str]
    lines: list[dict[str, object]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    url: str = ""
    reading: threading.Thread = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Have a thread ready for its log."""
        self.reading = threading.Thread(target=self._read)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def listen(self) -> None:
        """Read its log until it is open; go on reading in a thread."""
        self.reading.start()
        wait_for(lambda: self.said("door.opened") or self.process.poll() is not None)
        opened = self.said("door.opened")
        assert opened, "".join(self.raw)
        self.url = f"http://127.0.0.1:{opened[0]['port']}"

    def said(self, event: str) -> list[dict[str, object]]:
        """The lines of one event."""
        return [line for line in list(self.lines) if line["event"] == event]

    def stop(self, sign: signal.Signals = signal.SIGTERM, *, limit_s: float = PATIENCE_S) -> int:
        """Signal it and wait for its end; its exit code."""
        self.process.send_signal(sign)
        return self.process.wait(limit_s)

    def resident_mb(self) -> float:
        """The most memory it ever held."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024

    def processor_s(self) -> float:
        """The processor time it used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as log:
            for line in log:
                self.raw.append(line)
                if line.startswith("{"):
                    self.lines.append(json.loads(line))


@contextmanager
def door_process(
    folder: Path,
    password: str,
    *options: str,
    environment: Mapping[str, str] | None = None,
    limits: Mapping[str, float] | None = None,
) -> Iterator[DoorProcess]:
    """`wmctl ingest serve` on a machine of its own: a folder, a password, no administrator.

    With `limits` the same door is opened without the command line, which does not offer all of them.
    """
    command = ["platform_cli", "ingest", "serve", "--port", "0", *options]
    if limits is not None:
        command = ["tests.support.open_door", json.dumps(limits)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PLATFORM_")}
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        env={
            **inherited,
            "PLATFORM_INGEST_FOLDER": str(folder),
            "PLATFORM_INGEST_DATABASE_PASSWORD": password,
            **(environment or {}),
        },
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    door = DoorProcess(process)
    try:
        door.listen()
        yield door
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        door.reading.join()


def door_password(databases: Databases) -> str:
    """Make the door's login in the cluster, or give it back the password that running doors know."""
    return prepare_door(databases.cluster.admin_dsn, databases.door_secrets)
