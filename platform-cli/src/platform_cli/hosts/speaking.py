"""What commands about a host share: which one, as whom, what it answered, a word before anything is done."""

from __future__ import annotations

import getpass
import re
import sys
from pathlib import Path

import typer

from platform_cli import render
from platform_cli.hosts import runs
from platform_cli.hosts.connection import Connection, Said
from platform_cli.hosts.known import Host, Hosts
from platform_cli.options import Ended
from platform_core.errors import NotConfirmed
from platform_core.settings import load_target_variables


def known_hosts() -> Hosts:
    """The hosts that this user keeps."""
    return Hosts(load_target_variables().config_home)


def connected(host: Host, account: str | None = None, key: Path | None = None) -> Connection:
    """A way into the host by its pinned key; without an account, as the one that may deploy."""
    file = known_hosts().known_hosts(host)
    return Connection(host, file, account, str(key) if key else None) if account else Connection(host, file)


def who() -> str:
    """The login, as a plain word for the host's audit."""
    return re.sub(r"[^A-Za-z0-9._@+-]", "_", getpass.getuser()).lstrip("-._@+") or "unknown"


def tell(said: Said) -> None:
    """Show what the host answered. Raises: Ended with its exit code where that is not 0."""
    if said.out:
        render.raw(said.out.rstrip("\n"))
    if said.err:
        render.broken(said.err.strip())
    if said.code:
        raise Ended(said.code)


def require_done(said: Said) -> None:
    """Note what the host did. Raises: Ended, with all it said, where it did not."""
    if said.code:
        tell(said)
    render.note(said.out.strip())


def follow(connection: Connection, begun: Said) -> None:
    """Show a run that was begun until it ends. Raises: Ended with the run's own exit code."""
    if begun.code:
        tell(begun)
    run = begun.out.strip()
    render.note(f"The run is {run}; it goes on at {connection.host.name} whatever happens here.")
    code = runs.follow(
        connection,
        run,
        render.raw,
        lost=lambda times: render.warning(
            f"The connection is lost; the run goes on there. Again ({times}) …"
        ),
    )
    if code:
        raise Ended(code)


def require_word(host: Host, what: str, *, yes: bool) -> None:
    """Ask for the host's name. Raises: NotConfirmed when it is not typed, or nobody is there to type."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise NotConfirmed(
            "There is nobody to ask: this is no terminal", next_step="Use --yes if it is meant."
        )
    typed = typer.prompt(f"{what} on {host.name}? Type its name", default="", show_default=False, err=True)
    if typed.strip() != host.name:
        raise NotConfirmed(f"{typed.strip()[:40]!r} is not {host.name}")
