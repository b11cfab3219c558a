"""`flow_status` as the server keeps it: one entry for each step, in the shape its interface shows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from platform_cli.local.windmill.flows.model import Module
from platform_cli.local.windmill.flows.state import NIL, Status

WAITING, FOR_EVENTS, FOR_EXECUTOR = "WaitingForPriorSteps", "WaitingForEvents", "WaitingForExecutor"
IN_PROGRESS, SUCCESS, FAILURE = "InProgress", "Success", "Failure"
NOT_BEGUN = (WAITING, FOR_EVENTS, FOR_EXECUTOR)

Entry = dict[str, Any]
"""One step's entry."""


def new_status(modules: Sequence[Module], *, has_preprocessor: bool = False) -> Status:
    """The status of a flow that has not begun."""
    return {
        "step": -1 if has_preprocessor else 0,
        "modules": [waiting(module.id) for module in modules],
        "failure_module": waiting("failure"),
        "cleanup_module": {},
        "preprocessor_module": waiting("preprocessor") if has_preprocessor else None,
    }


def waiting(step_id: str) -> Entry:
    """A step whose turn has not come."""
    return {"type": WAITING, "id": step_id}


def entry_of(status: Status) -> Entry:
    """The entry of the step the flow stands at."""
    step, modules = status["step"], status["modules"]
    if step < 0:
        entry: Entry = status["preprocessor_module"]
    elif step < len(modules):
        entry = modules[step]
    else:
        entry = status["failure_module"]
    return entry


def put_entry(status: Status, entry: Entry) -> None:
    """Replace the entry of the step the flow stands at."""
    step, modules = status["step"], status["modules"]
    if step < 0:
        status["preprocessor_module"] = entry
    elif step < len(modules):
        modules[step] = entry
    elif not modules:
        modules.append(entry)  # as the server does with a flow without steps
    else:
        parent = status["failure_module"].get("parent_module")
        status["failure_module"] = {**entry, **({"parent_module": parent} if parent else {})}


def ended(entry: Entry, job_id: str, *, ok: bool, skipped: bool, failed_retries: Sequence[str]) -> Entry:
    """The entry of a step that ended: what it was about stays, how it went is added."""
    kept = {name: entry[name] for name in _KEPT if entry.get(name) is not None}
    retries = {"failed_retries": list(failed_retries)} if failed_retries else {}
    return {
        "type": SUCCESS if ok else FAILURE,
        "id": entry["id"],
        "job": job_id,
        **kept,
        **retries,
        **({"skipped": skipped} if ok else {}),
    }


_KEPT = ("flow_jobs", "flow_jobs_success", "flow_jobs_duration", "branch_chosen")


def note_turn(entry: Entry, job_id: str, *, ok: bool, started_at: datetime | None, duration_ms: int) -> None:
    """Note how one of the jobs of a loop, or of parallel branches, ended."""
    jobs = entry.get("flow_jobs") or []
    if job_id not in jobs:
        return
    position = jobs.index(job_id)
    entry["flow_jobs_success"][position] = ok
    durations = entry["flow_jobs_duration"]
    durations["started_at"][position] = started_at.isoformat() if started_at else None
    durations["duration_ms"][position] = duration_ms


def add_turn(entry: Entry, job_id: str) -> Entry:
    """What an entry knows of turns, with one more."""
    durations = entry.get("flow_jobs_duration") or {"started_at": [], "duration_ms": []}
    return {
        "flow_jobs": [*(entry.get("flow_jobs") or []), job_id],
        "flow_jobs_success": [*(entry.get("flow_jobs_success") or []), None],
        "flow_jobs_duration": {name: [*values, None] for name, values in durations.items()},
    }


def all_turns(job_ids: Sequence[str]) -> Entry:
    """What an entry knows of turns that run at once."""
    nothing = [None] * len(job_ids)
    return {
        "flow_jobs": list(job_ids),
        "flow_jobs_success": list(nothing),
        "flow_jobs_duration": {"started_at": list(nothing), "duration_ms": list(nothing)},
    }


def jobs_of(entry: Entry) -> list[str] | str | None:
    """The jobs that did a step: a list for a loop or branches, one for anything else."""
    jobs = entry.get("flow_jobs")
    if jobs is not None:
        return list(jobs)
    job: str | None = entry.get("job")
    return job


def nothing_inside(entry: Entry, branch: Entry | None) -> Entry:
    """The entry of a step with nothing to do: no item, no branch, no module."""
    inside = {"branch_chosen": branch} if branch is not None else all_turns([])
    return {"type": SUCCESS, "id": entry["id"], "job": NIL, "skipped": False, **inside}
