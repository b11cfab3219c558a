"""The states of a message we send and the moves between them.

queued      A job will send it. Entered when it is asked for, when the provider surely did nothing (rate
            limit, bad key, no balance), and when a person says an ambiguous send never happened.
sending     The provider is being called. Entered in a transaction of its own before the call; a job that
            finds a row here was interrupted in the call, and never calls again.
accepted    The provider took it. Accepted and sent are not delivered.
delivered   The provider says it reached the phone. Nothing undoes this; a failure reported later is a flag.
read        The provider says it was read. Final.
failed      Surely not delivered: refused at once, or reported as failed. A later report may say otherwise.
ambiguous   Nobody knows whether the provider acted. Its report decides, or a person. After a restore this is
            every message that was about to be sent at the instant the database was put back to.
suppressed  The contact wants no messages. Final.
cancelled   Not needed any more, before it was sent. Final.

A report may move a message from any state but the last two, because reports come early, late and crossed; see
reports.py for the rule that makes their order irrelevant.
"""

from __future__ import annotations

from enum import StrEnum


class OutboxState(StrEnum):
    """Where a message we send stands."""

    QUEUED = "queued"
    SENDING = "sending"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    AMBIGUOUS = "ambiguous"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"


S = OutboxState

FINAL = frozenset({S.READ, S.SUPPRESSED, S.CANCELLED})

MOVES: frozenset[tuple[OutboxState, OutboxState]] = frozenset(
    {
        # What our own worker does.
        (S.QUEUED, S.SENDING),
        (S.QUEUED, S.SUPPRESSED),
        (S.QUEUED, S.CANCELLED),
        (S.QUEUED, S.FAILED),
        (S.SENDING, S.QUEUED),
        (S.SENDING, S.ACCEPTED),
        (S.SENDING, S.FAILED),
        (S.SENDING, S.AMBIGUOUS),
        (S.AMBIGUOUS, S.ACCEPTED),
        # What a restore does.
        (S.QUEUED, S.AMBIGUOUS),
        # What a person does with an ambiguous send.
        (S.AMBIGUOUS, S.QUEUED),
        # What a report does.
        (S.QUEUED, S.ACCEPTED),
        (S.FAILED, S.ACCEPTED),
        (S.QUEUED, S.DELIVERED),
        (S.SENDING, S.DELIVERED),
        (S.ACCEPTED, S.DELIVERED),
        (S.AMBIGUOUS, S.DELIVERED),
        (S.FAILED, S.DELIVERED),
        (S.QUEUED, S.READ),
        (S.SENDING, S.READ),
        (S.ACCEPTED, S.READ),
        (S.AMBIGUOUS, S.READ),
        (S.FAILED, S.READ),
        (S.DELIVERED, S.READ),
        (S.ACCEPTED, S.FAILED),
        (S.AMBIGUOUS, S.FAILED),
    }
)
