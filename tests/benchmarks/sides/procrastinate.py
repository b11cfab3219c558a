"""Procrastinate by its own documents, in its fastest setting."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvloop
from procrastinate import App, PsycopgConnector

from tests.benchmarks.payload import KIND, PAYLOAD, Payload, Ran
from tests.benchmarks.settings import (
    PROCRASTINATE_CONCURRENCY,
    PROCRASTINATE_CONNECTIONS,
    PROCRASTINATE_DELETES,
)


def _app(dsn: str, ran: Ran | None = None) -> tuple[Any, Any]:  # it is not there when types are checked
    """The app and its one task. Its pool opens with the app."""
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    app = App(connector=PsycopgConnector(conninfo=dsn, max_size=PROCRASTINATE_CONNECTIONS))

    async def handle(context: Any, **payload: object) -> None:  # as above
        Payload.model_validate(payload)
        if ran is not None:
            ran(context.job.id)

    return app, app.task(name=KIND, pass_context=True)(handle)


def install(dsn: str) -> None:
    """`procrastinate schema --apply`."""

    async def prepare() -> None:
        app, _ = _app(dsn)
        async with app.open_async():
            await app.schema_manager.apply_schema_async()

    uvloop.run(prepare())


@dataclass(frozen=True, slots=True)
class Enqueuer:
    """An open app to put jobs in by, and the loop it lives on."""

    task: Any  # as above
    runner: asyncio.Runner

    def singly(self, jobs: int, pause_s: float) -> list[float]:
        """One commit each; when each call began."""

        async def put() -> list[float]:
            called_s = []
            for _ in range(jobs):
                called_s.append(time.monotonic())
                await self.task.defer_async(**PAYLOAD)
                if pause_s:
                    await asyncio.sleep(pause_s)
            return called_s

        called_s: list[float] = self.runner.run(put())
        return called_s

    def at_once(self, jobs: int, later_s: float) -> None:
        """All in one commit."""
        deferrer = self.task.configure(schedule_in={"seconds": int(later_s)}) if later_s else self.task
        self.runner.run(deferrer.batch_defer_async(*[PAYLOAD] * jobs))


@contextmanager
def open_queue(dsn: str) -> Iterator[Enqueuer]:
    """On a loop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        app, task = _app(dsn)
        runner.run(app.connector.open_async())
        yield Enqueuer(task, runner)
        runner.run(app.close_async())


def drain(dsn: str, ran: Ran) -> None:
    """Until the queue is empty."""
    uvloop.run(_work(dsn, ran, wait=False))


def listen(dsn: str, ran: Ran) -> None:
    """Until `ran` ends the process."""
    uvloop.run(_work(dsn, ran, wait=True))


async def _work(dsn: str, ran: Ran, *, wait: bool) -> None:
    app, _ = _app(dsn, ran)
    async with app.open_async():
        await app.run_worker_async(
            wait=wait,
            concurrency=PROCRASTINATE_CONCURRENCY,
            delete_jobs=PROCRASTINATE_DELETES,
            install_signal_handlers=False,
        )
