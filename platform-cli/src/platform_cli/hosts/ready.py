"""Makes a bare host ready: packs the program that does it with its values, and runs it there as root."""

from __future__ import annotations

import io
import re
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from platform_cli.hosts.connection import Connection, Said
from platform_core.errors import InvalidInput, UnreadableFile

# No value of ours is in this line: they are in the files that come with it.
_LINE = (
    'd=$(mktemp -d) && tar -xzf - -C "$d" && { [ "$(id -u)" = 0 ] || s="sudo -n"; '
    '$s bash "$d/bootstrap_host.sh" "$d"; r=$?; rm -rf "$d"; exit $r; }'
)
_REMOTE = "infra/scripts/remote"
_VALUE = re.compile(r"[A-Z][A-Z0-9_]*=[^`$\"'\\]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a host is made ready with.

    `deploy_keys` are public keys, one a line; `host_values` is host.env, empty to keep the one there;
    `values` are those that bootstrap_host.sh names, such as SWAP_MB.
    """

    deploy_keys: str
    host_values: str
    values: Mapping[str, str]


def bootstrap(connection: Connection, root: Path, wishes: Wishes) -> Said:
    """Run the steps on the host; each says whether it changed anything. A repeat goes on or changes nothing.

    `root` is the repository, where the programs are. Raises: UnreadableFile, InvalidInput, HostUnreachable.
    """
    with tempfile.TemporaryFile() as archive:
        pack(archive, root, wishes)
        archive.seek(0)
        return connection.run(_LINE, archive)


def pack(archive: IO[bytes], root: Path, wishes: Wishes) -> None:
    """Write the programs and the values as one archive. Raises: UnreadableFile, InvalidInput."""
    for number, line in enumerate(wishes.host_values.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#") and not _VALUE.fullmatch(line):
            raise InvalidInput(
                f"Line {number} of the host's values is not NAME=value",
                next_step="Write plain values, without quotes or $.",
            )
    files = {
        "bootstrap_host.sh": _read(root / _REMOTE / "bootstrap_host.sh"),
        "host_secrets.sh": _read(root / _REMOTE / "host_secrets.sh"),
        "platform_host.sh": host_program(root),
    }
    files["deploy_keys"] = wishes.deploy_keys.strip().encode() + b"\n"
    files["values"] = "".join(f"{name}={value}\n" for name, value in wishes.values.items()).encode()
    if wishes.host_values:
        files["host.env"] = wishes.host_values.encode()
    with tarfile.open(fileobj=archive, mode="w:gz") as target:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"./{name}")
            entry.size, entry.mode = len(content), 0o600
            target.addfile(entry, io.BytesIO(content))


def host_program(root: Path) -> bytes:
    """The program on the host, put together from its parts as infra/scripts/host_program.sh does.

    `root` is the repository. Raises: UnreadableFile.
    """
    folder = root / _REMOTE / "platform_host"
    parts = sorted((folder / "parts").glob("*.sh"))
    return b"".join(_read(file) for file in (folder / "head.sh", *parts, folder / "main.sh"))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        raise UnreadableFile(
            f"{file} cannot be read", next_step="Run this in a checkout of the repository."
        ) from None
