"""`wmctl pull`: what people edited in Windmill, into the customer's folder."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from platform_cli import render
from platform_cli.options import AsJson, Customers, Switches, TargetName, Theirs
from platform_cli.root import find_root
from platform_cli.sync.counting import count_of
from platform_cli.sync.items import Key
from platform_cli.sync.plan import Act
from platform_cli.sync.session import Seen, Session, Wish, folders_of, key_of, keys_of, open_session


def app(
    customers: Customers = None,
    target: TargetName = None,
    item: Annotated[
        list[str] | None,
        typer.Option("--item", "-i", metavar="ITEM", help="Only this one; may be given several times."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also every item that git lacks: never had, or dropped.")
    ] = False,
    choose: Annotated[bool, typer.Option("--choose", help="Ask for each item.")] = False,
    theirs: Theirs = None,
    switches: Switches = False,
    as_json: AsJson = False,
) -> None:
    """Take edits made in Windmill to git.

    They are written into the customer's folder, for `git diff` to show.
    An item that git never had comes when it is named with --item, or with --all. Nothing is committed, and
    nothing is written to Windmill.

    Example: wmctl pull acme
    """
    wish = Wish((), tuple(theirs or ()), switches)
    chosen = _Chosen(tuple(item or ()), every, choose)
    documents = asyncio.run(_pull(customers or [], target, wish, chosen))
    if as_json:
        render.document(documents)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Which items are wanted: these alone, also all that git never had, or those that a person nods at."""

    items: tuple[str, ...]
    every: bool
    ask: bool


async def _pull(names: list[str], target: str | None, wish: Wish, chosen: _Chosen) -> list[dict[str, object]]:
    root = find_root(Path.cwd())
    folders = folders_of(root, names)
    async with open_session(root, target, folders) as session:
        render.badge(session.target.badge)
        with render.working("Reading git and Windmill"):
            seen = await session.look(folders, wish)
    known = keys_of(seen)
    items = chosen.items
    named = {key_of(text, known) for text in (*items, *wish.theirs)} if items else None
    adopted = None if chosen.every else named or set()
    return [_pulled(session, _adopting(session, one, adopted), named, ask=chosen.ask) for one in seen]


def _adopting(session: Session, seen: Seen, wanted: set[Key] | None) -> Seen:
    """Naming an item that git never had says enough: it is wanted. None wants all that git lacks."""
    if wanted is None:
        lacking = [one for one in seen.plan.changes if one.desired is None and one.before is not None]
    else:
        lacking = [one for one in seen.plan.of(Act.UNMANAGED) if one.key in wanted]
    new = [str(change.key) for change in lacking]
    wish = replace(seen.wish, theirs=(*seen.wish.theirs, *new))
    return session.again(replace(seen, wish=wish)) if new else seen


def _pulled(session: Session, seen: Seen, named: set[Key] | None, *, ask: bool) -> dict[str, object]:
    offered = [
        change.key for change in seen.plan.changes if change.pulls and (named is None or change.key in named)
    ]
    keys = [key for key in offered if not ask or typer.confirm(f"Pull {key}?", default=True, err=True)]
    _, files = session.pull(seen, keys)
    for file in files:
        render.good(str(file.relative_to(session.root)))
    open_ = [str(change.key) for change in seen.plan.of(Act.CONFLICT)]
    if open_:
        render.warning(
            f"{seen.name}: in conflict and left: {', '.join(open_)}. See `wmctl plan {seen.name}`."
        )
    if not files:
        render.note(f"{seen.name}: nothing to pull.")
    else:
        written = count_of(len(files), "file")
        render.note(f"{seen.name}: {written}. See `git diff`, commit, then `wmctl deploy {seen.name}`.")
    return {
        "scope": seen.name,
        "target": session.target.name,
        "items": [str(key) for key in keys],
        "files": [file.relative_to(session.root).as_posix() for file in files],
        "conflicts": open_,
    }
