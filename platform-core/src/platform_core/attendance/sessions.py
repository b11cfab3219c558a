"""Sessions and what is known about them: students, enrolments, check-ins, heartbeats, excuses.

Each verb only writes down. What it means is decided when the session is computed, by its job after the end or
by a person: see `results.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

from psycopg.rows import class_row

from platform_core import audit
from platform_core.attendance.compute import Session
from platform_core.attendance.contracts import (
    Beat,
    Entered,
    NewEnrolment,
    NewSession,
    NewStudent,
    Reading,
    Recorded,
    session_ref,
    student_ref,
)
from platform_core.db import Tx, load_queries
from platform_core.errors import (
    ConfigurationError,
    IdempotencyConflict,
    InvalidInput,
    InvalidTime,
    NotFound,
    SessionInvalid,
)
from platform_core.jobs import queue
from platform_core.messaging import contacts
from platform_core.payments.local_time import get_zone, to_instant
from platform_core.tenancy import members
from platform_core.tenancy.members import Permission
from platform_core.tenancy.policy import Policy
from platform_core.values import Actor

Q = load_queries(__file__)

MAX_READINGS = 1000
MAX_LENGTH = timedelta(hours=12)
"""No class is longer: what is has its hours swapped."""

_MAX_REASON_CHARS = 500


# --- Students ---------------------------------------------------------------------------------------------


def add_student(tx: Tx, new: NewStudent, *, actor: Actor, now: datetime) -> int:
    """Enter a student; the id comes back. As `enter_student`."""
    return enter_student(tx, new, actor=actor, now=now).id


def enter_student(tx: Tx, new: NewStudent, *, actor: Actor, now: datetime) -> Entered:
    """Enter a student.

    Idempotency: unique reference. Raises: IdempotencyConflict when the reference names another student,
    NotFound (contact), PermissionDenied.
    """
    actor = require(tx, actor)
    contact_id = contacts.get_contact(tx, new.contact_id).id
    facts = {"reference": new.reference, "name": new.name, "contact_id": contact_id, "now": now}
    row = tx.execute(Q["student_insert"], facts).fetchone()
    if row is not None:
        audit.record(tx, "student.added", actor, ("student", student_ref(row[0])))
        return Entered(id=row[0], created=True)
    student_id, name, known_contact = _student(tx, new.reference)
    if name != new.name or known_contact not in contacts.list_merged(tx, contact_id):
        raise IdempotencyConflict(
            f"The reference {new.reference} names another student", next_step="Use one reference a student."
        )
    return Entered(id=student_id, created=False)


def find_student(tx: Tx, reference: str) -> int:
    """The student of a reference. Raises: NotFound."""
    return _student(tx, reference)[0]


def enrol(tx: Tx, new: NewEnrolment, *, actor: Actor) -> bool:
    """A student attends a course from an instant on. False when that was known.

    One that was open and comes again with its end is ended by that. Raises: NotFound, InvalidTime when it
    ends before it begins, IdempotencyConflict when it ended at another time, PermissionDenied.
    """
    actor = require(tx, actor)
    if new.valid_to is not None and new.valid_to <= new.valid_from:
        raise InvalidTime(f"{new.student} would leave {new.course} before joining it")
    facts = {
        "student_id": find_student(tx, new.student),
        "course": new.course,
        "valid_from": new.valid_from,
        "valid_to": new.valid_to,
    }
    if tx.execute(Q["enrolment_insert"], facts).fetchone() is not None:
        _record_enrolment(tx, "enrolment.added", actor, facts)
        return True
    row = tx.execute(Q["enrolment_lock"], facts).fetchone()
    known_end = None if row is None else row[0]
    if new.valid_to is None or known_end == new.valid_to:
        return False
    if known_end is not None:
        raise IdempotencyConflict(
            f"{new.student} left {new.course} at another time", next_step="See `wmctl student show`."
        )
    return end_enrolment(tx, new.student, new.course, actor=actor, valid_to=new.valid_to)


def end_enrolment(tx: Tx, student: str, course: str, *, actor: Actor, valid_to: datetime) -> bool:
    """The student leaves the course. False when that was known. Raises: NotFound, PermissionDenied."""
    actor = require(tx, actor)
    facts = {"student_id": find_student(tx, student), "course": course, "valid_to": valid_to}
    if tx.execute(Q["enrolment_end"], facts).rowcount == 0:
        return False
    _record_enrolment(tx, "enrolment.ended", actor, facts)
    return True


def _record_enrolment(tx: Tx, action: str, actor: Actor, facts: Mapping[str, object]) -> None:
    student = student_ref(int(str(facts["student_id"])))
    audit.record(tx, action, actor, ("student", student), detail={"course": facts["course"]})


# --- Sessions ---------------------------------------------------------------------------------------------


def add_session(tx: Tx, new: NewSession, *, actor: Actor, policy: Policy, now: datetime) -> int:
    """Enter a session and the job that computes it after its end; the id comes back. As `enter_session`."""
    return enter_session(tx, new, actor=actor, policy=policy, now=now).id


def enter_session(tx: Tx, new: NewSession, *, actor: Actor, policy: Policy, now: datetime) -> Entered:
    """Enter a session and the job that computes it after its end.

    Idempotency: the same session again is the same id. Raises: SessionInvalid when it has no zone, ends
    before it begins, names an hour that does not exist or happens twice, or when its reference names another
    session; PermissionDenied.
    """
    actor = require(tx, actor)
    starts_at, ends_at = to_instants(new)
    made_up = None if new.makes_up_for is None else find_session(tx, new.makes_up_for)
    facts = {
        "course": new.course,
        "feed": new.feed,
        "timezone": new.timezone,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "makes_up_for": made_up,
    }
    local = {"local_date": new.day, "local_start": new.starts, "local_end": new.ends}
    row = tx.execute(
        Q["session_insert"], {**facts, **local, "reference": new.reference, "now": now}
    ).fetchone()
    if row is None:
        return Entered(id=_entered_before(tx, new.reference, list(facts.values())), created=False)
    session_id = int(row[0])
    settle = timedelta(minutes=policy.attendance.settle_minutes if policy.attendance else 0)
    queue.enqueue(
        tx,
        "session.ended",
        {"session": session_id},
        key=f"attendance:{session_id}",
        entity=f"session:{session_id}",
        run_at=ends_at + settle,
    )
    audit.record(tx, "session.added", actor, ("session", session_ref(session_id)))
    return Entered(id=session_id, created=True)


def to_instants(new: NewSession) -> tuple[datetime, datetime]:
    """When a session begins and ends. Pure.

    One that ends at or before the hour of its start ends on the day after; hours that were swapped by mistake
    would make it longer than any class is. Raises: SessionInvalid.
    """
    if not new.timezone:
        raise SessionInvalid(
            f"The session {new.reference} has no time zone",
            next_step="Give an IANA name such as America/Lima.",
        )
    try:
        zone = get_zone(new.timezone)
        starts_at = to_instant(new.day, new.starts, zone, fold=new.fold)
        ends_at = to_instant(_last_day(new), new.ends, zone, fold=new.fold)
    except (InvalidTime, ConfigurationError) as error:
        raise SessionInvalid(
            f"The session {new.reference} has no instant: {error.message}", next_step=error.next_step
        ) from error
    lasts = ends_at - starts_at
    if not timedelta(0) < lasts <= MAX_LENGTH:
        raise SessionInvalid(
            f"The session {new.reference} ends before it begins, or would last {_in_hours(lasts)}",
            next_step="Correct its hours; a class may end after midnight, and last twelve hours at most.",
        )
    return starts_at, ends_at


def _in_hours(lasts: timedelta) -> str:
    minutes = lasts // timedelta(minutes=1)
    return f"{minutes // 60} h {minutes % 60:02} min"


def _last_day(new: NewSession) -> date:
    return new.day if new.starts < new.ends else new.day + timedelta(days=1)


def find_session(tx: Tx, reference: str) -> int:
    """The session of a reference. Raises: SessionInvalid when there is none."""
    row = tx.execute(Q["session_find_by_reference"], {"reference": reference}).fetchone()
    if row is None:
        raise unknown_session(repr(reference[:120]))
    return int(row[0])


def unknown_session(name: str) -> SessionInvalid:
    """The refusal of a session that is not there."""
    return SessionInvalid(f"There is no session {name}", next_step="See `wmctl attendance list`.")


def lock_session(tx: Tx, session_id: int) -> Session:
    """One session, held until the transaction ends. Raises: SessionInvalid when there is none."""
    with tx.cursor(row_factory=class_row(Session)) as cursor:
        row = cursor.execute(Q["session_lock"], {"session_id": session_id}).fetchone()
    if row is None:
        raise unknown_session(session_ref(session_id))
    return row


def cancel_held(tx: Tx, session: Session, *, reason: str, now: datetime) -> bool:
    """The session did not take place; the caller holds it. False when it is cancelled already.

    Its job is cancelled with it. Raises: InvalidInput without a reason.
    """
    if not 1 <= len(reason.strip()) <= _MAX_REASON_CHARS:
        raise InvalidInput(
            f"{session_ref(session.id)} cannot be cancelled without a reason",
            next_step="Write it in one sentence.",
        )
    facts = {"session_id": session.id, "reason": reason.strip(), "now": now}
    queue.cancel(tx, entity=f"session:{session.id}")
    return tx.execute(Q["session_cancel"], facts).fetchone() is not None


# --- Evidence ---------------------------------------------------------------------------------------------


def record_checkins(tx: Tx, readings: Sequence[Reading], *, now: datetime) -> Recorded:
    """Write down what readers saw, whoever it names: what counts is decided later.

    Idempotency: unique by the reader's own id. Raises: InvalidInput for too many at once,
    IdempotencyConflict when an id comes again with other content; then none is recorded.
    """
    if len(readings) > MAX_READINGS:
        raise InvalidInput(f"{len(readings)} check-ins are too many at once", next_step="Send 1000 at most.")
    new = sum(_record(tx, reading, now) for reading in readings)
    return Recorded(recorded=new, known=len(readings) - new)


def check_in_by_hand(tx: Tx, session_id: int, reading: Reading, *, actor: Actor, now: datetime) -> Recorded:
    """A member saw a student come: a check-in of this session like a reader's, on record with who says so.

    Idempotency: as `record_checkins`. Raises: SessionInvalid, NotFound (student), PermissionDenied.
    """
    actor = require(tx, actor)
    session = lock_session(tx, session_id)
    find_student(tx, reading.student)
    named = reading.model_copy(update={"session": session.reference})
    recorded = record_checkins(tx, [named], now=now)
    if recorded.recorded:
        audit.record(tx, "attendance.checked_in", actor, ("session", session_ref(session_id)))
    return recorded


def record_heartbeat(tx: Tx, beat: Beat, *, now: datetime) -> bool:
    """A reader lives. False when that was known.

    Raises: InvalidTime for one from the future, or that claims to have delivered what it has not seen yet.
    """
    if beat.synced_until > beat.at or beat.at > now + timedelta(minutes=1):
        raise InvalidTime(
            f"The heartbeat of {beat.source} is ahead of time", next_step="Correct the reader's clock."
        )
    facts = {**beat.model_dump(), "now": now}
    return tx.execute(Q["heartbeat_insert"], facts).fetchone() is not None


def add_excuse(tx: Tx, session_id: int, student: str, *, actor: Actor, reason: str, now: datetime) -> bool:
    """A student's absence from one session is excused; the next computation knows it. False when it was.

    Raises: SessionInvalid, NotFound (student), InvalidInput without a reason, PermissionDenied.
    """
    actor = require(tx, actor)
    if not 1 <= len(reason.strip()) <= _MAX_REASON_CHARS:
        raise InvalidInput(
            "An absence is not excused without a reason", next_step="Write it in one sentence."
        )
    lock_session(tx, session_id)
    facts = {
        "session_id": session_id,
        "student_id": find_student(tx, student),
        "reason": reason.strip(),
        "actor_type": actor.type,
        "actor_id": actor.id,
        "now": now,
    }
    if tx.execute(Q["excuse_insert"], facts).fetchone() is None:
        return False
    audit.record(tx, "attendance.excused", actor, ("session", session_ref(session_id)))
    return True


def _record(tx: Tx, reading: Reading, now: datetime) -> bool:
    if tx.execute(Q["checkin_insert"], {**reading.model_dump(), "now": now}).fetchone() is not None:
        return True
    facts = {"source": reading.source, "source_id": reading.source_id}
    known = tx.execute(Q["checkin_find"], facts).fetchone()
    if known != (reading.student, reading.session, reading.kind, reading.at):
        raise IdempotencyConflict(
            f"{reading.source} sent another check-in under the id {reading.source_id}",
            next_step="Give each thing the reader sees an id of its own.",
        )
    return False


def _student(tx: Tx, reference: str) -> tuple[int, str, int]:
    row = tx.execute(Q["student_find"], {"reference": reference}).fetchone()
    if row is None:
        raise NotFound(f"There is no student {reference[:120]!r}", next_step="Enter the student first.")
    return int(row[0]), str(row[1]), int(row[2])


def _entered_before(tx: Tx, reference: str, asked: list[object]) -> int:
    row = tx.execute(Q["session_find_by_reference"], {"reference": reference}).fetchone()
    if row is None or list(row[1:]) != asked:
        raise SessionInvalid(
            f"The reference {reference} names another session", next_step="Use one reference a session."
        )
    return int(row[0])


def require(tx: Tx, actor: Actor) -> Actor:
    """The customer's own loaders (`system`) enter what its school system says; people need the permission.

    Raises: PermissionDenied.
    """
    return actor if actor.type == "system" else members.require(tx, actor, Permission.ATTENDANCE_DECIDE)
