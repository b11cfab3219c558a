"""Sheets of an office at the terminal: tried or entered, and what is wrong with them line by line."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Protocol

import typer

from platform_cli import render
from platform_cli.site import open_site
from platform_core.attendance.loading import Loaded
from platform_core.attendance.sheets import MAX_SHEET_BYTES, Fault
from platform_core.db import Tx
from platform_core.errors import InvalidInput
from platform_core.tenancy.policy import Policy
from platform_core.values import Actor

SheetFile = Annotated[Path, typer.Argument(metavar="FILE", help="CSV in UTF-8, as Excel saves it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Judge every row and enter nothing.")]


class Load(Protocol):
    """A verb that enters a sheet."""

    def __call__(self, tx: Tx, content: bytes, *, actor: Actor, policy: Policy, now: datetime) -> Loaded:
        """Raises: InvalidInput with the fact `faults`."""
        ...


def load_sheet(
    load: Load, file: Path, customer: str | None, *, actor: Actor, dry_run: bool, as_json: bool
) -> None:
    """Enter a sheet and say what it came to; a trial shows all that is wrong with it, and exits with 2.

    Raises: InvalidInput with the first fault, UnreadableFile.
    """
    with file.open("rb") as opened:
        content = opened.read(MAX_SHEET_BYTES + 1)
    faults: tuple[Fault, ...] = ()
    found = Loaded(rows=0)
    with open_site() as site, site.app(customer) as platform:
        policy, now = platform.policy(), platform.clock.now()
        try:
            with platform.tx() as tx, tx.transaction(force_rollback=dry_run):
                found = load(tx, content, actor=actor, policy=policy, now=now)
        except InvalidInput as error:
            faults = _faults_of(error)
            if not dry_run or not faults:
                raise
    if as_json:
        entered = not dry_run
        render.document({**asdict(found), "faults": [asdict(one) for one in faults], "entered": entered})
    elif faults:
        rows = [(one.line, one.column, one.reason) for one in faults]
        render.table("Wrong", ("line", "column", "reason"), rows, summary="Nothing would be entered.")
    else:
        _say_loaded(found, dry_run=dry_run)
    if faults:
        raise typer.Exit(InvalidInput.exit_code)


def _say_loaded(found: Loaded, *, dry_run: bool) -> None:
    for note in found.notes:
        render.raw(note)
    counts = {"students": found.students, "enrolments": found.enrolments, "classes": found.sessions}
    new = ", ".join(f"{number} {name}" for name, number in counts.items() if number) or "nothing"
    render.good(
        f"{found.rows} rows are fine; new: {new}{' (a trial: nothing was entered)' if dry_run else ''}."
    )


def _faults_of(error: InvalidInput) -> tuple[Fault, ...]:
    faults = error.facts.get("faults")
    return tuple(one for one in faults if isinstance(one, Fault)) if isinstance(faults, tuple) else ()
