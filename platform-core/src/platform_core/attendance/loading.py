"""Loading an office's sheets: every row is judged, and all of them are entered or none is.

Both verbs write in the caller's transaction and raise when a row is wrong; who opened it rolls back. A trial
is the same call in a transaction that is rolled back in the end. A sheet that was loaded changes nothing when
it is loaded again, and one that has grown adds what is new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from platform_core import audit
from platform_core.attendance import sessions, sheets
from platform_core.attendance.contracts import NewEnrolment, NewSession, NewStudent
from platform_core.attendance.sessions import Q
from platform_core.attendance.sheets import Fault, Row, cell
from platform_core.db import Tx
from platform_core.errors import IdempotencyConflict, InvalidInput, NotFound
from platform_core.messaging import contacts
from platform_core.messaging.contracts import Party
from platform_core.payments.contracts import read_contract
from platform_core.payments.local_time import get_zone, to_reminder_instant
from platform_core.tenancy.policy import Policy
from platform_core.values import Actor


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a sheet came to. `notes` are what a person should look at although nothing is wrong."""

    rows: int
    students: int = 0
    enrolments: int = 0
    sessions: int = 0
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Loading:
    """One sheet on its way in."""

    tx: Tx
    actor: Actor
    policy: Policy
    now: datetime
    faults: list[Fault] = field(default_factory=list)
    students: int = 0
    enrolments: int = 0
    sessions: int = 0


def load_students(tx: Tx, content: bytes, *, actor: Actor, policy: Policy, now: datetime) -> Loaded:
    """Enter the students of a sheet, whom to tell, and their courses from a day on.

    Columns: `sheets.STUDENTS`. A student with several courses has several rows. Days begin at the customer's
    midnight; `until` is the first day on which they do not come any more.
    Raises: InvalidInput, whose fact `faults` names line, column and reason of everything that is wrong;
    PermissionDenied.
    """
    loading = _Loading(tx, sessions.require(tx, actor), policy, now)
    rows, loading.faults = sheets.read_sheet(content, sheets.STUDENTS)
    for row in rows:
        _load_student(loading, row)
    return _finish(loading, content, rows)


def load_sessions(tx: Tx, content: bytes, *, actor: Actor, policy: Policy, now: datetime) -> Loaded:
    """Enter the classes of a sheet, each with the job that computes it after its end.

    Columns: `sheets.SESSIONS`; without a zone the customer's own holds. Raises: as `load_students`.
    """
    loading = _Loading(tx, sessions.require(tx, actor), policy, now)
    rows, loading.faults = sheets.read_sheet(content, sheets.SESSIONS)
    for row in rows:
        _load_session(loading, row)
    courses = sorted({row.cells["course"] for row in rows})
    return _finish(loading, content, rows, notes=() if loading.faults else _deserted(tx, courses))


def _load_student(loading: _Loading, row: Row) -> None:
    before = len(loading.faults)
    reference = cell(row, "reference", sheets.read_text, loading.faults)
    name = cell(row, "name", sheets.read_text, loading.faults)
    phone = cell(row, "phone", sheets.read_phone, loading.faults)
    course = cell(row, "course", sheets.read_optional, loading.faults)
    joins = cell(row, "from", sheets.read_optional_day, loading.faults)
    leaves = cell(row, "until", sheets.read_optional_day, loading.faults)
    if course and joins is None and row.cells["from"] == "":
        loading.faults.append(Fault(row.line, "from", "is empty: from which day on is the student enrolled?"))
    if len(loading.faults) > before:
        return
    try:
        contact_id = contacts.find_or_create(loading.tx, Party(phone=phone), loading.now)
        facts = {"reference": reference, "name": name, "contact_id": contact_id}
        new = read_contract(NewStudent, facts)
        entered = sessions.enter_student(loading.tx, new, actor=loading.actor, now=loading.now)
        loading.students += entered.created
    except (InvalidInput, IdempotencyConflict) as error:
        loading.faults.append(Fault(row.line, "reference", error.one_line()))
        return
    if course and joins is not None:
        _load_enrolment(loading, row, new.reference, joins, leaves)


def _load_enrolment(loading: _Loading, row: Row, student: str, joins: date, leaves: date | None) -> None:
    zone = get_zone(loading.policy.customer.timezone)
    facts = {
        "student": student,
        "course": row.cells["course"],
        "valid_from": begin_of(joins, zone),
        "valid_to": None if leaves is None else begin_of(leaves, zone),
    }
    try:
        new = read_contract(NewEnrolment, facts)
        loading.enrolments += sessions.enrol(loading.tx, new, actor=loading.actor)
    except (InvalidInput, IdempotencyConflict) as error:
        loading.faults.append(Fault(row.line, "until", error.one_line()))


def _load_session(loading: _Loading, row: Row) -> None:
    before = len(loading.faults)
    facts: dict[str, object] = {
        "reference": cell(row, "reference", sheets.read_text, loading.faults),
        "course": cell(row, "course", sheets.read_text, loading.faults),
        "feed": cell(row, "reader", sheets.read_text, loading.faults),
        "day": cell(row, "day", sheets.read_day, loading.faults),
        "starts": cell(row, "starts", sheets.read_hour, loading.faults),
        "ends": cell(row, "ends", sheets.read_hour, loading.faults),
        "timezone": row.cells["zone"] or loading.policy.customer.timezone,
        "fold": cell(row, "which", sheets.read_which, loading.faults),
        "makes_up_for": row.cells["makes_up_for"] or None,
    }
    if len(loading.faults) > before:
        return
    try:
        new = read_contract(NewSession, facts)
        entered = sessions.enter_session(
            loading.tx, new, actor=loading.actor, policy=loading.policy, now=loading.now
        )
        loading.sessions += entered.created
    except (InvalidInput, NotFound) as error:
        loading.faults.append(Fault(row.line, "", error.one_line()))


def _finish(loading: _Loading, content: bytes, rows: Sequence[Row], notes: tuple[str, ...] = ()) -> Loaded:
    if loading.faults:
        faults = tuple(sorted(loading.faults, key=lambda one: one.line))
        first = faults[0]
        raise InvalidInput(
            f"Nothing was entered: {len(faults)} things are wrong, the first in line {first.line}, "
            f"{first.column or 'the whole of it'}: {first.reason}",
            next_step="See all of them with --dry-run, correct them and load the whole sheet again.",
            faults=faults,
        )
    loaded = Loaded(len(rows), loading.students, loading.enrolments, loading.sessions, notes)
    added = {"students": loaded.students, "enrolments": loaded.enrolments, "sessions": loaded.sessions}
    if any(added.values()):
        sheet = ("sheet", f"sha256:{hashlib.sha256(content).hexdigest()[:16]}")
        audit.record(loading.tx, "attendance.loaded", loading.actor, sheet, detail=added)
    return loaded


def _deserted(tx: Tx, courses: Sequence[str]) -> tuple[str, ...]:
    """Courses of classes that nobody attends: most likely they are written in another way elsewhere."""
    rows = tx.execute(Q["course_list_deserted"], {"courses": list(courses)}).fetchall()
    return tuple(f"Nobody is enrolled in {row[0]!r}: is it written so elsewhere?" for row in rows)


def begin_of(day: date, zone: ZoneInfo) -> datetime:
    """When a day begins; where clocks skip midnight, the first instant after it."""
    return to_reminder_instant(day, time(0), zone)
