"""`wmctl history`: the deploys of a customer, and what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from platform_cli import render
from platform_cli.options import AsJson, Customers, TargetName
from platform_cli.root import find_root
from platform_cli.sync.items import Json
from platform_cli.sync.session import folders_of, open_session, scope_of
from platform_cli.sync.state import State, read_states

_SHORT = 9


def app(customers: Customers = None, target: TargetName = None, as_json: AsJson = False) -> None:
    """Show the last deploys and what became of them.

    Example: wmctl history acme
    """
    rows = [row for state in asyncio.run(_read(customers or [], target)) for row in _rows(state)]
    if as_json:
        render.document(rows)
        return
    render.table(
        "Deploys",
        ("deploy", "customer", "state", "by", "began", "commit", "items", "reason"),
        [
            (
                r["deploy"],
                r["scope"],
                r["status"],
                r["actor"],
                _time(r["began_at"]),
                _short(r["commit"]),
                _acts(r),
                r["reason"],
            )
            for r in rows
        ],
        summary="`wmctl rollback CUSTOMER DEPLOY` undoes one.",
    )


async def _read(names: list[str], target: str | None) -> list[State]:
    root = find_root(Path.cwd())
    folders = folders_of(root, names)
    async with open_session(root, target) as session:
        render.badge(session.target.badge)
        with render.working("Reading Windmill"):
            return await read_states(session.client, [scope_of(folder) for folder in folders])


def _rows(state: State) -> list[dict[str, Json]]:
    return [
        {
            "scope": state.scope.name,
            "deploy": deploy.number,
            "status": deploy.status,
            **{name: deploy.about.get(name) for name in ("actor", "began_at", "changed_at", "changed_by")},
            **{name: deploy.about.get(name) for name in ("commit", "items", "acts", "reason")},
        }
        for deploy in state.deploys
    ]


def _time(text: Json) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _short(commit: Json) -> str | None:
    return commit[:_SHORT] if isinstance(commit, str) else None


def _acts(row: Mapping[str, Json]) -> str:
    acts = row["acts"]
    return ", ".join(f"{count} {act}" for act, count in acts.items()) if isinstance(acts, dict) else ""
