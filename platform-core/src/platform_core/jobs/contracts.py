"""What crosses the boundary of the queue: jobs, their handlers and what a handler is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from platform_core.db.connect import Tx
from platform_core.jobs.lifecycle import JobState
from platform_core.values import Clock, Outcome

if TYPE_CHECKING:  # pydantic and structlog stay off the path of those who only enqueue
    from structlog.typing import FilteringBoundLogger

    from platform_core.connectors import Connector, MessagingClient
    from platform_core.tenancy.policy import Policy

AfterCrash = Literal["retry", "dead"]


class Job(NamedTuple):
    """One claimed job. `attempt` counts this run; `suspect` means a worker died holding it before."""

    id: int
    kind: str
    payload: Mapping[str, object]
    attempt: int
    max_attempts: int
    entity: str | None
    suspect: bool


class OpenTx(Protocol):
    """Opens one short transaction on the runner's connection."""

    def __call__(self) -> AbstractContextManager[Tx]:
        """Commits at the end of the block.

        Raises: JobInterrupted, and rolls back, when the job lost its right to act.
        """
        ...


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a handler may use. The network belongs between transactions, never inside one.

    `cancelled()` turns true when somebody cancelled the job, its time is over or its lease is lost: a long
    handler asks now and then and returns early. `recheck(tx, name, subject_id)` asks a question that a
    package to the right answers, inside the caller's transaction: is this still wanted?
    """

    job: Job
    clock: Clock
    tx: OpenTx
    policy: Callable[[], Policy]
    messaging: Callable[[], MessagingClient]
    connector: Connector
    recheck: Callable[[Tx, str, str], bool]
    cancelled: Callable[[], bool]
    log: FilteringBoundLogger


Handler = Callable[[JobContext], Outcome]


class BuildContext(Protocol):
    """Makes a handler's context; the composition root owns it."""

    def __call__(self, job: Job, tx: OpenTx, cancelled: Callable[[], bool], /) -> JobContext:
        """Called once a job, just before its handler."""
        ...


@dataclass(frozen=True, slots=True)
class HandlerSpec:
    """What the runner knows of a kind.

    `after_crash="dead"` is for what must not be repeated when nobody knows whether it happened: such a job is
    noted before it starts, and dead-lettered if its worker dies or it never returns. `timeout_s` is asked for
    politely first (`cancelled()`, its running statement is stopped), then the job is given up.
    """

    function: Handler
    max_attempts: int = 5
    after_crash: AfterCrash = "retry"
    timeout_s: float = 30.0


class DeadCause(StrEnum):
    """Why a job is a dead letter."""

    REFUSED = "refused"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    CRASHED = "crashed"
    UNKNOWN_KIND = "unknown_kind"
    UNREADABLE_PAYLOAD = "unreadable_payload"
    INVALID_OUTCOME = "invalid_outcome"


@dataclass(frozen=True, slots=True)
class Enqueued:
    """`created` is false when the key was used before: `job_id` is then that first job's."""

    job_id: int
    created: bool


@dataclass(frozen=True, slots=True)
class NewJob:
    """One job of a bulk enqueue. Without `run_at` it is due at once; without a limit its kind's holds."""

    kind: str
    payload: Mapping[str, object]
    key: str | None = None
    entity: str | None = None
    run_at: datetime | None = None
    max_attempts: int | None = None


@dataclass(frozen=True, slots=True)
class CancelCounts:
    """How many jobs ended at once, and how many are running: those are told and never retried."""

    queued: int
    running: int


@dataclass(frozen=True, slots=True)
class JobError:
    """One failed attempt. `error` never quotes the data it failed on."""

    attempt: int
    at: datetime
    error: str


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as people see it, wherever it is. `reason` is the note of a done or the reason of a dead one."""

    id: int
    state: JobState
    kind: str
    payload: Mapping[str, object]
    key: str | None
    entity: str | None
    attempt: int
    max_attempts: int | None
    created_at: datetime
    run_at: datetime | None
    ended_at: datetime | None
    cause: DeadCause | None
    reason: str
    errors: tuple[JobError, ...]


@dataclass(frozen=True, slots=True)
class QueueHealth:
    """The queue in numbers. `due`, `waiting`, `suspect` and `dead` stop counting at 10,000."""

    due: int
    waiting: int
    running: int
    suspect: int
    dead: int
    oldest_due_s: float
    leases: int
    leases_expired: int


@dataclass(frozen=True, slots=True)
class RunCounts:
    """What became of the jobs of one run. `lost` were done here, too late: their lease had been buried."""

    done: int = 0
    retried: int = 0
    snoozed: int = 0
    dead: int = 0
    cancelled: int = 0
    handed_back: int = 0
    lost: int = 0
