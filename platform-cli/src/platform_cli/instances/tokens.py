"""Tokens in Windmill: what the platform's are called, how one is made, and how those before it end.

Windmill names a token by its beginning. Whoever asks is the server's caller, or who has the token `of`.
"""

from __future__ import annotations

from collections.abc import Mapping

from platform_cli.instances.server import Json, Server, require_done, rows
from platform_core.errors import PermissionDenied
from platform_core.settings import Secret

PERSON = "wmctl"
"""The token with which a person's wmctl works."""
LOOK = "wmctl, to look"
"""One of minutes, with which a person's other tokens are listed."""
_DOOR = "door of "
_BEGINNING = 10
"""By so many letters Windmill names a token."""


def door_label(host: str) -> str:
    """The label of the token with which a host's door wakes runners."""
    return f"{_DOOR}{host}"


def find_door(label: object) -> str | None:
    """The host whose door has a token of this label; None for any other label."""
    return label.removeprefix(_DOOR) if isinstance(label, str) and label.startswith(_DOOR) else None


async def make_token(server: Server, how: str, wanted: Json, *, next_step: str) -> Secret:
    """A new one: `how` is `create`, or `impersonate` for somebody else's. Raises: PermissionDenied."""
    answer = await server.ask("POST", f"/api/users/tokens/{how}", wanted)
    if not answer.ok or not answer.text.strip():
        raise PermissionDenied(
            f"{server.url} makes no token: {answer.status} {answer.text[:120]}", next_step=next_step
        )
    return Secret(answer.text.strip())


async def list_tokens(server: Server, of: Secret | None = None) -> list[Mapping[str, Json]]:
    """Whoever's asks: `token_prefix`, `label`, `expiration`. Raises: Refused when the server does not say."""
    path = "/api/users/tokens/list?exclude_ephemeral=true"
    return rows(require_done(await server.ask("GET", path, token=of), f"it at {path}").body)


async def end_others(server: Server, label: str, kept: Secret, of: Secret | None = None) -> int:
    """End every token of that label but one; how many. Raises: Refused; PermissionDenied when one stays."""
    ended = 0
    for row in await list_tokens(server, of):
        prefix = row.get("token_prefix")
        if row.get("label") != label or not isinstance(prefix, str) or kept.reveal().startswith(prefix):
            continue
        await _end(server, prefix, of)
        ended += 1
    return ended


async def end_itself(server: Server, token: Secret) -> None:
    """End a token, by itself. Raises: PermissionDenied when it stays."""
    await _end(server, token.reveal()[:_BEGINNING], token)


async def _end(server: Server, prefix: str, of: Secret | None) -> None:
    answer = await server.ask("DELETE", f"/api/users/tokens/delete/{prefix}", token=of)
    if not answer.ok:
        raise PermissionDenied(
            f"{server.url} keeps the old token {prefix}…: {answer.status}",
            next_step="Delete it in the account's settings.",
        )
