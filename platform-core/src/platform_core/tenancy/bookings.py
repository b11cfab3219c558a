"""The section of a policy about bookings: where the form says what, and which class leads to which course."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

MAX_COURSES = 50
_Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
_Course = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]


def same_words(text: str) -> str:
    """The text as it is compared: questions and names of classes are typed by people, twice."""
    return " ".join(text.casefold().split())


class Bookings(BaseModel):
    """How a booking is read.

    `pupil_question` and `phone_question` are questions of the booking form, word for word; without the
    second, or without its answer, the number for text reminders is the phone. `courses` says which course a
    trial class is of, by the name it has in the calendar. What is missing is asked of a person, never
    guessed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pupil_question: _Line
    phone_question: str = Field(default="", max_length=200)
    courses: Mapping[_Line, _Course] = Field(min_length=1, max_length=MAX_COURSES)

    @field_validator("courses")
    @classmethod
    def _told_apart(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        seen: set[str] = set()
        for kind in value:
            if same_words(kind) in seen:
                raise ValueError(f"names {kind[:60]!r} twice, when case and spaces do not count")
            seen.add(same_words(kind))
        return value

    def course_of(self, kind: str) -> str | None:
        """The course a class in the calendar leads to, or None for one that is not in the list."""
        return next(
            (course for name, course in self.courses.items() if same_words(name) == same_words(kind)), None
        )
