"""The states of a job and the moves between them.

                    +----------- retry, snooze, hand back ----------+
                    v                                               |
    enqueue --> QUEUED ---------------- claim ----------------> RUNNING --> DONE
                  |  ^                                           | | |
                  |  +---- redrive ---- DEAD <-------------------+ | +----> CANCELLED
                  |                      ^                         v            ^
                  |                      +------ claim alone -- SUSPECT --------+
                  +------------------------- cancel ----------------------------+

QUEUED    in `jobs.job` without a lease; runs when `run_at` has come and its lane, if it stands in one, has
          room. Enqueue and redrive put it there.
RUNNING   in `jobs.job` with the lease of a worker. The attempt is counted by the claim, so a job that kills
          its worker is counted too. Only the holder of the lease moves it on; when the lease ends, the job
          leaves this state whether or not its worker still breathes.
SUSPECT   in `jobs.job`, `suspect`, without a lease: a worker died holding it. It is claimed alone, under a
          lease that holds nothing else and with the process to itself, so that a job that kills its process
          kills nothing else. One that was proven to be the running one (`crashed`) dies when its attempts are
          used up, or at once if its kind must not be repeated.
DONE      in `jobs.done`, final, kept 60 days.
CANCELLED in `jobs.done`, final: nobody wants it any more, or its handler found nothing to do.
DEAD      in `jobs.dead`, final until a person redrives it; with cause, reason and every error it had.

What the runner promises: at least once, never lost. A worker that dies reruns at most the batch it held. A
worker that was only slow finds that its completion changes nothing, and says so. Order is promised within an
ordered lane and nowhere else: there a job leaves QUEUED when those enqueued before it are DONE, CANCELLED or
DEAD.
"""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a job is. The prose above says how it gets in and out."""

    QUEUED = "queued"
    RUNNING = "running"
    SUSPECT = "suspect"
    DONE = "done"
    CANCELLED = "cancelled"
    DEAD = "dead"


FINAL = frozenset({JobState.DONE, JobState.CANCELLED, JobState.DEAD})

MOVES: frozenset[tuple[JobState, JobState]] = frozenset(
    {
        (JobState.QUEUED, JobState.RUNNING),  # claim
        (JobState.QUEUED, JobState.CANCELLED),  # cancel
        (JobState.RUNNING, JobState.DONE),  # finish
        (JobState.RUNNING, JobState.CANCELLED),  # finish, or a cancelled job that was to be put back
        (JobState.RUNNING, JobState.QUEUED),  # retry, snooze, release
        (JobState.RUNNING, JobState.DEAD),  # dead_letter
        (JobState.RUNNING, JobState.SUSPECT),  # bury_leases
        (JobState.SUSPECT, JobState.RUNNING),  # claim_suspect
        (JobState.SUSPECT, JobState.CANCELLED),  # cancel
        (JobState.DEAD, JobState.QUEUED),  # redrive
    }
)
