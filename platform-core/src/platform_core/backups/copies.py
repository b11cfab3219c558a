"""One physical copy: the whole cluster at one instant, over a replication connection, sealed as it comes."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from pyrage import x25519

from platform_core.backups.place import PARTIAL, Copy, Place
from platform_core.backups.programs import words_of
from platform_core.backups.replication import Cluster, Replication
from platform_core.backups.retention import kept
from platform_core.backups.sealing import Sealed, check, read_recipients, seal
from platform_core.backups.segments import parse_lsn, segment_of, stamp_of
from platform_core.errors import BackupFailed, InvalidInput
from platform_core.values import Clock

_REASON = re.compile(r"[a-z]{1,20}", re.ASCII)
_END = re.compile(r"write-ahead log end point: ([0-9A-F]+/[0-9A-F]+)")
_BEGIN = re.compile(r"write-ahead log start point: [0-9A-F]+/[0-9A-F]+ on timeline (\d+)")


def take_copy(place: Place, reason: str, clock: Clock) -> Copy:
    """Copy the cluster now; whole when this returns. What is older than the retention keeps goes then.

    Raises: FolderBusy, BackupFailed, StorageFull, ConfigurationError, DatabaseUnavailable.
    """
    if not _REASON.fullmatch(reason):
        raise InvalidInput("The reason is one word of at most 20 small letters")
    with place.one_at_a_time():
        recipients = read_recipients(place.secrets / "backup_recipients")
        with Replication(place.source, place.source_password()) as server:
            cluster = server.identify()
        place.sweep_copies()
        began_at = clock.now()
        name = f"{stamp_of(began_at)}-{reason}"
        programs = place.programs(with_password=True)
        with programs.watched() as said:
            child = programs.start(
                "pg_basebackup",
                f"--dbname={place.source}",
                "--no-password",
                "--pgdata=-",
                "--format=tar",
                "--wal-method=fetch",  # what makes it whole is in it, so that it opens without the log
                "--checkpoint=fast",
                f"--label={name}",
                "--verbose",
                stdout=subprocess.PIPE,
                stderr=said,
            )
            sealed = seal_output(child, place.copies / PARTIAL, recipients)
            programs.end(child, said, "pg_basebackup")
            last_segment = _last_segment(said, cluster)
        copy = Copy(
            name,
            reason,
            began_at,
            clock.now(),
            cluster.timeline,
            cluster.system,
            last_segment,
            sealed.size_bytes,
            sealed.plain_bytes,
            sealed.sha256,
            cluster.version,
        )
        place.keep_copy(copy)
        prune(place, clock)
        return copy


def verify(place: Place, name: str) -> Copy:
    """Whether a copy is what was written; takes no identity. Raises: NotFound, BackupFailed."""
    copy = place.get_copy(name)
    check(place.sealed_copy(copy), copy.sha256)
    return copy


def prune(place: Place, clock: Clock) -> None:
    """Take away copies that the retention does not keep, and the log that only older ones would need."""
    copies = place.list_copies()
    staying = kept([copy.ended_at for copy in copies], clock.now())
    for copy in copies:
        if copy.ended_at not in staying.all:
            place.forget_copy(copy)
    oldest = min((copy.began_at for copy in copies if copy.ended_at in staying.daily), default=None)
    if oldest is None:
        return
    for system, segments in place.list_segments().items():
        for segment in segments:
            if segment.sealed_at < oldest:
                (place.wal(system) / segment.file_name).unlink(missing_ok=True)


def seal_output(
    child: subprocess.Popen[bytes], target: Path, recipients: Sequence[x25519.Recipient]
) -> Sealed:
    """Seal what a child writes to its stdout; the child is gone when this fails.

    Its own end is not judged.
    """
    if child.stdout is None:
        raise AssertionError("the child was started with a pipe")
    try:
        with child.stdout as plain:
            return seal(plain, target, recipients)
    except BaseException:
        child.kill()
        child.wait()
        target.unlink(missing_ok=True)
        raise


def _last_segment(said: IO[bytes], cluster: Cluster) -> int:
    """The last segment the copy holds, from what pg_basebackup says; the timeline must be the one asked."""
    words = words_of(said)
    begin, end = _BEGIN.search(words), _END.search(words)
    if begin is None or end is None:
        raise BackupFailed("pg_basebackup does not say where the copy ends")
    if int(begin[1]) != cluster.timeline:
        raise BackupFailed("The cluster changed its timeline while it was copied", next_step="Run it again.")
    return segment_of(parse_lsn(end[1]) - 1)
