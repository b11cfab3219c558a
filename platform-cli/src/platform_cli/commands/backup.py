"""`wmctl backup`: copies of a host's data: make, look, try, carry off the host, put back.

Copies are encrypted on the host; what opens them, the identity, is a file at your desk. It goes to the host's
standard input for the one task that needs it and is kept there by nobody. Exit codes are the host's own, as
of `wmctl host`: 1 failed, and all is as before; 70 refused before anything was changed; 80 look at once.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from platform_cli import render
from platform_cli.backups.fetching import fetch as bring
from platform_cli.backups.fetching import shelves
from platform_cli.backups.holdings import Holdings, copy_rows, drill_rows, findings, read_holdings, size
from platform_cli.backups.identity import read_identity
from platform_cli.backups.sending import send as take_there
from platform_cli.hosts import runs
from platform_cli.hosts.connection import Connection
from platform_cli.hosts.speaking import connected, follow, known_hosts, tell, who
from platform_cli.options import Account, AdminKey, AsJson, Ended, OnHost, noun
from platform_core.errors import InvalidInput, InvalidTime, NotConfirmed

app = noun("Copies of a host's data: make, look, try, carry off the host, put back.")

FAILED_CHECK = 1

IdentityFile = Annotated[
    Path, typer.Option("--identity", help="The age identity that opens copies; yours alone to read.")
]
OfCustomer = Annotated[
    str, typer.Option("--customer", "-c", help="This customer alone; everybody else works on.")
]
YesTo = Annotated[
    str, typer.Option("--yes", metavar="HOST", help="Do not ask: the host's name, as you would type it.")
]


# --- Looking ------------------------------------------------------------------------------------------------


@app.command("list")
def list_(host: OnHost = None, as_json: AsJson = False) -> int:
    """Show copies, how far back one can go, the last drill, and what restores set aside. Exit 1 if not well.

    Example: wmctl backup list --host prod
    """
    held = _holdings(_deploying(host))
    rows = list(findings(held, datetime.now(UTC)))
    if as_json:
        render.document(held.document)
    else:
        render.findings("Backups", rows)
        render.table("Copies", ("copy", "size", "taken", "timeline"), copy_rows(held))
    return FAILED_CHECK if any(mark == "broken" for mark, *_ in rows) else 0


@app.command("now")
def now(
    host: OnHost = None,
    reason: Annotated[
        str, typer.Option(help="One word of small letters; it is part of the copy's name.")
    ] = "byhand",
) -> None:
    """Take a copy at once; the log goes on being copied all the time.

    Example: wmctl backup now --host prod --reason beforemove
    """
    connection = _deploying(host)
    with render.working("taking a copy"):
        said = connection.ask("backup", "now", "--reason", reason, "--by", who())
    tell(said)


@app.command("drill")
def drill(identity: IdentityFile, host: OnHost = None) -> None:
    """Try the newest copy: recover it beside, look at it, read a secret with it. `backup list` tells it.

    Example: wmctl backup drill --identity ~/.config/age/platform.txt --host prod
    """
    connection = _deploying(host)
    with read_identity(identity) as given, render.working("recovering the newest copy, beside"):
        said = connection.ask("backup", "drill", given=given)
    rows = drill_rows(said.out)
    if not rows:
        tell(said)
    render.findings("Drill", rows)
    if said.code:
        raise Ended(said.code)


# --- Off the host, and back to one --------------------------------------------------------------------------


@app.command("fetch")
def fetch(
    to: Annotated[
        Path | None, typer.Option("--to", help="The folder for copies; what is in it is not fetched again.")
    ] = None,
    bundles_to: Annotated[
        Path | None,
        typer.Option("--bundles-to", help="The folder for bundles of secrets, apart; without it none come."),
    ] = None,
    host: OnHost = None,
) -> None:
    """Carry copies, log and dumps off the host, and bundles of secrets to another place; for cron elsewhere.

    A repeat brings what is new; one that was cut goes on where it stood.

    Example: wmctl backup fetch --to /srv/platform-copies --host prod
    """
    places = shelves(to, bundles_to)
    connection = _deploying(host)
    with render.progress("fetching") as progress:
        found = bring(connection, places, progress.at)
    where = " and ".join(str(place) for place in (to, bundles_to) if place is not None)
    came = f"{found.files} files came, {size(found.bytes)}"
    render.good(f"{came}; {found.kept} were here. All is proven and in {where}.")
    if found.bundles_left:
        render.note(
            f"{found.bundles_left} bundles of secrets stay on {connection.host.name}: they are kept apart. "
            "On another machine: wmctl backup fetch --bundles-to DIR."
        )


@app.command("send")
def send(
    source: Annotated[Path, typer.Option("--from", help="The folder that `fetch` filled.")],
    host: OnHost = None,
    account: Account = "root",
    admin_key: AdminKey = None,
) -> None:
    """Bring copies back to a host that replaces a lost one; what is there already is left as it is.

    Example: wmctl backup send --from /srv/platform-copies --admin-key ~/.ssh/id_ed25519
    """
    connection = _entering(host, account, admin_key)
    with render.progress("sending") as progress:
        done = take_there(connection, source, progress.at)
    render.good(f"{done.files} files are on {connection.host.name}, {size(done.bytes)}.")


# --- Putting back -------------------------------------------------------------------------------------------


@app.command("restore")
def restore(
    copy: Annotated[str, typer.Argument(metavar="[COPY]", help="A copy as it was taken; or use --to.")] = "",
    to: Annotated[str, typer.Option("--to", help="An instant such as 2026-01-31T03:10:00Z, or latest.")] = "",
    whose: OfCustomer = "",
    undo: Annotated[
        bool, typer.Option("--undo", help="Take the last restore back: what it replaced comes again.")
    ] = False,
    identity: Annotated[
        Path | None,
        typer.Option("--identity", help="The age identity that opens copies; yours alone to read."),
    ] = None,
    host: OnHost = None,
    account: Account = "root",
    admin_key: AdminKey = None,
    yes: YesTo = "",
) -> None:
    """Put data back: everything, or one customer, to an instant or to a copy. Names what is lost, and asks.

    It is recovered beside while the platform serves; then the two change places. What was there stays until
    `wmctl backup forget`, and `--undo` brings it back.

    Example: wmctl backup restore --to 2026-01-31T03:10:00Z --customer acme --identity platform.txt
    """
    words = _goal(copy, to, undo=undo) + (("--customer", whose) if whose else ())
    if identity is None and not undo:
        raise InvalidInput(
            "A restore opens copies", next_step="Give --identity FILE; it is sent to the host's input."
        )
    connection = _entering(host, account, admin_key)
    _require_name(connection, _losses(copy, to, whose, undo=undo), yes)
    if identity is None:
        follow(connection, runs.begin(connection, "restore", who(), *words))
        return
    with read_identity(identity) as given:
        begun = runs.begin(connection, "restore", who(), *words, given=given)
    follow(connection, begun)


@app.command("forget")
def forget(
    whose: OfCustomer = "",
    host: OnHost = None,
    account: Account = "root",
    admin_key: AdminKey = None,
    yes: YesTo = "",
) -> None:
    """Delete what restores replaced; afterwards no --undo brings it back.

    Example: wmctl backup forget --customer acme --host prod --admin-key ~/.ssh/id_ed25519
    """
    connection = _entering(host, account, admin_key)
    of_whom = f"of {whose} " if whose else ""
    _require_name(connection, f"What restores {of_whom}replaced is deleted for good", yes)
    tell(connection.ask("backup", "forget", *(("--customer", whose) if whose else ()), "--by", who()))


# --- What the commands share --------------------------------------------------------------------------------


def _deploying(host: str | None) -> Connection:
    return connected(known_hosts().choose(host))


def _entering(host: str | None, account: str, admin_key: Path | None) -> Connection:
    """As an administrator: the deploy key says neither what replaces data nor what a restore reads."""
    return connected(known_hosts().choose(host), account, admin_key)


def _holdings(connection: Connection) -> Holdings:
    said = connection.ask("backup", "list", "--json")
    if said.code:
        tell(said)
    return read_holdings(said.out)


def _goal(copy: str, to: str, *, undo: bool) -> tuple[str, ...]:
    if sum((bool(copy), bool(to), undo)) != 1:
        raise InvalidInput(
            "A restore goes back to one thing", next_step="Give the name of a copy, or --to TIME, or --undo."
        )
    if undo:
        return ("--undo",)
    if copy:
        return (copy,)
    if to != "latest":
        _require_instant(to)
    return ("--to", to)


def _require_instant(text: str) -> None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InvalidTime(
            f"{text[:40]!r} is no instant with its zone",
            next_step="Write it as 2026-01-31T03:10:00Z, or with an offset: 2026-01-30T22:10:00-05:00.",
        )


def _losses(copy: str, to: str, customer: str, *, undo: bool) -> str:
    whose = f"of {customer}" if customer else "of everybody"
    if undo:
        return f"The last restore {whose} is taken back: what was written since stands aside"
    when = f"copy {copy} was taken" if copy else to
    if to == "latest":
        return f"The data {whose} becomes what the copies hold; what they do not hold yet stands aside"
    rest = "its sessions end for a moment" if customer else "nobody is served while the two change places"
    return f"What was written {whose} after {when} is not there afterwards (it stands aside); {rest}"


def _require_name(connection: Connection, what: str, yes: str) -> None:
    """Raises: NotConfirmed unless the host's name was given or is typed."""
    name = connection.host.name
    render.warning(f"{what}.")
    if not yes and not sys.stdin.isatty():
        raise NotConfirmed(
            "There is nobody to ask: this is no terminal", next_step=f"Use --yes {name} if it is meant."
        )
    typed = yes or typer.prompt(
        f"Type the name of the host, {name}, to go on", default="", show_default=False, err=True
    )
    if typed.strip() != name:
        raise NotConfirmed(f"{typed.strip()[:40]!r} is not {name}; nothing was done")
