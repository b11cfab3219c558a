"""PgQueuer by its own documents, in its fastest setting."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, AsyncpgPoolDriver, PgQueuer, Queries
from pgqueuer.types import QueueExecutionMode
from psycopg.conninfo import conninfo_to_dict

from tests.benchmarks.payload import KIND, PAYLOAD_JSON, Payload, Ran
from tests.benchmarks.settings import BATCH, PGQUEUER_POOL

PAYLOAD = PAYLOAD_JSON.encode()


def _address(dsn: str) -> dict[str, object]:
    """The same login for the other driver, which does not read libpq's form."""
    facts = conninfo_to_dict(dsn)
    return {
        "host": facts["host"],
        "port": int(str(facts["port"])),
        "user": facts["user"],
        "password": facts["password"],
        "database": facts["dbname"],
    }


def install(dsn: str) -> None:
    """`pgq install --durability durable`, then `pgq autovac`."""

    async def prepare() -> None:
        connection = await asyncpg.connect(**_address(dsn))
        queries = Queries(AsyncpgDriver(connection))
        await queries.install()
        await queries.optimize_autovacuum()
        await connection.close()

    uvloop.run(prepare())


@dataclass(frozen=True, slots=True)
class Enqueuer:
    """An open connection to put jobs in by, and the loop it lives on."""

    queries: Any  # pgqueuer is not there when types are checked
    runner: asyncio.Runner

    def singly(self, jobs: int, pause_s: float) -> list[float]:
        """One commit each; when each call began."""

        async def put() -> list[float]:
            called_s = []
            for _ in range(jobs):
                called_s.append(time.monotonic())
                await self.queries.enqueue(KIND, PAYLOAD)
                if pause_s:
                    await asyncio.sleep(pause_s)
            return called_s

        called_s: list[float] = self.runner.run(put())
        return called_s

    def at_once(self, jobs: int, later_s: float) -> None:
        """All in one commit."""
        later = [timedelta(seconds=later_s)] * jobs if later_s else None
        self.runner.run(self.queries.enqueue([KIND] * jobs, [PAYLOAD] * jobs, [0] * jobs, later))


@contextmanager
def open_queue(dsn: str) -> Iterator[Enqueuer]:
    """On a loop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        connection = runner.run(asyncpg.connect(**_address(dsn)))
        yield Enqueuer(Queries(AsyncpgDriver(connection)), runner)
        runner.run(connection.close())


def drain(dsn: str, ran: Ran) -> None:
    """Until the queue is empty."""
    uvloop.run(_work(dsn, ran, QueueExecutionMode.drain))


def listen(dsn: str, ran: Ran) -> None:
    """Until `ran` ends the process."""
    uvloop.run(_work(dsn, ran, QueueExecutionMode.continuous))


async def _work(dsn: str, ran: Ran, mode: Any) -> None:  # as above
    logging.getLogger("pgqueuer").setLevel(logging.WARNING)
    low, high = PGQUEUER_POOL
    async with asyncpg.create_pool(min_size=low, max_size=high, **_address(dsn)) as pool:
        queuer = PgQueuer(AsyncpgPoolDriver(pool))

        async def handle(job: Any) -> None:  # as above
            Payload.model_validate_json(job.payload)
            ran(job.id)
            if ran.complete:
                queuer.shutdown.set()  # its own drain waits for jobs that are due later

        queuer.entrypoint(KIND)(handle)
        await queuer.qm.run(batch_size=BATCH, mode=mode)
