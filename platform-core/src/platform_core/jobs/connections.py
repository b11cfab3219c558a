"""Where a runner's connections come from: opened for the run, or kept between the runs of one customer."""

from __future__ import annotations

import threading
from contextlib import suppress

import psycopg
from psycopg.pq import TransactionStatus

from platform_core.db.connect import Tx, open_connection


class Connections:
    """Opens a connection when one is wanted and closes it when it is given back."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def take(self) -> Tx:
        """A connection outside any transaction. Raises: DatabaseUnavailable and its kin."""
        return open_connection(self.dsn, application="job-runner")

    def give_back(self, connection: Tx) -> None:
        """Nobody uses it any more."""
        with suppress(psycopg.Error):
            connection.close()


class KeptConnections(Connections):
    """Keeps one of them open between runs: logging in costs more than a small batch of jobs."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._lock = threading.Lock()
        self._kept: Tx | None = None

    def take(self) -> Tx:
        """The kept connection when there is one."""
        with self._lock:
            kept, self._kept = self._kept, None
        return kept if kept is not None and not kept.closed else super().take()

    def give_back(self, connection: Tx) -> None:
        """Keep it when it is whole and none is kept yet."""
        whole = not connection.closed and connection.info.transaction_status is TransactionStatus.IDLE
        with self._lock:
            if whole and self._kept is None:
                self._kept = connection
                return
        super().give_back(connection)

    def close(self) -> None:
        """Close the kept one."""
        with self._lock:
            kept, self._kept = self._kept, None
        if kept is not None:
            super().give_back(kept)
