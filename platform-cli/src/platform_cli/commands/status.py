"""`wmctl status`: who is ahead, git or Windmill, for every customer on one screen."""

from __future__ import annotations

import asyncio
from pathlib import Path

from platform_cli import render
from platform_cli.options import AsJson, Customers, TargetName
from platform_cli.root import find_root
from platform_cli.sync.plan import WRITING, Act, Level
from platform_cli.sync.session import Seen, folders_of, open_session


def app(customers: Customers = None, target: TargetName = None, as_json: AsJson = False) -> None:
    """Show who is ahead, git or Windmill, for every customer.

    Example: wmctl status
    """
    rows = [_row(seen) for seen in asyncio.run(_look(customers or [], target))]
    if as_json:
        render.document(rows)
        return
    columns = (
        "customer",
        "says",
        "to deploy",
        "to pull",
        "conflicts",
        "alarms",
        "last deploy",
        "by",
        "deploying",
    )
    render.table(
        "Git and Windmill",
        columns,
        [
            [row[name] for name in ("scope", "says", "to_deploy", "to_pull", "conflicts", "alarms")]
            + [row["deployed_at"], row["deployed_by"], row["deploying"]]
            for row in rows
        ],
        summary="See `wmctl plan CUSTOMER` for what differs.",
    )


async def _look(names: list[str], target: str | None) -> list[Seen]:
    root = find_root(Path.cwd())
    folders = folders_of(root, names, every=True)
    async with open_session(root, target, folders) as session:
        render.badge(session.target.badge)
        with render.working("Reading git and Windmill"):
            return await session.look(folders)


def _row(seen: Seen) -> dict[str, object]:
    plan = seen.plan
    last = seen.state.deploys[0] if seen.state.deploys else None
    counts = {
        "to_deploy": len(plan.of(*WRITING)),
        "to_pull": sum(change.pulls and change.act is not Act.RELOCK for change in plan.changes),
        "conflicts": len(plan.of(Act.CONFLICT)),
        "unmanaged": len(plan.of(Act.UNMANAGED)),
    }
    return {
        "scope": seen.name,
        "says": _says(counts, deployed=seen.state.base_id is not None),
        **counts,
        "uncommitted": len(seen.folder.uncommitted),
        "alarms": sum(notice.level is Level.DANGER for notice in plan.notices),
        "deploy": last.number if last else None,
        "deploy_status": last.status if last else None,
        "deployed_at": last.at if last else None,
        "deployed_by": last.about.get("actor") if last else None,
        "deploying": seen.state.lock.holder if seen.state.lock else None,
    }


def _says(counts: dict[str, int], *, deployed: bool) -> str:
    """Who is ahead, in two words."""
    if counts["conflicts"]:
        return "conflict"
    if counts["to_deploy"] and counts["to_pull"]:
        return "both moved"
    if counts["to_deploy"]:
        return "git ahead" if deployed else "never deployed"
    return "Windmill ahead" if counts["to_pull"] else "equal"
