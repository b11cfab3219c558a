"""A way from a desk to a host's database, which no network but the host's own reaches.

A port of this machine leads through SSH to the database's. Its name stays `postgres`, so that its certificate
is proved and what `wmctl` writes into Windmill is right for the workers. The password and the authority lie
in a folder of this user's alone for as long as the tunnel stands.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from platform_cli.hosts.connection import Connection, Said, unreachable
from platform_core.errors import HostUnreachable, InvalidInput
from platform_core.settings import Secret

PORT = 5432
"""The database's own, inside and at the desk: then what is written down for workers has the right number."""
_SERVER = "postgres"
_OPEN_S = 20
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Entry:
    """What a host says of its database: its address inside, whom to trust, its administrator's password."""

    address: str
    authority: str
    password: Secret


def read_entry(said: Said) -> Entry:
    """What the host answered to `entry`. Raises: HostUnreachable when it is not that."""
    try:
        found = json.loads(said.out)
        return Entry(str(found["address"]), str(found["authority"]), Secret(str(found["password"]).strip()))
    except (ValueError, KeyError, TypeError):
        raise HostUnreachable(
            "The host did not say where its database is",
            next_step="Its program is older than this wmctl: run `wmctl host bootstrap`.",
        ) from None


def require_free(port: int) -> None:
    """Raises: InvalidInput when something on this machine listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise InvalidInput(
                f"Port {port} of this machine is taken, as by a PostgreSQL of your own",
                next_step="Stop it, or give another --port; then say --database-host postgres:5432 to "
                "`wmctl customer new`.",
            ) from None


@contextmanager
def tunnel(connection: Connection, entry: Entry, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The way stands until the block ends: the connection string, without a password, and what carries it.

    Raises: HostUnreachable when it does not come to stand.
    """
    with tempfile.TemporaryDirectory(prefix="wmctl-") as name:
        authority, password = Path(name) / "authority.crt", Path(name) / "password"
        authority.write_text(entry.authority, encoding="ascii")
        _write_alone(password, f"*:*:*:{_SERVER}:{_escaped(entry.password.reveal())}\n")
        carrier = connection.forward(port, f"{entry.address}:{PORT}")
        try:
            _wait_until_open(connection, carrier, port)
            yield (
                make_conninfo(
                    host=_SERVER,
                    hostaddr="127.0.0.1",
                    port=port,
                    user=_SERVER,
                    dbname=_SERVER,
                    sslmode="verify-full",
                    sslrootcert=str(authority),
                    passfile=str(password),
                ),
                carrier,
            )
        finally:
            carrier.terminate()
            carrier.communicate()


def _write_alone(path: Path, content: str) -> None:
    """A file that nobody else could read at any moment."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(content)


def _escaped(password: str) -> str:
    """As a password file wants it."""
    return password.replace("\\", "\\\\").replace(":", "\\:")


def _wait_until_open(connection: Connection, carrier: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _OPEN_S
    while time.monotonic() < end:
        if carrier.poll() is not None:
            _, said = carrier.communicate()
            raise unreachable(connection.host, said.decode("utf-8", "replace"))
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(_LOOK_S)
        else:
            return
    raise HostUnreachable(
        f"The way into {connection.host.name} did not open within {_OPEN_S} s", next_step="Try again."
    )
