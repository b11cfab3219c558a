"""`wmctl target`: which Windmill is meant, and with whose token."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from platform_cli import render
from platform_cli.given import STDIN, read_given
from platform_cli.options import AsJson, noun
from platform_cli.sync.access import Access, read_access
from platform_cli.sync.client import Client
from platform_cli.sync.targets import Target, TargetKind, Targets, new_target
from platform_cli.sync.tokens import Place
from platform_core.errors import InvalidInput
from platform_core.settings import MAX_SECRET_CHARS, Secret, check_secret, load_target_variables
from platform_core.values import SystemClock

app = noun("Targets: which Windmill is meant, one workspace of a server each, and with whose token.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The target's name, such as prod.")]
_PLACES = {Place.KEYRING: "in the system's keyring", Place.FILE: "in a file that only you may read"}


@app.command("add")
def add(
    name: Name,
    url: Annotated[str, typer.Option(help="The server, such as https://windmill.example.org.")],
    workspace: Annotated[str, typer.Option(help="The workspace, such as prod.")],
    kind: Annotated[
        TargetKind | None,
        typer.Option(help="Default: local for this machine, production for any other."),
    ] = None,
    token_file: Annotated[
        str, typer.Option(help="A file with the token, or - for stdin; without it you are asked.")
    ] = "",
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow plain HTTP to another machine.")
    ] = False,
) -> None:
    """Add a target, or change one: the server is asked who you are before anything is kept.

    Example: wmctl target add prod --url https://windmill.example.org --workspace prod
    """
    target = new_target(name, url, workspace, kind, insecure=insecure)
    token = _token(target, token_file)
    access = asyncio.run(_ask(Client(target.url, target.workspace, token)))
    place = _targets().add(target, token)
    _show(target, access)
    render.good(f"Target {name} is kept, its token {_PLACES[place]}.")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show the targets and which is in use.

    Example: wmctl target list
    """
    known = _targets().read()
    if as_json:
        render.document(
            [{**_facts(each), "in_use": each.name == known.used} for each in known.targets.values()]
        )
        return
    render.table(
        "Targets",
        ("in use", "target", "kind", "workspace", "server"),
        [
            ("*" if name == known.used else "", name, each.kind, each.workspace, each.url)
            for name, each in sorted(known.targets.items())
        ],
    )


@app.command("use")
def use(name: Name) -> None:
    """Make a target the one that commands mean when they name none.

    Example: wmctl target use staging
    """
    target = _targets().use(name)
    render.badge(target.badge)
    render.good(f"Target {name} is in use.")


@app.command("remove")
def remove(name: Name) -> None:
    """Forget a target and its token; the server is not touched.

    Example: wmctl target remove old
    """
    target = _targets().remove(name)
    render.good(f"Target {name} is forgotten. Its token still opens {target.url}: delete it there.")


@app.command("check")
def check(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Default: the target that is in use.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a target's server who it is, who you are there, and what you may do.

    Example: wmctl target check prod
    """
    chosen = _targets().choose(name)
    access = asyncio.run(_ask(chosen.client()))
    if as_json:
        render.document({**_facts(chosen.target), **_found(access), "warnings": _warnings(access)})
        return
    _show(chosen.target, access)


def _targets() -> Targets:
    return Targets(load_target_variables())


async def _ask(client: Client) -> Access:
    async with client:
        return await read_access(client)


def _show(target: Target, access: Access) -> None:
    render.badge(target.badge)
    render.record(target.url, _found(access))
    for warning in _warnings(access):
        render.warning(warning)


def _facts(target: Target) -> dict[str, object]:
    return {
        "name": target.name,
        "url": target.url,
        "workspace": target.workspace,
        "kind": target.kind,
    }


def _found(access: Access) -> dict[str, object]:
    return {
        "version": access.version,
        "tested": access.tested,
        "username": access.username,
        "email": access.email,
        "rights": access.rights,
        "token_ends_at": access.token_ends_at,
    }


def _warnings(access: Access) -> list[str]:
    return list(access.warnings(SystemClock().now()))


def _token(target: Target, source: str) -> Secret:
    """From a prompt, a file or stdin: a token on a command line is in the shell's history and in `ps`."""
    if source or not sys.stdin.isatty():
        text = read_given(source or STDIN, most_chars=MAX_SECRET_CHARS)
    else:
        text = typer.prompt(f"Token for {target.workspace} at {target.url}", hide_input=True, err=True)
    if len(text.split()) != 1:
        raise InvalidInput(
            "That is not one token", next_step="Make one in Windmill: Account settings, Tokens."
        )
    return check_secret("The token", text.strip())
