"""What a backup gives of one customer: a stream of pg_dump's custom format, read by pg_restore."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import IO

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from platform_core.errors import BackupFailed, ConfigurationError

_LAST_WORDS = 300


def load_dump(stream: IO[bytes], dsn: str, *, pg_restore: str | Path = "pg_restore") -> None:
    """Put the whole of a dump into an empty database, or raise; what came of it is then of no use.

    The password of `dsn`, if it has one, goes through a file that ends with this call: an argument can be
    read in the list of processes. Raises: BackupFailed with pg_restore's last words; ConfigurationError
    where there is no pg_restore.
    """
    facts = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    password = facts.pop("password", "")
    with tempfile.TemporaryDirectory(prefix="restore-") as folder:
        passwords = Path(folder) / "passwords"
        passwords.touch(mode=0o600)
        passwords.write_text(f"*:*:*:*:{_escaped(password)}\n", encoding="utf-8")
        _run(
            [
                *(str(pg_restore), "--exit-on-error", "--no-password"),
                f"--dbname={make_conninfo('', **facts, passfile=str(passwords))}",
            ],
            stream,
        )


def _run(command: list[str], stream: IO[bytes]) -> None:
    try:
        done = subprocess.run(command, stdin=stream, capture_output=True, check=False)
    except FileNotFoundError:
        raise ConfigurationError(
            f"There is no {command[0]} here", next_step="Install PostgreSQL's client programs."
        ) from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-_LAST_WORDS:]
        raise BackupFailed(f"The dump cannot be put back: {' '.join(said.split()) or 'it is empty'}")


def _escaped(password: str) -> str:
    return password.replace("\\", "\\\\").replace(":", "\\:")
