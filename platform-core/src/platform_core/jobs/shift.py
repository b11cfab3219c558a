"""The working half of a runner: a thread that claims, runs and settles, under one lease after the other.

An `Era` is the time under one lease. It ends in order (settle what ran, hand back what did not, close the
lease), whatever ended it: an empty queue, the time box, a lost lease, a lost connection. Only when the runner
has given this thread up (`revoked`) does it end the era in the thread's place.
"""

from __future__ import annotations

import contextvars
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

import psycopg
import structlog

from platform_core.db.connect import Tx, open_connection, translated
from platform_core.db.queries import load_queries
from platform_core.errors import JobInterrupted, Unavailable
from platform_core.jobs.backoff import Backoff
from platform_core.jobs.contracts import BuildContext, DeadCause, HandlerSpec, Job
from platform_core.jobs.execution import ClaimedRow, Settlement, admit, judge, outcome_of, perform
from platform_core.jobs.lease import Lease, open_lease
from platform_core.jobs.pace import Pace
from platform_core.jobs.settlement import Exchange, Floor, claim_suspect, exchange
from platform_core.values import Dead, Done, Retry

Q = load_queries(__file__)

TICK_S = 1.0  # between looks for expired leases and suspects
FLOOR_S = 10.0  # how long a late commit may stay unseen behind the floor
SETTLE_S = 0.5  # how long a finished job may stay unsettled
LISTEN_S = 0.5
SUSPECTS_A_TICK = 20
ENDING_TRIES = 8

log = structlog.get_logger("platform_core.jobs")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a runner works by. Times in seconds by `monotonic`."""

    dsn: str
    handlers: Mapping[str, HandlerSpec]
    build_context: BuildContext
    worker: str
    lease_s: float
    grace_s: float
    max_batch: int
    wait: bool
    backoff: Backoff
    monotonic: Callable[[], float]


@dataclass(slots=True)
class Running:
    """The job whose handler runs now."""

    row: ClaimedRow
    spec: HandlerSpec
    started_s: float
    overdue: bool = False

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
    """The time under one lease: what is claimed, what runs, what has ended and is not settled yet.

    `lock` guards `running`, `results` and `revoked` between the thread and the runner that watches it.
    `doubtful`: a commit was sent and its answer never came.
    """

    connection: Tx
    lease: Lease
    rest: deque[ClaimedRow] = field(default_factory=deque)
    results: list[Settlement] = field(default_factory=list)
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


class Ending(Protocol):
    """Whether no more jobs may start."""

    def __call__(self, now_s: float | None = None, /) -> bool:
        """`now_s` spares a look at the clock."""
        ...


class Tally:
    """What became of the jobs, counted once it is committed and logged in the same breath."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, settlements: Sequence[Settlement], settled: Mapping[int, str]) -> None:
        """Count a batch. What ran and was not accepted is lost: another worker has it."""
        self.counts.update(settled.values())
        for settlement in settlements:
            match settled.get(settlement.job_id):
                case "snoozed":
                    log.info("job.snoozed", job=settlement.job_id, reason=settlement.text)
                case "retried":
                    log.warning("job.retried", job=settlement.job_id, reason=settlement.text)
                case "dead":
                    log.error(
                        "job.died", job=settlement.job_id, cause=settlement.cause, reason=settlement.text
                    )
                case None if settlement.outcome != "handed_back":  # that one never ran here
                    self.counts["lost"] += 1
                    log.warning("job.lost", job=settlement.job_id, outcome=settlement.outcome)


