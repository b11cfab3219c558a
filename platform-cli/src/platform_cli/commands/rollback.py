"""`wmctl rollback`: what a deploy wrote, put back as it was."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from platform_cli import render
from platform_cli.options import AsJson, BreakLock, TargetName, Yes
from platform_cli.root import find_root
from platform_cli.sync import outcomes, undo
from platform_cli.sync.asking import require_word
from platform_cli.sync.carrying import How
from platform_cli.sync.items import Key
from platform_cli.sync.session import folders_of, item_of, open_session, scope_of
from platform_cli.sync.telling import stoppable, telling


def app(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="The customer's folder name, or ops.")],
    deploy: Annotated[
        int | None, typer.Argument(metavar="[DEPLOY]", help="Its number; default: the newest not undone.")
    ] = None,
    target: TargetName = None,
    force: Annotated[
        list[str] | None,
        typer.Option("--force", metavar="ITEM", help="Put it back although somebody edited it since."),
    ] = None,
    break_lock: BreakLock = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Put back what a deploy changed, also after a crash.

    What people edited since stays as it is, and is named.

    Example: wmctl rollback acme 12
    """
    forced = {item_of(text) for text in force or ()}
    how = How("", break_lock=break_lock)
    asyncio.run(_rollback(customer, deploy, target, forced, how, yes=yes, as_json=as_json))


async def _rollback(
    name: str, deploy: int | None, target: str | None, forced: set[Key], how: How, *, yes: bool, as_json: bool
) -> None:
    root = find_root(Path.cwd())
    folder = folders_of(root, [name])[0]
    async with open_session(root, target) as session:
        render.badge(session.target.badge)
        require_word(session.target, [name], f"Undo deploy {deploy or '(the newest)'} of", yes=yes)
        actor = await session.actor()
        with stoppable() as stop, telling(name, "Undoing a deploy of") as teller:
            how = replace(how, actor=actor, say=teller, stopped=stop)
            scope = scope_of(folder)
            back = await undo.rollback(session.client, scope, how, number=deploy, force=forced)
        if as_json:
            render.document(outcomes.put_back_document(name, session.target.name, back))
        outcomes.tell_rollback(name, back)
