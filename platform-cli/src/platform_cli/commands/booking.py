"""`wmctl booking`: trial classes that parents booked, and what came of them."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from platform_cli import render
from platform_cli.options import As, AsJson, Customer, Limit, noun
from platform_cli.site import member, open_site
from platform_core.bookings import bookings
from platform_core.bookings.bookings import BookingView
from platform_core.bookings.contracts import (
    Completion,
    DeclineRequest,
    EnrolmentRequest,
    booking_ref,
    parse_booking_id,
)
from platform_core.bookings.lifecycle import BookingState
from platform_core.payments.contracts import read_contract

app = noun("Bookings: trial classes from the calendar, what they lack, and what came of them.")

BookingName = Annotated[str, typer.Argument(metavar="BOOKING", help="Such as B3.")]


@app.command("list")
def list_(
    customer: Customer = None,
    state: Annotated[BookingState | None, typer.Option(help="Only those in that state.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show bookings by their hour, the latest first.

    Example: wmctl booking list --state booked
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = bookings.list_bookings(tx, state=state, limit=limit)
        zone = platform.policy().customer.timezone
    if as_json:
        render.document(found)
        return
    lacking = sum(bool(one.lacks) for one in found if one.state in bookings.OPEN)
    render.table(
        "Bookings",
        ("booking", "class", "begins", "pupil", "course", "state", "lacks"),
        [
            (
                booking_ref(one.id),
                one.kind,
                _on_the_wall(one, zone),
                one.pupil,
                one.course,
                one.state,
                ", ".join(one.lacks),
            )
            for one in found
        ],
        summary=f"{len(found)} bookings, {lacking} wait for something that is missing.",
    )


@app.command("show")
def show(booking: BookingName, customer: Customer = None, as_json: AsJson = False) -> None:
    """Show one booking, with the parent's own words where something is missing.

    Example: wmctl booking show B3
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = bookings.get_booking(tx, parse_booking_id(booking))
        zone = platform.policy().customer.timezone
    if as_json:
        render.document(found)
        return
    facts = {
        "class": found.kind,
        "begins": _on_the_wall(found, zone),
        "parent": found.name,
        "e-mail": found.email,
        "pupil": found.pupil,
        "course": found.course,
        "lacks": ", ".join(found.lacks),
        "replaces": _ref(found.rescheduled_from),
        "replaced by": _ref(found.rescheduled_to),
        "cancelled": found.canceled_at,
        "student": found.student,
        "declined for": found.decline_reason,
    }
    render.record(f"{booking_ref(found.id)} is {found.state}", facts)


@app.command("complete")
def complete(
    booking: BookingName,
    as_: As,
    phone: Annotated[str, typer.Option(help="The parent's number with its country, +56912345678.")] = "",
    pupil: Annotated[str, typer.Option(help="The pupil's name.")] = "",
    course: Annotated[str, typer.Option(help="The course the class is a trial of.")] = "",
    customer: Customer = None,
    as_json: AsJson = False,
) -> None:
    """Add what a booking came without; the family then hears of it.

    Example: wmctl booking complete B3 --as bruno --phone +56912345678
    """
    facts = {"booking_id": parse_booking_id(booking), "phone": phone, "pupil": pupil, "course": course}
    request = read_contract(Completion, facts)
    with open_site() as site, site.app(customer) as platform:
        policy, now = platform.policy(), platform.clock.now()
        with platform.tx() as tx:
            settled = bookings.complete(tx, request, actor=member(as_), policy=policy, now=now)
    if as_json:
        render.document(settled.model_dump(mode="json"))
    else:
        render.good(f"{booking_ref(settled.booking_id)} {'has it' if settled.changed else 'had it already'}.")


@app.command("enrol")
def enrol(
    booking: BookingName,
    as_: As,
    course: Annotated[str, typer.Option(help="Another course than the booking's own.")] = "",
    starts_on: Annotated[str, typer.Option(help="Local day, YYYY-MM-DD; else that of the trial class.")] = "",
    student: Annotated[str, typer.Option(help="Reference of a pupil who is known already.")] = "",
    customer: Customer = None,
    as_json: AsJson = False,
) -> None:
    """Enrol the pupil of a booking, who is entered and welcomed by that.

    Example: wmctl booking enrol B3 --as bruno --starts-on 2026-04-01
    """
    facts = {"booking_id": parse_booking_id(booking), "course": course, "student": student}
    request = read_contract(EnrolmentRequest, facts | {"starts_on": starts_on or None})
    with open_site() as site, site.app(customer) as platform:
        policy, now = platform.policy(), platform.clock.now()
        with platform.tx() as tx:
            made = bookings.enrol(tx, request, actor=member(as_), policy=policy, now=now)
    if as_json:
        render.document(made.model_dump(mode="json"))
    else:
        verb = "attends" if made.created else "attended already"
        render.good(f"{made.student} {verb} {made.course}.")


@app.command("decline")
def decline(
    booking: BookingName,
    as_: As,
    reason: Annotated[str, typer.Option(help="Why, for colleagues.")] = "",
    customer: Customer = None,
    as_json: AsJson = False,
) -> None:
    """Say that no enrolment follows from a booking.

    Example: wmctl booking decline B3 --as bruno --reason "eligió otra academia"
    """
    request = read_contract(DeclineRequest, {"booking_id": parse_booking_id(booking), "reason": reason})
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        settled = bookings.decline(tx, request, actor=member(as_), now=platform.clock.now())
    if as_json:
        render.document(settled.model_dump(mode="json"))
    else:
        render.good(f"{booking_ref(settled.booking_id)} is {settled.state}.")


def _on_the_wall(booking: BookingView, zone: str) -> str:
    return f"{booking.starts_at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def _ref(booking_id: int | None) -> str | None:
    return None if booking_id is None else booking_ref(booking_id)
