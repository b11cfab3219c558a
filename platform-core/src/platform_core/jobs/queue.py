"""The queue's verbs: put jobs in, cancel, redrive, look. Each works in the caller's transaction."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

from psycopg.rows import TupleRow

from platform_core import audit
from platform_core.db.connect import Tx
from platform_core.db.queries import load_queries
from platform_core.errors import InvalidInput, InvalidTime, NotFound, StateConflict
from platform_core.jobs.contracts import (
    CancelCounts,
    DeadCause,
    Enqueued,
    JobError,
    JobView,
    NewJob,
    Priority,
    QueueHealth,
)
from platform_core.jobs.lifecycle import JobState
from platform_core.jobs.tracing import current_trace
from platform_core.values import Actor

Q = load_queries(__file__)

MAX_PAYLOAD_BYTES = 256 * 1024
MAX_KEY_BYTES = 300
MAX_ENTITY_BYTES = 200
MAX_LANE_BYTES = 200
MAX_KIND_CHARS = 80

_Value = TypeVar("_Value")
MAX_ATTEMPTS = 1000
MAX_LISTED = 1000
LATEST_YEAR = 8999

_JSON = json.JSONEncoder(allow_nan=False, check_circular=False)
_KIND = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", re.ASCII)
_ESCAPED_NUL = re.compile(
    r"(?<!\\)(?:\\\\)*\\u0000"
)  # the one character JSON may carry and PostgreSQL may not


def enqueue(  # noqa: PLR0913 - one column each, all keyword-only after the payload
    tx: Tx,
    kind: str,
    payload: Mapping[str, object],
    *,
    key: str | None = None,
    entity: str | None = None,
    run_at: datetime | None = None,
    max_attempts: int | None = None,
    lane: str | None = None,
    priority: Priority = Priority.NORMAL,
) -> Enqueued:
    """Add a job; it is seen by runners when the caller commits, and not at all if the caller rolls back.

    Idempotency: a key names one job for good (90 days past its due time, longer while it lives or is dead),
    also after that job ended or was cancelled; enqueueing it again returns the first one. To schedule the
    same thing anew, use a new key.
    `lane` is what it shares its kind's lane limit or order with, such as a contact; a kind without a rule
    needs none. A job enqueued by a handler belongs to the trace of the job that runs.
    Raises: InvalidInput, InvalidTime.
    """
    facts = _checked(NewJob(kind, payload, key, entity, run_at, max_attempts, lane, priority))
    row = tx.execute(Q["job_enqueue"], facts).fetchone()
    assert row is not None  # noqa: S101 - the function always returns one row
    return Enqueued(*row)


def enqueue_many(tx: Tx, new: Sequence[NewJob]) -> list[Enqueued]:
    """Add many jobs in one statement; answers come in the same order. Idempotency as `enqueue`, key by key.

    Raises: InvalidInput, InvalidTime; then none was added.
    """
    if not new:
        return []
    for job in new:
        _check(job)
    trace = current_trace()
    columns = {
        "kinds": _column([job.kind for job in new]),
        "keys": [job.key for job in new] if any(job.key is not None for job in new) else [None],
        "entities": _column([job.entity for job in new]),
        "run_ats": _column([job.run_at for job in new]),
        "max_attempts": _column([job.max_attempts for job in new]),
        "lanes": _column([job.lane for job in new]),
        "priorities": _column([int(job.priority) for job in new]),
        "traces": [trace],
    }
    payloads = f"[{','.join([_payload_text(job) for job in new])}]"
    rows = tx.execute(Q["job_enqueue_many"], {**columns, "payloads": payloads})
    return list(map(Enqueued._make, rows))


def cancel(tx: Tx, *, key: str | None = None, entity: str | None = None) -> CancelCounts:
    """End the jobs of a key, of an entity, or of both.

    Queued ones end at commit; running ones are told by their worker's next heartbeat, end as cancelled unless
    they are done by then, and are never retried.
    Raises: InvalidInput when neither is given.
    """
    if key is None and entity is None:
        raise InvalidInput("Nothing says which jobs to cancel", next_step="Give a key or an entity.")
    row = tx.execute(Q["job_cancel"], {"key": key, "entity": entity}).fetchone()
    assert row is not None  # noqa: S101 - the function always returns one row
    return CancelCounts(*row)


def redrive(tx: Tx, job_id: int, actor: Actor) -> None:
    """Give a dead letter its attempts again, under its own id and with its history; the act is audited.

    Raises: NotFound for no such job, StateConflict when it is not dead (any more).
    """
    found = tx.execute(Q["job_redrive"], {"job_id": job_id}).fetchone()
    if not found or not found[0]:
        state = get_job(tx, job_id).state
        raise StateConflict(
            f"Job J{job_id} is {state}, not dead", next_step="Only dead letters are redriven.", state=state
        )
    audit.record(tx, "job.redriven", actor, ("job", str(job_id)))


def get_job(tx: Tx, job_id: int) -> JobView:
    """A job wherever it is: live, in history or dead. Raises: NotFound."""
    row = tx.execute(Q["job_get"], {"job_id": job_id}).fetchone()
    if row is None:
        raise NotFound(f"There is no job J{job_id}", next_step="See `wmctl job list`; history keeps 60 days.")
    return _view(row)


def list_jobs(
    tx: Tx, *, state: JobState | None = None, kind: str | None = None, limit: int = 50
) -> list[JobView]:
    """The newest jobs, wherever they are."""
    facts = {"state": state and state.value, "kind": kind, "limit": min(limit, MAX_LISTED)}
    return _views(tx.execute(Q["job_list"], facts))


def list_dead(tx: Tx, *, limit: int = 50) -> list[JobView]:
    """The dead letters, newest first."""
    return _views(tx.execute(Q["dead_list"], {"limit": min(limit, MAX_LISTED)}))


def read_health(tx: Tx) -> QueueHealth:
    """The queue in numbers, cheap under any backlog."""
    row = tx.execute(Q["queue_health"]).fetchone()
    assert row is not None  # noqa: S101 - counts always make one row
    return QueueHealth(*row)


def _column(values: list[_Value]) -> list[_Value]:
    """A parallel array; one element when it says the same of all, which is cheaper to send and to read."""
    return values[:1] if values.count(values[0]) == len(values) else values


def _checked(job: NewJob) -> dict[str, object]:
    _check(job)
    return {
        "kind": job.kind,
        "payload": _payload_text(job),
        "key": job.key,
        "entity": job.entity,
        "run_at": job.run_at,
        "max_attempts": job.max_attempts,
        "lane": job.lane,
        "priority": int(job.priority),
        "trace": current_trace(),
    }


def _check(job: NewJob) -> None:
    if not _is_kind(job.kind):
        raise InvalidInput(
            f"{job.kind[:60]!r} is not a job kind",
            next_step="Use dotted lower-case words, such as outbox.queued.",
        )
    if job.run_at is not None and (job.run_at.tzinfo is None or job.run_at.year > LATEST_YEAR):
        raise InvalidTime(
            f"The run time of a {job.kind} job is not an instant", next_step="Pass an aware time."
        )
    if job.max_attempts is not None and not 1 <= job.max_attempts <= MAX_ATTEMPTS:
        raise InvalidInput(f"A {job.kind} job may have 1 to {MAX_ATTEMPTS} attempts, not {job.max_attempts}")
    if job.key is not None or job.entity is not None or job.lane is not None:
        _require_bounded(job)


@lru_cache(maxsize=256)
def _is_kind(kind: str) -> bool:
    return _KIND.fullmatch(kind) is not None and len(kind) <= MAX_KIND_CHARS


def _require_bounded(job: NewJob) -> None:
    bounded = (
        ("key", job.key, MAX_KEY_BYTES),
        ("entity", job.entity, MAX_ENTITY_BYTES),
        ("lane", job.lane, MAX_LANE_BYTES),
    )
    for name, text, limit in bounded:
        if text is not None and (not 1 <= len(text.encode()) <= limit or "\x00" in text):
            raise InvalidInput(f"The {name} of a {job.kind} job must have 1 to {limit} bytes of text")


def _payload_text(job: NewJob) -> str:
    try:
        text = _JSON.encode(job.payload if type(job.payload) is dict else dict(job.payload))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            f"The payload of a {job.kind} job is not JSON ({type(error).__name__})",
            next_step="Pass ids and plain values.",
        ) from error
    if len(text) > MAX_PAYLOAD_BYTES:
        raise InvalidInput(
            f"The payload of a {job.kind} job has {len(text)} bytes; {MAX_PAYLOAD_BYTES} fit",
            next_step="Store the content and pass its id.",
        )
    if "\\u0000" in text and _ESCAPED_NUL.search(text):
        raise InvalidInput(f"The payload of a {job.kind} job holds a NUL character, which cannot be stored")
    return text


def _views(rows: Iterable[TupleRow]) -> list[JobView]:
    return [_view(row) for row in rows]


def _view(row: TupleRow) -> JobView:
    (job_id, state, kind, payload, key, entity, lane, trace, attempt, max_attempts) = row[:10]
    created_at, run_at, ended_at, cause, reason, errors = row[10:]
    return JobView(
        id=job_id,
        state=JobState(state),
        kind=kind,
        payload=payload,
        key=key,
        entity=entity,
        lane=lane,
        trace=trace,
        attempt=attempt,
        max_attempts=max_attempts,
        created_at=created_at,
        run_at=run_at,
        ended_at=ended_at,
        cause=DeadCause(cause) if cause else None,
        reason=reason,
        errors=tuple(
            JobError(error["attempt"], datetime.fromisoformat(error["at"]), error["error"])
            for error in errors
        ),
    )
