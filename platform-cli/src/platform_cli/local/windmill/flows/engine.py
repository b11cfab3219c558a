"""Runs flows: what is ready begins, what ended moves its flow on, what waits costs nothing.

Every move is one transaction, so a runtime that is killed leaves each flow between two moves: a step whose
result was stored is never run again, one whose process died with the runtime is. Time comes from the clock
that is handed in; `wake` looks at once.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from psycopg.errors import UniqueViolation

from platform_cli.local.windmill import answers, jsonb, references
from platform_cli.local.windmill.flows import approvals, moving, statuses
from platform_cli.local.windmill.flows.lifecycle import RESTART_LIMIT, JobState, Outcome
from platform_cli.local.windmill.flows.model import MODULES, Flow, Module, RawScriptStep
from platform_cli.local.windmill.flows.parsing import parse_stored
from platform_cli.local.windmill.flows.state import NewJob, Q, StartedStep, State, read_json, start_step
from platform_cli.local.windmill.flows.turn import Ended, Turn
from platform_cli.local.windmill.items import Script
from platform_cli.local.windmill.jobs import FlowPlace, JobEnded, Jobs, Order, Trigger
from platform_cli.local.windmill.jsonb import Json
from platform_cli.local.windmill.references import Reader
from platform_cli.local.windmill.results import JobResult
from platform_cli.sync.yaml12 import Place
from platform_core.db import Tx
from platform_core.errors import NotFound, Unavailable
from platform_core.values import Clock

STEP_TIMEOUT_S = 600.0
_LOOK_EVERY_S = 0.05
_FLOWS = frozenset({"flow", "flownode"})


class Folder(Protocol):
    """What the engine needs of the runtime: the customers' items as they are now."""

    @property
    def store(self) -> references.Store:
        """The resources and variables of this moment."""
        ...

    def flow_at(self, path: str) -> Flow | None:
        """A flow by its path."""

    def script_at(self, path: str) -> Script | None:
        """A script by its path."""

    def beside(self, path: str) -> tuple[Script, ...]:
        """The scripts of the customer whose item `path` is."""


@dataclass(frozen=True, slots=True)
class FlowMoved:
    """A flow began, went on, or waits for people. Its end is told as JobEnded."""

    job_id: str
    path: str
    state: Literal["running", "suspended"]


