"""What people order about jobs: each needs a permission and leaves an entry in the audit trail."""

from __future__ import annotations

from dataclasses import asdict

from platform_core import audit
from platform_core.db.connect import Tx
from platform_core.errors import StateConflict
from platform_core.jobs import queue
from platform_core.jobs.contracts import CancelCounts
from platform_core.tenancy.members import Permission, require
from platform_core.values import Actor


def cancel(tx: Tx, actor: Actor, *, key: str | None = None, entity: str | None = None) -> CancelCounts:
    """End the jobs of a key or an entity, because a person says so.

    Idempotency: a second order finds nothing left. Raises: PermissionDenied, InvalidInput.
    """
    actor = require(tx, actor, Permission.JOB_REDRIVE)
    counts = queue.cancel(tx, key=key, entity=entity)
    target = ("entity", entity) if entity else ("key", key or "")
    audit.record(tx, "job.cancelled", actor, target, detail=asdict(counts))
    return counts


def redrive(tx: Tx, actor: Actor, job_id: int) -> None:
    """Give a dead letter its attempts again. Raises: PermissionDenied, NotFound, StateConflict."""
    actor = require(tx, actor, Permission.JOB_REDRIVE)
    queue.redrive(tx, job_id, actor)


def hurry(tx: Tx, actor: Actor, job_id: int) -> None:
    """Make a waiting job due now instead of later.

    Idempotency: a job that is due already stays as it is. Raises: PermissionDenied, NotFound, StateConflict
    when it is not waiting.
    """
    actor = require(tx, actor, Permission.JOB_REDRIVE)
    found = tx.execute(queue.Q["job_hurry"], {"job_id": job_id}).fetchone()
    if not found or not found[0]:
        state = queue.get_job(tx, job_id).state
        raise StateConflict(
            f"Job J{job_id} is {state}, not waiting", next_step="Only a waiting job can hurry."
        )
    audit.record(tx, "job.hurried", actor, ("job", str(job_id)))
