"""A worker's right to its jobs: a row in PostgreSQL, kept alive from a thread and a connection of its own.

The lease is believed for `lease_s` from the moment *before* each successful beat was sent, by the monotonic
clock, so this side always gives up first. Once lost it stays lost: the runner takes a new lease, because what
this one held may already belong to somebody else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import psycopg

from platform_core.db.connect import Tx, open_connection
from platform_core.db.queries import load_queries
from platform_core.errors import PlatformError

Q = load_queries(__file__)

_BEATS_A_LEASE = 4


class Lease:
    """One open lease. `opened_s` is the monotonic time before it was asked for."""

    def __init__(
        self, dsn: str, lease_id: int, *, lease_s: float, opened_s: float, monotonic: Callable[[], float]
    ) -> None:
        self.id = lease_id
        self._dsn = dsn
        self._lease_s = lease_s
        self._monotonic = monotonic
        self._valid_until_s = opened_s + lease_s
        self._refused = False
        self._cancelled: frozenset[int] = frozenset()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name=f"job-lease-{lease_id}", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether it ended, by PostgreSQL's word or by our clock. Never turns back."""
        return self.is_lost(self._monotonic())

    def is_lost(self, now_s: float) -> bool:
        """`lost`, for those who have just read the clock."""
        if now_s >= self._valid_until_s:
            self._refused = True
        return self._refused

    def give_up(self) -> None:
        """Someone learnt by other ways that it is lost."""
        self._refused = True

    def is_cancelled(self, job_id: int) -> bool:
        """Whether the last beat said that somebody cancelled that job."""
        return job_id in self._cancelled

    def stop_beating(self) -> None:
        """End the thread. The row is closed by the runner, in its own transaction."""
        self._closing.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=self._lease_s)

    def _beat_on(self) -> None:
        """Beat until closed or lost. A broken connection costs a beat, not the lease."""
        connection: Tx | None = None
        try:
            while not self._closing.wait(self._lease_s / _BEATS_A_LEASE) and not self.lost:
                try:
                    if connection is None:
                        connection = open_connection(
                            self._dsn,
                            application="job-lease",
                            statement_timeout_s=max(1, int(self._lease_s / 2)),
                        )
                    self._beat(connection)
                except (psycopg.Error, PlatformError):
                    _close(connection)
                    connection = None
        finally:
            _close(connection)

    def _beat(self, connection: Tx) -> None:
        sent_s = self._monotonic()
        row = connection.execute(Q["lease_beat"], {"lease": self.id, "lease_s": self._lease_s}).fetchone()
        alive, cancelled = row or (False, ())
        if alive and not self.lost:
            self._valid_until_s = sent_s + self._lease_s
            self._cancelled = frozenset(cancelled)
        else:
            self._refused = True


def open_lease(dsn: str, tx: Tx, *, worker: str, lease_s: float, monotonic: Callable[[], float]) -> Lease:
    """Take a new lease through `tx` and start its heartbeat. It holds nothing yet."""
    opened_s = monotonic()
    row = tx.execute(Q["lease_open"], {"worker": worker, "lease_s": lease_s}).fetchone()
    assert row is not None  # noqa: S101 - INSERT .. RETURNING has a row
    return Lease(dsn, row[0], lease_s=lease_s, opened_s=opened_s, monotonic=monotonic)


def _close(connection: Tx | None) -> None:
    if connection is not None:
        with suppress(psycopg.Error):
            connection.close()
