"""The time under one lease: what is claimed, what runs, what has ended and is not settled yet.

An era ends in order, whatever ended it (an empty queue, the time box, a lost lease, a lost connection): it
settles what ran, hands back what did not, and closes the lease. When a runner has given an era's thread up
(`revoked`), the runner ends the era in the thread's place, and the thread can commit nothing any more.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
import structlog

from platform_core.db.connect import Tx, translated
from platform_core.db.queries import load_queries
from platform_core.errors import JobInterrupted, Unavailable
from platform_core.jobs.backoff import Backoff
from platform_core.jobs.connections import Connections
from platform_core.jobs.contracts import BuildContext, DeadCause, HandlerSpec, Job
from platform_core.jobs.execution import ClaimedRow, Settlement, judge
from platform_core.jobs.lease import Lease
from platform_core.jobs.settlement import Exchange, Lane, Reach, exchange
from platform_core.jobs.tracing import RecordSpans, Span
from platform_core.values import Retry

Q = load_queries(__file__)

ENDING_TRIES = 8

log = structlog.get_logger("platform_core.jobs")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a runner works by. Times in seconds by `monotonic`; `epoch_s` plus such a time is a Unix time."""

    connections: Connections
    origin: str
    handlers: Mapping[str, HandlerSpec]
    build_context: BuildContext
    worker: str
    lease_s: float
    grace_s: float
    max_batch: int
    wait: bool
    backoff: Backoff
    monotonic: Callable[[], float]
    epoch_s: float
    record_spans: RecordSpans | None


@dataclass(slots=True)
class Running:
    """A job whose handler runs, or ran. `interrupt` cancels it where it is a coroutine."""

    row: ClaimedRow
    spec: HandlerSpec
    started_s: float
    ended_s: float = 0.0
    overdue: bool = False
    interrupt: Callable[[], object] | None = None

    @property
    def out_of_time(self) -> str:
        """What is written down when it does not end in time."""
        return f"it did not end within its {self.spec.timeout_s:g} s"

    def interrupted(self, job: Job) -> Settlement:
        """What becomes of a job that was told to stop: what must not be repeated is for a person to judge."""
        if self.spec.after_crash == "dead":
            reason = f"{self.out_of_time}, and this kind must not be repeated"
            return Settlement(job.id, "dead", reason, cause=DeadCause.CRASHED)
        return judge(Retry(self.out_of_time), job)


@dataclass(slots=True)
class Era:
    """What one lease holds.

    `lock` guards `running`, `results` and `revoked` between the thread and the runner that watches it.
    `doubtful`: a commit was sent and its answer never came. `barred`: ordered lanes whose first job did not
    end, so that what follows in them may not start.
    """

    connection: Tx
    lease: Lease
    rest: deque[ClaimedRow] = field(default_factory=deque)
    results: list[Settlement] = field(default_factory=list)
    ran: list[Running] = field(default_factory=list)
    barred: set[Lane] = field(default_factory=set)
    running: Running | None = None
    revoked: bool = False
    doubtful: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def tx(self) -> Iterator[Tx]:
        """A handler's transaction. The right to act is asked for before it and again before its commit."""
        self._require_right()
        with self.connection.transaction():
            yield self.connection
            self._require_right()

    def cancelled(self) -> bool:
        """Whether the running handler should stop."""
        running = self.running
        return (
            self.revoked
            or self.lease.lost
            or (running is not None and (running.overdue or self.lease.is_cancelled(running.row.id)))
        )

    def _require_right(self) -> None:
        running = self.running
        if self.revoked or (running is not None and running.overdue):
            raise JobInterrupted("The job's time is over; its transaction is refused")
        if self.lease.lost:
            raise JobInterrupted(f"Lease {self.lease.id} is lost; the job belongs to another worker now")


