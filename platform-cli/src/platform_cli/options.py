"""The options that many commands share, named and explained once."""

from __future__ import annotations

from typing import Annotated

import typer

Customer = Annotated[
    str | None,
    typer.Option("--customer", "-c", help="The customer's folder name; not needed when there is only one."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
As = Annotated[str, typer.Option("--as", help="Handle of the member you act for, such as ana.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")]
CustomerName = Annotated[str, typer.Argument(metavar="CUSTOMER", help="The customer's folder name.")]


def noun(help_text: str) -> typer.Typer:
    """A group of commands about one noun."""
    return typer.Typer(
        help=help_text, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
    )
