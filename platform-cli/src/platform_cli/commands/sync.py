"""`wmctl sync`: both directions at once, where nothing clashes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from platform_cli import render
from platform_cli.options import AsJson, Customers, Ended, Force, Ours, Switches, TargetName, Theirs, Yes
from platform_cli.root import find_root
from platform_cli.sync import apply, outcomes, plan_text
from platform_cli.sync.asking import require_word
from platform_cli.sync.carrying import How
from platform_cli.sync.plan import WRITING, Act
from platform_cli.sync.refusals import require_deployable
from platform_cli.sync.session import Seen, Session, Wish, folders_of, open_session
from platform_cli.sync.telling import stoppable, telling, warned

_DRIFTED = 3


def app(
    customers: Customers = None,
    target: TargetName = None,
    ours: Ours = None,
    theirs: Theirs = None,
    switches: Switches = False,
    force: Force = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Pull and deploy at once, where nothing clashes.

    Shows both directions and asks before anything is written.
    A customer with a conflict is pulled and not deployed: exit code 3 says that a person has to decide.

    Example: wmctl sync acme
    """
    wish = Wish(tuple(ours or ()), tuple(theirs or ()), switches)
    how = How("", force=force, switches=switches)
    asyncio.run(_sync(customers or [], target, wish, how, yes=yes, as_json=as_json))


async def _sync(
    names: list[str], target: str | None, wish: Wish, how: How, *, yes: bool, as_json: bool
) -> None:
    root = find_root(Path.cwd())
    folders = folders_of(root, names)
    async with open_session(root, target, folders) as session:
        render.badge(session.target.badge)
        how = replace(how, actor=await session.actor(), say=warned)
        # As in `deploy`: the lock is held from here on, and no signal may end us before it is back.
        with stoppable() if yes else nullcontext():
            async with session.holding(folders, how, yes=yes) as lock:
                with render.working("Reading git and Windmill"):
                    seen = await session.look(folders, wish, lock=lock)
                _ask(session, seen, yes=yes, as_json=as_json)
                await _both_ways(session, seen, how, as_json=as_json)


def _ask(session: Session, seen: Sequence[Seen], *, yes: bool, as_json: bool) -> None:
    """Show both directions, and ask if there is anything to write."""
    if not as_json:
        for one in seen:
            render.drawn(plan_text.screen(one.plan))
    moving = [one.name for one in seen if one.plan.of(*WRITING) or any(c.pulls for c in one.plan.changes)]
    if moving:
        require_word(session.target, moving, "Sync", yes=yes)


async def _both_ways(session: Session, seen: Sequence[Seen], how: How, *, as_json: bool) -> None:
    documents: list[dict[str, object]] = []
    clashing = []
    try:
        with stoppable() as stop:
            for one in seen:
                settled, files = session.pull(one)
                for file in files:
                    render.good(str(file.relative_to(session.root)))
                if settled.plan.of(Act.CONFLICT):
                    clashing.append(one.name)
                    continue
                documents.append(await _deployed(session, settled, replace(how, stopped=stop)))
    finally:
        if as_json:
            render.document(documents)
    if clashing:
        render.warning(f"In conflict, so not deployed: {', '.join(clashing)}. See `wmctl plan`.")
        raise Ended(_DRIFTED)


async def _deployed(session: Session, seen: Seen, how: How) -> dict[str, object]:
    require_deployable(seen.plan, force=how.force)
    with telling(seen.name, "Deploying") as teller:
        done = await apply.deploy(
            session.client, seen.plan, seen.state, replace(how, say=teller), held=seen.held
        )
    outcomes.tell_deploy(seen.name, done)
    return outcomes.deployed_document(seen.name, session.target.name, done)
