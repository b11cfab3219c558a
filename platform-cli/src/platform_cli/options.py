"""The options that many commands share, named and explained once."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from platform_cli import render

Customer = Annotated[
    str | None,
    typer.Option("--customer", "-c", help="The customer's folder name; not needed when there is only one."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
As = Annotated[str, typer.Option("--as", help="Handle of the member you act for, such as ana.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")]
CustomerName = Annotated[str, typer.Argument(metavar="CUSTOMER", help="The customer's folder name.")]


def _named(incomplete: str) -> list[str]:
    """Customers for the shell's completion, which must never fail or print."""
    return [
        name
        for folder in (Path.cwd(), *Path.cwd().parents)
        if (folder / "customers").is_dir()
        for name in [*sorted(path.name for path in (folder / "customers").glob("[a-z]*")), "ops"]
        if name.startswith(incomplete)
    ]


Customers = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CUSTOMER",
        help="Customers' folder names, or ops; not needed when there is only one customer.",
        autocompletion=_named,
    ),
]
TargetName = Annotated[
    str | None, typer.Option("--target", "-t", help="Which Windmill; default: the target in use.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask: for CI, where nobody answers.")]
Switches = Annotated[
    bool, typer.Option("--switches", help="Let git say which schedules and routes are on, not ops.")
]
Ours = Annotated[
    list[str] | None,
    typer.Option("--ours", metavar="ITEM", help="Git counts for this item; may be given several times."),
]
Theirs = Annotated[
    list[str] | None,
    typer.Option("--theirs", metavar="ITEM", help="Windmill counts for this item: it is pulled first."),
]
Force = Annotated[bool, typer.Option("--force", help="Go on although the plan says it is not safe.")]
BreakLock = Annotated[
    bool, typer.Option("--break-lock", help="Take the lock from a deploy that died; names whose it was.")
]

OnHost = Annotated[
    str | None, typer.Option("--host", "-H", help="Which host; not needed when there is only one.")
]
Account = Annotated[str, typer.Option("--as", help="Who to enter as: root, or one who may sudo.")]
AdminKey = Annotated[
    Path | None, typer.Option(help="That account's private key. Default: the one that may deploy.")
]


class Ended(typer.Exit):
    """A command that has said itself how it ended: nothing is added to its words."""


def _tell_version(asked: object) -> None:
    if asked:
        render.raw(f"wmctl {metadata.version('platform-cli')} on Python {platform.python_version()}")
        raise Ended


Version = Annotated[
    bool,
    typer.Option("--version", callback=_tell_version, is_eager=True, help="Say which version this is."),
]


def noun(help_text: str) -> typer.Typer:
    """A group of commands about one noun."""
    return typer.Typer(
        help=help_text, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
    )
