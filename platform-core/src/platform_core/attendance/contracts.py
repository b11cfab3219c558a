"""What crosses the boundary of attendance: how things are named to people, what is asked and answered."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StringConstraints,
    field_validator,
)

from platform_core.attendance.lifecycle import Status, Verdict
from platform_core.values import parse_number

Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,119}$")]
"""The customer's own name of a student, a session, a reader or a reading."""

Instant = Annotated[
    AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))
]
"""A time that a class can have. A clock that was never set says others, not all of which have a calendar day."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=120)]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


def session_ref(session_id: int) -> str:
    """How a session is named to people: `L4`, for lesson."""
    return f"L{session_id}"


def parse_session_id(text: str) -> int:
    """The session that `L4` names. Raises: InvalidInput."""
    return parse_number(text, "L", "a session")


def student_ref(student_id: int) -> str:
    """How a student is named in the trail: `A7`, for alumno. A reference may be an identity number."""
    return f"A{student_id}"


class NewStudent(_Contract):
    """A student, and the contact who hears of an absence."""

    reference: Reference
    name: Name
    contact_id: StrictInt


class NewEnrolment(_Contract):
    """A student attends a course from an instant on; the end is open until it is known."""

    student: Reference
    course: Name
    valid_from: Instant
    valid_to: Instant | None = None


class NewSession(_Contract):
    """One class at local wall time, from `starts` on `day` on; `timezone` is an IANA zone.

    One whose `ends` is not after its `starts` ends on the day after. `fold` says which of two is meant, when
    the hour of its start or end happens twice. `makes_up_for` names
    the session that this one replaces for those who missed it; that one's results stay as they are.
    """

    reference: Reference
    course: Name
    feed: Reference
    day: date = Field(ge=date(2000, 1, 1), le=date(2199, 12, 31))
    starts: time
    ends: time
    timezone: str = Field(default="", max_length=60)
    fold: Literal[0, 1] | None = None
    makes_up_for: Reference | None = None

    @field_validator("starts", "ends")
    @classmethod
    def _on_a_wall(cls, value: time) -> time:
        if value.tzinfo is not None:
            raise ValueError("is not local: its zone stands in timezone")
        return value


class Reading(_Contract):
    """One check-in as a reader tells it. `source_id` is the reader's own: the same one again is nothing new.

    `session` may be empty: then it counts for whatever session the student has at that time. `device_at` is
    what the reader's clock showed when it sent this.
    """

    source: Reference
    source_id: Reference
    student: Reference
    session: Reference | Literal[""] = ""
    kind: Literal["in", "out"] = "in"
    at: Instant
    device_at: Instant | None = None


class Beat(_Contract):
    """A reader says that it lives, and up to when everything it saw is delivered."""

    source: Reference
    at: Instant
    synced_until: Instant


class _Wire(BaseModel):
    """What a reader sends: JSON that is exactly as documented, times with their offset."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class BatchCheckIn(_Wire):
    """One check-in of a batch. `id` is the reader's own, the same whenever it sends it again."""

    id: Reference
    student: Reference
    at: Instant
    kind: Literal["in", "out"] = "in"
    session: Reference | Literal[""] = ""


class BatchHeartbeat(_Wire):
    """The reader lived at `at`, and with this batch everything it saw up to `synced_until` is delivered."""

    at: Instant
    synced_until: Instant


class Batch(_Wire):
    """What a reader delivers at once. `id` is its own number of the batch, `sent_at` its clock at sending.

    A reader without network keeps what it saw and delivers it later: the times are those of its clock then.
    """

    id: Reference
    type: Literal["reader.batch"]
    reader: Reference
    sent_at: Instant
    checkins: tuple[BatchCheckIn, ...] = Field(default=(), max_length=1000)
    heartbeats: tuple[BatchHeartbeat, ...] = Field(default=(), max_length=1000)


class CorrectionRequest(_Contract):
    """What a member says of one student, after looking at one version of the result."""

    session_id: StrictInt
    version: int = Field(gt=0)
    student: Reference
    status: Status
    late_minutes: int | None = Field(default=None, ge=0, le=1440)
    reason: str = Field(min_length=1, max_length=500)


class ConfirmationRequest(_Contract):
    """A member says that really nobody came, after looking at one version of the result."""

    session_id: StrictInt
    version: int = Field(gt=0)
    note: str = Field(default="", max_length=500)


class FollowUpCounts(_Contract):
    """What became of messages to families."""

    queued: int = 0
    cancelled: int = 0
    apologised: int = 0


class Stored(_Contract):
    """A version of a result. `created` is false when nothing had changed since it was stored."""

    result_id: int
    session_id: int
    version: int
    verdict: Verdict
    created: bool
    follow_ups: FollowUpCounts = FollowUpCounts()


class Entered(_Contract):
    """What was entered. `created` is false when it had been entered before, all the same."""

    id: int
    created: bool


class Recorded(_Contract):
    """How many check-ins were new, and how many had been recorded before."""

    recorded: int
    known: int
