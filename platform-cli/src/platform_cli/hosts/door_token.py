"""The token by which a host's door wakes runners: made in Windmill for those scripts alone, ended there."""

from __future__ import annotations

import json

from platform_cli.hosts.connection import Said
from platform_cli.instances import tokens
from platform_cli.instances.server import Server, rows
from platform_core.errors import HostUnreachable, PermissionDenied, StateConflict
from platform_core.settings import Secret

RUNNER = "job_runner_cron"


def require_workspace(host: str, status: Said, workspace: str, target: str) -> None:
    """Refuse a target whose workspace is not the one in which the host's door wakes runners.

    `status` is what the host answered to `status --json`. Raises: StateConflict; HostUnreachable when it
    answers something else.
    """
    try:
        found = json.loads(status.out)["workspace"]
    except (ValueError, KeyError, TypeError):
        raise HostUnreachable(
            f"{host} does not say in which workspace its door wakes runners",
            next_step="Its program is older than this wmctl: run `wmctl host bootstrap`.",
        ) from None
    if found is None:
        raise StateConflict(f"No door runs on {host}", next_step="Deploy a release first.")
    if found != workspace:
        raise StateConflict(
            f"The door of {host} wakes runners in the workspace {found}, and {target} is {workspace}",
            next_step=f"Give a --target of {found} (`wmctl target list`), or write "
            f"WINDMILL_WORKSPACE={workspace} into {host}'s host.env and deploy.",
        )


async def make_token(server: Server, host: str) -> Secret:
    """A token that may start each customer's runner, by its exact path, and nothing else.

    A customer made later needs another one. Raises: PermissionDenied when Windmill makes none.
    """
    folders = rows((await server.ask("GET", "folders/list?per_page=1000")).body)
    paths = sorted(f"f/{name}/{RUNNER}" for one in folders if isinstance(name := one.get("name"), str))
    scripts = [path for path in paths if (await server.ask("GET", f"scripts/exists/p/{path}")).body is True]
    if not scripts:
        raise PermissionDenied(
            f"The workspace {server.workspace} has no runner that the door could wake",
            next_step="Make a customer first: `wmctl customer new`.",
        )
    wanted = {"label": tokens.door_label(host), "scopes": [f"jobs:run:scripts:{path}" for path in scripts]}
    return await tokens.make_token(
        server,
        "create",
        wanted,
        next_step="Use a target whose token is an administrator's and has no scopes.",
    )


async def end_other_tokens(server: Server, host: str, kept: Secret) -> int:
    """Take away every other token of that host's door; how many.

    Raises: Refused when Windmill does not list them; PermissionDenied when it keeps one.
    """
    return await tokens.end_others(server, tokens.door_label(host), kept)
