"""Runs a customer's jobs until none is due or the time box ends; safe to run many times at once and to kill.

Three threads: a *shift* claims, runs and settles; each lease beats from a thread of its own; the caller's
thread watches. It watches because a handler cannot be stopped from outside in Python: one that is over its
time is asked (`cancelled()`, its transactions are refused, its running statement is stopped), and if it still
does not return its thread is given up, its job settled in its place, and a new shift begins.

    claim batch -> run each -> settle and claim the next, one commit -> ... -> nothing due -> close the lease
    (attempt + 1)              (fenced by the lease: what another worker has by now is counted as lost)

A worker that dies leaves its lease to expire. Whoever ticks next buries it; its jobs become suspects and are
run one by one, each under its own lease, so the one that kills its process ends as a dead letter and takes
nobody along.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import fields

import structlog

from platform_core.db.connect import Tx, open_connection
from platform_core.jobs.backoff import Backoff
from platform_core.jobs.contracts import BuildContext, HandlerSpec, RunCounts
from platform_core.jobs.execution import Settlement, admit
from platform_core.jobs.shift import Running, Shift, Tally, Terms, end_era

__all__ = ["RunCounts", "Runner"]

WATCH_S = 0.1
MAX_GIVEN_UP = 3  # threads stuck in one process; more means that the process is ill

log = structlog.get_logger("platform_core.jobs")


class Runner:
    """One worker over one customer's queue. Handlers run one after the other."""

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
        wait: bool = False,
        backoff: Backoff | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """No job starts after `deadline_s`; the last one may take its kind's timeout plus `grace_s` longer.

        With `wait` an empty queue is listened to until the deadline instead of ending the run.
        """
        self._terms = Terms(
            dsn=dsn,
            handlers=handlers,
            build_context=build_context,
            worker=worker or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}",
            lease_s=lease_s,
            grace_s=grace_s,
            max_batch=max_batch,
            wait=wait,
            backoff=backoff or Backoff(),
            monotonic=monotonic,
        )
        self._deadline_s = deadline_s
        self._ends_at_s = 0.0
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End in order: the running job ends, unstarted ones go back. Safe in a signal handler."""
        self._stopping.set()

    def run_until_empty(self) -> RunCounts:
        """Run what is due. What an outcome was is in the database; the counts are for people and for tests.

        Raises: DatabaseUnavailable and its kin; jobs in flight then come back when their lease expires.
        """
        self._ends_at_s = self._terms.monotonic() + self._deadline_s
        tally = Tally()
        for _ in range(MAX_GIVEN_UP):
            shift = Shift(self._terms, tally, self._ending)
            shift.start()
            stuck = self._watch(shift)
            if stuck is None:
                break
            self._take_over(shift, stuck, tally)
        else:
            log.error("runner.given_up", stuck_threads=MAX_GIVEN_UP)
        counts = RunCounts(**{field.name: tally.counts[field.name] for field in fields(RunCounts)})
        if any(tally.counts.values()):
            log.info("jobs.ran", **tally.counts)
        return counts

    def _ending(self, now_s: float | None = None) -> bool:
        return self._stopping.is_set() or (now_s or self._terms.monotonic()) >= self._ends_at_s

    def _watch(self, shift: Shift) -> Running | None:
        """Wait until a shift ends, or until a job of it is given up: then that job comes back."""
        interrupted = False
        while True:
            try:
                ended = shift.wait(WATCH_S)
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                self.stop()
                continue
            if ended:
                if shift.failure is not None:
                    raise shift.failure
                if interrupted:
                    raise KeyboardInterrupt
                return None
            running = shift.running
            if running is not None and self._is_stuck(shift, running) and shift.take_away(running):
                return running

    def _is_stuck(self, shift: Shift, running: Running) -> bool:
        over_s = self._terms.monotonic() - running.started_s - running.spec.timeout_s
        if over_s > 0 and not running.overdue:
            running.overdue = True
            log.warning("job.overdue", job=running.row.id, kind=running.row.kind)
            shift.stop_statement()
        return over_s > self._terms.grace_s

    def _take_over(self, shift: Shift, stuck: Running, tally: Tally) -> None:
        """End a stuck thread's eras in its place. It can commit nothing any more."""
        admitted = admit(stuck.row, self._terms.handlers)
        settlement = admitted if isinstance(admitted, Settlement) else stuck.interrupted(admitted[0])
        log.error("job.given_up", job=stuck.row.id, kind=stuck.row.kind)
        shift.eras[-1].results.append(settlement)
        connection: Tx | None = None

        def connected() -> Tx:
            nonlocal connection
            if connection is None or connection.closed:
                connection = open_connection(self._terms.dsn, application="job-runner")
            return connection

        try:
            for era in reversed(shift.eras):
                end_era(era, tally, self._terms, connected)
        finally:
            if connection is not None:
                connection.close()
