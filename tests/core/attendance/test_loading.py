"""An office's sheets: every row is judged, all are entered or none, and again changes nothing."""

from __future__ import annotations

import unicodedata
from datetime import UTC, date, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_core import audit
from platform_core.attendance import loading, sheets
from platform_core.attendance.loading import Loaded
from platform_core.errors import InvalidInput, PermissionDenied
from tests.support.attendance import BRUNO, DIEGO, School

STUDENTS = """referencia;nombre;teléfono;curso;desde;hasta
118;Sofía;+56 9 0000 0011;Robótica;01-03-2026;
118;Sofía;+56 9 0000 0011;Ajedrez;2026-03-01;2026-07-01
119;Mateo;+56900000012;;;
"""
SESSIONS = """reference,course,reader,day,starts,ends
rob/1,Robótica,door-1,2026-03-02,15:00,16:00
night,Robótica,door-1,2/3/2026,23:00,0:30
"""
ATTENDANCE = ("student", "enrolment", "session")


def students(school: School, text: str | bytes = STUDENTS) -> Loaded:
    """Load a sheet of students."""
    content = text if isinstance(text, bytes) else text.encode()
    with school.tx() as tx:
        return loading.load_students(tx, content, actor=BRUNO, policy=school.policy, now=school.clock.now())


def classes(school: School, text: str = SESSIONS) -> Loaded:
    """Load a sheet of classes."""
    with school.tx() as tx:
        return loading.load_sessions(
            tx, text.encode(), actor=BRUNO, policy=school.policy, now=school.clock.now()
        )


def counts(school: School) -> list[object]:
    """How many rows there are of each kind, contacts and audit entries included."""
    tables = [f"attendance.{table}" for table in ATTENDANCE] + ["messaging.contact", "jobs.job"]
    return [school.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in tables]


def faults(error: InvalidInput) -> list[tuple[int, str, str]]:
    """Line, column and reason of everything that is wrong."""
    found = error.facts["faults"]
    assert isinstance(found, tuple)
    return [(one.line, one.column, one.reason) for one in found]


def actions(school: School) -> list[str]:
    """What the trail says was done, oldest first."""
    with school.tx() as tx:
        found = [entry.action for entry in audit.list_entries(tx, limit=100)]
    return [action for action in reversed(found) if not action.startswith(("policy", "member"))]


def test_a_sheet_of_students_enters_them_with_their_families_and_courses(school: School) -> None:
    """Two students, two families, two courses; days begin at midnight in Santiago."""
    assert students(school) == Loaded(rows=3, students=2, enrolments=2)

    assert school.rows(
        "SELECT s.reference, s.name, c.phone FROM attendance.student s"
        " JOIN messaging.contact c ON c.id = s.contact_id ORDER BY 1"
    ) == [
        {"reference": "118", "name": "Sofía", "phone": "+56900000011"},
        {"reference": "119", "name": "Mateo", "phone": "+56900000012"},
    ]
    assert school.rows("SELECT course, valid_from, valid_to FROM attendance.enrolment ORDER BY 1") == [
        {
            "course": "Ajedrez",
            "valid_from": datetime(2026, 3, 1, 3, tzinfo=UTC),
            "valid_to": datetime(2026, 7, 1, 4, tzinfo=UTC),
        },
        {"course": "Robótica", "valid_from": datetime(2026, 3, 1, 3, tzinfo=UTC), "valid_to": None},
    ]
    assert actions(school) == [
        "student.added", "enrolment.added", "enrolment.added", "student.added", "attendance.loaded",
    ]  # fmt: skip


def test_a_sheet_of_classes_enters_them_with_the_jobs_that_compute_them(school: School) -> None:
    """One of them goes over midnight; nobody is enrolled yet, and that is said."""
    assert classes(school) == Loaded(
        rows=2, sessions=2, notes=("Nobody is enrolled in 'Robótica': is it written so elsewhere?",)
    )
    assert school.rows("SELECT reference, starts_at, ends_at FROM attendance.session ORDER BY id") == [
        {
            "reference": "rob/1",
            "starts_at": datetime(2026, 3, 2, 18, tzinfo=UTC),
            "ends_at": datetime(2026, 3, 2, 19, tzinfo=UTC),
        },
        {
            "reference": "night",
            "starts_at": datetime(2026, 3, 3, 2, tzinfo=UTC),
            "ends_at": datetime(2026, 3, 3, 3, 30, tzinfo=UTC),
        },
    ]
    assert len(school.jobs("session.ended")) == 2


