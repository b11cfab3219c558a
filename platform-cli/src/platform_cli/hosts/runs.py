"""Deploys, ways back and resumptions on a host: begun there, detached, and followed from here."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from platform_cli.hosts.connection import LOST, Connection, Said, unreachable
from platform_core.errors import HostUnreachable, InvalidInput, UnreadableFile

RECONNECTS = 30
PAUSE_S = 2.0

_VERSION = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?", re.ASCII)
_RUN = re.compile(r"[0-9TZ]+-\d+-[a-z]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Bundle:
    """The one file that a release is sent as: platform-VERSION.tar.gz."""

    file: Path
    version: str
    digest: str


def read_bundle(file: Path) -> Bundle:
    """What a bundle says of itself. Raises: UnreadableFile, InvalidInput."""
    try:
        with tarfile.open(file) as packed:
            member = packed.extractfile("./release.json")
            facts = json.loads(member.read()) if member is not None else {}
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise UnreadableFile(f"There is no bundle {file}", next_step="A release has one.") from None
    except (tarfile.TarError, KeyError, ValueError, EOFError):
        raise InvalidInput(
            f"{file} is not the bundle of a release", next_step="Use platform-VERSION.tar.gz of one."
        ) from None
    version = str(facts.get("version", "")) if isinstance(facts, dict) else ""
    if not _VERSION.fullmatch(version):
        raise InvalidInput(f"{file} has no version such as 1.4.2 in its release.json")
    return Bundle(file, version, digest)


def send(connection: Connection, bundle: Bundle) -> Said:
    """Put a release on the host, complete or not at all; again is the same. Raises: HostUnreachable."""
    with bundle.file.open("rb") as stream:
        return connection.ask("receive", bundle.version, bundle.digest, given=stream)


def rehearse(connection: Connection, bundle: Bundle) -> Said:
    """What a deploy would do, with nothing changed on the host. Raises: HostUnreachable."""
    with bundle.file.open("rb") as stream:
        return connection.ask("try", bundle.version, bundle.digest, "--now", now(), given=stream)


def begin_deploy(connection: Connection, version: str, by: str, *options: str) -> Said:
    """Begin to deploy a release that was sent; the answer is the run's name.

    Raises: HostUnreachable, as `Connection.begin`.
    """
    return connection.begin("start", "deploy", version, "--now", now(), *options, "--by", by)


def begin(connection: Connection, verb: str, by: str, *options: str, given: IO[bytes] | None = None) -> Said:
    """Begin any other run; the answer is its name. Raises: HostUnreachable, as `Connection.begin`."""
    return connection.begin("start", verb, *options, "--by", by, given=given)


def follow(
    connection: Connection,
    run: str,
    each: Callable[[str], None],
    *,
    lost: Callable[[int], None],
    pause_s: float = PAUSE_S,
) -> int:
    """A run's log, line by line, over as many connections as it takes; the run's own exit code.

    Raises: InvalidInput for what is no run; HostUnreachable when the host stays away: the run goes on there.
    """
    if not _RUN.fullmatch(run):
        raise InvalidInput(f"{run[:60]!r} is not the name of a run", next_step="A deploy prints it.")
    log = _Log(each)
    for attempt in range(1, RECONNECTS + 2):
        said = connection.listen(("follow", run, str(log.bytes_seen + 1)), log.take)
        if said.code != LOST:
            if said.err:
                each(said.err.strip())
            return said.code
        if attempt == 1 and not log.bytes_seen and "changed" in said.err.lower():
            raise unreachable(connection.host, said.err)
        lost(attempt)
        time.sleep(pause_s)
    raise HostUnreachable(
        f"{connection.host.name} does not come back; the run goes on there, unseen from here",
        next_step=f"Run `wmctl host follow {run}`.",
    )


class _Log:
    """Counts what came, so that a new connection goes on where the old one was cut."""

    def __init__(self, each: Callable[[str], None]) -> None:
        self._each = each
        self.bytes_seen = 0

    def take(self, line: bytes) -> None:
        if not line.endswith(b"\n"):
            return  # cut in the middle: it comes again, whole
        self.bytes_seen += len(line)
        self._each(line.decode("utf-8", "replace").rstrip("\n"))


def now() -> str:
    """This machine's clock, for the host to compare with its own: seconds since 1970."""
    return str(int(time.time()))
