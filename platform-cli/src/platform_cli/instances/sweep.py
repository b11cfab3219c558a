"""Remove what probes made: everything whose name is a run's, found by asking the server, not by remembering.

Removing again is harmless. Jobs that ran stay in the server's history until its retention ends them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from platform_cli.instances.scratch import PREFIX, Scratch
from platform_cli.instances.server import Json, Server, pick, rows

ABANDONED_AFTER = timedelta(hours=1)
"""How old a run's folder must be before another run takes it for abandoned."""
_LISTED = (
    ("http_triggers/list", "DELETE", "http_triggers/delete/{path}"),
    ("schedules/list", "DELETE", "schedules/delete/{path}"),
    ("apps/list", "DELETE", "apps/delete/{path}"),
    ("flows/list", "DELETE", "flows/delete/{path}"),
    ("flows/list?show_archived=true", "DELETE", "flows/delete/{path}"),
    ("scripts/list?include_without_main=true", "POST", "scripts/delete/p/{path}"),
    ("scripts/list?include_without_main=true&show_archived=true", "POST", "scripts/delete/p/{path}"),
    ("resources/list", "DELETE", "resources/delete/{path}"),
    ("variables/list", "DELETE", "variables/delete/{path}"),
)
"""In the reverse order of creation: what uses something goes before it."""


async def sweep(scratch: Scratch) -> tuple[str, ...]:
    """Remove everything of this run; gives what is still there, as people name it."""
    return await _sweep(scratch.server, scratch.name, scratch.email)


async def sweep_abandoned(server: Server, now: datetime) -> tuple[str, ...]:
    """Remove what runs left that were killed more than an hour ago; gives their folders' names."""
    found = [
        str(row["name"])
        for row in rows((await server.ask("GET", "folders/list")).body)
        if str(row.get("name")).startswith(PREFIX) and _is_old(row, now)
    ]
    for name in found:
        await _sweep(server, name, f"{name.replace('_', '-')}@robots.invalid")
    return tuple(found)


def _is_old(row: Mapping[str, Json], now: datetime) -> bool:
    try:
        edited_at = datetime.fromisoformat(str(row.get("edited_at")))
    except ValueError:
        return False
    return now - edited_at.astimezone(UTC) > ABANDONED_AFTER


async def _sweep(server: Server, name: str, email: str) -> tuple[str, ...]:
    await _cancel_jobs(server, name)
    await _discard_drafts(server, name)
    for listing, method, deletion in _LISTED:
        for path in await _paths(server, listing, name):
            await server.ask(method, deletion.format(path=quote(path)))
    for kind in await _resource_types(server, name):
        await server.ask("DELETE", f"resources/type/delete/{kind}")
    for user in await _users(server, email):
        await server.ask("DELETE", f"users/delete/{user}")
    for folder in await _folders(server, name):
        await server.ask("DELETE", f"folders/delete/{folder}")
    return await _left(server, name, email)


async def _cancel_jobs(server: Server, name: str) -> None:
    listed = await server.ask("GET", f"jobs/queue/list?script_path_start=f/{name}&per_page=1000")
    for row in rows(listed.body):
        await server.ask("POST", f"jobs_u/queue/cancel/{row.get('id')}", {"reason": "a probe ended"})


async def _discard_drafts(server: Server, name: str) -> None:
    for row in rows((await server.ask("GET", "drafts/list")).body):
        path = str(row.get("path"))
        if path.startswith(f"f/{name}"):
            await server.ask(
                "POST", f"drafts/update/{row.get('kind')}/{path}", {"value": None, "force": True}
            )


async def _paths(server: Server, listing: str, name: str) -> list[str]:
    joint = "&" if "?" in listing else "?"
    answer = await server.ask("GET", f"{listing}{joint}path_start=f/{name}&per_page=10000")
    found = dict.fromkeys(str(row.get("path")) for row in rows(answer.body))
    return [path for path in found if path.startswith(f"f/{name}")]


async def _resource_types(server: Server, name: str) -> list[str]:
    listed = await server.ask("GET", "resources/type/listnames")
    names = listed.body if isinstance(listed.body, list) else []
    return [kind for kind in names if str(kind).startswith(f"c_{name}")]


async def _users(server: Server, email: str) -> list[str]:
    listed = rows((await server.ask("GET", "users/list")).body)
    return [str(row.get("username")) for row in listed if row.get("email") == email]


async def _folders(server: Server, name: str) -> list[str]:
    listed = rows((await server.ask("GET", "folders/list?per_page=10000")).body)
    return [str(row["name"]) for row in listed if str(pick(row, "name")).startswith(name)]


async def _left(server: Server, name: str, email: str) -> tuple[str, ...]:
    left = [
        f"{listing.partition('/')[0]} {path}"
        for listing, _, _ in _LISTED
        for path in await _paths(server, listing, name)
    ]
    left += [f"resource type {kind}" for kind in await _resource_types(server, name)]
    left += [f"user {user}" for user in await _users(server, email)]
    return tuple(left + [f"folder f/{folder}" for folder in await _folders(server, name)])
