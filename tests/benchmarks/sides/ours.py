"""Our queue, put together as `platform_core.app.open_app` does it: the runner, and a context a job."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from platform_core.app import open_app
from platform_core.db import Tx, open_connection
from platform_core.jobs.contracts import HandlerSpec, JobContext, NewJob
from platform_core.jobs.queue import enqueue, enqueue_many
from platform_core.jobs.runner import Runner
from platform_core.observability import logs
from platform_core.observability.otlp import SpanFile
from platform_core.values import Done, SystemClock
from tests.benchmarks.payload import KIND, PAYLOAD, Payload, Ran
from tests.benchmarks.settings import BATCH
from tests.support.queues import CONNECTOR

DEADLINE_S = 600.0
LEASE_S = 60.0


def install(_dsn: str) -> None:
    """Nothing: the customer was provisioned."""


@dataclass(frozen=True, slots=True)
class Enqueuer:
    """An open connection to put jobs in by."""

    connection: Tx

    def singly(self, jobs: int, pause_s: float) -> list[float]:
        """One commit each; when each call began."""
        called_s = []
        for _ in range(jobs):
            called_s.append(time.monotonic())
            enqueue(self.connection, KIND, PAYLOAD)
            if pause_s:
                time.sleep(pause_s)
        return called_s

    def at_once(self, jobs: int, later_s: float) -> None:
        """All in one commit."""
        run_at = SystemClock().now() + timedelta(seconds=later_s) if later_s else None
        enqueue_many(self.connection, [NewJob(KIND, PAYLOAD, run_at=run_at)] * jobs)


@contextmanager
def open_queue(dsn: str) -> Iterator[Enqueuer]:
    """As the customer's login."""
    with open_connection(dsn, application="benchmark", statement_timeout_s=600) as connection:
        yield Enqueuer(connection)


def drain(dsn: str, ran: Ran) -> None:
    """Until the queue is empty."""
    logs.configure("benchmark")
    with TemporaryDirectory() as folder, SpanFile(Path(folder) / "spans", tenant="benchmark") as spans:
        _runner(dsn, ran, spans, wait=False, lease_s=LEASE_S).run_until_empty()


def listen(dsn: str, ran: Ran, lease_s: float = LEASE_S) -> None:
    """Until `ran` ends the process."""
    logs.configure("benchmark")
    with TemporaryDirectory() as folder, SpanFile(Path(folder) / "spans", tenant="benchmark") as spans:
        _runner(dsn, ran, spans, wait=True, lease_s=lease_s).run_until_empty()


def _runner(dsn: str, ran: Ran, spans: SpanFile, *, wait: bool, lease_s: float) -> Runner:
    app = open_app("benchmark", dsn, connector=CONNECTOR)

    def handle(context: JobContext) -> Done:
        Payload.model_validate(context.job.payload)
        ran(context.job.id)
        return Done()

    return Runner(
        dsn,
        {KIND: HandlerSpec(handle)},
        app.build_context,
        deadline_s=DEADLINE_S,
        lease_s=lease_s,
        max_batch=BATCH,
        wait=wait,
        record_spans=spans.record,
    )
