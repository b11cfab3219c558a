"""`wmctl plan`: what differs between git and Windmill, and what follows; nothing is written."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from platform_cli import render
from platform_cli.lazy import lazily
from platform_cli.options import AsJson, Customers, Ended, Ours, Switches, TargetName, Theirs
from platform_cli.root import find_root
from platform_cli.sync import plan_text
from platform_cli.sync.plan import Plan
from platform_cli.sync.session import Wish, folders_of, open_session

if TYPE_CHECKING:  # it takes as long to load as the rest, and few plans are saved or printed as JSON
    from platform_cli.sync import plan_file
else:
    plan_file = lazily("platform_cli.sync.plan_file")


def app(
    customers: Customers = None,
    target: TargetName = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Keep the plan in a file, for `wmctl deploy FILE`.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print it for a pull request.")] = False,
    ours: Ours = None,
    theirs: Theirs = None,
    switches: Switches = False,
    as_json: AsJson = False,
) -> None:
    """Show what differs and what would follow. Writes nothing.

    Compares the customer's folder, Windmill, and what both last agreed on.

    Exit code: 0 nothing, 2 changes in git alone, 3 edits in Windmill that git lacks, or a conflict.

    Example: wmctl plan acme
    """
    wish = Wish(tuple(ours or ()), tuple(theirs or ()), switches)
    plans = asyncio.run(_plans(customers or [], target, wish))
    if out is not None:
        asked = plan_file.AskedDocument(ours=ours or [], theirs=theirs or [], switches=switches)
        plan_file.save(plans, asked, out)
        render.good(f"The plan is kept in {out}: `wmctl deploy {out}` writes this and nothing else.")
    if as_json:
        render.document([plan_file.document_of(plan).model_dump(mode="json") for plan in plans])
    elif markdown:
        render.raw(plan_text.markdown(plans))
    else:
        for plan in plans:
            render.drawn(plan_text.screen(plan))
    raise Ended(max(plan.exit_code for plan in plans))


async def _plans(names: list[str], target: str | None, wish: Wish) -> list[Plan]:
    root = find_root(Path.cwd())
    folders = folders_of(root, names)
    async with open_session(root, target, folders) as session:
        render.badge(session.target.badge)
        with render.working("Reading git and Windmill"):
            return [seen.plan for seen in await session.look(folders, wish)]
