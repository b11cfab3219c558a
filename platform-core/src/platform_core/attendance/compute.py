"""Attendance from evidence. Pure: session, evidence, policy and time go in, a result or a refusal comes out.

An absence needs proof: a reader that lived through the session, delivered all of it, and saw somebody.
Without that proof a student nobody saw is `undetermined`. More evidence never makes a present student absent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from platform_core.attendance.lifecycle import Quarantine, Reason, SessionState, Status, Verdict
from platform_core.errors import NotApplicable, NotYet, PolicyInvalid, SessionInvalid
from platform_core.tenancy.attendance import Attendance

Kind = Literal["in", "out"]


@dataclass(frozen=True, slots=True)
class Session:
    """One class at one time. `feed` is the reader whose heartbeats prove that it was watched."""

    id: int
    reference: str
    course: str
    feed: str
    timezone: str
    starts_at: datetime
    ends_at: datetime
    state: SessionState

    def __post_init__(self) -> None:
        """Name the state; an unknown one is a schema newer than this code."""
        object.__setattr__(self, "state", SessionState(self.state))


@dataclass(frozen=True, slots=True)
class Student:
    """Somebody who was enrolled when the session began."""

    id: int
    reference: str


@dataclass(frozen=True, slots=True)
class CheckIn:
    """What a reader saw. `at` is its clock then, `device_at` its clock when we received it, if it said so."""

    id: int
    student: str
    session: str
    kind: Kind
    at: datetime
    received_at: datetime
    device_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The reader lived at that time and had delivered everything up to another."""

    at: datetime
    synced_until: datetime


