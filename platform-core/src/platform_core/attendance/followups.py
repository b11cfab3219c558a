"""What families are told of absences: once, and taken back once.

    absent ── align ──▶ queued ── corrected, and nobody can have read it ──▶ cancelled
                          └────── corrected, and somebody may have ───────▶ apologised

The row of the outbox decides who is first: a send that has begun is past cancelling and is apologised for;
one that has not is cancelled and never begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from psycopg.rows import class_row

from platform_core.attendance.compute import Session, StudentResult
from platform_core.attendance.contracts import FollowUpCounts, session_ref
from platform_core.attendance.lifecycle import FollowUpState, Status
from platform_core.attendance.sessions import Q
from platform_core.db import Tx
from platform_core.messaging import contacts, outbound
from platform_core.messaging.attention import raise_alert
from platform_core.messaging.lifecycle import OutboxState
from platform_core.tenancy.policy import Policy

_NEVER_READ = frozenset({OutboxState.CANCELLED, OutboxState.SUPPRESSED, OutboxState.FAILED})


@dataclass(frozen=True, slots=True)
class FollowUp:
    """One message about one absence that stands."""

    id: int
    student_id: int
    version: int
    state: FollowUpState
    outbox_id: int

    def __post_init__(self) -> None:
        """Name the state; an unknown one is a schema newer than this code."""
        object.__setattr__(self, "state", FollowUpState(self.state))


def align(
    tx: Tx,
    session: Session,
    students: Sequence[StudentResult],
    version: int,
    *,
    policy: Policy,
    now: datetime,
) -> FollowUpCounts:
    """Bring what families were told in line with the newest version; the caller holds the session.

    A family hears of an absence once. After an apology nobody writes to it about this session again by
    itself: an alert asks a person to. Idempotency: a second call changes nothing.
    """
    told = {one.student_id: one for one in _list_open(tx, session.id)}
    window_hours = policy.attendance.correction_window_hours if policy.attendance else 0
    in_time = now <= session.ends_at + timedelta(hours=window_hours)
    statuses = {student.student_id: student.status for student in students}
    queued = cancelled = apologised = 0
    # Also those who were told and are not on the roster any more: nobody is absent from another's class.
    for student_id in sorted(statuses.keys() | told.keys()):
        before, status = told.get(student_id), statuses.get(student_id)
        absent = status is Status.ABSENT_UNEXCUSED
        if absent and before is None and in_time:
            queued += _tell(tx, session, student_id, version, policy=policy, now=now)
        elif absent and before is not None and before.state is FollowUpState.APOLOGISED:
            _ask_somebody(tx, session, student_id, version)
        elif not absent and before is not None and before.state is FollowUpState.QUEUED:
            known = status is not Status.UNDETERMINED
            match _take_back(tx, session, before, apologise=known, policy=policy, now=now):
                case FollowUpState.CANCELLED:
                    cancelled += 1
                case FollowUpState.APOLOGISED:
                    apologised += 1
                case _:
                    pass
    return FollowUpCounts(queued=queued, cancelled=cancelled, apologised=apologised)


def take_all_back(tx: Tx, session: Session, *, policy: Policy, now: datetime) -> FollowUpCounts:
    """The session did not take place: nobody was absent from it. Idempotency: a second call finds none."""
    results = [
        _take_back(tx, session, one, apologise=True, policy=policy, now=now)
        for one in _list_open(tx, session.id)
        if one.state is FollowUpState.QUEUED
    ]
    return FollowUpCounts(
        cancelled=results.count(FollowUpState.CANCELLED), apologised=results.count(FollowUpState.APOLOGISED)
    )


def still_absent(tx: Tx, subject_id: str) -> bool:
    """Whether a follow-up whose message is about to be sent still stands.

    Nothing is locked: a correction waits for the outbox row that the sender holds, so it cannot pass by.
    """
    row = tx.execute(Q["follow_up_find"], {"follow_up_id": int(subject_id)}).fetchone()
    return row is not None and row[0] == FollowUpState.QUEUED


def _list_open(tx: Tx, session_id: int) -> list[FollowUp]:
    with tx.cursor(row_factory=class_row(FollowUp)) as cursor:
        return cursor.execute(Q["follow_up_list_open"], {"session_id": session_id}).fetchall()


def _tell(tx: Tx, session: Session, student_id: int, version: int, *, policy: Policy, now: datetime) -> int:
    facts = {"student_id": student_id, "session_id": session.id, "version": version, "now": now}
    row = tx.execute(Q["follow_up_insert"], facts).fetchone()
    if row is None:
        return 0
    follow_up_id = int(row[0])
    contact_id, words = _words(tx, session, student_id)
    outbox_id = outbound.queue_message(
        tx,
        purpose="attendance.absent",
        contact_id=contact_id,
        dedupe_key=f"attendance.absent:{follow_up_id}",
        values=words,
        policy=policy,
        now=now,
        subject=("follow_up", str(follow_up_id)),
        recheck="absence",
    ).outbox_id
    tx.execute(Q["follow_up_name_message"], {"follow_up_id": follow_up_id, "outbox_id": outbox_id})
    return 1


def _take_back(
    tx: Tx, session: Session, told: FollowUp, *, apologise: bool, policy: Policy, now: datetime
) -> FollowUpState:
    """Cancel the message, or apologise for one that may have been read; what came of it comes back."""
    outbound.cancel_queued(tx, now=now, subject=("follow_up", str(told.id)))
    if outbound.get_message(tx, told.outbox_id).state in _NEVER_READ:
        tx.execute(Q["follow_up_cancel"], {"follow_up_id": told.id, "now": now})
        return FollowUpState.CANCELLED
    if not apologise:
        return told.state
    contact_id, words = _words(tx, session, told.student_id)
    outbox_id = outbound.queue_message(
        tx,
        purpose="attendance.apology",
        contact_id=contact_id,
        dedupe_key=f"attendance.apology:{told.id}",
        values=words,
        policy=policy,
        now=now,
        subject=("apology", str(told.id)),
    ).outbox_id
    facts = {"follow_up_id": told.id, "outbox_id": outbox_id, "now": now}
    tx.execute(Q["follow_up_apologise"], facts)
    return FollowUpState.APOLOGISED


def _words(tx: Tx, session: Session, student_id: int) -> tuple[int, dict[str, str]]:
    """Whom a message about a student goes to, and what fills it: the hour is the one on the wall there."""
    row = tx.execute(Q["student_get"], {"student_id": student_id}).fetchone()
    if row is None:
        raise AssertionError("a result names only students that are there")
    name, contact_id = row
    local = session.starts_at.astimezone(ZoneInfo(session.timezone))
    words = {"pupil": name, "course": session.course, "date": f"{local:%d-%m-%Y}", "time": f"{local:%H:%M}"}
    return contacts.get_contact(tx, contact_id).id, words


def _ask_somebody(tx: Tx, session: Session, student_id: int, version: int) -> None:
    raise_alert(
        tx,
        "attendance.contradicted",
        severity="P2",
        subject=session_ref(session.id),
        once=f"{session.id}:{student_id}:{version}",
        dedupe=f"attendance.contradicted:{session.id}",
        detail={"student": student_id, "version": version},
    )
