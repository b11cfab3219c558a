"""The working half of a runner: a thread that claims, runs and settles, under one lease after the other.

A shift holds at most one batch. It claims the next one in the commit that settles the last, and asks for
company when a claim came back full: then there is work for another thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol

import psycopg
import structlog

from platform_core.db.connect import Tx
from platform_core.db.queries import load_queries
from platform_core.jobs.contracts import Job
from platform_core.jobs.era import Era, Running, Tally, Terms, end_era, settle
from platform_core.jobs.execution import OUTCOMES, ClaimedRow, Settlement, admit, judge, outcome_of
from platform_core.jobs.lease import open_lease
from platform_core.jobs.lifecycle import FINAL
from platform_core.jobs.lookout import Lookout
from platform_core.jobs.pace import Pace
from platform_core.jobs.settlement import Exchange, claim_suspect
from platform_core.jobs.solo import Solo
from platform_core.jobs.tracing import CURRENT, Here
from platform_core.values import Dead, Done, Outcome

Q = load_queries(__file__)

TICK_S = 1.0  # between looks for expired leases, suspects and lanes
FLOOR_S = 10.0  # how long a late commit may stay unseen behind a floor
SETTLE_S = 0.5  # how long a finished job may stay unsettled
LISTEN_S = 0.5
SUSPECTS_A_TICK = 100

log = structlog.get_logger("platform_core.jobs")


class Ending(Protocol):
    """Whether no more jobs may start."""

    def __call__(self, now_s: float | None = None, /) -> bool:
        """`now_s` spares a look at the clock."""
        ...


class Shift:
    """One thread's work: eras until the queue is empty or `ending()` says so.

    `told` is called when the shift ended or found more than it can hold; `connection` is one it may begin on.
    """

    def __init__(
        self,
        terms: Terms,
        tally: Tally,
        ending: Ending,
        solo: Solo,
        told: Callable[[], None],
        connection: Tx | None = None,
    ) -> None:
        self.finished = threading.Event()
        self.failure: BaseException | None = None
        self.wants_company = False
        self.eras: list[Era] = []
        self._terms, self._tally, self._ending, self._solo, self._told = terms, tally, ending, solo, told
        self._given_up = False
        self._connection = connection
        self._pace = Pace(terms.max_batch)
        self._lookout = Lookout()
        self._here = Here(terms.origin)
        self._loop: asyncio.Runner | None = None
        self._floor_drop_s = 0.0
        self._next_tick_s = 0.0
        context = contextvars.copy_context()  # log fields bound by the caller belong to its jobs too
        self._thread = threading.Thread(
            target=context.run, args=(self._work,), name="job-runner", daemon=True
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of a thread that has finished."""
        self._thread.join()

    def take_away(self, stuck: Running) -> bool:
        """Forbid the thread everything, because that job does not return. False if it did just now."""
        with self.eras[-1].lock:
            if self.eras[-1].running is not stuck:
                return False
            self._given_up = True
            for era in self.eras:
                era.revoked = True
        self._solo.leave(self)
        return True

    @property
    def running(self) -> Running | None:
        """The job whose handler runs now."""
        return next((era.running for era in reversed(tuple(self.eras)) if era.running), None)

    def is_unwanted(self, running: Running) -> bool:
        """Whether that job was cancelled, or its lease lost, while it runs."""
        era = self.eras[-1] if self.eras else None
        return era is not None and era.running is running and era.cancelled()

    def interrupt(self, running: Running) -> None:
        """Stop what can be stopped from outside: what PostgreSQL does for the handler, and a coroutine."""
        if running.interrupt is not None:
            running.interrupt()
        for era in tuple(self.eras)[-1:]:
            with suppress(psycopg.Error):
                era.connection.cancel_safe(timeout=2.0)

    def _over(self, now_s: float | None = None) -> bool:
        return self._given_up or self._ending(now_s)

    def _work(self) -> None:
        CURRENT.set(self._here)
        try:
            self._solo.enter(self)
            while not self._over():
                if self._serve_era():
                    break
        except BaseException as error:  # noqa: BLE001 - handed to the runner, which raises it in its own thread
            self.failure = error
        finally:
            self._solo.leave(self)
            self._close()
            self.finished.set()
            self._told()

    def _close(self) -> None:
        if self._loop is not None:
            self._loop.close()
        if self._connection is not None:
            self._terms.connections.give_back(self._connection)

    def _connected(self) -> Tx:
        if self._connection is None or self._connection.closed:
            self._connection = self._terms.connections.take()
            if self._terms.wait:
                self._connection.execute(Q["queue_listen"])
        return self._connection

    def _serve_era(self) -> bool:
        """Work under one lease. True when the queue is empty."""
        try:
            era = self._open_era()
        except psycopg.OperationalError as error:
            if self._connection is None or not self._connection.closed:
                raise
            log.warning("lease.abandoned", lease=None, reason=type(error).__name__)
            return False
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
            terms.connections.dsn,
            connection,
            worker=terms.worker,
            lease_s=terms.lease_s,
            monotonic=terms.monotonic,
        )
        era = Era(connection, lease)
        self.eras.append(era)
        self._lookout.drop_floors()
        return era

    def _serve(self, era: Era) -> bool:
        sure = False  # that no job hides behind a floor, in a dead lease, in a lane or among the suspects
        while not (self._over() or era.lease.lost):
            if self._solo.wanted:
                self._stand_aside(era)
                continue
            ticking = self._terms.monotonic() >= self._next_tick_s
            answer = self._settle(era, claiming=not ticking)
            if answer.lease != "valid":
                era.lease.give_up()
            elif ticking:
                sure = self._tick(thorough=False) and sure
            elif answer.claimed:
                sure = False
                self._run(era, answer.claimed)
            elif not sure:
                self._lookout.drop_floors()
                sure = self._tick(thorough=True)
            elif not (self._terms.wait or self._lookout.held_back_s):
                return True
            else:
                sure = self._listen(era)
        return False

    def _settle(self, era: Era, *, claiming: bool) -> Exchange:
        if not claiming:
            return settle(era, self._tally, self._terms)
        batch = self._pace.batch
        answer = settle(era, self._tally, self._terms, batch=batch, reach=self._lookout.reach(batch))
        self._lookout.took(answer.claimed)
        if len(answer.claimed) >= batch and not self.wants_company:
            self.wants_company = True
            self._told()
        return answer

    def _stand_aside(self, era: Era) -> None:
        """Hold nothing while another thread of this process runs a suspect."""
        if self._settle(era, claiming=False).lease != "valid":
            era.lease.give_up()
        self._solo.step_aside(self)

    def _tick(self, *, thorough: bool) -> bool:
        """Free what dead workers held, run suspects alone, look for lanes. True when there was nothing."""
        now_s = self._terms.monotonic()
        self._next_tick_s = now_s + TICK_S
        buried = self._connected().execute(Q["lease_bury"]).fetchall()
        if buried or now_s >= self._floor_drop_s:
            self._lookout.drop_floors()
            self._floor_drop_s = now_s + FLOOR_S
        self._tally.count([outcome for _, outcome in buried if outcome == "cancelled"])
        ran = self._run_suspects()
        self._lookout.survey(self._connected(), thorough=thorough)
        return not (ran or buried or self._lookout.sees_lanes)

    def _run_suspects(self) -> int:
        if not self._suspect_waits():
            return 0
        with self._solo.alone(self, self._over) as alone:
            return self._run_alone() if alone else 0

    def _run_alone(self) -> int:
        """Suspects, one at a time, under a lease that never holds two: what kills it is proven by that."""
        era, ran = self._open_era(), 0
        try:
            while ran < SUSPECTS_A_TICK and not (self._over() or era.lease.lost):
                row = claim_suspect(era.connection, era.lease.id)
                if row is None:
                    break
                self._run(era, [row])
                ran += 1
                if self._settle(era, claiming=False).lease != "valid":
                    era.lease.give_up()
        finally:
            self._end(era)
        return ran

    def _suspect_waits(self) -> bool:
        row = self._connected().execute(Q["job_suspect_due"]).fetchone()
        return bool(row and row[0])

    def _listen(self, era: Era) -> bool:
        """Wait for a wake-up, shortly: a job can also become due without one, and `stop` must be heard.

        False when there may be work: somebody called, or a rate lets a lane go on.
        """
        held_back_s = self._lookout.held_back_s
        timeout_s = min(LISTEN_S, held_back_s or LISTEN_S)
        called = any(True for _ in era.connection.notifies(timeout=timeout_s, stop_after=1))
        if called or held_back_s:
            self._lookout.survey(era.connection)
        return not (called or held_back_s)

    def _run(self, era: Era, rows: Sequence[ClaimedRow]) -> None:
        """Run a batch. What is left in `era.rest` at the end was not started."""
        began_s = settled_s = now_s = self._terms.monotonic()
        era.rest.extend(rows)
        era.barred.clear()
        urgent = False
        while era.rest and not era.connection.closed:
            if self._over(now_s) or era.lease.is_lost(now_s):
                break
            if urgent or now_s - settled_s > SETTLE_S:
                self._settle(era, claiming=False)
                urgent, now_s = False, self._terms.monotonic()
                settled_s = now_s
                continue
            urgent, now_s = self._run_next(era, now_s)
        self._pace.record(len(rows) - len(era.rest), self._terms.monotonic() - began_s)

    def _run_next(self, era: Era, now_s: float) -> tuple[bool, float]:
        """Run one job. Whether its result must be written down at once, and what time it is."""
        row = era.rest.popleft()
        admitted = admit(row, self._terms.handlers)
        if isinstance(admitted, Settlement):
            era.results.append(admitted)
            return False, now_s
        job, spec = admitted
        if era.barred and (row.kind, row.lane) in era.barred:
            era.results.append(Settlement(job.id, "handed_back"))
            return False, now_s
        if era.lease.is_cancelled(job.id):
            era.results.append(Settlement(job.id, "cancelled", "cancelled before it ran"))
            return False, now_s
        delicate = spec.after_crash == "dead"
        if delicate and not self._may_start(era, row):
            return False, now_s
        running = era.running = Running(row, spec, now_s)
        settlement = self._perform(era, running, job)
        ended_s = running.ended_s = self._terms.monotonic()  # once a job: at full speed the clock is not free
        with era.lock:
            if not era.revoked:
                era.results.append(settlement)
                era.ran.append(running)
                era.running = None
        if spec.ordered and settlement.outcome not in FINAL and row.lane is not None:
            era.barred.add((row.kind, row.lane))
        return delicate, ended_s

    def _perform(self, era: Era, running: Running, job: Job) -> Settlement:
        """Call the handler. What it raises becomes an outcome; one that calls sys.exit fails like others."""
        here = self._here
        here.job_id, here.inherited = job.id, job.trace
        try:
            context = self._terms.build_context(job, era.tx, era.cancelled)
            answer: object = running.spec.function(context)
            if not isinstance(answer, OUTCOMES) and isinstance(answer, Awaitable):
                answer = self._wait_for(running, answer)
        except BaseException as error:  # noqa: BLE001 - nor does a context that cannot be built fail its batch
            answer = outcome_of(error)
        here.job_id = 0
        if running.overdue and not isinstance(answer, Done | Dead):
            return running.interrupted(job)
        return judge(answer, job)

    def _wait_for(self, running: Running, answer: Awaitable[Outcome]) -> Outcome:
        """Run a coroutine to its end on this thread's loop; the runner can cancel it from outside."""
        if self._loop is None:
            self._loop = asyncio.Runner()
        return self._loop.run(_interruptible(running, answer), context=contextvars.copy_context())

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

    def _end(self, era: Era) -> None:
        with era.lock:
            if era.revoked:
                return
        end_era(era, self._tally, self._terms, self._connected)
        self.eras.remove(era)


async def _interruptible(running: Running, answer: Awaitable[Outcome]) -> Outcome:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None  # noqa: S101 - a coroutine on a loop is a task

    def interrupt() -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile: it has ended
            loop.call_soon_threadsafe(task.cancel)

    running.interrupt = interrupt
    if running.overdue:
        task.cancel()
    return await answer
