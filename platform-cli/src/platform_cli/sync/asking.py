"""Asks a person before something is written, harder where a customer's production is meant."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from platform_cli import render
from platform_cli.sync.targets import Target, TargetKind
from platform_core.errors import NotConfirmed


def require_word(target: Target, names: Sequence[str], what: str, *, yes: bool) -> None:
    """Go on only if a person says so; on a production target by typing the name of each customer.

    `what` says what would be done, such as `Deploy`. With `yes` nobody is asked.
    Raises: NotConfirmed, also where there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise NotConfirmed(
            "There is nobody to ask: this is no terminal", next_step="Use --yes if it is meant."
        )
    if target.kind is not TargetKind.PRODUCTION:
        if not typer.confirm(f"{what} {', '.join(names)} on {target.name}?", err=True):
            raise NotConfirmed
        return
    render.badge(target.badge)
    for name in names:
        typed = typer.prompt(
            f"{what} {name} in production? Type its name", default="", show_default=False, err=True
        )
        if typed.strip() != name:
            raise NotConfirmed(f"{typed.strip()[:40]!r} is not {name}")