class Tally:
    """What became of the jobs, counted once it is committed and logged in the same breath."""

    def __init__(self, terms: Terms) -> None:
        self.counts: Counter[str] = Counter()
        self._terms = terms
        self._lock = threading.Lock()

    def add(self, era: Era, settled: Mapping[int, str]) -> None:
        """Count what the era had to settle. What ran and was not accepted is lost: another worker has it."""
        with self._lock:
            self.counts.update(settled.values())
            for settlement in era.results:
                match settled.get(settlement.job_id):
                    case None if settlement.outcome != "handed_back":  # that one never ran here
                        self.counts["lost"] += 1
                        log.warning("job.lost", job=settlement.job_id, outcome=settlement.outcome)
                    case "snoozed" | "retried" | "dead" as outcome:
                        _say(outcome, settlement)
        record = self._terms.record_spans
        if record is not None and era.ran:
            record([self._span(run, settled) for run in era.ran])

    def count(self, outcomes: Sequence[str]) -> None:
        """Count jobs that ended without a handler."""
        with self._lock:
            self.counts.update(outcomes)

    def _span(self, run: Running, settled: Mapping[int, str]) -> Span:
        row, began = run.row, run.started_s + self._terms.epoch_s
        return Span(
            self._terms.origin,
            row.id,
            row.kind,
            row.attempt,
            row.trace,
            int(began * 1e9),
            int((run.ended_s - run.started_s) * 1e9),
            max(0.0, began - row.run_at.timestamp()),
            settled.get(row.id, "lost"),
        )


def settle(era: Era, tally: Tally, terms: Terms, *, batch: int = 0, reach: Reach | None = None) -> Exchange:
    """Settle what has ended and claim the next, in one commit; without a reach nothing is claimed."""
    try:
        answer = exchange(
            era.connection,
            era.lease.id,
            era.results,
            batch=batch if reach else 0,
            backoff=terms.backoff,
            reach=reach or Reach(),
        )
    except psycopg.OperationalError:
        era.doubtful = era.connection.closed
        raise
    tally.add(era, answer.settled)
    era.results, era.ran = [], []
    return answer


def end_era(era: Era, tally: Tally, terms: Terms, connected: Callable[[], Tx]) -> None:
    """Settle what ran, hand back what did not, close the lease; on a new connection if the old one is gone.

    Raises: DatabaseUnavailable, StorageFull and their kin after a few tries; nothing is lost then: the lease
    expires and its jobs come back.
    """
    era.results += [Settlement(row.id, "handed_back") for row in era.rest]
    era.rest.clear()
    pause = threading.Event()
    try:
        for again in range(1, ENDING_TRIES + 1):
            try:
                with translated(terms.connections.dsn):
                    _end_once(era, tally, terms, connected())
            except (psycopg.OperationalError, Unavailable):
                if again == ENDING_TRIES:
                    raise
                pause.wait(min(2.0, 0.05 * 2**again))
            else:
                return
    finally:
        era.lease.stop_beating()


def _end_once(era: Era, tally: Tally, terms: Terms, connection: Tx) -> None:
    was_doubtful = era.doubtful
    try:
        answer = exchange(connection, era.lease.id, era.results, batch=0, backoff=terms.backoff)
    except psycopg.OperationalError:
        era.doubtful = era.doubtful or connection.closed
        raise
    settled = dict(answer.settled)
    if was_doubtful and answer.lease != "gone":
        # Only this lease could take them away, so the commit whose answer never came did happen.
        settled = {s.job_id: s.outcome for s in era.results if s.outcome != "handed_back"} | settled
    tally.add(era, settled)
    era.results, era.ran = [], []
    closed = connection.execute(Q["lease_close"], {"lease": era.lease.id})
    tally.count([outcome for _, outcome in closed])


def _say(outcome: str, settlement: Settlement) -> None:
    job, reason = settlement.job_id, settlement.text
    if outcome == "snoozed":
        log.info("job.snoozed", job=job, reason=reason)
    elif outcome == "retried":
        log.warning("job.retried", job=job, reason=reason)
    else:
        log.error("job.died", job=job, cause=settlement.cause, reason=reason)
