"""What happens while a customer is at work, as it is told: runs from their start to their end, and notes.

Safe for threads; bounded, the oldest is forgotten first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from platform_cli.local.windmill.runtime import JobEnded, JobStarted
from platform_core.values import Clock

MOST_RUNS, MOST_NOTES = 200, 20

State = Literal["runs", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `origin` is the route, schedule or flow it came from; `step_id` is set inside a flow."""

    job_id: str
    path: str
    origin: str
    state: State
    began_at: datetime
    duration_ms: int = 0
    step_id: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that is no run: a file that is broken, a tick that was skipped."""

    at: datetime
    text: str
    is_trouble: bool = False


class Happenings:
    """The newest runs and notes. `told` gets each as it comes, a run at its end only."""

    def __init__(self, clock: Clock, told: Callable[[Run | Note], None] = lambda _: None) -> None:
        self._clock, self._told = clock, told
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._notes: deque[Note] = deque(maxlen=MOST_NOTES)

    def started(self, job: JobStarted) -> None:
        """A job's process exists."""
        self._keep(Run(job.job_id, job.path, _origin(job), "runs", self._clock.now(), 0, job.step_id))

    def ended(self, job: JobEnded) -> None:
        """A job ended; one whose start was never told had no process."""
        with self._lock:
            known = self._runs.get(job.job_id)
        began = known or Run(job.job_id, job.path, job.kind, "runs", self._clock.now(), 0, job.step_id)
        run = replace(began, state="done" if job.ok else "failed", duration_ms=job.duration_ms)
        self._keep(run)
        self._told(run)

    def note(self, text: str, *, is_trouble: bool = False) -> None:
        """Something to know."""
        note = Note(self._clock.now(), text, is_trouble)
        with self._lock:
            self._notes.append(note)
        self._told(note)

    def newest(self, count: int) -> list[Run]:
        """The newest runs first."""
        with self._lock:
            return list(reversed(self._runs.values()))[:count]

    def notes(self, count: int) -> list[Note]:
        """The newest notes first."""
        with self._lock:
            return list(reversed(self._notes))[:count]

    def _keep(self, run: Run) -> None:
        with self._lock:
            self._runs[run.job_id] = run
            while len(self._runs) > MOST_RUNS:
                self._runs.popitem(last=False)


def _origin(job: JobStarted) -> str:
    if job.flow_job_id:
        return f"flow, step {job.step_id}"
    match job.trigger.kind:
        case "http":
            return f"route {_name(job.trigger.path)}"
        case "schedule":
            return f"schedule {_name(job.trigger.path)}"
        case _:
            return "api"


def _name(path: str) -> str:
    return path.rpartition("/")[2]
