"""Looking at students: who they are, which courses they attend, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from platform_core.attendance.sessions import Q, find_student
from platform_core.db import Tx


@dataclass(frozen=True, slots=True)
class StudentSummary:
    """One student, with the courses they attend now."""

    id: int
    reference: str
    name: str
    contact_id: int
    courses: list[str]


@dataclass(frozen=True, slots=True)
class EnrolmentEntry:
    """One course of a student; `valid_to` is None while nobody knows the end."""

    course: str
    valid_from: datetime
    valid_to: datetime | None


@dataclass(frozen=True, slots=True)
class StudentSession:
    """One student in one session, by the version that counts."""

    session_id: int
    reference: str
    course: str
    timezone: str
    starts_at: datetime
    status: str
    late_minutes: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class StudentDetail:
    """One student with their courses and their last sessions, newest first."""

    id: int
    reference: str
    enrolments: list[EnrolmentEntry]
    sessions: list[StudentSession]


def list_students(
    tx: Tx, *, now: datetime, course: str | None = None, limit: int = 50
) -> list[StudentSummary]:
    """Students by name: all, or those who attend a course now."""
    with tx.cursor(row_factory=class_row(StudentSummary)) as cursor:
        return cursor.execute(Q["student_list"], {"at": now, "course": course, "limit": limit}).fetchall()


def get_student(tx: Tx, reference: str, *, limit: int = 20) -> StudentDetail:
    """One student. Raises: NotFound."""
    facts = {"student_id": find_student(tx, reference), "limit": limit}
    with tx.cursor(row_factory=class_row(EnrolmentEntry)) as cursor:
        enrolments = cursor.execute(Q["enrolment_list"], facts).fetchall()
    with tx.cursor(row_factory=class_row(StudentSession)) as cursor:
        sessions = cursor.execute(Q["result_list_of_student"], facts).fetchall()
    return StudentDetail(facts["student_id"], reference, enrolments, sessions)
