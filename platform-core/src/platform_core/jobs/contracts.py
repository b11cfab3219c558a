"""What crosses the boundary of the queue: jobs, their handlers and what a handler is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol
from uuid import UUID

from platform_core.db.connect import Tx
from platform_core.errors import InvalidInput
from platform_core.jobs.lifecycle import JobState
from platform_core.settings import Secret
from platform_core.values import Clock, Outcome

if TYPE_CHECKING:  # pydantic and structlog stay off the path of those who only enqueue
    from structlog.typing import FilteringBoundLogger

    from platform_core.connectors import Connector, MessagingClient
    from platform_core.tenancy.policy import Policy

AfterCrash = Literal["retry", "dead"]


class Priority(IntEnum):
    """Who goes first of those that are due. One claim in ten starts from the other end, so nobody starves."""

    URGENT = 0
    NORMAL = 1
    LOW = 2


class Job(NamedTuple):
    """One claimed job. `attempt` counts this run; `suspect` means a worker died holding it before."""

    id: int
    kind: str
    payload: Mapping[str, object]
    attempt: int
    max_attempts: int
    entity: str | None
    suspect: bool
    lane: str | None = None
    trace: UUID | None = None


class OpenTx(Protocol):
    """Opens one short transaction on the runner's connection."""

    def __call__(self) -> AbstractContextManager[Tx]:
        """Commits at the end of the block.

        Raises: JobInterrupted, and rolls back, when the job lost its right to act.
        """
        ...


class Resumption(NamedTuple):
    """What lets one suspended flow go on, once and without a token."""

    job_id: UUID
    resume_id: int
    signature: Secret


class FlowServer(Protocol):
    """Where flows run. Both calls may be repeated."""

    def start(self, path: str, arguments: Mapping[str, object], *, job_id: UUID) -> None:
        """Start a flow under a number of ours; the same number again starts nothing.

        Raises: NotFound when there is no such flow, SecretRejected, Unavailable.
        """
        ...

    def resume(self, resumption: Resumption, answer: Mapping[str, object]) -> bool:
        """Let a suspended flow go on with an answer. False when it had one before, or is gone.

        Raises: Refused when the signature is not one of that server, Unavailable.
        """
        ...


class JobContext(NamedTuple):
    """What a handler may use. The network belongs between transactions, never inside one.

    `cancelled()` turns true when somebody cancelled the job, its time is over or its lease is lost: a long
    handler asks now and then and returns early. `recheck(tx, name, subject_id)` asks a question that a
    package to the right answers, inside the caller's transaction: is this still wanted? `flows` is there when
    the runner was started by Windmill.
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
    flows: FlowServer | None = None


Handler = Callable[[JobContext], Outcome]

AsyncHandler = Callable[[JobContext], Awaitable[Outcome]]
"""A coroutine function. It is run to its end on a loop of its thread, and cancelled when its time is over."""


class BuildContext(Protocol):
    """Makes a handler's context; the composition root owns it."""

    def __call__(self, job: Job, tx: OpenTx, cancelled: Callable[[], bool], /) -> JobContext:
        """Called once a job, just before its handler."""
        ...


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of something may run: at once over all workers, and how fast jobs may start.

    `per_s` jobs a second on average, `burst` of them at once. A rate is counted when a job is claimed and
    never given back, so it is not exceeded; a worker that dies may waste some of it.
    """

    max_running: int | None = None
    per_s: float | None = None
    burst: int | None = None

    def __post_init__(self) -> None:
        """Refuse a limit that limits nothing or lets nothing run."""
        rated = self.per_s is not None
        if (
            (self.max_running is None and not rated)
            or rated is (self.burst is None)
            or (self.max_running is not None and self.max_running < 1)
            or (self.per_s is not None and self.per_s <= 0)
            or (self.burst is not None and self.burst < 1)
        ):
            raise InvalidInput(
                f"{self} limits nothing, or lets nothing run",
                next_step="Give max_running of 1 or more, or per_s above 0 with a burst of 1 or more.",
            )


@dataclass(frozen=True, slots=True)
class HandlerSpec:
    """What the runner knows of a kind.

    `limit` holds for the kind over all lanes and workers, `lane_limit` for each lane of it. `ordered`: within
    a lane the first enqueued job ends before the second starts; one that waits for its retry bars the lane,
    a dead one does not. Without a lane the kind as a whole is one. After a crash what was not settled runs
    again, from its first job on and in that order.

    `after_crash="dead"` is for what must not be repeated when nobody knows whether it happened: such a job is
    noted before it starts, and dead-lettered if its worker dies or it never returns. `timeout_s` is asked for
    politely first (`cancelled()`, its running statement is stopped), then the job is given up.
    """

    function: Handler | AsyncHandler
    max_attempts: int = 5
    after_crash: AfterCrash = "retry"
    timeout_s: float = 30.0
    ordered: bool = False
    limit: Limit | None = None
    lane_limit: Limit | None = None


class DeadCause(StrEnum):
    """Why a job is a dead letter."""

    REFUSED = "refused"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    CRASHED = "crashed"
    UNKNOWN_KIND = "unknown_kind"
    UNREADABLE_PAYLOAD = "unreadable_payload"
    INVALID_OUTCOME = "invalid_outcome"


class Enqueued(NamedTuple):
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
    lane: str | None = None
    priority: Priority = Priority.NORMAL


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
    lane: str | None
    trace: UUID | None
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