class Shift:
    """One thread's work: eras until the queue is empty or `ending()` says so."""

    def __init__(self, terms: Terms, tally: Tally, ending: Ending) -> None:
        self.finished = threading.Event()
        self.failure: BaseException | None = None
        self.eras: list[Era] = []
        self._terms = terms
        self._tally = tally
        self._ending = ending
        self._given_up = False
        self._connection: Tx | None = None
        self._pace = Pace(terms.max_batch)
        self._floor: Floor | None = None
        self._floor_drop_s = 0.0
        self._next_tick_s = 0.0
        context = contextvars.copy_context()  # log fields bound by the caller belong to its jobs too
        self._thread = threading.Thread(
            target=context.run, args=(self._work,), name="job-runner", daemon=True
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within that time."""
        if self.finished.wait(timeout_s):
            self._thread.join()
        return self.finished.is_set()

    def take_away(self, stuck: Running) -> bool:
        """Forbid the thread everything, because that job does not return. False if it did just now."""
        with self.eras[-1].lock:
            if self.eras[-1].running is not stuck:
                return False
            self._given_up = True
            for era in self.eras:
                era.revoked = True
            return True

    @property
    def running(self) -> Running | None:
        """The job whose handler runs now."""
        return next((era.running for era in reversed(tuple(self.eras)) if era.running), None)

    def stop_statement(self) -> None:
        """Ask PostgreSQL to stop what the handler waits for."""
        for era in tuple(self.eras)[-1:]:
            with suppress(psycopg.Error):
                era.connection.cancel_safe(timeout=2.0)

    def _over(self, now_s: float | None = None) -> bool:
        return self._given_up or self._ending(now_s)

    def _work(self) -> None:
        try:
            self._housekeep()
            while not self._over():
                if self._serve_era():
                    break
        except BaseException as error:  # noqa: BLE001 - handed to the runner, which raises it in its own thread
            self.failure = error
        finally:
            if self._connection is not None:
                with suppress(psycopg.Error):
                    self._connection.close()
            self.finished.set()

    def _connected(self) -> Tx:
        if self._connection is None or self._connection.closed:
            self._connection = open_connection(self._terms.dsn, application="job-runner")
            if self._terms.wait:
                self._connection.execute(Q["queue_listen"])
        return self._connection

    def _housekeep(self) -> None:
        try:
            self._connected().execute(Q["queue_maintain"])
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            log.warning("queue.maintenance_postponed", reason=type(error).__name__)

    def _serve_era(self) -> bool:
        """Work under one lease. True when the queue is empty."""
        era = self._open_era()
        try:
            return self._serve(era)
        except psycopg.OperationalError as error:
            log.warning("lease.abandoned", lease=era.lease.id, reason=type(error).__name__)
            return False
        finally:
            self._end(era)

    def _open_era(self) -> Era:
        terms = self._terms
        connection = self._connected()
        lease = open_lease(
            terms.dsn, connection, worker=terms.worker, lease_s=terms.lease_s, monotonic=terms.monotonic
        )
        era = Era(connection, lease)
        self.eras.append(era)
        self._floor = None
        return era

    def _serve(self, era: Era) -> bool:
        sure = False  # that no job hides behind the floor, in a dead lease or among the suspects
        while not (self._over() or era.lease.lost):
            ticking = self._terms.monotonic() >= self._next_tick_s
            answer = self._exchange(era, batch=0 if ticking else self._pace.batch)
            if answer.lease != "valid":
                era.lease.give_up()
            elif ticking:
                sure = self._tick() and sure
            elif answer.claimed:
                sure = False
                self._run(era, answer.claimed)
                self._floor = (answer.claimed[-1].run_at, answer.claimed[-1].id)
            elif not sure:
                self._floor = None
                sure = self._tick()
            elif not self._terms.wait:
                return True
            else:
                self._listen(era)
        return False

    def _tick(self) -> bool:
        """Free what dead workers held and run suspects alone. True when there was nothing of the kind."""
        now_s = self._terms.monotonic()
        self._next_tick_s = now_s + TICK_S
        buried = self._connected().execute(Q["lease_bury"]).fetchall()
        if buried or now_s >= self._floor_drop_s:
            self._floor = None
            self._floor_drop_s = now_s + FLOOR_S
        self._tally.counts.update(outcome for _, outcome in buried if outcome == "cancelled")
        return not self._run_suspects() and not buried

    def _run_suspects(self) -> int:
        ran = 0
        while ran < SUSPECTS_A_TICK and not self._over() and self._suspect_waits():
            alone = self._open_era()
            try:
                row = claim_suspect(alone.connection, alone.lease.id)
                if row is None:
                    break
                self._run(alone, [row])
                ran += 1
            finally:
                self._end(alone)
        return ran

    def _suspect_waits(self) -> bool:
        row = self._connected().execute(Q["job_suspect_due"]).fetchone()
        return bool(row and row[0])

    def _listen(self, era: Era) -> None:
        """Wait for a wake-up. Short: a job can also become due without one, and `stop` must be heard."""
        for _ in era.connection.notifies(timeout=LISTEN_S, stop_after=1):
            return

    def _run(self, era: Era, rows: Sequence[ClaimedRow]) -> None:
        """Run a batch. What is left in `era.rest` at the end was not started."""
        clock = self._terms.monotonic
        began_s = settled_s = clock()
        era.rest.extend(rows)
        urgent = False
        while era.rest and not era.connection.closed:
            now_s = clock()  # read once a job: at full speed the clock is what costs most
            if self._over(now_s) or era.lease.is_lost(now_s):
                break
            if urgent or now_s - settled_s > SETTLE_S:
                self._exchange(era, batch=0)
                urgent, settled_s = False, clock()
                continue
            urgent = self._run_next(era, now_s)
        self._pace.record(len(rows) - len(era.rest), clock() - began_s)

    def _run_next(self, era: Era, now_s: float) -> bool:
        """Run one job. True when its result must be written down at once."""
        row = era.rest.popleft()
        admitted = admit(row, self._terms.handlers)
        if isinstance(admitted, Settlement):
            era.results.append(admitted)
            return False
        job, spec = admitted
        if era.lease.is_cancelled(job.id):
            era.results.append(Settlement(job.id, "cancelled", "cancelled before it ran"))
            return False
        delicate = spec.after_crash == "dead"
        if delicate and not self._may_start(era, row):
            return False
        running = era.running = Running(row, spec, now_s)
        settlement = self._perform(era, running, job)
        with era.lock:
            if not era.revoked:
                era.results.append(settlement)
                era.running = None
        return delicate

    def _perform(self, era: Era, running: Running, job: Job) -> Settlement:
        try:
            answer = perform(running.spec, self._terms.build_context(job, era.tx, era.cancelled))
        except Exception as error:  # noqa: BLE001 - a context that cannot be built fails this job, not its batch
            answer = outcome_of(error)
        if running.overdue and not isinstance(answer, Done | Dead):
            return running.interrupted(job)
        return judge(answer, job)

    def _may_start(self, era: Era, row: ClaimedRow) -> bool:
        found = era.connection.execute(Q["job_start"], {"lease": era.lease.id, "job_id": row.id}).fetchone()
        match found:
            case ("go",):
                return True
            case ("cancelled",):
                era.results.append(Settlement(row.id, "cancelled", "cancelled before it ran"))
            case _:
                era.lease.give_up()
                era.rest.appendleft(row)
        return False

    def _exchange(self, era: Era, *, batch: int) -> Exchange:
        try:
            answer = exchange(
                era.connection,
                era.lease.id,
                era.results,
                batch=batch,
                floor=self._floor,
                backoff=self._terms.backoff,
            )
        except psycopg.OperationalError:
            era.doubtful = era.connection.closed
            raise
        self._tally.add(era.results, answer.settled)
        era.results = []
        return answer

    def _end(self, era: Era) -> None:
        with era.lock:
            if era.revoked:
                return
        end_era(era, self._tally, self._terms, self._connected)
        self.eras.remove(era)


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
                with translated(terms.dsn):
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
        answer = exchange(connection, era.lease.id, era.results, batch=0, floor=None, backoff=terms.backoff)
    except psycopg.OperationalError:
        era.doubtful = era.doubtful or connection.closed
        raise
    settled = dict(answer.settled)
    if was_doubtful and answer.lease != "gone":
        # Only this lease could take them away, so the commit whose answer never came did happen.
        settled = {s.job_id: s.outcome for s in era.results if s.outcome != "handed_back"} | settled
    tally.add(era.results, settled)
    era.results = []
    closed = connection.execute(Q["lease_close"], {"lease": era.lease.id})
    tally.counts.update(outcome for _, outcome in closed)
