"""The log as it is written: received, cut into segments, each sealed, put in place, and only then confirmed.

A segment lives in this process alone until it is sealed; killed at any moment, the server sends it again. The
server switches segments at least once a minute when there were writes (`archive_timeout`), and that is how
much can be lost with the host.
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import psycopg
from pyrage import x25519
from structlog.typing import FilteringBoundLogger

from platform_core.backups.place import Place
from platform_core.backups.replication import CONFIRM_S, Chunk, Cluster, LogGone, Replication
from platform_core.backups.sealing import place, read_recipients, seal
from platform_core.backups.segments import (
    SEGMENT_BYTES,
    Segment,
    is_anchored,
    name_of,
    segment_of,
)
from platform_core.errors import BackupFailed, PlatformError

_PAUSE_MAX_S = 15


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the receiver stands. `next_segment` is the one it waits for; None before it ever connected."""

    is_connected: bool = False
    cluster: Cluster | None = None
    next_segment: int | None = None
    sealed_at: datetime | None = None


class Journal:
    """One cluster's stored log.

    `at_step` is told before each step of storing, so that a test can end there.
    """

    def __init__(
        self,
        folder: Path,
        recipients: Sequence[x25519.Recipient],
        at_step: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._folder, self._recipients, self._at_step = folder, recipients, at_step
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        for left in folder.glob(".*.part"):
            left.unlink()

    def last(self, timeline: int) -> Segment | None:
        """The newest stored segment of a timeline."""
        kept = [found for path in self._folder.iterdir() if (found := Segment.parse(path.name)) is not None]
        return max(
            (one for one in kept if one.timeline == timeline), key=lambda one: one.number, default=None
        )

    def keep(self, timeline: int, number: int, content: bytes, sent_at: datetime) -> Segment:
        """Seal a whole segment and put it in place. When this returns it survives a power cut."""
        staging = self._folder / f".{name_of(timeline, number)}.part"
        self._at_step("seal")
        sealed = seal(io.BytesIO(content), staging, self._recipients)
        segment = Segment(timeline, number, sent_at.replace(microsecond=0), sealed.sha256)
        self._at_step("place")
        place(staging, self._folder / segment.file_name)
        self._at_step("confirm")
        return segment

    def keep_history(self, timeline: int, content: bytes) -> None:
        """Keep how a timeline began; PostgreSQL never reuses the number of one it finds here.

        Raises: BackupFailed when another cluster wrote that timeline into this folder.
        """
        path = self._folder / f"{timeline:08X}.history"
        if path.exists():
            if path.read_bytes() != content:
                raise BackupFailed(
                    f"{path.name} is of another cluster: two write timeline {timeline} into one folder",
                    next_step="Give this cluster a folder of its own.",
                )
            return
        staging = path.with_name(f".{path.name}.part")
        with staging.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        place(staging, path)


def decide_begin(last: int | None, kept_from: int) -> tuple[int, bool]:
    """The segment to begin with, and whether something is missing before it.

    `last` is the newest stored one of this timeline, `kept_from` the oldest the server surely has.
    """
    if last is not None and last + 1 >= kept_from:
        return last + 1, False
    return kept_from, last is not None


class Receiver:
    """Follows one cluster's log until it is told to stop."""

    def __init__(
        self, place_: Place, log: FilteringBoundLogger, at_step: Callable[[str], None] = lambda _: None
    ) -> None:
        self._place, self._log, self._at_step = place_, log, at_step
        self.standing = Standing()

    def follow(self, stop: threading.Event) -> None:
        """Receive until `stop`; a lost connection is taken up again. Raises nothing but what is a bug."""
        pause_s = 1
        while not stop.is_set():
            failure = ""
            try:
                self._follow_once(stop)
            except PlatformError as error:
                failure = error.one_line()
            except (psycopg.Error, OSError) as error:
                failure = f"{type(error).__name__}: {error}"[:300]
            if failure:
                self._log.error("backup.log_interrupted", reason=failure, pause_s=pause_s)
            pause_s = 1 if self.standing.is_connected else min(pause_s * 2, _PAUSE_MAX_S)
            self.standing = replace(self.standing, is_connected=False)
            stop.wait(pause_s)

    def is_anchored(self) -> bool:
        """Whether a copy stands before what is received now; true before anything is known."""
        found = self.standing
        if found.cluster is None or found.next_segment is None:
            return True
        return is_anchored(
            self._place.reaches(),
            system=found.cluster.system,
            timeline=found.cluster.timeline,
            next_segment=found.next_segment,
        )

    def _follow_once(self, stop: threading.Event) -> None:
        recipients = read_recipients(self._place.secrets / "backup_recipients")
        with Replication(self._place.source, self._place.source_password()) as server:
            cluster = server.identify()
            journal = Journal(self._place.wal(cluster.system), recipients, self._at_step)
            if cluster.timeline > 1:
                journal.keep_history(cluster.timeline, server.history(cluster.timeline))
            begin = self._begin(server, cluster, journal)
            self.standing = Standing(True, cluster, begin, self.standing.sealed_at)
            self._log.info("backup.log_followed", timeline=cluster.timeline, segment=begin)
            try:
                self._receive(server, cluster, journal, stop)
            except LogGone as error:
                server_slot_lost(self._place)
                raise BackupFailed(str(error)) from None

    def _begin(self, server: Replication, cluster: Cluster, journal: Journal) -> int:
        kept_from = server.slot()
        if kept_from is None:
            kept_from = server.renew_slot()
            self._log.info("backup.slot_made", kept_from=segment_of(kept_from))
        last = journal.last(cluster.timeline)
        begin, has_gap = decide_begin(last.number if last else None, segment_of(kept_from))
        if has_gap:
            self._log.error(
                "backup.log_has_gap",
                last=None if last is None else last.name,
                next=name_of(cluster.timeline, begin),
                next_step="A new copy is taken at once; instants between the two cannot be had.",
            )
        return begin

    def _receive(
        self, server: Replication, cluster: Cluster, journal: Journal, stop: threading.Event
    ) -> None:
        begin = self.standing.next_segment or 0
        held, safe, confirmed_at = bytearray(), begin * SEGMENT_BYTES, 0.0
        for chunk in server.stream(safe, cluster.timeline):
            if stop.is_set():
                return
            if chunk is not None and chunk.content:
                if chunk.begin != safe + len(held):
                    raise BackupFailed("The server sent another part of its log than was asked for")
                held += chunk.content
            while len(held) >= SEGMENT_BYTES and chunk is not None:
                self._seal(journal, cluster, safe, bytes(held[:SEGMENT_BYTES]), chunk)
                del held[:SEGMENT_BYTES]
                safe, confirmed_at = safe + SEGMENT_BYTES, 0.0
            is_asked = chunk is not None and not chunk.content
            if is_asked or time.monotonic() - confirmed_at > CONFIRM_S:
                server.confirm(received=safe + len(held), safe=safe)
                confirmed_at = time.monotonic()

    def _seal(self, journal: Journal, cluster: Cluster, at: int, content: bytes, chunk: Chunk) -> None:
        segment = journal.keep(cluster.timeline, segment_of(at), content, chunk.sent_at)
        self.standing = replace(self.standing, next_segment=segment.number + 1, sealed_at=segment.sealed_at)
        self._log.info("backup.segment_sealed", segment=segment.name)


def server_slot_lost(place_: Place) -> None:
    """Let the server keep its log from now on; what it forgot is a gap that the next connection reports."""
    with Replication(place_.source, place_.source_password()) as server:
        server.renew_slot()