class Engine:
    """The flows of one runtime. `close` lets what runs be killed; the next engine goes on with it."""

    def __init__(  # noqa: PLR0913 - the parts of a runtime, most by keyword
        self,
        state: State,
        jobs: Jobs,
        folder: Folder,
        clock: Clock,
        *,
        max_jobs: int,
        on_end: Callable[[JobEnded], None] | None = None,
        on_move: Callable[[FlowMoved], None] | None = None,
    ) -> None:
        self.state, self.clock = state, clock
        self._jobs, self._folder = jobs, folder
        self._on_end, self._on_move = on_end, on_move
        self._definitions: dict[str, Flow] = {}
        self._readers: dict[str, tuple[Reader, Trigger]] = {}
        self._ended: dict[str, threading.Event] = {}
        self._known: set[str] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._next: datetime | None = None
        self._pool = ThreadPoolExecutor(max_jobs, thread_name_prefix="flow")
        self._watch = threading.Thread(target=self._look, name="flow-clock")
        self._recover()
        self._watch.start()

    def close(self) -> None:
        """Stop. What was running is queued again by whoever opens the state next. Safe to call twice."""
        self._closing.set()
        self._wake.set()
        self._watch.join()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for waiting in list(self._ended.values()):
            waiting.set()
        self.state.close()

    @property
    def store(self) -> references.Store:
        """The resources and variables of this moment."""
        return self._folder.store

    # --- What can be asked --------------------------------------------------------------------------------

    def start(
        self,
        flow: Flow,
        arguments: Mapping[str, Json],
        reader: Reader,
        trigger: Trigger,
        *,
        job_id: str | None = None,
    ) -> str:
        """Queue a flow and begin it; gives the id of its job, which may be the caller's choice.

        Raises: RequestRefused when there is a job of that id, whatever became of it.
        """
        if job_id is None:
            return self._start(str(uuid.uuid4()), flow, arguments, reader, trigger)
        with self._lock:
            known = job_id in self._ended
        try:
            return self._start(job_id, flow, arguments, reader, trigger)
        except UniqueViolation:
            if not known:
                with self._lock:
                    self._ended.pop(job_id, None)
            raise answers.bad_request(f"Job with id {job_id} already exists") from None

    def _start(
        self, job_id: str, flow: Flow, arguments: Mapping[str, Json], reader: Reader, trigger: Trigger
    ) -> str:
        started_by = {**asdict(trigger), "scheduled_for": _written(trigger.scheduled_for)}
        with self._lock:
            self._ended.setdefault(job_id, threading.Event())
        with self._turn() as turn:
            turn.queue(
                NewJob(
                    id=job_id,
                    kind="flow",
                    path=flow.path,
                    parent_id=None,
                    root_id=job_id,
                    home_id=job_id,
                    scope_id=None,
                    step_id=None,
                    place=MODULES,
                    args=arguments,
                    scheduled_for=turn.now,
                    status=statuses.new_status(flow.modules()),
                    value=flow.value,
                    reader=asdict(reader),
                    started_by=started_by,
                )
            )
        return job_id

    def wait(self, job_id: str, timeout_s: float | None = None) -> bool:
        """Wait for the end of a flow; False when it did not end in time, or the engine was closed."""
        with self._lock:
            event = self._ended.setdefault(job_id, threading.Event())
        if approvals.is_done(self.state, job_id):
            event.set()
        event.wait(timeout_s)
        with self._lock:
            self._ended.pop(job_id, None)
        return not self._closing.is_set() and approvals.is_done(self.state, job_id)

    def result(self, job_id: str) -> JobResult:
        """How a flow ended. Raises: NotFound when it is unknown or has not ended."""
        with self.state.turn() as tx:
            row = tx.execute(Q["job_show"], {"id": job_id}).fetchone()
        if row is None or row[2] != JobState.DONE:
            raise NotFound(f"There is no ended flow {job_id}")
        ok = row[3] in {Outcome.SUCCESS, Outcome.SKIPPED}
        return JobResult(ok, row[11], row[14], 0, round((row[21] - row[20]).total_seconds() * 1000))

    @property
    def busy(self) -> bool:
        """Whether a thread works for any flow. One that waits for people or the clock needs none."""
        with self._lock:
            return bool(self._known)

    def wake(self) -> None:
        """Look now at what waits for the clock: after it was moved."""
        self._wake.set()

    def answer(self, job_id: str, answer: approvals.Answer) -> approvals.Answered:
        """Approve or refuse a step that waits, or will wait, for people."""
        with self._turn() as turn:
            return approvals.answer(turn, job_id, answer)

    def cancel(self, job_id: str, *, by: str, reason: str | None) -> approvals.Canceled:
        """End a job, and everything below it, on somebody's word."""
        with self._turn() as turn:
            canceled = approvals.cancel(turn, job_id, by=by, reason=reason)
        for running in canceled.running:
            self._jobs.cancel_soon(running, by, reason or "")
        return canceled

    def waiting_step(self, flow_id: str) -> tuple[Module, str] | None:
        """The step of a flow, or of one inside it, that waits for people, and its job; None without one."""
        with self._turn() as turn:
            for job_id, kind, state in turn.tx.execute(Q["job_find_open"], {"id": flow_id}).fetchall():
                if kind in _FLOWS and state == JobState.SUSPENDED:
                    flow = turn.flow(job_id)
                    number = flow.status["step"]
                    return turn.modules(flow)[number - 1], statuses.entry_of(flow.status)["job"]
        return None

    # --- What turns ask (World) ---------------------------------------------------------------------------

    def definition(self, tx: Tx, home_id: str) -> Flow:
        """The flow a job was started with, however its file has changed since."""
        if home_id not in self._definitions:
            row = tx.execute(Q["definition_find"], {"id": home_id}).fetchone()
            if row is None or row[1] is None:
                raise NotFound(f"There is no flow {home_id}")
            self._definitions[home_id] = parse_stored(row[0], read_json(row[1]))
        return self._definitions[home_id]

    def reader(self, tx: Tx, root_id: str) -> Reader:
        """On whose behalf a flow runs."""
        return self._started_by(tx, root_id)[0]

    def flow_at(self, path: str) -> Flow | None:
        """A flow as it is in the customer's folder now."""
        return self._folder.flow_at(path)

    def _started_by(self, tx: Tx, root_id: str) -> tuple[Reader, Trigger]:
        if root_id not in self._readers:
            row = tx.execute(Q["root_find"], {"id": root_id}).fetchone()
            if row is None:
                raise NotFound(f"There is no flow {root_id}")
            reader, trigger = json.loads(row[0]), json.loads(row[1])
            at = trigger.pop("scheduled_for")
            when = datetime.fromisoformat(at) if at else None
            self._readers[root_id] = (Reader(**reader), Trigger(**trigger, scheduled_for=when))
        return self._readers[root_id]

    # --- Moving on ----------------------------------------------------------------------------------------

    @contextmanager
    def _turn(self) -> Iterator[Turn]:
        """One transaction, and what follows it."""
        with self.state.turn() as tx:
            turn = Turn(tx, self.clock.now(), self)
            yield turn
            turn.save()
        self._after(turn)

    def _after(self, turn: Turn) -> None:
        """What follows a transaction: tell, and begin what is ready."""
        for flow_id, path, state in turn.moved:
            if self._on_move is not None and state in {JobState.RUNNING, JobState.SUSPENDED}:
                self._on_move(
                    FlowMoved(flow_id, path, "suspended" if state is JobState.SUSPENDED else "running")
                )
        for job_id, flow_id, step_id in turn.passed:
            self._tell_end(
                JobEnded(job_id, "", "identity", ok=True, duration_ms=0, flow_job_id=flow_id, step_id=step_id)
            )
        for done in turn.done:
            self._definitions.pop(done.job_id, None)
            self._readers.pop(done.job_id, None)
            self._tell_end(
                JobEnded(
                    done.job_id, done.path, "flow", done.ok, done.duration_ms, done.parent_id, done.step_id
                )
            )
            with self._lock:
                event = self._ended.get(done.job_id)
            if event is not None:
                event.set()
        self._submit(turn.ready)
        if turn.waits:
            self._wake.set()

    def _tell_end(self, end: JobEnded) -> None:
        if self._on_end is not None:
            self._on_end(end)

    def _submit(self, ready: Sequence[tuple[str, str]]) -> None:
        for job_id, kind in ready:
            with self._lock:
                if job_id in self._known or self._closing.is_set():
                    continue
                self._known.add(job_id)
            with suppress(RuntimeError):  # the pool was closed meanwhile: the state remembers the job
                self._pool.submit(self._work, job_id, kind)

    def _work(self, job_id: str, kind: str) -> None:
        """Do what one ready job needs: move a flow, pass something on, run a script."""
        try:
            if kind in _FLOWS:
                self._forget(job_id)
                with self._turn() as turn:
                    moving.enter(turn, job_id)
            elif kind == "identity":
                self._pass_on(job_id)
            else:
                self._run(job_id, kind)
        except Unavailable:
            pass  # closing, or the database went away: the state says what is still to be done
        finally:
            self._forget(job_id)

    def _forget(self, job_id: str) -> None:
        with self._lock:
            self._known.discard(job_id)

    def _pass_on(self, job_id: str) -> None:
        with self._turn() as turn:
            step = start_step(turn.tx, job_id, turn.now)
            if step is None:
                return
            turn.passed.append((job_id, step.parent_id, step.step_id))
            ended = Ended(step.parent_id, job_id, True, step.args.get("previous_result"), "identity")
            moving.job_ended(turn, ended, Outcome.SUCCESS)

    def _run(self, job_id: str, kind: str) -> None:
        with self.state.turn() as tx:
            step = start_step(tx, job_id, self.clock.now(), unsynced=True)
            if step is None:
                return
            reader, trigger = self._started_by(tx, step.root_id)
            definition = self.definition(tx, step.home_id)
        result = self._result(step, kind, reader, trigger, definition)
        with self._turn() as turn:
            canceled = None if result.ok else approvals.cancellation(turn, job_id)
            value, outcome = step_result(result, step.step_id, canceled=canceled)
            ended = Ended(step.parent_id, job_id, outcome is Outcome.SUCCESS, value, kind)
            moving.job_ended(turn, ended, outcome, result.logs)

    def _result(
        self, step: StartedStep, kind: str, reader: Reader, trigger: Trigger, definition: Flow
    ) -> JobResult:
        script = self._script(step, kind, definition)
        if script is None:
            why = f"execution error:\nNot found: script not found at name {step.path}"
            text = jsonb.to_text({"error": {"name": "ExecutionErr", "message": why}})
            return JobResult(False, text, "", 0, 0)
        return self._jobs.run(
            Order(
                script=script,
                arguments=step.args,
                preprocess=False,
                reader=reader,
                trigger=trigger,
                timeout_s=min(
                    STEP_TIMEOUT_S, step.timeout_s if step.timeout_s is not None else STEP_TIMEOUT_S
                ),
                beside=self._folder.beside(definition.path),
                kind="flowscript" if kind == "flowscript" else "script",
                step=FlowPlace(step.parent_id, step.scope_id, step.root_id, step.flow_path, step.step_id),
                job_id=step.id,
            )
        )

    def _script(self, step: StartedStep, kind: str, definition: Flow) -> Script | None:
        if kind == "script":
            return self._folder.script_at(step.path)
        module = module_at(definition, step.place)
        if module is None or not isinstance(module.work, RawScriptStep):
            return None
        return Script(step.path, Path(), has_preprocessor=False, timeout_s=None, content=module.work.content)

    # --- The clock ----------------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Queue again what a runtime that is gone had begun; give up what died too often."""
        with self.state.turn() as tx:
            tx.execute(Q["job_requeue"], {"limit": RESTART_LIMIT})
            abandoned = [row[0] for row in tx.execute(Q["job_find_abandoned"]).fetchall()]
        for job_id in abandoned:
            with self._turn() as turn:
                approvals.give_up(turn, job_id)

    def _look(self) -> None:
        """Begin what is due, then wait for the next wake-up or for the clock."""
        while not self._closing.is_set():
            self._wake.clear()
            with suppress(Unavailable):
                with self.state.turn() as tx:
                    now = self.clock.now()
                    due = [(row[0], row[1]) for row in tx.execute(Q["job_find_due"], {"now": now}).fetchall()]
                    row = tx.execute(Q["job_find_next"]).fetchone()
                self._submit(due)
                self._next = row[0] if row else None
            while not self._closing.is_set() and not self._wake.wait(_LOOK_EVERY_S if self._next else None):
                if self._next is not None and self.clock.now() >= self._next:
                    break


def step_result(
    result: JobResult, step_id: str, *, canceled: tuple[str | None, str | None] | None
) -> tuple[Json, Outcome]:
    """What a step leaves behind: an error says which step it was, and who ended it if somebody did."""
    value = jsonb.parse(result.text)
    if result.ok:
        return value, Outcome.SUCCESS
    if canceled is not None:
        value = {"error": {"name": "ExecutionErr", "message": approvals.canceled_step(*canceled)}}
    if isinstance(value, dict) and isinstance(error := value.get("error"), dict):
        value = {**value, "error": {**error, "step_id": step_id}}
    return value, Outcome.FAILURE if canceled is None else Outcome.CANCELED


def module_at(definition: Flow, place: Place) -> Module | None:
    """The module that stands at a place of a flow."""
    if place == ("failure_module",):
        return definition.failure_module
    return definition.modules(place[:-1])[int(place[-1])]


def _written(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
