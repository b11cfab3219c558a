"""One customer's database as the door uses it: one connection, one statement, one commit a batch.

A failure is one of two. Either it is about the connection or the server, and nothing of the batch is stored;
or PostgreSQL refuses a row, and then the batch is stored again one by one so that it hurts nobody else.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg
from psycopg.conninfo import make_conninfo

from platform_core.db import load_queries
from platform_core.db.connect import COMPILED_NEVER, translated
from platform_core.errors import DatabaseUnavailable, PlatformError
from platform_core.inbox.events import Delivery, kept_headers, storable_event_id, storable_event_type
from platform_core.ingest.files import DatabaseFile
from platform_core.settings import Secret

Q = load_queries(__file__)
_Row = tuple[list[str], list[int], bool, bool]
Refusals = Mapping[tuple[str, str, str], int]
"""How many deliveries were refused, by source, endpoint and reason."""

CONNECT_S = 3
MAX_BACKOFF_S = 2.0
_SESSION = "-c synchronous_commit=on -c timezone=UTC -c statement_timeout=4s -c lock_timeout=2s"
_NETWORK = {
    "keepalives_idle": "5", "keepalives_interval": "2", "keepalives_count": "3", "tcp_user_timeout": "5000",
}  # fmt: skip
_ABOUT_ALL_ROWS = (
    "08",
    "25",
    "28",
    "3D",
    "53",
    "57",
    "58",
    "XX",
    "42501",
    "42883",
    "42P01",
    "3F000",
)
"""SQLSTATEs, whole or by class, that say nothing about one row: the server, the login, the schema. Any other
is about a row, or a quarrel with another transaction over one."""
_ABOUT_WAITING = ("55P03", "57014")
"""The connection is sound, but somebody holds what the statement waited for."""


@dataclass(frozen=True, slots=True)
class DoorLogin:
    """The door's login at every customer's database."""

    user: str
    password: Secret

    def dsn(self, database: DatabaseFile) -> str:
        """The connection string to one customer's database; it holds the password."""
        return make_conninfo(
            host=database.host,
            port=database.port,
            dbname=database.dbname,
            user=self.user,
            password=self.password.reveal(),
            connect_timeout=CONNECT_S,
            application_name="ingest",
            options=_SESSION,
            **_NETWORK,
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch: of each delivery its outcome and event, or why it alone was not stored."""

    receipts: list[tuple[str, int] | Exception]
    awake: bool
    due: bool


class RowRefused(Exception):
    """PostgreSQL refused something about one row of the batch."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(f"PostgreSQL refuses a row ({sqlstate})")
        self.sqlstate = sqlstate

    def as_answered(self) -> Exception:
        """A quarrel between transactions passes; a row that does not fit is a defect of ours."""
        if self.sqlstate.startswith("40"):
            return DatabaseUnavailable("Another transaction was in the way")
        return self


@dataclass(slots=True)
class Store:
    """Keeps one connection, and opens another when it is lost, not before `retry_at_s`."""

    dsn: str = field(repr=False)
    store_s: float
    retry_at_s: float = 0.0
    reachable: bool = True
    _backoff_s: float = 0.0
    _connection: psycopg.AsyncConnection | None = None

    async def receive(self, deliveries: Sequence[Delivery], refusals: Refusals) -> Stored:
        """Store a batch and count refusals.

        Raises: DatabaseUnavailable and its like when nothing at all was stored, refusals included.
        """
        try:
            return await self._together(deliveries, refusals)
        except RowRefused:
            return await self._one_by_one(deliveries, refusals)

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _one_by_one(self, deliveries: Sequence[Delivery], refusals: Refusals) -> Stored:
        receipts: list[tuple[str, int] | Exception] = []
        awake = due = False
        until_s = time.monotonic() + self.store_s
        for delivery in deliveries:
            try:
                if time.monotonic() > until_s:
                    raise DatabaseUnavailable("The database took too long over a batch that it refused")
                one = await self._together([delivery], {})
            except RowRefused as error:
                receipts.append(error.as_answered())
            except PlatformError as error:
                receipts.append(error)
            else:
                receipts += one.receipts
                awake, due = one.awake, one.due
        with suppress(RowRefused):  # counters of a day nobody can count: not worth a webhook
            last = await self._together([], refusals)
            awake, due = last.awake, last.due
        return Stored(receipts, awake, due)

    async def _together(self, deliveries: Sequence[Delivery], refusals: Refusals) -> Stored:
        parameters = batch_parameters(deliveries, refusals)
        with translated(self.dsn):
            try:
                outcomes, events, awake, due = await self._asked_twice(parameters)
            except (psycopg.Error, PlatformError) as error:
                await self._failed(error)
                raise
        self.reachable, self._backoff_s = True, 0.0
        return Stored(list(zip(outcomes, events, strict=True)), awake, due)

    async def _failed(self, error: Exception) -> None:
        """Tell a refused row from a lost database. Raises: RowRefused."""
        lost = self._connection is None or self._connection.closed
        state = error.sqlstate if isinstance(error, psycopg.Error) else None
        if not lost and state in _ABOUT_WAITING:
            return
        if not lost and state is not None and not state.startswith(_ABOUT_ALL_ROWS):
            raise RowRefused(state) from None
        await self.close()
        self.reachable = False
        self._backoff_s = min(MAX_BACKOFF_S, max(0.1, self._backoff_s * 2))
        self.retry_at_s = time.monotonic() + self._backoff_s

    async def _asked_twice(self, parameters: Mapping[str, object]) -> _Row:
        """Once more on a new connection when the old one turns out to be dead: a repeat is harmless."""
        kept = self._connection
        try:
            return await self._asked(parameters)
        except psycopg.OperationalError:
            if kept is None or not kept.closed:
                raise
            return await self._asked(parameters)

    async def _asked(self, parameters: Mapping[str, object]) -> _Row:
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(
                self.dsn, autocommit=True, options=COMPILED_NEVER
            )
        asking = asyncio.ensure_future(self._connection.execute(Q["batch_receive"], parameters, prepare=True))
        done, _ = await asyncio.wait({asking}, timeout=self.store_s)
        if not done:
            _hang_up(self._connection)  # makes the driver see an end; cancelling it would wait for the server
            await asyncio.wait({asking}, timeout=1.0)
            asking.cancel()
            raise DatabaseUnavailable("The database does not answer the door in time")
        row = await (await asking).fetchone()
        if row is None:
            raise AssertionError("inbox.receive_many answers one row")
        return row[0], row[1], row[2], row[3]


def _hang_up(connection: psycopg.AsyncConnection) -> None:
    with suppress(OSError, psycopg.Error):
        copy = socket.socket(fileno=os.dup(connection.fileno()))
        copy.shutdown(socket.SHUT_RDWR)
        copy.close()


def batch_parameters(deliveries: Sequence[Delivery], refusals: Refusals) -> dict[str, object]:
    """The parallel arrays of `batch_receive`."""
    counted = sorted(refusals.items())
    return {
        "sources": [one.source for one in deliveries],
        "endpoints": [one.endpoint for one in deliveries],
        "event_ids": [storable_event_id(one) for one in deliveries],
        "event_types": [storable_event_type(one) for one in deliveries],
        "bodies": [one.body for one in deliveries],
        "headers": [json.dumps(kept_headers(one)) for one in deliveries],
        "signed_ats": [one.signed_at for one in deliveries],
        "stales": [one.stale for one in deliveries],
        "refused_sources": [source for (source, _, _), _ in counted],
        "refused_endpoints": [endpoint for (_, endpoint, _), _ in counted],
        "refused_reasons": [reason for (_, _, reason), _ in counted],
        "refused_counts": [count for _, count in counted],
    }
