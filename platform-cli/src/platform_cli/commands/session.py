"""`wmctl session`: classes, before and after they take place; what came of them is `wmctl attendance`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from platform_cli import render
from platform_cli.options import As, AsJson, Customer, noun
from platform_cli.sheets import DryRun, SheetFile, load_sheet
from platform_cli.site import member, open_site
from platform_core.attendance import loading, results, sessions, sheets
from platform_core.attendance.contracts import NewSession, parse_session_id, session_ref
from platform_core.errors import InvalidInput
from platform_core.payments.contracts import read_contract

app = noun("Sessions: classes with their hours; who was there is `attendance`.")


@app.command("add")
def add(
    as_: As,
    reference: Annotated[str, typer.Option(help="Your own, unique to this class.")],
    course: Annotated[str, typer.Option(help="As enrolments name it, such as Piano.")],
    reader: Annotated[str, typer.Option(help="The reader at its door, such as door-1.")],
    day: Annotated[str, typer.Option(help="On which day it begins, such as 2026-03-02.")],
    starts: Annotated[str, typer.Option(help="Hour on the wall, such as 15:00.")],
    ends: Annotated[str, typer.Option(help="Hour on the wall; not after --starts means the day after.")],
    zone: Annotated[str, typer.Option(help="IANA zone; default: the customer's own.")] = "",
    which: Annotated[str, typer.Option(help="1 or 2, when an hour happens twice that night.")] = "",
    makes_up_for: Annotated[str, typer.Option(help="Reference of the class it makes up for.")] = "",
    customer: Customer = None,
) -> None:
    """Enter a class; it is computed after its end. The same again changes nothing.

    Example: wmctl session add --as bruno --reference piano/2026-03-02 --course Piano --reader door-1
    --day 2026-03-02 --starts 15:00 --ends 16:00
    """
    with open_site() as site, site.app(customer) as platform:
        policy, now = platform.policy(), platform.clock.now()
        facts = {
            "reference": reference,
            "course": course,
            "feed": reader,
            "timezone": zone or policy.customer.timezone,
            "makes_up_for": makes_up_for or None,
            **_hours(day, starts, ends, which),
        }
        new = read_contract(NewSession, facts)
        with platform.tx() as tx:
            entered = sessions.enter_session(tx, new, actor=member(as_), policy=policy, now=now)
    render.good(f"{session_ref(entered.id)} is {'entered' if entered.created else 'already_entered'}.")


@app.command("cancel")
def cancel(
    session: Annotated[str, typer.Argument(metavar="SESSION", help="Such as L4.")],
    as_: As,
    reason: Annotated[str, typer.Option(help="Why it did not take place, for your colleagues.")],
    customer: Customer = None,
) -> None:
    """Say that a class does not take place: nobody is counted, and what families were told is taken back.

    Example: wmctl session cancel L4 --as bruno --reason "feriado"
    """
    with open_site() as site, site.app(customer) as platform:
        policy, now, number = platform.policy(), platform.clock.now(), parse_session_id(session)
        with platform.tx() as tx:
            told = results.cancel_session(
                tx, number, actor=member(as_), reason=reason, policy=policy, now=now
            )
    render.good(
        f"{session} is cancelled: {told.cancelled} messages cancelled, {told.apologised} apologies queued."
    )


@app.command("import")
def import_(
    file: SheetFile, as_: As, dry_run: DryRun = False, customer: Customer = None, as_json: AsJson = False
) -> None:
    """Enter the classes of a sheet: all of them, or none when a row is wrong.

    The first line names the columns: reference, course, reader, day, starts, ends, and if you like zone,
    which, makes_up_for; in Spanish referencia, curso, lector, día, inicio, fin, zona, vez, recupera.

    Example: wmctl session import clases.csv --as bruno --dry-run
    """
    load_sheet(loading.load_sessions, file, customer, actor=member(as_), dry_run=dry_run, as_json=as_json)


def _hours(day: str, starts: str, ends: str, which: str) -> dict[str, object]:
    """The hours as the sheet's cells are read."""
    return {
        "day": _cell("day", day, sheets.read_day),
        "starts": _cell("starts", starts, sheets.read_hour),
        "ends": _cell("ends", ends, sheets.read_hour),
        "fold": _cell("which", which, sheets.read_which),
    }


def _cell(option: str, text: str, read: Callable[[str], object]) -> object:
    try:
        return read(text)
    except sheets.NoSuchCell as error:
        raise InvalidInput(f"--{option} {error}") from None
