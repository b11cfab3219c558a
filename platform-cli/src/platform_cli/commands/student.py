"""`wmctl student`: who is enrolled where, and which family hears of an absence."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from platform_cli import render
from platform_cli.options import As, AsJson, Customer, Limit, noun
from platform_cli.sheets import DryRun, SheetFile, load_sheet
from platform_cli.site import member, open_site
from platform_core.attendance import loading, rosters, sessions, sheets
from platform_core.attendance.contracts import NewEnrolment, NewStudent, session_ref
from platform_core.errors import InvalidInput
from platform_core.messaging import contacts
from platform_core.messaging.contracts import Party
from platform_core.payments.contracts import read_contract
from platform_core.values import Clock

app = noun("Students: their courses, and whom to tell.")

StudentName = Annotated[str, typer.Argument(metavar="STUDENT", help="The student's own reference.")]
Course = Annotated[str, typer.Option("--course", help="As the classes are named, such as Piano.")]


@app.command("list")
def list_(
    customer: Customer = None,
    course: Annotated[str | None, typer.Option(help="Only who attends it now.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show students by name, with the courses they attend now.

    Example: wmctl student list --course Piano
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = rosters.list_students(tx, now=platform.clock.now(), course=course, limit=limit)
    if as_json:
        render.document(found)
        return
    rows = [(one.reference, one.name, ", ".join(one.courses)) for one in found]
    render.table("Students", ("student", "name", "attends"), rows, summary=f"{len(found)} students.")


@app.command("show")
def show(student: StudentName, customer: Customer = None, as_json: AsJson = False) -> None:
    """Show one student: the courses, and the last classes.

    Example: wmctl student show 118
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        zone = ZoneInfo(platform.policy().customer.timezone)
        found = rosters.get_student(tx, student)
    if as_json:
        render.document(found)
        return
    courses = [(e.course, _day(e.valid_from, zone), _day(e.valid_to, zone)) for e in found.enrolments]
    render.table(f"Courses of {student}", ("course", "from", "until"), courses)
    classes = [
        (
            session_ref(one.session_id),
            one.course,
            f"{one.starts_at.astimezone(ZoneInfo(one.timezone)):%Y-%m-%d %H:%M}",
            one.status,
            one.late_minutes,
            one.reason,
        )
        for one in found.sessions
    ]
    render.table("Last classes", ("class", "course", "began", "status", "late min", "why"), classes)


@app.command("add")
def add(
    as_: As,
    reference: Annotated[str, typer.Option(help="Your own, unique to this student.")],
    name: Annotated[str, typer.Option(help="As the family reads it.")],
    phone: Annotated[str, typer.Option(help="Who hears of an absence, such as +56900000011.")],
    customer: Customer = None,
) -> None:
    """Enter a student. The same again changes nothing.

    Example: wmctl student add --as bruno --reference 118 --name Sofía --phone +56900000011
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        now = platform.clock.now()
        contact_id = contacts.find_or_create(tx, Party(phone=phone), now)
        facts = {"reference": reference, "name": name, "contact_id": contact_id}
        new = read_contract(NewStudent, facts)
        entered = sessions.enter_student(tx, new, actor=member(as_), now=now)
    render.good(f"{reference} is {'entered' if entered.created else 'already_entered'}.")


@app.command("enrol")
def enrol(
    student: StudentName,
    as_: As,
    course: Course,
    since: Annotated[str, typer.Option("--from", help="First day, such as 2026-03-01; default: today.")] = "",
    customer: Customer = None,
) -> None:
    """Enrol a student in a course. Classes that began before are not touched.

    Example: wmctl student enrol 118 --as bruno --course Piano --from 2026-03-01
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        zone = platform.policy().customer.timezone
        joins = _midnight("--from", since, zone, platform.clock)
        new = read_contract(NewEnrolment, {"student": student, "course": course, "valid_from": joins})
        created = sessions.enrol(tx, new, actor=member(as_))
    render.good(f"{student} is {'enrolled' if created else 'already_enrolled'} in {course}.")


@app.command("leave")
def leave(
    student: StudentName,
    as_: As,
    course: Course,
    on: Annotated[str, typer.Option(help="First day without it, such as 2026-07-01; default: today.")] = "",
    customer: Customer = None,
) -> None:
    """End an enrolment. Classes that began before stay as they are.

    Example: wmctl student leave 118 --as bruno --course Piano --on 2026-07-01
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        zone = platform.policy().customer.timezone
        leaves = _midnight("--on", on, zone, platform.clock)
        ended = sessions.end_enrolment(tx, student, course, actor=member(as_), valid_to=leaves)
    if not ended:
        render.good(f"{student} was not enrolled in {course} then; nothing was changed.")
        return
    render.good(f"{student} has left {course}.")


@app.command("import")
def import_(
    file: SheetFile, as_: As, dry_run: DryRun = False, customer: Customer = None, as_json: AsJson = False
) -> None:
    """Enter the students of a sheet and their courses: all of them, or none when a row is wrong.

    The first line names the columns: reference, name, phone, and if you like course, from, until; in Spanish
    referencia, nombre, teléfono, curso, desde, hasta.

    Example: wmctl student import alumnos.csv --as bruno --dry-run
    """
    load_sheet(loading.load_students, file, customer, actor=member(as_), dry_run=dry_run, as_json=as_json)


def _midnight(option: str, text: str, timezone: str, clock: Clock) -> datetime:
    zone = ZoneInfo(timezone)
    try:
        day = sheets.read_day(text) if text else clock.now().astimezone(zone).date()
    except sheets.NoSuchCell as error:
        raise InvalidInput(f"{option} {error}") from None
    return loading.begin_of(day, zone)


def _day(at: datetime | None, zone: ZoneInfo) -> str:
    return "" if at is None else f"{at.astimezone(zone):%Y-%m-%d}"
