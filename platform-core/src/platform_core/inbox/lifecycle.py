"""The states of an event and the moves between them.

received    Stored with a job that will handle it. Entered by `receive`, or by `release` from held.
held        Authentic, but signed outside the tolerance: late, or replayed by somebody who recorded it.
            Nothing acts on it. A person releases it, or a fresh delivery of the same bytes does.
handled     What it says is in the tables of messaging. Final.
unreadable  This version of the connector cannot read the body. An alert is raised; after the connector is
            corrected, redriving the event's job handles it.
failed      Handling it was given up: the job's last attempt raised. Redriving the job handles it.
"""

from __future__ import annotations

from enum import StrEnum


class EventState(StrEnum):
    """Where an event stands."""

    RECEIVED = "received"
    HELD = "held"
    HANDLED = "handled"
    UNREADABLE = "unreadable"
    FAILED = "failed"


FINAL = frozenset({EventState.HANDLED})

MOVES: frozenset[tuple[EventState, EventState]] = frozenset(
    {
        (EventState.HELD, EventState.RECEIVED),
        (EventState.RECEIVED, EventState.HANDLED),
        (EventState.RECEIVED, EventState.UNREADABLE),
        (EventState.RECEIVED, EventState.FAILED),
        (EventState.UNREADABLE, EventState.HANDLED),
        (EventState.UNREADABLE, EventState.FAILED),
        (EventState.FAILED, EventState.HANDLED),
        (EventState.FAILED, EventState.UNREADABLE),
    }
)
