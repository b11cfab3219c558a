"""The states of a booking, and how it begins whatever order its events come in.

booked       The class is expected. Left when the calendar says otherwise or staff say what came of it.
rescheduled  Another booking took its place. Final: what follows is that one's.
canceled     It will not take place. Final: who books again makes another booking.
no_show      The calendar says that the pupil did not come. The mark may be taken back; the pupil may still be
             enrolled after all.
enrolled     The pupil stays: student, enrolment and welcome were made in the same transaction. Final.
declined     Staff say that no enrolment follows. Final.

A calendar's events about one booking come in any order, each with the whole booking in it. The facts are
kept apart (`canceled_at`, `rescheduled_to`, `no_show` with the time of its last word), and the state is
decided from all of them together; so a booking begins wherever its first event says, and ends the same in
any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class BookingState(StrEnum):
    """Where a booking stands."""

    BOOKED = "booked"
    RESCHEDULED = "rescheduled"
    CANCELED = "canceled"
    NO_SHOW = "no_show"
    ENROLLED = "enrolled"
    DECLINED = "declined"


FINAL = frozenset(
    {BookingState.RESCHEDULED, BookingState.CANCELED, BookingState.ENROLLED, BookingState.DECLINED}
)
DECIDED = frozenset({BookingState.ENROLLED, BookingState.DECLINED})
"""Said by staff: no event of a calendar undoes it."""

BEGINNINGS = frozenset(
    {BookingState.BOOKED, BookingState.RESCHEDULED, BookingState.CANCELED, BookingState.NO_SHOW}
)

MOVES: frozenset[tuple[BookingState, BookingState]] = frozenset({
    (BookingState.BOOKED, BookingState.RESCHEDULED),
    (BookingState.BOOKED, BookingState.CANCELED),
    (BookingState.BOOKED, BookingState.NO_SHOW),
    (BookingState.BOOKED, BookingState.ENROLLED),
    (BookingState.BOOKED, BookingState.DECLINED),
    (BookingState.NO_SHOW, BookingState.BOOKED),
    (BookingState.NO_SHOW, BookingState.RESCHEDULED),
    (BookingState.NO_SHOW, BookingState.CANCELED),
    (BookingState.NO_SHOW, BookingState.ENROLLED),
    (BookingState.NO_SHOW, BookingState.DECLINED),
    (BookingState.CANCELED, BookingState.RESCHEDULED),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Facts:
    """What the calendar said of a booking so far. `rescheduled_to` is empty when nothing took its place."""

    canceled_at: datetime | None = None
    rescheduled_to: str = ""
    no_show: bool = False


def decide_state(facts: Facts) -> BookingState:
    """Where the calendar's facts put a booking. Pure; their order does not matter."""
    if facts.rescheduled_to:
        return BookingState.RESCHEDULED
    if facts.canceled_at is not None:
        return BookingState.CANCELED
    return BookingState.NO_SHOW if facts.no_show else BookingState.BOOKED
