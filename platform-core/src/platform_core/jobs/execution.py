"""One job's run: from a claimed row to what becomes of it. Nothing here touches the queue's tables.

claimed row -> admit (may it run at all?) -> its handler -> judge (what becomes of the answer)
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, assert_never
from uuid import UUID

import psycopg
from pydantic_core import from_json

from platform_core.errors import PlatformError, RateLimited
from platform_core.jobs.contracts import DeadCause, HandlerSpec, Job
from platform_core.values import Cancelled, Dead, Done, Outcome, Retry, Snooze

MAX_TEXT = 2000
MAX_DELAY_S = 10 * 366 * 86400.0  # a later date is a mistake, and must not make a completion fail
OUTCOMES = (Done, Retry, Snooze, Dead, Cancelled)
_CAUSES_SHOWN = 3

Settled = Literal["done", "cancelled", "retried", "snoozed", "dead", "handed_back"]


class ClaimedRow(NamedTuple):
    """What a claim returns. The payload is still text: one that cannot be read must not hurt its batch."""

    id: int
    kind: str
    payload: str
    entity: str | None
    lane: str | None
    trace: UUID | None
    attempt: int
    max_attempts: int | None
    priority: int
    suspect: bool
    crashed: bool
    run_at: datetime


class Settlement(NamedTuple):
    """What becomes of a claimed job. `text` is a done note, a failure or the reason of a death."""

    job_id: int
    outcome: Settled
    text: str = ""
    delay_s: float = 0.0
    cause: DeadCause | None = None
    uncounted: bool = False


def admit(row: ClaimedRow, handlers: Mapping[str, HandlerSpec]) -> tuple[Job, HandlerSpec] | Settlement:
    """The job and how to run it, or what becomes of it without a run.

    A job that was proven to be the running one when its worker died is not run when its attempts are used up,
    or when its kind must not be repeated; one that was merely in the same batch always gets its run.
    """
    spec = handlers.get(row.kind)
    if spec is None:
        return _unrun(row, DeadCause.UNKNOWN_KIND, f"no handler for kind {row.kind}")
    limit = row.max_attempts or spec.max_attempts
    if row.crashed and spec.after_crash == "dead":
        return _unrun(row, DeadCause.CRASHED, "its worker died during it, and this kind must not be repeated")
    if row.crashed and row.attempt > limit:
        return _unrun(row, DeadCause.CRASHED, f"its worker died during attempt {row.attempt - 1} of {limit}")
    try:
        payload = from_json(row.payload)
    except ValueError as error:
        return _unrun(
            row, DeadCause.UNREADABLE_PAYLOAD, f"the payload cannot be read: {type(error).__name__}"
        )
    most = max(limit, row.attempt)
    # By position: names would cost more than everything else here, and this runs for every job.
    job = Job(row.id, row.kind, payload, row.attempt, most, row.entity, row.suspect, row.lane, row.trace)
    return job, spec


def outcome_of(error: BaseException) -> Outcome:
    """What an exception out of a handler means."""
    match error:
        case RateLimited():
            return Snooze(error.one_line(), after=timedelta(seconds=error.retry_after_s))
        case PlatformError(retryable=True):
            return Retry(error.one_line())
        case PlatformError():
            return Dead(error.one_line())
        case _:
            return Retry(describe(error))


def judge(answer: object, job: Job) -> Settlement:
    """What an answer makes of a job. One outside the vocabulary is a programming error: a person looks."""
    if type(answer) is Done and not answer.note:  # nearly always
        return Settlement(job.id, "done")
    if isinstance(answer, OUTCOMES):
        return _judge_outcome(answer, job)
    reason = f"the handler answered {type(answer).__name__}, which is no outcome"
    return Settlement(job.id, "dead", reason, cause=DeadCause.INVALID_OUTCOME)


def _judge_outcome(answer: Outcome, job: Job) -> Settlement:
    match answer:
        case Done(note):
            return Settlement(job.id, "done", clean(note))
        case Cancelled(reason):
            return Settlement(job.id, "cancelled", clean(reason))
        case Snooze(reason, after):
            return Settlement(job.id, "snoozed", clean(reason), delay_s=_delay_s(after))
        case Dead(reason):
            return Settlement(job.id, "dead", clean(reason), cause=DeadCause.REFUSED)
        case Retry(reason, after):
            if job.attempt >= job.max_attempts:
                return Settlement(job.id, "dead", clean(reason), cause=DeadCause.ATTEMPTS_EXHAUSTED)
            return Settlement(job.id, "retried", clean(reason), delay_s=_delay_s(after))
        case _:
            assert_never(answer)


def describe(error: BaseException) -> str:
    """Name a failure without quoting data: types, places and PostgreSQL's codes, never a foreign message.

    Messages of foreign exceptions carry phone numbers and bodies ("Key (phone)=(...) already exists").
    """
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < _CAUSES_SHOWN:
        parts.append(_describe_one(cause))
        cause = cause.__cause__
    return clean(" < ".join(parts))


def clean(text: str) -> str:
    """Text that PostgreSQL surely takes: bounded, without NUL and lone surrogates."""
    return text and str(text).replace("\x00", "")[:MAX_TEXT].encode("utf-8", "replace").decode("utf-8")


def _describe_one(error: BaseException) -> str:
    if isinstance(error, PlatformError):
        return error.one_line()
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    frames = traceback.extract_tb(error.__traceback__)
    where = (
        f" at {frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno} in {frames[-1].name}"
        if frames
        else ""
    )
    if isinstance(error, psycopg.Error):
        facts = (error.sqlstate, error.diag.table_name, error.diag.constraint_name)
        return f"{name}{where} ({', '.join(fact for fact in facts if fact)})"
    return f"{name}{where}"


def _delay_s(after: timedelta | None) -> float:
    return min(max(after.total_seconds(), 0.0), MAX_DELAY_S) if after else 0.0


def _unrun(row: ClaimedRow, cause: DeadCause, reason: str) -> Settlement:
    # Only after a crash was the claim no attempt: it merely found out. The others had their one look.
    return Settlement(row.id, "dead", clean(reason), cause=cause, uncounted=cause is DeadCause.CRASHED)
