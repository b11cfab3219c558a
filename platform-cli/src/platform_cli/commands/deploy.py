"""`wmctl deploy`: git's changes into Windmill, planned, shown, asked for, written, read back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from platform_cli import render
from platform_cli.lazy import lazily
from platform_cli.options import AsJson, BreakLock, Force, Ours, Switches, TargetName, Theirs, Yes
from platform_cli.root import find_root
from platform_cli.sync import apply, outcomes, plan_text
from platform_cli.sync.apply import Deployed
from platform_cli.sync.asking import require_word
from platform_cli.sync.carrying import How
from platform_cli.sync.counting import count_of
from platform_cli.sync.journal import Status
from platform_cli.sync.plan import WRITING
from platform_cli.sync.refusals import require_deployable
from platform_cli.sync.session import Seen, Session, Wish, folders_of, open_session
from platform_cli.sync.targets import FROM_ENVIRONMENT
from platform_cli.sync.telling import stoppable, telling, warned
from platform_core.errors import InvalidInput

if TYPE_CHECKING:  # it takes as long to load as the rest, and few deploys are of a saved plan
    from platform_cli.sync import plan_file
else:
    plan_file = lazily("platform_cli.sync.plan_file")

_FILE = ".json"


def app(
    customers: Annotated[
        list[str] | None,
        typer.Argument(metavar="CUSTOMER|PLAN", help="Names of customers or ops, or a saved plan (.json)."),
    ] = None,
    target: TargetName = None,
    ours: Ours = None,
    theirs: Theirs = None,
    switches: Switches = False,
    force: Force = False,
    keep_going: Annotated[
        bool,
        typer.Option("--keep-going", help="When an item fails keep the others instead of putting all back."),
    ] = False,
    no_wait: Annotated[
        bool,
        typer.Option("--no-wait", help="Do not wait for routes to be served and importers to be locked."),
    ] = False,
    break_lock: BreakLock = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Take git's changes to Windmill.

    Shows the plan, asks, writes and reads back; when an item fails everything is put back as it was.
    What people edited in Windmill alone is left so. A conflict stops it, and the plan says the ways out.

    Example: wmctl deploy acme
    """
    wish = Wish(tuple(ours or ()), tuple(theirs or ()), switches)
    order = Order(customers or [], target, wish, yes, as_json)
    how = How("", force=force, keep_going=keep_going, break_lock=break_lock, settle=not no_wait)
    asyncio.run(_run(order, how))


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for. `saved` are the plans of a file, which nothing may differ from."""

    names: Sequence[str]
    target: str | None
    wish: Wish
    yes: bool
    as_json: bool
    saved: tuple[plan_file.PlanDocument, ...] = ()


async def _run(order: Order, how: How) -> None:
    order = _opened(order)
    root = find_root(Path.cwd())
    folders = folders_of(root, order.names)
    async with open_session(root, order.target, folders) as session:
        render.badge(session.target.badge)
        how = replace(how, actor=await session.actor(), switches=order.wish.switches, say=warned)
        # With --yes nobody is asked, so the lock is held from here on: no signal ends us before it is back.
        with stoppable() if order.yes else nullcontext():
            async with session.holding(folders, how, yes=order.yes) as lock:
                with render.working("Reading git and Windmill"):
                    seen = await session.look(folders, order.wish, lock=lock)
                for saved, one in zip(order.saved, seen, strict=bool(order.saved)):
                    plan_file.require_same(saved, one.plan)
                seen = [_pulled(session, one) for one in seen]
                for one in seen:
                    show(one, order, how)
                await carry_out(session, order, how, seen)


def _opened(order: Order) -> Order:
    """With the plans of the file, if one is given instead of names."""
    files = [name for name in order.names if name.endswith(_FILE)]
    if not files:
        return order
    if len(order.names) > 1 or order.wish != Wish():
        raise InvalidInput(
            "A saved plan says itself what it deploys",
            next_step="Give it alone, or make another with `wmctl plan`.",
        )
    saved = plan_file.load(Path(files[0]))
    wish = Wish(tuple(saved.asked.ours), tuple(saved.asked.theirs), saved.asked.switches)
    kept = saved.plans[0].target
    target = order.target or (None if kept == FROM_ENVIRONMENT else kept)
    names = [plan.scope for plan in saved.plans]
    return replace(order, names=names, target=target, wish=wish, saved=tuple(saved.plans))


def _pulled(session: Session, seen: Seen) -> Seen:
    """After what is to be as in Windmill was written into the folder."""
    keys = seen.theirs
    if not keys:
        return seen
    settled, files = session.pull(seen, keys)
    for file in files:
        render.good(f"{file.relative_to(session.root)} is as in Windmill now.")
    return settled


def show(seen: Seen, order: Order, how: How) -> None:
    """Show the plan. Raises: PlanNotDeployable."""
    if not order.as_json:
        render.drawn(plan_text.screen(seen.plan))
    if seen.folder.uncommitted:
        files = count_of(len(seen.folder.uncommitted), "file")
        render.warning(f"{seen.name}: deploys {files} that no commit has yet.")
    require_deployable(seen.plan, force=how.force)


async def carry_out(session: Session, order: Order, how: How, wanted: Sequence[Seen]) -> None:
    """One customer after the other; a failure ends it, and says which were not begun."""
    writing = [seen.name for seen in wanted if seen.plan.of(*WRITING)]
    if writing:
        require_word(session.target, writing, "Deploy", yes=order.yes)
    documents: list[dict[str, object]] = []
    try:
        with stoppable() as stop:
            for number, seen in enumerate(wanted):
                done = await _deployed(session, seen, replace(how, stopped=stop))
                documents.append(outcomes.deployed_document(seen.name, session.target.name, done))
                if done.status is not Status.DONE and (rest := [one.name for one in wanted[number + 1 :]]):
                    render.warning(f"Not begun: {', '.join(rest)}.")
                outcomes.tell_deploy(seen.name, done)
    finally:
        if order.as_json:
            render.document(documents)


async def _deployed(session: Session, seen: Seen, how: How) -> Deployed:
    with telling(seen.name, "Deploying") as teller:
        return await apply.deploy(
            session.client, seen.plan, seen.state, replace(how, say=teller), held=seen.held
        )
