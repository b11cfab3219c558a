"""Which server a command about an instance means: a target by name, or an address with a token."""

from __future__ import annotations

from dataclasses import dataclass, field

import typer

from platform_cli.given import read_given
from platform_cli.instances.server import Server
from platform_cli.sync.targets import Targets
from platform_core.errors import InvalidInput
from platform_core.settings import Secret, load_target_variables

MAX_SECRET_CHARS = 10_000


@dataclass(frozen=True, slots=True)
class Access:
    """One workspace of one server, and the token to ask it with. `name` is how people call it."""

    name: str
    url: str
    token: Secret = field(repr=False)
    workspace: str

    def server(self) -> Server:
        """A connection to it; nothing is sent before it is entered."""
        return Server(self.url, self.token, self.workspace)


def find_access(target: str, url: str, token_from: str, workspace: str) -> Access:
    """The server that was named: an address, or a target, by default the one in use.

    Raises: InvalidInput when both were given; what `Targets.choose` raises when there is no such target.
    """
    if target and url:
        raise InvalidInput("Both a target and an address were given", next_step="Give one of them.")
    if not url:
        chosen = Targets(load_target_variables()).choose(target or None)
        return Access(chosen.target.name, chosen.target.url, chosen.token, chosen.target.workspace)
    if not url.startswith(("http://", "https://")):
        raise InvalidInput(f"{url} is no address", next_step="Begin it with https://.")
    return Access(url, url, read_secret(token_from, "The token"), workspace)


def read_secret(source: str, what: str) -> Secret:
    """From a prompt, a file or stdin (`-`): on a command line it would be in the shell's history.

    Raises: UnreadableFile; InvalidInput when there is nothing in it.
    """
    if not source:
        text = str(typer.prompt(what, hide_input=True, err=True))
    else:
        text = read_given(source, most_chars=MAX_SECRET_CHARS)
    if not text.strip():
        raise InvalidInput(f"{what} is empty", next_step="Give it in a file or on stdin.")
    return Secret(text.strip())
