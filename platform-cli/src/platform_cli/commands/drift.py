"""`wmctl drift`: what changed in Windmill since the last deploy, for a timer to ask."""

from __future__ import annotations

import asyncio
from pathlib import Path

from platform_cli import render
from platform_cli.options import AsJson, Customers, Ended, TargetName
from platform_cli.root import find_root
from platform_cli.sync.drift import Drift, read_drift
from platform_cli.sync.session import folders_of, open_session, scope_of
from platform_cli.sync.wire import all_of


def app(customers: Customers = None, target: TargetName = None, as_json: AsJson = False) -> None:
    """Show what changed in Windmill since the last deploy.

    Edits, switches, moved identities, failed locks, secrets, drafts: by whom and when, as far as it tells.
    Git is not compared, so a checkout that is behind says nothing wrong. Exit code 3 when anything moved.

    Example: wmctl drift acme --json
    """
    found = asyncio.run(_read(customers or [], target))
    if as_json:
        render.document(found)
    else:
        for one in found:
            _show(one)
    raise Ended(max(one.exit_code for one in found))


async def _read(names: list[str], target: str | None) -> list[Drift]:
    root = find_root(Path.cwd())
    folders = folders_of(root, names, every=True)
    async with open_session(root, target) as session:
        render.badge(session.target.badge)
        with render.working("Reading Windmill"):
            return list(await all_of(*(read_drift(session.client, scope_of(folder)) for folder in folders)))


def _show(drift: Drift) -> None:
    since = f"deploy {drift.deploy}" if drift.deploy is not None else "ever: there was no deploy"
    render.table(
        f"{drift.scope} since {since}",
        ("level", "what", "about", "says", "by", "at"),
        [(fact.level, fact.what, fact.about, fact.says, fact.by, fact.at) for fact in drift.facts],
    )
