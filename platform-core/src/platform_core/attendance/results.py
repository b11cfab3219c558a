"""Results: computed from all evidence, stored by version, corrected by members, followed up.

    evidence ── compute_session ──▶ version 1 ── new evidence, a correction, a confirmation ──▶ version 2 …

Whoever makes a version holds the session's row, so two workers make one after the other, and the second finds
that nothing has changed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg.rows import class_row

from platform_core import audit
from platform_core.attendance import followups, sessions
from platform_core.attendance.compute import (
    CheckIn,
    Correction,
    Evidence,
    Heartbeat,
    Session,
    SessionResult,
    Student,
    compute,
)
from platform_core.attendance.contracts import (
    ConfirmationRequest,
    CorrectionRequest,
    FollowUpCounts,
    Stored,
    session_ref,
)
from platform_core.attendance.lifecycle import Cause, SessionState, Status, Verdict
from platform_core.attendance.sessions import Q, lock_session
from platform_core.db import Tx
from platform_core.errors import InvalidInput, NotApplicable, NotYet, Refused, StateConflict
from platform_core.jobs.contracts import JobContext
from platform_core.messaging.attention import raise_alert
from platform_core.tenancy import members
from platform_core.tenancy.attendance import Attendance
from platform_core.tenancy.members import Permission
from platform_core.tenancy.policy import Policy
from platform_core.values import Actor, Cancelled, Done, Outcome, Snooze

PLATFORM = Actor("system", "attendance")

WAITING = frozenset({Verdict.UNDETERMINED, Verdict.SUSPICIOUS_EMPTY})
"""Verdicts that wait for a person, or for a reader that delivers late."""


class _Newest(NamedTuple):
    """The version of a result that counts."""

    id: int
    version: int
    verdict: Verdict
    input_sha256: bytes


@dataclass(frozen=True, slots=True)
class _Making:
    """Why a version is made, by whom, under which policy, when."""

    cause: Cause
    actor: Actor
    policy: Policy
    now: datetime


# --- Making versions --------------------------------------------------------------------------------------


def compute_session(tx: Tx, session_id: int, *, policy: Policy, now: datetime) -> Stored:
    """Compute a session from all evidence and store what came of it, with messages and alerts.

    Idempotency: the same input again answers the same version. After the correction window the newest
    version stands, whatever came late. Raises: SessionInvalid, NotApplicable, PolicyInvalid, NotYet.
    """
    session = lock_session(tx, session_id)
    newest = _find_newest(tx, session_id)
    if newest is not None and _is_closed(session, policy, now):
        return _stored(session, newest, created=False)
    return _store(tx, session, newest, _Making(Cause.COMPUTED, PLATFORM, policy, now))


def correct(tx: Tx, request: CorrectionRequest, *, actor: Actor, policy: Policy, now: datetime) -> Stored:
    """A member says what is true of one student, after looking at one version: the next version says it too.

    A message about an absence that is none is cancelled, or apologised for once. Idempotency: what is said
    already is not stored again. Raises: SessionInvalid, NotFound (student), NotApplicable, Refused after the
    window, StateConflict when another version is the newest, InvalidInput, PermissionDenied.
    """
    actor = members.require(tx, actor, Permission.ATTENDANCE_DECIDE)
    if request.status is Status.UNDETERMINED or (
        request.late_minutes is not None and request.status not in (Status.LATE, Status.LEFT_EARLY)
    ):
        raise InvalidInput(
            f"A student cannot be corrected to {request.status} with {request.late_minutes or 0} minutes",
            next_step="Say what is known; minutes belong to late and left_early.",
        )
    session, newest = _open(tx, request.session_id, policy=policy, now=now)
    student_id = sessions.find_student(tx, request.student)
    known = {entry.student_id: entry for entry in list_students(tx, newest.id)}.get(student_id)
    if known is None:
        raise InvalidInput(
            f"{request.student} was not enrolled when {session_ref(session.id)} began",
            next_step="Correct the enrolment.",
        )
    if known.corrected and (known.status, known.late_minutes) == (request.status, request.late_minutes):
        return _stored(session, newest, created=False)
    _require_version(session, newest, request.version)
    facts = request.model_dump(exclude={"student"}) | {
        "student_id": student_id,
        "actor_id": actor.id,
        "actor_role": actor.role,
        "now": now,
    }
    tx.execute(Q["correction_insert"], facts)
    stored = _store(tx, session, newest, _Making(Cause.CORRECTED, actor, policy, now))
    detail = {
        "student": student_id,
        "before": known.status,
        "after": request.status,
        "version": stored.version,
    }
    audit.record(tx, "attendance.corrected", actor, ("session", session_ref(session.id)), detail=detail)
    return stored


def confirm_empty(
    tx: Tx, request: ConfirmationRequest, *, actor: Actor, policy: Policy, now: datetime
) -> Stored:
    """A member says that really nobody came: now absences are absences, and families are told.

    Idempotency: a confirmed session answers its newest version. Raises: SessionInvalid, NotApplicable,
    Refused after the window, StateConflict when it is not suspicious or another version is the newest,
    PermissionDenied.
    """
    actor = members.require(tx, actor, Permission.ATTENDANCE_DECIDE)
    session_id = request.session_id
    session, newest = _open(tx, session_id, policy=policy, now=now)
    if tx.execute(Q["confirmation_find"], {"session_id": session_id}).fetchone() is not None:
        return _stored(session, newest, created=False)
    _require_version(session, newest, request.version)
    if newest.verdict is not Verdict.SUSPICIOUS_EMPTY:
        raise StateConflict(
            f"{session_ref(session_id)} is {newest.verdict}: there is nothing to confirm",
            next_step="Correct single students instead.",
        )
    facts = {**request.model_dump(), "now": now}
    tx.execute(Q["confirmation_insert"], {**facts, "actor_id": actor.id, "actor_role": actor.role})
    stored = _store(tx, session, newest, _Making(Cause.CONFIRMED, actor, policy, now))
    detail = {"version": stored.version, "messages": stored.follow_ups.queued}
    audit.record(tx, "attendance.confirmed", actor, ("session", session_ref(session_id)), detail=detail)
    return stored


def cancel_session(
    tx: Tx, session_id: int, *, actor: Actor, reason: str, policy: Policy, now: datetime
) -> FollowUpCounts:
    """The session did not take place: what families were told is cancelled or apologised for.

    Idempotency: a cancelled session stays as it is. Raises: SessionInvalid, InvalidInput, PermissionDenied.
    """
    actor = sessions.require(tx, actor)
    session = lock_session(tx, session_id)
    if not sessions.cancel_held(tx, session, reason=reason, now=now):
        return FollowUpCounts()
    counts = followups.take_all_back(tx, session, policy=policy, now=now)
    name = session_ref(session_id)
    audit.record(tx, "session.cancelled", actor, ("session", name), detail=counts.model_dump())
    return counts


def list_due(tx: Tx, *, policy: Policy, now: datetime, limit: int = 500) -> list[int]:
    """The sessions whose results may still change: ended, settled, and inside the correction window."""
    if policy.attendance is None:
        return []
    until = now - timedelta(minutes=policy.attendance.settle_minutes)
    after = now - timedelta(hours=policy.attendance.correction_window_hours)
    rows = tx.execute(Q["session_list_ended"], {"after": after, "until": until, "limit": limit}).fetchall()
    return [int(row[0]) for row in rows]


def session_ended(context: JobContext) -> Outcome:
    """Compute a session after its end. Job kind `session.ended`.

    Idempotency: `compute_session`'s. Too early is a snooze; a cancelled session is nothing to do.
    """
    session_id = context.job.payload.get("session")
    if not isinstance(session_id, int):
        raise InvalidInput("The job names no session", next_step="Its payload lacks `session`.")
    policy, now = context.policy(), context.clock.now()
    try:
        with context.tx() as tx:
            stored = compute_session(tx, session_id, policy=policy, now=now)
    except NotApplicable as error:
        return Cancelled(error.one_line())
    except NotYet as error:
        after = error.facts["after"]
        if not isinstance(after, timedelta):
            raise TypeError("NotYet says how long to wait") from error
        return Snooze("the session is not over and settled", after)
    return Done(f"{session_ref(session_id)} version {stored.version} is {stored.verdict}")


def _open(tx: Tx, session_id: int, *, policy: Policy, now: datetime) -> tuple[Session, _Newest]:
    """A session whose result a person may still change, locked, with the version that counts."""
    session = lock_session(tx, session_id)
    name = session_ref(session_id)
    if session.state is SessionState.CANCELLED:
        raise NotApplicable(f"{name} was cancelled", next_step="Nobody is counted and nobody is told.")
    newest = _find_newest(tx, session_id)
    if newest is None:
        raise StateConflict(f"{name} was not computed yet", next_step="Wait until it is over and settled.")
    if _is_closed(session, policy, now):
        raise Refused(f"The correction window of {name} is over", next_step="The newest version stands.")
    return session, newest


def _is_closed(session: Session, policy: Policy, now: datetime) -> bool:
    rules = policy.attendance
    return rules is not None and now > session.ends_at + timedelta(hours=rules.correction_window_hours)


def _require_version(session: Session, newest: _Newest, version: int) -> None:
    if newest.version != version:
        raise StateConflict(
            f"{session_ref(session.id)} is at version {newest.version}, not {version}",
            next_step="Look at it again, then decide.",
            version=newest.version,
        )


# --- Storing ----------------------------------------------------------------------------------------------


def _store(tx: Tx, session: Session, newest: _Newest | None, making: _Making) -> Stored:
    policy, now = making.policy, making.now
    evidence = _gather(tx, session, policy.attendance)
    result = compute(session, evidence, policy=policy.attendance, now=now)
    if newest is not None and newest.input_sha256 == result.input_sha256:
        return _stored(session, newest, created=False)
    version = 1 if newest is None else newest.version + 1
    result_id = _insert(tx, session, result, version, making)
    counts = followups.align(tx, session, result.students, version, policy=policy, now=now)
    _raise_alerts(tx, session, result, version, policy.attendance)
    return Stored(
        result_id=result_id,
        session_id=session.id,
        version=version,
        verdict=result.verdict,
        created=True,
        follow_ups=counts,
    )


def _insert(tx: Tx, session: Session, result: SessionResult, version: int, making: _Making) -> int:
    row = tx.execute(
        Q["result_insert"],
        {
            "session_id": session.id,
            "version": version,
            "cause": making.cause,
            "verdict": result.verdict,
            "attended": result.rate and result.rate.attended,
            "counted": result.rate and result.rate.counted,
            "input_sha256": result.input_sha256,
            "actor_type": making.actor.type,
            "actor_id": making.actor.id,
            "now": making.now,
        },
    ).fetchone()
    if row is None:
        raise AssertionError("an insert always returns its row")
    result_id = int(row[0])
    with tx.cursor() as cursor:
        cursor.executemany(
            Q["result_student_insert"],
            [asdict(student) | {"result_id": result_id} for student in result.students],
        )
        cursor.executemany(
            Q["result_quarantine_insert"],
            [
                {"result_id": result_id, "checkin_id": checkin, "reason": reason}
                for checkin, reason in result.quarantined
            ],
        )
    return result_id


def _gather(tx: Tx, session: Session, rules: Attendance | None) -> Evidence:
    """Everything known about a session, as of when it began. Without rules compute refuses it anyway."""
    early = timedelta(minutes=rules.early_window_minutes if rules else 0)
    gap = timedelta(minutes=rules.max_heartbeat_gap_minutes if rules else 0)
    facts = {
        "session_id": session.id,
        "reference": session.reference,
        "course": session.course,
        "feed": session.feed,
        "starts_at": session.starts_at,
        "opens_at": session.starts_at - early,
        "ends_at": session.ends_at,
        "from_at": session.starts_at - gap,
        "until": session.ends_at + gap,
    }
    roster = [Student(*row) for row in tx.execute(Q["roster_list"], facts)]
    facts["students"] = [student.reference for student in roster]
    with tx.cursor(row_factory=class_row(CheckIn)) as cursor:
        checkins = cursor.execute(Q["checkin_list"], facts).fetchall()
    beats = [
        Heartbeat(*row)
        for name in ("heartbeat_list", "heartbeat_find_last")
        for row in tx.execute(Q[name], facts)
    ]
    corrections = {
        row[0]: Correction(Status(row[1]), row[2]) for row in tx.execute(Q["correction_list"], facts)
    }
    return Evidence(
        roster=roster,
        checkins=checkins,
        excuses=frozenset(row[0] for row in tx.execute(Q["excuse_list"], facts)),
        heartbeats=beats,
        corrections=corrections,
        confirmed=tx.execute(Q["confirmation_find"], facts).fetchone() is not None,
    )


def _raise_alerts(
    tx: Tx, session: Session, result: SessionResult, version: int, rules: Attendance | None
) -> None:
    unknown = {"students": sum(student.status is Status.UNDETERMINED for student in result.students)}
    if result.verdict is Verdict.SUSPICIOUS_EMPTY:
        _alert(tx, "attendance.suspicious", session, version, unknown)
    elif result.verdict is Verdict.UNDETERMINED:
        _alert(tx, "attendance.undetermined", session, version, unknown)
    if rules is not None and len(result.quarantined) > rules.quarantine_alert_above:
        _alert(tx, "attendance.quarantined", session, version, {"checkins": len(result.quarantined)})


def _alert(tx: Tx, kind: str, session: Session, version: int, counts: dict[str, int]) -> None:
    raise_alert(
        tx,
        kind,
        severity="P2",
        subject=session_ref(session.id),
        once=f"{session.id}:{version}",
        dedupe=f"{kind}:{session.id}",
        detail={"version": version, **counts},
    )


def _find_newest(tx: Tx, session_id: int) -> _Newest | None:
    row = tx.execute(Q["result_find_newest"], {"session_id": session_id}).fetchone()
    return None if row is None else _Newest(row[0], row[1], Verdict(row[2]), row[3])


def _stored(session: Session, newest: _Newest, *, created: bool) -> Stored:
    return Stored(
        result_id=newest.id,
        session_id=session.id,
        version=newest.version,
        verdict=newest.verdict,
        created=created,
    )


# --- Looking ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One session with the version that counts, as people read it; empty before it was computed."""

    id: int
    reference: str
    course: str
    timezone: str
    starts_at: datetime
    ends_at: datetime
    state: str
    result_id: int | None
    version: int | None
    verdict: str | None
    attended: int | None
    counted: int | None


