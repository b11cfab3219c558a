"""`wmctl promote`: what one target was deployed with, into another one."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from platform_cli import render
from platform_cli.commands.deploy import Order, carry_out, show
from platform_cli.options import AsJson, BreakLock, Customers, Force, Ours, Yes
from platform_cli.root import find_root
from platform_cli.sync.carrying import How
from platform_cli.sync.promoting import Proven, read_proven
from platform_cli.sync.session import Session, Wish, folders_of, open_session, scope_of
from platform_cli.sync.telling import stoppable, warned
from platform_cli.sync.wire import all_of
from platform_core.errors import InvalidInput


def app(
    customers: Customers = None,
    source: Annotated[
        str, typer.Option("--from", metavar="TARGET", help="Where it was deployed and tried.")
    ] = "staging",
    target: Annotated[str, typer.Option("--to", metavar="TARGET", help="Where it is to go.")] = "production",
    ours: Ours = None,
    force: Force = False,
    break_lock: BreakLock = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Take what one target was deployed with to another.

    Not what git has by now: the very items of the last deploy there, if they still stand there unedited.

    Example: wmctl promote acme --from staging --to production
    """
    if source == target:
        raise InvalidInput(f"{source} cannot be promoted to itself", next_step="Name two targets.")
    order = Order(customers or [], target, Wish(tuple(ours or ())), yes, as_json)
    asyncio.run(_run(source, order, How("", force=force, break_lock=break_lock)))


async def _run(source: str, order: Order, how: How) -> None:
    root = find_root(Path.cwd())
    folders = folders_of(root, order.names)
    async with open_session(root, source) as session:
        with render.working(f"Reading what {source} proves"):
            proven = await _proven(session, folders)
    async with open_session(root, order.target) as session:
        render.badge(session.target.badge)
        how = replace(how, actor=await session.actor(), say=warned)
        # As in `deploy`: the lock is held from here on, and no signal may end us before it is back.
        with stoppable() if order.yes else nullcontext():
            async with session.holding(folders, how, yes=order.yes) as lock:
                with render.working("Reading Windmill"):
                    seen = await session.look(folders, order.wish, proven, lock)
                for basis in proven:
                    commit = f", commit {basis.commit[:12]}" if basis.commit else ""
                    render.note(f"{basis.scope}: deploy {basis.deploy} of {source}{commit}")
                for one in seen:
                    show(one, order, how)
                await carry_out(session, order, how, seen)


async def _proven(session: Session, folders: list[Path]) -> list[Proven]:
    return await all_of(
        *(
            read_proven(session.client, scope_of(folder), target=session.target.name, now=session.now)
            for folder in folders
        )
    )