def test_a_sheet_that_is_loaded_again_changes_nothing_and_one_that_has_grown_adds_what_is_new(
    school: School,
) -> None:
    """Not even an entry in the trail; an end that was open is set."""
    students(school)
    classes(school)
    before, trail = counts(school), actions(school)

    assert (students(school), classes(school)) == (Loaded(rows=3), Loaded(rows=2))
    assert (counts(school), actions(school)) == (before, trail)

    grown = STUDENTS.replace("01-03-2026;\n", "01-03-2026;2026-12-15\n") + "120;Isidora;+56900000013;;;\n"
    assert students(school, grown) == Loaded(rows=4, students=1, enrolments=1)
    assert actions(school)[len(trail) :] == ["enrolment.ended", "student.added", "attendance.loaded"]


@pytest.mark.parametrize(
    "content",
    [
        STUDENTS.encode(),
        b"\xef\xbb\xbf" + STUDENTS.encode(),
        STUDENTS.replace("\n", "\r\n").encode(),
        STUDENTS.replace(";", ",").encode(),
        STUDENTS.replace(";", "\t").encode(),
        b"sep=;\r\n" + STUDENTS.encode(),
        unicodedata.normalize("NFD", STUDENTS).encode(),
        STUDENTS.replace("Sofía", '"Sofía"').replace(" 9 ", "\xa09 ").encode(),
        STUDENTS.replace("\n", ";;\n").replace("hasta;;", "hasta").encode(),
        STUDENTS.replace("referencia", " REFERENCIA ").replace("\n", "\n\n").encode(),
        f"reference;name;phone;course;from;until\n{STUDENTS.partition(chr(10))[2]}".encode(),
    ],
    ids=[
        "plain", "mark", "crlf", "comma", "tab", "sep line", "decomposed", "quoted", "padded", "loose",
        "english",
    ],
)  # fmt: skip
def test_what_excel_makes_of_a_sheet_is_read_the_same(school: School, content: bytes) -> None:
    """The same rows, in every way an office saves them."""
    assert students(school, content) == Loaded(rows=3, students=2, enrolments=2)
    assert school.rows("SELECT name FROM attendance.student ORDER BY 1") == [
        {"name": "Mateo"},
        {"name": "Sofía"},
    ]


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("a b;Sofía;+56900000011;;;", ("reference", "The NewStudent field reference is not usable")),
        (";Sofía;+56900000011;;;", ("reference", "is empty")),
        ("1;;+56900000011;;;", ("name", "is empty")),
        ("1;" + "x" * 121 + ";+56900000011;;;", ("name", "is longer than 120 characters")),
        ("1;So\x07fía;+56900000011;;;", ("name", "cannot be printed")),
        ("1;Sofía;912345678;;;", ("phone", "is no phone number with its country")),
        ("1;Sofía;5,69E+10;;;", ("phone", "is no phone number with its country")),
        ("1;Sofía;;;;", ("phone", "is no phone number with its country")),
        ("1;Sofía;+56900000011;Robótica;;", ("from", "is empty: from which day on")),
        ("1;Sofía;+56900000011;Robótica;ayer;", ("from", "is no day")),
        ("1;Sofía;+56900000011;Robótica;31-02-2026;", ("from", "is a day that no calendar has")),
        ("1;Sofía;+56900000011;Robótica;0001-01-01;", ("from", "is not a day of this century")),
        ("1;Sofía;+56900000011;Robótica;01-03-2026;9999-12-31", ("until", "is not a day of this century")),
        ("1;Sofía;+56900000011;Robótica;2026-03-02;2026-03-01", ("until", "would leave Robótica before")),
        ("118;Otra;+56900000011;;;", ("reference", "names another student")),
        ("118;Sofía;+56900000099;;;", ("reference", "names another student")),
        ("1;Sofía;+56900000011;;;;;x", ("", "has 8 cells under 6 columns")),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_with_line_column_and_reason_and_nothing_is_entered(
    school: School, row: str, wrong: tuple[str, str]
) -> None:
    """Also not the good rows before it and after it."""
    before = counts(school)

    with pytest.raises(InvalidInput, match="Nothing was entered: 1 things") as refused:
        students(school, f"{STUDENTS}{row}\n120;Isidora;+56900000013;;;\n")

    ((line, column, reason),) = faults(refused.value)
    assert (line, column) == (5, wrong[0])
    assert wrong[1] in reason
    assert counts(school) == before


