"""`wmctl attendance`: who was in class, and what members say about it."""

from __future__ import annotations

from typing import Annotated
from uuid import uuid4
from zoneinfo import ZoneInfo

import typer

from platform_cli import render
from platform_cli.options import As, AsJson, Customer, Limit, noun
from platform_cli.site import member, open_site
from platform_core.attendance import results, sessions
from platform_core.attendance.contracts import (
    ConfirmationRequest,
    CorrectionRequest,
    Reading,
    Stored,
    parse_session_id,
    session_ref,
)
from platform_core.attendance.lifecycle import Status, Verdict
from platform_core.payments.contracts import read_contract

app = noun("Attendance: classes, who was there, and what nobody knows.")

SessionName = Annotated[str, typer.Argument(metavar="SESSION", help="Such as L4.")]
Version = Annotated[
    int | None, typer.Option("--version", help="The version you looked at; default: the newest.")
]
StudentName = Annotated[str, typer.Option("--student", help="The student's own reference.")]


@app.command("list")
def list_(
    customer: Customer = None,
    verdict: Annotated[Verdict | None, typer.Option(help="Only classes whose result says that.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show classes with what came of them, newest first.

    Example: wmctl attendance list --verdict suspicious_empty
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = results.list_sessions(tx, verdict=verdict, limit=limit)
    if as_json:
        render.document(found)
        return
    waiting = sum(one.verdict in results.WAITING for one in found)
    render.table(
        "Classes",
        ("class", "reference", "course", "began", "state", "version", "result", "rate"),
        [
            (
                session_ref(one.id),
                one.reference,
                one.course,
                _on_the_wall(one),
                one.state,
                one.version,
                one.verdict,
                _rate(one),
            )
            for one in found
        ],
        summary=f"{len(found)} classes, {waiting} wait for somebody.",
    )


@app.command("show")
def show(session: SessionName, customer: Customer = None, as_json: AsJson = False) -> None:
    """Show one class: each student, what was set aside, and what families were told.

    Example: wmctl attendance show L4
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = results.get_session(tx, parse_session_id(session))
    if as_json:
        render.document(found)
        return
    one = found.summary
    state = one.state if one.verdict is None else f"{one.verdict} at version {one.version}"
    facts = {"reference": one.reference, "course": one.course, "began": _on_the_wall(one), "rate": _rate(one)}
    render.record(f"{session_ref(one.id)} is {state}", facts)
    students = [
        (s.reference, s.name, s.status, s.late_minutes, s.reason, "yes" if s.corrected else "")
        for s in found.students
    ]
    render.table("Students", ("student", "name", "status", "late min", "why", "corrected"), students)
    aside = [(f"{q.source}/{q.source_id}", q.student, q.at, q.reason) for q in found.quarantined]
    render.table("Set aside", ("check-in", "student", "at", "why"), aside)
    names = {s.student_id: s.reference for s in found.students}
    told = [
        (
            names.get(f.student_id, f.student_id),
            f.version,
            f.state,
            _message(f.outbox_id),
            _message(f.apology_outbox_id),
        )
        for f in found.follow_ups
    ]
    render.table("Told", ("student", "version", "state", "message", "apology"), told)


@app.command("confirm")
def confirm(
    session: SessionName,
    as_: As,
    note: Annotated[str, typer.Option(help="How you know.")] = "",
    version: Version = None,
    customer: Customer = None,
    as_json: AsJson = False,
) -> None:
    """Say that really nobody came to a class that looks suspiciously empty; families are told then.

    Example: wmctl attendance confirm L4 --as bruno --note "la profesora lo confirma"
    """
    with open_site() as site, site.app(customer) as platform:
        policy, now, number = platform.policy(), platform.clock.now(), parse_session_id(session)
        with platform.tx() as tx:
            looked_at = _newest(results.get_session(tx, number)) if version is None else version
            facts = {"session_id": number, "version": looked_at, "note": note}
            request = read_contract(ConfirmationRequest, facts)
            stored = results.confirm_empty(tx, request, actor=member(as_), policy=policy, now=now)
    _say(stored, as_json=as_json)


@app.command("correct")
def correct(
    session: SessionName,
    as_: As,
    student: StudentName,
    status: Annotated[Status, typer.Option(help="What is true; it cannot be undetermined.")],
    reason: Annotated[str, typer.Option(help="How you know, for your colleagues.")],
    late_minutes: Annotated[int | None, typer.Option(help="How late, in minutes.")] = None,
    version: Version = None,
    customer: Customer = None,
    as_json: AsJson = False,
) -> None:
    """Correct one student. A message about an absence that is none is cancelled, or apologised for once.

    Example: wmctl attendance correct L4 --as bruno --student 118 --status present --reason "estaba en clase"
    """
    with open_site() as site, site.app(customer) as platform:
        policy, now, number = platform.policy(), platform.clock.now(), parse_session_id(session)
        with platform.tx() as tx:
            looked_at = _newest(results.get_session(tx, number)) if version is None else version
            facts = {
                "session_id": number,
                "version": looked_at,
                "student": student,
                "status": status,
                "late_minutes": late_minutes,
                "reason": reason,
            }
            request = read_contract(CorrectionRequest, facts)
            stored = results.correct(tx, request, actor=member(as_), policy=policy, now=now)
    _say(stored, as_json=as_json)


@app.command("checkin")
def checkin(
    session: SessionName,
    as_: As,
    student: StudentName,
    at: Annotated[str, typer.Option(help="When, with its zone, such as 2026-03-02T15:05-03:00.")],
    leaves: Annotated[bool, typer.Option("--leaves", help="The student left, and did not come.")] = False,
    request_id: Annotated[
        str, typer.Option("--request-id", help="Unique to this entry, so that repeating it is harmless.")
    ] = "",
    customer: Customer = None,
) -> None:
    """Enter a check-in by hand, as if a reader had seen it. The next computation of the class knows it.

    Example: wmctl attendance checkin L4 --as bruno --student 118 --at 2026-03-02T15:05-03:00
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        facts = {
            "source": "staff",
            "source_id": request_id or uuid4().hex,
            "student": student,
            "kind": "out" if leaves else "in",
            "at": at,
        }
        reading = read_contract(Reading, facts)
        number, now = parse_session_id(session), platform.clock.now()
        recorded = sessions.check_in_by_hand(tx, number, reading, actor=member(as_), now=now)
    render.good(f"{student} is {'entered' if recorded.recorded else 'already_entered'} in {session}.")


@app.command("excuse")
def excuse(
    session: SessionName,
    as_: As,
    student: StudentName,
    reason: Annotated[str, typer.Option(help="What the family says, for your colleagues.")],
    customer: Customer = None,
) -> None:
    """Excuse a student from a class. One that was computed already is computed again by its schedule.

    Example: wmctl attendance excuse L4 --as bruno --student 118 --reason "enferma, avisó la madre"
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        number, now = parse_session_id(session), platform.clock.now()
        new = sessions.add_excuse(tx, number, student, actor=member(as_), reason=reason, now=now)
    render.good(f"{student} is {'excused' if new else 'already_excused'} from {session}.")


def _newest(found: results.SessionDetail) -> int:
    return found.summary.version or 1  # of a class without a result the verb says that there is none


def _say(stored: Stored, *, as_json: bool) -> None:
    if as_json:
        render.document(stored.model_dump(mode="json"))
        return
    told = stored.follow_ups
    state = f"{'' if stored.created else 'already_'}{stored.verdict}"
    render.good(
        f"{session_ref(stored.session_id)} is {state} at version {stored.version}: "
        f"{told.queued} messages queued, {told.cancelled} cancelled, {told.apologised} apologies."
    )


def _on_the_wall(one: results.SessionSummary) -> str:
    return f"{one.starts_at.astimezone(ZoneInfo(one.timezone)):%Y-%m-%d %H:%M}"


def _rate(one: results.SessionSummary) -> str:
    return "" if one.counted is None else f"{one.attended} of {one.counted}"


def _message(outbox_id: int | None) -> str:
    return "" if outbox_id is None else f"S{outbox_id}"
