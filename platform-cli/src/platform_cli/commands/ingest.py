"""`wmctl ingest`: the always-on door for webhooks, and the files that tell it who knocks where."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from psycopg.conninfo import conninfo_to_dict

from platform_cli import render
from platform_cli.given import read_given
from platform_cli.options import AsJson, CustomerName, noun
from platform_cli.site import Site, door_folder, open_site, state_folder
from platform_core.errors import InvalidInput, SecretRejected
from platform_core.ingest.checking import check_doors
from platform_core.ingest.files import CustomerDoor, DatabaseFile, set_endpoint
from platform_core.ingest.limits import Limits
from platform_core.ingest.serving import Serving, serve
from platform_core.ingest.store import DoorLogin
from platform_core.ingest.waking import waker_of
from platform_core.observability import logs
from platform_core.settings import Secret, Settings, load_settings
from platform_core.tenancy import door

app = noun("The always-on door for webhooks: serve it, check it, tell it endpoints and secrets.")

FAULTY = 4
MAX_SECRET_CHARS = 4096


@app.command("serve")
def serve_(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any free one.")] = 8787,
    rate_s: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Genuine deliveries a second of one endpoint.")
    ] = 500,
    connections: Annotated[int, typer.Option(min=1, max=10_000, help="Connections at once.")] = 512,
) -> None:
    """Take webhooks until SIGTERM or Ctrl-C; everything accepted is stored and answered first.

    Example: wmctl ingest serve --port 8787
    """
    settings = load_settings(os.environ)
    with _place(settings) as place:
        logs.configure("ingest", level=settings.log_level, key=settings.log_key)
        serve(
            Serving(
                place.folder,
                place.login,
                lambda: waker_of(settings),
                host=host,
                port=port,
                limits=Limits(rate_s=rate_s, burst=2 * rate_s, connections=connections),
                on_open=lambda url: render.good(f"The door is open at {url}; a proxy forwards /api/r/ only."),
                placed=place.placed,
            )
        )


@app.command("check")
def check(as_json: AsJson = False) -> int:
    """Read every customer's file and ask every database, as the door would. Exit 4 when something is wrong.

    Example: wmctl ingest check
    """
    with _place(load_settings(os.environ)) as place:
        found = check_doors(place.folder, place.login, place.placed)
    if as_json:
        render.document(found)
    else:
        rows = [(one.customer, ", ".join(one.routes), one.secrets, one.problem or "ok") for one in found]
        render.table("Door", ("customer", "routes", "secrets", "problem"), rows)
    return FAULTY if any(one.problem for one in found) else 0


@app.command("endpoint")
def endpoint(
    customer: CustomerName,
    name: Annotated[str, typer.Argument(metavar="ENDPOINT", help="What receives there, such as inbound.")],
    source: Annotated[str, typer.Option(help="The provider's connector.")] = "ycloud",
    secrets_from: Annotated[
        str, typer.Option(help="A file with one secret a line, or - for stdin; without it you are asked.")
    ] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Let the secret in force hold beside it.")] = False,
) -> None:
    """Set the secrets of an endpoint; a door that runs takes them over within a second or two.

    Example: wmctl ingest endpoint acme inbound --keep
    """
    given = _secrets(secrets_from)
    with open_site() as site:
        tenant = site.tenant(customer)
        site.prepare_door()
        made, path = set_endpoint(
            door_folder(site.settings, site.state),
            tenant.slug,
            _database(site, tenant.database_name),
            source=source,
            endpoint=name,
            secrets=given,
            keep=keep,
        )
    render.good(f"/api/r/{made.route} verifies by {len(made.secrets)} secret(s), kept in {path}.")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the door finds its customers, and how it logs in."""

    folder: Path
    login: DoorLogin
    placed: Callable[[CustomerDoor], CustomerDoor] = lambda found: found


@contextmanager
def _place(settings: Settings) -> Iterator[_Place]:
    """On a machine of its own the door knows its password and no administrator."""
    if settings.ingest_database_password is not None:
        folder = door_folder(settings, state_folder(settings))
        yield _Place(folder, DoorLogin(door.LOGIN, settings.ingest_database_password))
        return
    with open_site() as site:
        password = site.secrets.get(door.PASSWORD_NAME)
        if password is None:
            raise SecretRejected(
                "The door's password is not in this installation's secrets",
                next_step="Run `wmctl ingest endpoint`, or set PLATFORM_INGEST_DATABASE_PASSWORD.",
            )
        yield _Place(
            door_folder(settings, site.state),
            DoorLogin(door.LOGIN, Secret(password)),
            lambda found: _moved(site, found),
        )


def _moved(site: Site, found: CustomerDoor) -> CustomerDoor:
    """The embedded server takes another port at each start."""
    if site.settings.database_url is not None:
        return found
    return replace(found, database=_database(site, found.database.dbname))


def _database(site: Site, name: str) -> DatabaseFile:
    facts = conninfo_to_dict(site.admin_dsn)
    return DatabaseFile(
        host=str(facts.get("host") or "127.0.0.1"), port=int(facts.get("port") or 5432), dbname=name
    )


def _secrets(source: str) -> list[str]:
    """From a prompt, a file or stdin: a secret on a command line is in the shell's history and in `ps`."""
    if not source:
        text = typer.prompt("The endpoint's secret", hide_input=True, err=True)
    else:
        text = read_given(source, most_chars=MAX_SECRET_CHARS)
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise InvalidInput("No secret was given", next_step="Give one a line, in a file or on stdin.")
    return found
