"""Runs a customer's jobs until none is due or its time is over; safe to run many at once and to kill.

Threads: a few *shifts* claim, run and settle; each lease beats from a thread of its own; the caller's
thread watches. It watches because a handler cannot be stopped from outside in Python: one that is over its
time is asked (`cancelled()`, its transactions are refused, its statement is stopped, a coroutine is
cancelled), and if it still does not return its thread is given up, its job settled in its place, and a new
shift begins.

    claim batch -> run each -> settle and claim the next, one commit -> ... -> nothing due -> close the lease
    (attempt + 1)              (fenced by the lease: what another worker has by now is counted as lost)

The first shift asks for company when a claim came back full. While one waits for PostgreSQL another runs
handlers, so neither stands idle. All of them together hold at most `max_batch` jobs: that is what a crash
reruns.

A worker that dies leaves its lease to expire. Whoever ticks next buries it; its jobs become suspects and
are run one by one, under a lease that holds nothing else and with the process to itself, so the one that
kills its process ends as a dead letter and takes nobody along.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import fields

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict

from platform_core.db.connect import Tx
from platform_core.db.queries import load_queries
from platform_core.jobs import rules
from platform_core.jobs.backoff import Backoff
from platform_core.jobs.connections import Connections
from platform_core.jobs.contracts import BuildContext, HandlerSpec, RunCounts
from platform_core.jobs.era import Running, Tally, Terms, end_era
from platform_core.jobs.execution import Settlement, admit
from platform_core.jobs.shift import Shift
from platform_core.jobs.solo import Solo
from platform_core.jobs.tracing import RecordSpans
from platform_core.values import SystemClock

__all__ = ["RunCounts", "Runner"]

Q = load_queries(__file__)

WATCH_S = 0.1
CONCURRENCY = 2
MAX_GIVEN_UP = 3  # threads stuck in one process; more means that the process is ill

log = structlog.get_logger("platform_core.jobs")


class Runner:
    """One worker over one customer's queue: up to `concurrency` handlers at once, each in its own thread."""

    def __init__(  # noqa: PLR0913 - three subjects, then keyword-only settings with defaults
        self,
        dsn: str,
        handlers: Mapping[str, HandlerSpec],
        build_context: BuildContext,
        *,
        worker: str = "",
        deadline_s: float = 50.0,
        lease_s: float = 60.0,
        grace_s: float = 5.0,
        max_batch: int = 500,
        concurrency: int = CONCURRENCY,
        wait: bool = False,
        backoff: Backoff | None = None,
        record_spans: RecordSpans | None = None,
        connections: Connections | None = None,
        preparing: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """No job starts after `deadline_s`; the last one may take its kind's timeout plus `grace_s` longer.

        With `wait` an empty queue is listened to until the deadline instead of ending the run. `preparing`
        declares the handlers' rules and keeps the queue up first: a caller that runs often need not always.
        """
        self._concurrency = max(1, min(concurrency, max_batch))
        self._terms = Terms(
            connections=connections or Connections(dsn),
            origin=str(conninfo_to_dict(dsn).get("dbname") or ""),
            handlers=handlers,
            build_context=build_context,
            worker=worker or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}",
            lease_s=lease_s,
            grace_s=grace_s,
            max_batch=max(1, max_batch // self._concurrency),
            wait=wait,
            backoff=backoff or Backoff(),
            monotonic=monotonic,
            epoch_s=SystemClock().now().timestamp() - monotonic(),
            record_spans=record_spans,
        )
        self._preparing = preparing
        self._deadline_s = deadline_s
        self._ends_at_s = 0.0
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._solo = Solo()

    def stop(self) -> None:
        """End in order: the running job ends, unstarted ones go back. Safe in a signal handler."""
        self._stopping.set()

    def run_until_empty(self) -> RunCounts:
        """Run what is due. What an outcome was is in the database; the counts are for people and for tests.

        Raises: DatabaseUnavailable and its kin; jobs in flight then come back when their lease expires.
        """
        self._ends_at_s = self._terms.monotonic() + self._deadline_s
        tally = Tally(self._terms)
        self._watch(tally, self._begin(tally, self._prepared()))
        counts = RunCounts(**{field.name: tally.counts[field.name] for field in fields(RunCounts)})
        if any(tally.counts.values()):
            log.info("jobs.ran", **tally.counts)
        return counts

    def _prepared(self) -> Tx:
        """A connection, the queue kept up and the rules declared before the first claim."""
        connection = self._terms.connections.take()
        try:
            if self._preparing:
                rules.declare(connection, self._terms.handlers)
                connection.execute(Q["queue_maintain"])
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            log.warning("queue.maintenance_postponed", reason=type(error).__name__)
        except BaseException:
            self._terms.connections.give_back(connection)
            raise
        if self._terms.wait:
            connection.execute(Q["queue_listen"])
        return connection

    def _ending(self, now_s: float | None = None) -> bool:
        return self._stopping.is_set() or (now_s or self._terms.monotonic()) >= self._ends_at_s

    def _begin(self, tally: Tally, connection: Tx | None = None) -> Shift:
        shift = Shift(self._terms, tally, self._ending, self._solo, self._news.set, connection)
        shift.start()
        return shift

    def _watch(self, tally: Tally, first: Shift) -> None:
        """Wait until every shift has ended. Raises what ended one of them, when all have."""
        shifts, failures, given_up = [first], list[BaseException](), 0
        interrupted = False
        while shifts:
            try:
                self._news.wait(WATCH_S)
                self._news.clear()
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                self.stop()
            for shift in tuple(shifts):
                if shift.finished.is_set():
                    shifts.remove(shift)
                    failures += self._ended(shift)
                elif self._replaced(shift, tally):
                    shifts.remove(shift)
                    given_up += 1
                    shifts += self._successor(tally, given_up)
            if len(shifts) < self._concurrency and any(shift.wants_company for shift in shifts):
                shifts += [] if self._ending() else [self._begin(tally)]
        if failures:
            raise failures[0]
        if interrupted:
            raise KeyboardInterrupt

    def _ended(self, shift: Shift) -> list[BaseException]:
        shift.join()
        if shift.failure is None:
            return []
        self.stop()
        return [shift.failure]

    def _replaced(self, shift: Shift, tally: Tally) -> bool:
        """Whether a job of it was given up, and the shift with it."""
        running = shift.running
        if running is None or not self._is_stuck(shift, running) or not shift.take_away(running):
            return False
        self._take_over(shift, running, tally)
        return True

    def _successor(self, tally: Tally, given_up: int) -> list[Shift]:
        if given_up < MAX_GIVEN_UP:
            return [self._begin(tally)]
        log.error("runner.given_up", stuck_threads=given_up)
        self.stop()
        return []

    def _is_stuck(self, shift: Shift, running: Running) -> bool:
        over_s = self._terms.monotonic() - running.started_s - running.spec.timeout_s
        if over_s > 0 and not running.overdue:
            running.overdue = True
            log.warning("job.overdue", job=running.row.id, kind=running.row.kind)
            shift.interrupt(running)
        elif running.interrupt is not None and shift.is_unwanted(running):
            running.interrupt()
        return over_s > self._terms.grace_s

    def _take_over(self, shift: Shift, stuck: Running, tally: Tally) -> None:
        """End a stuck thread's eras in its place. It can commit nothing any more."""
        admitted = admit(stuck.row, self._terms.handlers)
        settlement = admitted if isinstance(admitted, Settlement) else stuck.interrupted(admitted[0])
        log.error("job.given_up", job=stuck.row.id, kind=stuck.row.kind)
        shift.eras[-1].results.append(settlement)
        stuck.ended_s = self._terms.monotonic()
        shift.eras[-1].ran.append(stuck)
        connection: Tx | None = None

        def connected() -> Tx:
            nonlocal connection
            if connection is None or connection.closed:
                connection = self._terms.connections.take()
            return connection

        try:
            for era in reversed(shift.eras):
                end_era(era, tally, self._terms, connected)
        finally:
            if connection is not None:
                self._terms.connections.give_back(connection)
