"""The least that could work: UPDATE .. SKIP LOCKED to claim a batch, DELETE to finish it, a commit each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from tests.benchmarks.payload import PAYLOAD_JSON, Ran
from tests.benchmarks.settings import BATCH

TABLE = """
    CREATE TABLE plain_job (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        taken boolean NOT NULL DEFAULT false,
        payload jsonb NOT NULL
    )
"""
FILL = "INSERT INTO plain_job (payload) SELECT %s::jsonb FROM generate_series(1, %s)"
CLAIM = """
    UPDATE plain_job SET taken = true
    WHERE id = ANY (ARRAY(
        SELECT id FROM plain_job WHERE NOT taken ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
    ))
    RETURNING id, payload
"""
FINISH = "DELETE FROM plain_job WHERE id = ANY (%s)"


def install(dsn: str) -> None:
    """One table, its primary key the only index."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(TABLE)


@dataclass(frozen=True, slots=True)
class Enqueuer:
    """An open connection to put jobs in by."""

    connection: psycopg.Connection[TupleRow]

    def singly(self, jobs: int, pause_s: float) -> list[float]:
        """One commit each; when each call began."""
        called_s = []
        for _ in range(jobs):
            called_s.append(time.monotonic())
            self.connection.execute(FILL, (PAYLOAD_JSON, 1))
            if pause_s:
                time.sleep(pause_s)
        return called_s

    def at_once(self, jobs: int, _later_s: float) -> None:
        """All in one commit. It knows no later."""
        self.connection.execute(FILL, (PAYLOAD_JSON, jobs))


@contextmanager
def open_queue(dsn: str) -> Iterator[Enqueuer]:
    """In autocommit."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield Enqueuer(connection)


def drain(dsn: str, ran: Ran) -> None:
    """Until a claim finds nothing."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        while rows := connection.execute(CLAIM, (BATCH,)).fetchall():
            for row in rows:
                ran(row[0])
            connection.execute(FINISH, ([row[0] for row in rows],))


def listen(_dsn: str, _ran: Ran) -> None:
    """It cannot."""
    raise SystemExit("The plain loop is not woken by anything")
