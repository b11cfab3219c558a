"""What the queue costs PostgreSQL: dead rows, HOT claims, and the oldest snapshot that keeps rows from going.

Read by whoever administers the database: a customer's login may not see who else is there.
"""

from __future__ import annotations

from dataclasses import dataclass

from platform_core.db.connect import Tx
from platform_core.db.queries import load_queries

Q = load_queries(__file__)


@dataclass(frozen=True, slots=True)
class QueueStorage:
    """The queue's tables on disk. Bytes with indexes; `hot_ratio` is of all updates so far.

    `bloat_ratio` is dead rows beside all rows of jobs.job, as the statistics believe. `oldest_snapshot_s` is
    how long the oldest open transaction of this database has kept dead rows from being removed, and
    `oldest_snapshot_by` what it calls itself.
    """

    job_bytes: int
    live_rows: int
    dead_rows: int
    bloat_ratio: float
    hot_ratio: float | None
    history_bytes: int
    history_days: int
    oldest_history: str
    default_rows: int
    keys_bytes: int
    oldest_snapshot_s: float
    oldest_snapshot_by: str


def read_storage(admin: Tx) -> QueueStorage:
    """The figures of the database `admin` is connected to, as its administrator."""
    row = admin.execute(Q["queue_storage"]).fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    return QueueStorage(*row)
