"""What crosses the boundary of bookings: what a calendar says, what staff ask, what they are answered."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictInt, StringConstraints

from platform_core.bookings.lifecycle import BookingState
from platform_core.messaging.contracts import Ignored
from platform_core.values import parse_number

Course = Annotated[str, StringConstraints(min_length=1, max_length=120)]
PupilName = Annotated[str, StringConstraints(min_length=1, max_length=120)]
Lack = Literal["phone", "pupil", "course"]
"""What a booking may come without. Nobody is written to and nobody is enrolled until a person fills it in."""


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def booking_ref(booking_id: int) -> str:
    """How a booking is named to people: `B3`."""
    return f"B{booking_id}"


def parse_booking_id(text: str) -> int:
    """The booking that `B3` names. Raises: InvalidInput."""
    return parse_number(text, "B", "a booking")


# --- What a calendar says -----------------------------------------------------------------------------------


class Answer(_Contract):
    """What the parent wrote under one question of the booking form."""

    question: str
    answer: str


class Slot(_Contract):
    """One booking as the calendar shows it, whichever event carries it.

    `source_id` is the calendar's own and names this booking for ever; `rescheduled_from` is that of the one
    it took the place of. `phone` is what was typed for text reminders, as it was typed.
    """

    source_id: str = Field(min_length=1, max_length=255)
    rescheduled_from: str = Field(default="", max_length=255)
    name: str = ""
    email: str = ""
    phone: str = ""
    answers: tuple[Answer, ...] = ()
    kind: str = Field(min_length=1)
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    booked_at: AwareDatetime


class BookingMade(_Contract):
    """A parent booked."""

    kind: Literal["booking.made"] = "booking.made"
    slot: Slot


class BookingCanceled(_Contract):
    """A booking will not take place as it was. `rescheduled_to` names the booking that took its place."""

    kind: Literal["booking.canceled"] = "booking.canceled"
    slot: Slot
    rescheduled: bool = False
    rescheduled_to: str = Field(default="", max_length=255)
    canceled_at: AwareDatetime


class NoShowMarked(_Contract):
    """Somebody marked in the calendar that the pupil did not come, or took that back."""

    kind: Literal["booking.no_show"] = "booking.no_show"
    slot: Slot
    no_show: bool
    changed_at: AwareDatetime


BookingEvent = Annotated[BookingMade | BookingCanceled | NoShowMarked | Ignored, Field(discriminator="kind")]


# --- What staff ask -----------------------------------------------------------------------------------------


class _Asked(_Contract):
    model_config = ConfigDict(str_strip_whitespace=True)

    booking_id: StrictInt


class Completion(_Asked):
    """What a booking came without, from a person who asked the parent. Empty leaves it as it is."""

    phone: str = Field(default="", max_length=40)
    pupil: str = Field(default="", max_length=120)
    course: str = Field(default="", max_length=120)


class EnrolmentRequest(_Asked):
    """The pupil stays.

    Enrolled in `course`, or in the booking's own, from the local day `starts_on` on, or that of the trial
    class.
    """

    course: str = Field(default="", max_length=120)
    starts_on: date | None = None
    student: str = Field(default="", max_length=120)


class DeclineRequest(_Asked):
    """The pupil came or not, and no enrolment follows."""

    reason: str = Field(default="", max_length=500)


class Enrolled(_Contract):
    """What an enrolment made. `created` is false when it had been made before."""

    booking_id: int
    student: str
    course: str
    created: bool


class Settled(_Contract):
    """Where a booking stands after a verb. `changed` is false when it stood there before."""

    booking_id: int
    state: BookingState
    changed: bool
