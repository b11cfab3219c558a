"""The section of a policy about attendance: what is late, what is absent, and what each counts as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, field_validator, model_validator

COUNTED_STATUSES = ("present", "late", "left_early", "absent_unexcused", "absent_excused")
"""What a policy says the counts of. What is undetermined counts as nothing, and that is no choice."""


class _Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Counts(_Rules):
    """What one status counts as: in the rate, as an absence, as a tardy."""

    rate: Literal["attended", "missed", "excluded"]
    absence: bool = False
    tardy: bool = False


class Attendance(_Rules):
    """How attendance is computed.

    Late is later than `grace_minutes` after the start; an arrival later than `absent_after_minutes` is
    `beyond`. An empty feed is believed below `suspicious_from` students only. Results may change for
    `correction_window_hours` after the end; nobody is written to after that.
    """

    settle_minutes: StrictInt = Field(ge=0, le=1440)
    early_window_minutes: StrictInt = Field(ge=0, le=240)
    grace_minutes: StrictInt = Field(ge=0, le=240)
    absent_after_minutes: StrictInt = Field(ge=0, le=480)
    beyond: Literal["absent", "late"]
    left_early_minutes: StrictInt = Field(ge=0, le=240)
    max_heartbeat_gap_minutes: StrictInt = Field(ge=1, le=240)
    max_clock_skew_seconds: StrictInt = Field(ge=1, le=3600)
    suspicious_from: StrictInt = Field(ge=1, le=1000)
    quarantine_alert_above: StrictInt = Field(ge=0, le=1000)
    correction_window_hours: StrictInt = Field(ge=1, le=720)
    counts: Mapping[str, Counts]

    @field_validator("counts")
    @classmethod
    def _counts_make_sense(cls, value: Mapping[str, Counts]) -> Mapping[str, Counts]:
        missing = [status for status in COUNTED_STATUSES if status not in value]
        if missing:
            raise ValueError(f"lacks {', '.join(missing)}")
        unknown = [status for status in value if status not in COUNTED_STATUSES]
        if unknown:
            raise ValueError(f"has {unknown[0][:40]!r}, which is no status")
        if value["present"] != Counts(rate="attended"):
            raise ValueError("says that present is something else than attended")
        if value["absent_unexcused"].rate == "attended" or value["absent_excused"].rate == "attended":
            raise ValueError("says that an absence is attended")
        return value

    @model_validator(mode="after")
    def _limits_agree(self) -> Self:
        if self.absent_after_minutes < self.grace_minutes:
            raise ValueError("absent_after_minutes is shorter than grace_minutes: nobody could be late")
        return self
