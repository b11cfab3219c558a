"""A job as the server's interface shows it, queued or completed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from platform_cli.local.windmill import jsonb
from platform_cli.local.windmill.flows.lifecycle import JobState, Outcome
from platform_cli.local.windmill.flows.state import Q, State, read_json
from platform_cli.local.windmill.jsonb import Json
from platform_cli.local.windmill.references import Reader

_MILLISECONDS = 1000
_TAGS = {"script": "python3", "flowscript": "python3"}


@dataclass(frozen=True, slots=True)
class JobView:
    """One job, whole. `reader` is on whose behalf it runs."""

    id: str
    kind: str
    state: JobState
    outcome: Outcome | None
    path: str | None
    parent_id: str | None
    root_id: str
    step_id: str | None
    value: Json
    reader: Reader
    args: Json = field(repr=False)
    result: str | None = field(repr=False)
    status: Json
    leaf_jobs: Mapping[str, Json]
    logs: str = field(repr=False)
    suspend: int
    canceled_by: str | None
    canceled_reason: str | None
    created_at: datetime
    scheduled_for: datetime
    started_at: datetime | None
    completed_at: datetime | None
    number: int

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self.state is JobState.DONE

    @property
    def ok(self) -> bool:
        """Whether it ended well."""
        return self.outcome in {Outcome.SUCCESS, Outcome.SKIPPED}

    @property
    def duration_ms(self) -> int:
        """How long it took, zero while it has not ended."""
        if self.started_at is None or self.completed_at is None:
            return 0
        return round((self.completed_at - self.started_at).total_seconds() * _MILLISECONDS)


def find_job(state: State, job_id: str) -> JobView | None:
    """One job by its id, None when there is none."""
    with state.turn() as tx:
        row = tx.execute(Q["job_show"], {"id": job_id}).fetchone()
    if row is None:
        return None
    values = list(row)
    values[2] = JobState(values[2])
    values[3] = Outcome(values[3]) if values[3] else None
    values[8] = read_json(values[8])
    values[9] = Reader(**json.loads(values[9]))
    values[10] = read_json(values[10])
    values[12] = read_json(values[12])
    values[13] = read_json(values[13])
    return JobView(*values)


def list_jobs(
    state: State,
    *,
    path_start: str = "",
    path: str = "",
    parent: str | None = None,
    limit: int,
    skipped: int = 0,
) -> list[JobView]:
    """Jobs, those that have not ended first, the newest before the older."""
    parameters = {
        "parent_id": parent,
        "roots_only": False,
        "path": path,
        "path_start": path_start,
        "limit": limit,
        "skipped": skipped,
    }
    with state.turn() as tx:
        ids = [row[0] for row in tx.execute(Q["job_list"], parameters).fetchall()]
    return [found for job_id in ids if (found := find_job(state, job_id)) is not None]


def job_json(job: JobView, workspace: str, *, in_list: bool = False) -> dict[str, Json]:
    """The shape of `jobs_u/get`, or of an item of `jobs/list`."""
    shape = _completed(job) if job.is_done else _queued(job)
    shape |= {
        "workspace_id": workspace,
        "id": job.id,
        "created_by": job.reader.username,
        "created_at": _instant(job.created_at),
        "script_path": job.path,
        "args": None if in_list else job.args,
        "canceled": job.outcome is Outcome.CANCELED or (not job.is_done and job.canceled_by is not None),
        "job_kind": job.kind,
        "permissioned_as": job.reader.permissioned_as,
        "is_flow_step": job.step_id is not None,
        "email": job.reader.email,
        "visible_to_owner": True,
        "tag": _TAGS.get(job.kind, "flow"),
        "is_retry": False,
    }
    if job.canceled_by is not None:
        shape |= {"canceled_by": job.canceled_by, "canceled_reason": job.canceled_reason}
    if job.parent_id is not None:
        shape |= {"parent_job": job.parent_id}
    if job.started_at is not None:
        shape["started_at"] = _instant(job.started_at)
    if job.kind in _TAGS:
        shape["language"] = "python3"
    if job.step_id is not None:
        shape["priority"] = Decimal(0)
    if job.status is not None and not in_list:
        shape |= {"flow_status": job.status, "raw_flow": job.value, "worker": "local"}
    return shape


def _completed(job: JobView) -> dict[str, Json]:
    shape: dict[str, Json] = {
        "type": "CompletedJob",
        "completed_at": _instant(job.completed_at),
        "duration_ms": Decimal(job.duration_ms),
        "success": job.ok,
        "result": None if job.result is None else jsonb.parse(job.result),
        "result_columns": None,
        "logs": job.logs,
        "deleted": False,
        "is_skipped": job.outcome is Outcome.SKIPPED,
    }
    return shape


def _queued(job: JobView) -> dict[str, Json]:
    shape: dict[str, Json] = {
        "type": "QueuedJob",
        "scheduled_for": _instant(job.scheduled_for),
        "running": job.state is not JobState.QUEUED,
        "script_entrypoint_override": None,
        "same_worker": False,
        "suspend": Decimal(job.suspend),
    }
    if job.status is not None:
        shape["leaf_jobs"] = {
            step: {"ListJob": jobs} if isinstance(jobs, list) else {"SingleJob": jobs}
            for step, jobs in job.leaf_jobs.items()
        }
    return shape


def listed(jobs: Sequence[JobView], workspace: str) -> list[Json]:
    """The shape of `jobs/list`."""
    shapes = [job_json(job, workspace, in_list=True) for job in jobs]
    for shape in shapes:
        shape.pop("result", None)
        shape.pop("logs", None)
        shape.pop("leaf_jobs", None)
    return list(shapes)


def _instant(at: datetime | None) -> Json:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