@dataclass(frozen=True, slots=True)
class Correction:
    """What a member says of one student; it outweighs everything a reader says."""

    status: Status
    late_minutes: int | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything known about one session. `confirmed`: a member says that really nobody came."""

    roster: Sequence[Student]
    checkins: Sequence[CheckIn]
    excuses: frozenset[int]
    heartbeats: Sequence[Heartbeat]
    corrections: Mapping[int, Correction]
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class StudentResult:
    """One student in one session, with what the policy counts it as; `rate` is None when nobody knows."""

    student_id: int
    status: Status
    late_minutes: int | None = None
    reason: Reason | None = None
    rate: Literal["attended", "missed", "excluded"] | None = None
    absence: bool = False
    tardy: bool = False
    corrected: bool = False


@dataclass(frozen=True, slots=True)
class Rate:
    """`attended` of `counted` students; counted is never zero."""

    attended: int
    counted: int


@dataclass(frozen=True, slots=True)
class SessionResult:
    """What came of one session. `quarantined` are check-ins that did not count, by id, with the reason."""

    verdict: Verdict
    students: tuple[StudentResult, ...]
    rate: Rate | None
    quarantined: tuple[tuple[int, Quarantine], ...]
    input_sha256: bytes


def compute(
    session: Session, evidence: Evidence, *, policy: Attendance | None, now: datetime
) -> SessionResult:
    """Decide who was there.

    The order of the evidence does not matter, and neither does `now` once the session is over.
    Raises: SessionInvalid, NotApplicable for a cancelled session, PolicyInvalid, NotYet.
    """
    _require_session(session)
    rules = _require_policy(session, policy)
    ready_at = session.ends_at + timedelta(minutes=rules.settle_minutes)
    if now < ready_at:
        raise NotYet(
            f"The session {session.reference} is not over and settled",
            next_step=f"Compute it from {ready_at:%Y-%m-%d %H:%M} UTC on.",
            after=ready_at - now,
        )
    valid, quarantined = _sort_out(session, evidence, rules)
    students = _decide_students(session, evidence, valid, quarantined, rules)
    verdict = _decide_verdict(students)
    return SessionResult(
        verdict=verdict,
        students=students,
        rate=None if verdict is Verdict.ALL_EXCUSED else _decide_rate(students),
        quarantined=tuple(sorted((checkin.id, reason) for checkin, reason in quarantined)),
        input_sha256=_fingerprint(session, evidence, rules),
    )


def decide_feed(session: Session, heartbeats: Sequence[Heartbeat], rules: Attendance) -> bool:
    """Whether the reader lived from start to end without a gap, and delivered all of it."""
    gap = timedelta(minutes=rules.max_heartbeat_gap_minutes)
    beats = sorted(beat.at for beat in heartbeats)
    seen = max((at for at in beats if session.starts_at - gap <= at <= session.starts_at), default=None)
    for at in beats:
        if seen is not None and seen < session.ends_at and seen < at <= seen + gap:
            seen = at
    delivered = max((beat.synced_until for beat in heartbeats), default=session.starts_at)
    return seen is not None and seen >= session.ends_at and delivered >= session.ends_at


def _require_session(session: Session) -> None:
    if not session.timezone:
        raise SessionInvalid(
            f"The session {session.reference} has no time zone",
            next_step="Give an IANA name such as America/Lima.",
        )
    if session.ends_at <= session.starts_at:
        raise SessionInvalid(
            f"The session {session.reference} ends before it begins", next_step="Correct its hours."
        )
    if session.state is SessionState.CANCELLED:
        raise NotApplicable(
            f"The session {session.reference} was cancelled",
            next_step="Nobody is counted and nobody is told.",
        )


def _require_policy(session: Session, policy: Attendance | None) -> Attendance:
    if policy is None:
        raise PolicyInvalid(
            "The policy says nothing about attendance",
            next_step="Add [attendance] to policy.toml and store it with `wmctl policy apply`.",
        )
    lasts = session.ends_at - session.starts_at
    for name in ("grace_minutes", "left_early_minutes"):
        if timedelta(minutes=getattr(policy, name)) > lasts:
            raise PolicyInvalid(
                f"attendance.{name} is longer than the session {session.reference}",
                next_step="Shorten it in policy.toml, or correct the hours of the session.",
            )
    return policy


# --- Check-ins --------------------------------------------------------------------------------------------

_Sorted = tuple[dict[str, list[CheckIn]], list[tuple[CheckIn, Quarantine]]]


def _sort_out(session: Session, evidence: Evidence, rules: Attendance) -> _Sorted:
    known = {student.reference for student in evidence.roster}
    valid: dict[str, list[CheckIn]] = {}
    quarantined: list[tuple[CheckIn, Quarantine]] = []
    for checkin in sorted(evidence.checkins, key=lambda one: (one.at, one.id)):
        reason = _decide_quarantine(checkin, session, known, rules)
        if reason is None:
            valid.setdefault(checkin.student, []).append(checkin)
        else:
            quarantined.append((checkin, reason))
    return valid, quarantined


def _decide_quarantine(
    checkin: CheckIn, session: Session, known: set[str], rules: Attendance
) -> Quarantine | None:
    skew = timedelta(seconds=rules.max_clock_skew_seconds)
    opens_at = session.starts_at - timedelta(minutes=rules.early_window_minutes)
    if checkin.student not in known:
        return Quarantine.UNKNOWN_STUDENT
    if checkin.session not in ("", session.reference):
        return Quarantine.OTHER_SESSION
    if checkin.at > checkin.received_at + skew:
        return Quarantine.FUTURE
    if checkin.device_at is not None and abs(checkin.device_at - checkin.received_at) > skew:
        return Quarantine.CLOCK_SKEW
    if checkin.at < opens_at or (checkin.kind == "in" and checkin.at > session.ends_at):
        return Quarantine.OUT_OF_WINDOW
    return None


# --- Students ---------------------------------------------------------------------------------------------


def _decide_students(
    session: Session,
    evidence: Evidence,
    valid: Mapping[str, Sequence[CheckIn]],
    quarantined: Sequence[tuple[CheckIn, Quarantine]],
    rules: Attendance,
) -> tuple[StudentResult, ...]:
    doubted = {
        one.student for one, reason in quarantined if reason in (Quarantine.FUTURE, Quarantine.CLOCK_SKEW)
    }
    doubt = _decide_doubt(session, evidence, valid, rules)
    found = []
    for student in sorted(evidence.roster, key=lambda one: one.id):
        corrected = evidence.corrections.get(student.id)
        if corrected is not None:
            result = StudentResult(student.id, corrected.status, corrected.late_minutes, corrected=True)
        else:
            excused = student.id in evidence.excuses
            unsure = Reason.QUARANTINED if student.reference in doubted else doubt
            if doubt is Reason.SUSPICIOUS_EMPTY and excused:
                unsure = None  # nobody doubts that a student whose excuse came first stayed away
            seen = valid.get(student.reference, ())
            result = _decide_student(student.id, session, seen, rules, excused=excused, doubt=unsure)
        found.append(_with_counts(result, rules))
    return tuple(found)


def _decide_doubt(
    session: Session, evidence: Evidence, valid: Mapping[str, Sequence[CheckIn]], rules: Attendance
) -> Reason | None:
    """Why nobody may be called absent, if so."""
    if not decide_feed(session, evidence.heartbeats, rules):
        return Reason.FEED_GAP
    if not valid and len(evidence.roster) >= rules.suspicious_from and not evidence.confirmed:
        return Reason.SUSPICIOUS_EMPTY
    return None


def _decide_student(
    student_id: int,
    session: Session,
    seen: Sequence[CheckIn],
    rules: Attendance,
    *,
    excused: bool,
    doubt: Reason | None,
) -> StudentResult:
    arrivals = [one.at for one in seen if one.kind == "in"]
    if not arrivals:
        if seen:
            return StudentResult(student_id, Status.UNDETERMINED, reason=Reason.NO_ARRIVAL)
        return _absent(student_id, excused=excused, doubt=doubt)
    late = arrivals[0] - session.starts_at
    if late > timedelta(minutes=rules.absent_after_minutes) and rules.beyond == "absent":
        return _absent(student_id, excused=excused, doubt=doubt)
    minutes = None if late <= timedelta(minutes=rules.grace_minutes) else late // timedelta(minutes=1)
    last = seen[-1]
    if last.kind == "out" and last.at < session.ends_at - timedelta(minutes=rules.left_early_minutes):
        return StudentResult(student_id, Status.LEFT_EARLY, minutes)
    return StudentResult(student_id, Status.PRESENT if minutes is None else Status.LATE, minutes)


def _absent(student_id: int, *, excused: bool, doubt: Reason | None) -> StudentResult:
    if doubt is not None:
        return StudentResult(student_id, Status.UNDETERMINED, reason=doubt)
    return StudentResult(student_id, Status.ABSENT_EXCUSED if excused else Status.ABSENT_UNEXCUSED)


def _with_counts(result: StudentResult, rules: Attendance) -> StudentResult:
    if result.status is Status.UNDETERMINED:
        return result
    counts = rules.counts[result.status]
    return StudentResult(
        result.student_id,
        result.status,
        result.late_minutes,
        result.reason,
        rate=counts.rate,
        absence=counts.absence,
        tardy=counts.tardy,
        corrected=result.corrected,
    )


# --- The whole --------------------------------------------------------------------------------------------


def _decide_verdict(students: Sequence[StudentResult]) -> Verdict:
    if not students:
        return Verdict.EMPTY_ROSTER
    reasons = {student.reason for student in students}
    if Reason.SUSPICIOUS_EMPTY in reasons:
        return Verdict.SUSPICIOUS_EMPTY
    if any(student.status is Status.UNDETERMINED for student in students):
        return Verdict.UNDETERMINED
    if all(student.status is Status.ABSENT_EXCUSED for student in students):
        return Verdict.ALL_EXCUSED
    return Verdict.COMPLETE


def _decide_rate(students: Sequence[StudentResult]) -> Rate | None:
    """None when there is nobody to count, and when somebody is undetermined: the rest is not the whole."""
    if any(student.rate is None for student in students):
        return None
    attended = sum(student.rate == "attended" for student in students)
    counted = sum(student.rate != "excluded" for student in students)
    return Rate(attended, counted) if counted else None


def _fingerprint(session: Session, evidence: Evidence, rules: Attendance) -> bytes:
    """Equal for equal inputs in any order. Of heartbeats only what they prove: later ones change nothing."""
    said = {
        "session": asdict(session),
        "roster": sorted((student.id, student.reference) for student in evidence.roster),
        "checkins": sorted(
            json.dumps(asdict(one), default=_as_text, sort_keys=True) for one in evidence.checkins
        ),
        "excuses": sorted(evidence.excuses),
        "corrections": sorted(
            (student, said.status, said.late_minutes or 0) for student, said in evidence.corrections.items()
        ),
        "confirmed": evidence.confirmed,
        "watched": decide_feed(session, evidence.heartbeats, rules),
        "policy": rules.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(said, default=_as_text, sort_keys=True).encode()).digest()


def _as_text(value: object) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)