def test_everything_that_is_wrong_is_said_at_once(school: School) -> None:
    """An office corrects a sheet once, not once a row."""
    with pytest.raises(InvalidInput) as refused:
        classes(
            school,
            SESSIONS
            + "x,,door 1,2026-03-02,25:00,16:00\n"
            + "rob/1,Ajedrez,door-1,2026-03-02,15:00,16:00\n"
            + "y,Robótica,door-1,2026-09-06,00:30,02:00\n"
            + "z,Robótica,door-1,2026-03-02,16:00,15:00\n"
            + "w,Robótica,door-1,2026-04-04,23:30,00:30\n",
        )

    assert [(line, column) for line, column, _ in faults(refused.value)] == [
        (4, "course"), (4, "starts"), (5, ""), (6, ""), (7, ""), (8, ""),
    ]  # fmt: skip
    assert [reason.split(" ")[2:6] for *_, reason in faults(refused.value)][2:] == [
        ["rob/1", "names", "another", "session."],
        ["y", "has", "no", "instant:"],
        ["z", "ends", "before", "it"],
        ["w", "has", "no", "instant:"],
    ]
    assert school.rows("SELECT id FROM attendance.session") == []


def test_the_hour_that_happens_twice_is_chosen_by_a_column(school: School) -> None:
    """The second of two half past elevens is an hour before half past midnight."""
    header, row = "reference,course,reader,day,starts,ends,which", "w,Robótica,door-1,2026-04-04,23:30,00:30"
    classes(school, f"{header}\n{row},2\n")

    assert school.rows("SELECT ends_at - starts_at AS lasts FROM attendance.session")[0]["lasts"] == datetime(
        2026, 1, 1, 1, tzinfo=UTC
    ) - datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        ("referencia;nombre;teléfono\n118;Sofía;+56900000011".encode("cp1252"), "not UTF-8"),
        (STUDENTS.encode("utf-16"), "not UTF-8"),
        (b"PK\x03\x04\x00\x00workbook", "is no text"),
        (b'reference;name;phone\n1;"Sof', "cannot be read"),
        (b"x" * (sheets.MAX_SHEET_BYTES + 1), "larger than 2 MB"),
        (b"reference;name;phone\n" + b"1;S;+56900000011\n" * (sheets.MAX_ROWS + 1), "has 5001 rows"),
        (b"reference;name\n1;S\n", "phone: is missing in the first line"),
        (b"reference;name;phone;shoe\n1;S;+56900000011;7\n", "shoe: is no column that is known"),
        (b"reference;name;phone;nombre\n1;S;+56900000011;T\n", "nombre: stands there twice"),
    ],
)
def test_what_is_no_sheet_is_refused_with_what_to_do(school: School, content: bytes, says: str) -> None:
    """Nothing is guessed: not an encoding, not a column."""
    with pytest.raises(InvalidInput) as refused:
        students(school, content)

    assert says in refused.value.message
    assert refused.value.next_step
    assert school.rows("SELECT id FROM attendance.student") == []


def test_who_may_not_enter_may_not_load(school: School) -> None:
    """Before a single row is judged."""
    for load in (loading.load_students, loading.load_sessions):
        with pytest.raises(PermissionDenied), school.tx() as tx:
            load(tx, b"not a sheet", actor=DIEGO, policy=school.policy, now=school.clock.now())


@given(content=st.binary(max_size=300) | st.text(alphabet='a1;,\t"\n\r=+-:áé ', max_size=300).map(str.encode))
def test_whatever_bytes_come_they_are_read_or_refused(content: bytes) -> None:
    """No other error, and never a row with another line's cells."""
    try:
        rows, _ = sheets.read_sheet(content, sheets.STUDENTS)
    except InvalidInput:
        return
    assert all(set(row.cells) == {column.name for column in sheets.STUDENTS} for row in rows)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-03-02", date(2026, 3, 2)),
        ("02-03-2026", date(2026, 3, 2)),
        ("2/3/2026", date(2026, 3, 2)),
        ("2.3.2026", date(2026, 3, 2)),
    ],
)
def test_days_are_read_day_first(text: str, day: date) -> None:
    """As they are written where these customers are; the month never comes first."""
    assert sheets.read_day(text) == day


def test_hours_are_read_with_and_without_seconds() -> None:
    """And with one digit."""
    assert [sheets.read_hour(text) for text in ("15:00", "9:05", "15:00:30")] == [
        time(15), time(9, 5), time(15, 0, 30),
    ]  # fmt: skip
