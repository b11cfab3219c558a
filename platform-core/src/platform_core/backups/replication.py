"""PostgreSQL's replication protocol as far as a backup takes it: who are you, keep my place, send the log.

Documented in PostgreSQL's manual, "Streaming Replication Protocol". PostgreSQL's own receiver, pg_receivewal,
tells the server that a segment is safe once it stands in its folder, in plain; then the server forgets it.
What is safe here is a segment that is sealed, in its place and on the disk, and only then is it said.
"""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

import psycopg
from psycopg import conninfo, pq

from platform_core.backups.segments import parse_lsn
from platform_core.db.connect import translated
from platform_core.errors import DatabaseUnavailable
from platform_core.values import SystemClock

SLOT = "backup"
CONFIRM_S = 10
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_DATA = struct.Struct("!cQQQ")
_ALIVE = struct.Struct("!cQQB")
_STATUS = struct.Struct("!cQQQQB")
_SILENCE_S = 60
_HURRY_S = 2.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """Who answers: the cluster's number for life, the timeline it is on, its version as in 170006."""

    system: str
    timeline: int
    version: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of the log from a place on, and when the server sent them."""

    begin: int
    content: bytes
    sent_at: datetime


class LogGone(Exception):
    """The server has forgotten the part of its log that comes next: a gap, and no passing trouble."""


class Replication:
    """One replication connection. It closes with its `with` block."""

    def __init__(self, source: str, password: str) -> None:
        """Connect. Raises: DatabaseUnavailable, SecretRejected; without the password in the message."""
        told = conninfo.make_conninfo(
            source, password=password, replication="true", application_name="backup", connect_timeout=10
        )
        with translated(source):
            self._connection = _connected(told)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._connection.finish()

    def identify(self) -> Cluster:
        """Who answers."""
        (row,) = self._ask(b"IDENTIFY_SYSTEM")
        return Cluster(row[0], int(row[1]), self._connection.server_version)

    def slot(self) -> int | None:
        """From where on the server keeps the log for us; None where it keeps none (any more)."""
        (row,) = self._ask(b"READ_REPLICATION_SLOT " + SLOT.encode())
        return parse_lsn(row[1]) if row[1] else None

    def renew_slot(self) -> int:
        """Have the log kept from now on, whatever was before; the place from which it is."""
        if self._ask(b"READ_REPLICATION_SLOT " + SLOT.encode())[0][0]:
            self._ask(b"DROP_REPLICATION_SLOT " + SLOT.encode() + b" WAIT")
        self._ask(b"CREATE_REPLICATION_SLOT " + SLOT.encode() + b" PHYSICAL RESERVE_WAL")
        kept = self.slot()
        if kept is None:
            raise DatabaseUnavailable("The server keeps no log for a slot that was just made")
        return kept

    def history(self, timeline: int) -> bytes:
        """How a timeline began, as PostgreSQL keeps it."""
        (row,) = self._ask(b"TIMELINE_HISTORY %d" % timeline)
        return row[1].encode("latin-1")

    def stream(self, begin: int, timeline: int) -> Iterator[Chunk | None]:
        """The log from a place on; None whenever nothing came for a second. Ends when the server is ending.

        A server that is told to stop waits until all that it sent is safe, and asks for that again and again;
        the part of a segment is not, and need not be: it is on the server's disk.
        Raises: LogGone, DatabaseUnavailable when the server goes away or falls silent.
        """
        command = b"START_REPLICATION SLOT %b PHYSICAL %X/%X TIMELINE %d"
        words = command % (SLOT.encode(), begin >> 32, begin & 0xFFFFFFFF, timeline)
        result = self._connection.exec_(words)
        if result.status != pq.ExecStatus.COPY_BOTH:
            raise _failure(result.error_message)
        heard, asked = time.monotonic(), -_HURRY_S
        while True:
            size, message = self._connection.get_copy_data(1)
            if size < 0:
                raise DatabaseUnavailable("The server ended the stream of its log")
            if size == 0:
                yield None
                self._wait(1)
                if time.monotonic() - heard > _SILENCE_S:
                    raise DatabaseUnavailable(f"The server said nothing for {_SILENCE_S} s")
                continue
            heard = time.monotonic()
            block = bytes(message)
            if block[:1] == b"w":
                _, at, _, sent = _DATA.unpack_from(block)
                yield Chunk(at, block[_DATA.size :], _EPOCH + timedelta(microseconds=sent))
            elif _ALIVE.unpack_from(block)[3]:
                if heard - asked < _HURRY_S:
                    return
                asked = heard
                yield Chunk(0, b"", _EPOCH)  # it asks for a sign of life

    def confirm(self, *, received: int, safe: int) -> None:
        """Say how far the log is here, and how far it is safe: that much the server may forget."""
        now = (SystemClock().now() - _EPOCH) // timedelta(microseconds=1)
        self._connection.put_copy_data(_STATUS.pack(b"r", received, safe, 0, now, 0))
        if self._connection.flush() != 0:
            self._wait(1)

    def _wait(self, seconds: int) -> None:
        select.select([self._connection.socket], [], [], seconds)
        try:
            self._connection.consume_input()
        except psycopg.Error as error:
            raise _failure(str(error).encode()) from None

    def _ask(self, command: bytes) -> list[list[str]]:
        result = self._connection.exec_(command)
        if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            raise _failure(result.error_message)
        return [
            [(result.get_value(row, column) or b"").decode("latin-1") for column in range(result.nfields)]
            for row in range(result.ntuples)
        ]


def _connected(told: str) -> pq.abc.PGconn:
    connection = pq.PGconn.connect(told.encode())
    if connection.status != pq.ConnStatus.OK:
        reason = connection.error_message.decode("utf-8", "replace")
        connection.finish()
        raise psycopg.OperationalError(reason)
    return connection


def _failure(message: bytes) -> DatabaseUnavailable | LogGone:
    reason = " ".join(message.decode("utf-8", "replace").split())[:300]
    if "has already been removed" in reason or "invalidated" in reason or "can no longer" in reason:
        return LogGone(f"The server has forgotten the log that comes next ({reason})")
    return DatabaseUnavailable(f"The server does not replicate ({reason})")
