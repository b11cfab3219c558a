"""The states of a session and of a follow-up, and what a result may say.

A session is one class at one time. What happened in it is not its state: that is a result, and results are
versions that never change.

scheduled  It takes place, or took place. Left when somebody says that it did not.
cancelled  It did not take place: nobody is counted, nobody is written to, and what was written is taken back.
           Final: a class that makes up for it is a session of its own.

A follow-up is what one family is told about one absence.

queued      Its message is in the outbox, or was sent from there.
cancelled   The absence was corrected before the message went out, or it never reached anybody. Final.
apologised  The absence was corrected after the message may have gone out; one apology was queued. Final.

Nobody is absent for want of data. Where the reader was silent a student is `undetermined`, with the reason.
"""

from __future__ import annotations

from enum import StrEnum


class SessionState(StrEnum):
    """Whether a session takes place."""

    SCHEDULED = "scheduled"
    CANCELLED = "cancelled"


class FollowUpState(StrEnum):
    """Where a follow-up stands."""

    QUEUED = "queued"
    CANCELLED = "cancelled"
    APOLOGISED = "apologised"


class Status(StrEnum):
    """What is known of one student in one session."""

    PRESENT = "present"
    LATE = "late"
    LEFT_EARLY = "left_early"
    ABSENT_UNEXCUSED = "absent_unexcused"
    ABSENT_EXCUSED = "absent_excused"
    UNDETERMINED = "undetermined"


class Reason(StrEnum):
    """Why a status is undetermined."""

    FEED_GAP = "feed_gap"
    """The reader did not live through the session, or did not deliver all of it."""
    SUSPICIOUS_EMPTY = "suspicious_empty"
    """The reader lived and saw nobody at all."""
    QUARANTINED = "quarantined"
    """The reader saw the student at a time that cannot be believed."""
    NO_ARRIVAL = "no_arrival"
    """The student was seen leaving and not coming."""


class Quarantine(StrEnum):
    """Why a check-in does not count."""

    UNKNOWN_STUDENT = "unknown_student"
    OTHER_SESSION = "other_session"
    FUTURE = "future"
    CLOCK_SKEW = "clock_skew"
    OUT_OF_WINDOW = "out_of_window"


class Verdict(StrEnum):
    """What a result is worth as a whole."""

    COMPLETE = "complete"
    UNDETERMINED = "undetermined"
    SUSPICIOUS_EMPTY = "suspicious_empty"
    EMPTY_ROSTER = "empty_roster"
    ALL_EXCUSED = "all_excused"


class Cause(StrEnum):
    """What made a version of a result."""

    COMPUTED = "computed"
    CORRECTED = "corrected"
    CONFIRMED = "confirmed"


MOVES: frozenset[tuple[SessionState, SessionState]] = frozenset(
    {(SessionState.SCHEDULED, SessionState.CANCELLED)}
)

FOLLOW_UP_MOVES: frozenset[tuple[FollowUpState, FollowUpState]] = frozenset(
    {
        (FollowUpState.QUEUED, FollowUpState.CANCELLED),
        (FollowUpState.QUEUED, FollowUpState.APOLOGISED),
    }
)