@dataclass(frozen=True, slots=True)
class StudentEntry:
    """One student in one version, as people read it."""

    student_id: int
    reference: str
    name: str
    status: str
    late_minutes: int | None
    reason: str | None
    rate: str | None
    absence: bool
    tardy: bool
    corrected: bool


@dataclass(frozen=True, slots=True)
class QuarantinedEntry:
    """One check-in that did not count, as people read it."""

    checkin_id: int
    source: str
    source_id: str
    student: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class FollowUpEntry:
    """What one family was told, as people read it."""

    id: int
    student_id: int
    version: int
    state: str
    outbox_id: int | None
    apology_outbox_id: int | None


@dataclass(frozen=True, slots=True)
class SessionDetail:
    """One session with everything about the version that counts."""

    summary: SessionSummary
    students: list[StudentEntry]
    quarantined: list[QuarantinedEntry]
    follow_ups: list[FollowUpEntry]


def list_sessions(tx: Tx, *, verdict: Verdict | None = None, limit: int = 50) -> list[SessionSummary]:
    """Sessions, newest first: all, or those whose newest result has that verdict."""
    return _list(tx, session_id=None, verdict=verdict, limit=limit)


def get_session(tx: Tx, session_id: int) -> SessionDetail:
    """One session and its newest result. Raises: SessionInvalid when there is none."""
    found = _list(tx, session_id=session_id, verdict=None, limit=1)
    if not found:
        raise sessions.unknown_session(session_ref(session_id))
    summary = found[0]
    with tx.cursor(row_factory=class_row(QuarantinedEntry)) as cursor:
        quarantined = cursor.execute(
            Q["result_list_quarantined"], {"result_id": summary.result_id}
        ).fetchall()
    with tx.cursor(row_factory=class_row(FollowUpEntry)) as cursor:
        told = cursor.execute(Q["follow_up_list"], {"session_id": session_id}).fetchall()
    students = [] if summary.result_id is None else list_students(tx, summary.result_id)
    return SessionDetail(summary, students, quarantined, told)


def list_students(tx: Tx, result_id: int) -> list[StudentEntry]:
    """The students of one version, by name."""
    with tx.cursor(row_factory=class_row(StudentEntry)) as cursor:
        return cursor.execute(Q["result_list_students"], {"result_id": result_id}).fetchall()


def _list(tx: Tx, *, session_id: int | None, verdict: Verdict | None, limit: int) -> list[SessionSummary]:
    with tx.cursor(row_factory=class_row(SessionSummary)) as cursor:
        return cursor.execute(
            Q["session_list"], {"session_id": session_id, "verdict": verdict, "limit": limit}
        ).fetchall()
