"""The life of a job: a whole flow, a flow inside it, or a step.

A job is *queued* until its time has come. A step then is *running* while its process lives; the next runtime
finds it running when this one was killed, and queues it again, as the server does with a job whose worker
died. A flow is *running* from its first step to its last, and *suspended* while it waits for people, when it
costs nothing. *done* is the end; the outcome says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class JobState(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUSPENDED = "suspended"
    DONE = "done"


class Outcome(StrEnum):
    """How a job ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    SKIPPED = "skipped"
    CANCELED = "canceled"


MOVES: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.DONE}),
    JobState.RUNNING: frozenset({JobState.QUEUED, JobState.SUSPENDED, JobState.DONE}),
    JobState.SUSPENDED: frozenset({JobState.RUNNING, JobState.DONE}),
    JobState.DONE: frozenset(),
}

RESTART_LIMIT = 3
"""How often a step whose process died with its runtime is started again, as on the server."""
