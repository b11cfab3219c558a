"""What a target is before anything is done with it: which server answers, and what the token may do there."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import cast

from platform_cli.sync.client import Client, Row
from platform_core.errors import WindmillDenied, WindmillNotFound, WindmillTokenRejected

TESTED_VERSION = "1.743"
_TESTED_COMMIT = "bf6be967f"
"""A build from source names its commit instead of its version; this is 1.743.0."""

_DEPLOYERS = "wm_deployers"
SOON = timedelta(days=14)
"""So long before a token ends its owner is told."""


class Rights(StrEnum):
    """What the owner of a token may do in a workspace."""

    ADMINISTRATOR = "administrator"
    DEPLOYER = "deployer"
    """A member of wm_deployers: may deploy what their folders allow, in the name of others."""
    USER = "user"
    """May change what their folders allow, but schedules and routes only in their own name."""
    OPERATOR = "operator"
    """May run things, and change nothing."""


@dataclass(frozen=True, slots=True)
class Access:
    """The server's version, whose token it is, and when that ends: aware UTC, or None where none is told."""

    version: str
    tested: bool
    username: str
    email: str
    rights: Rights
    token_ends_at: datetime | None = None

    def warnings(self, now: datetime) -> tuple[str, ...]:
        """What a person should know before deploying there."""
        found = []
        if self.token_ends_at is not None and self.token_ends_at - now < SOON:
            found.append(
                f"The token ends on {self.token_ends_at:%Y-%m-%d}: whoever runs the server makes another "
                "(`wmctl instance admit`), and `wmctl target add` keeps it."
            )
        if not self.tested:
            found.append(
                f"This server is {self.version}; wmctl is tested with {TESTED_VERSION}. "
                "Run `wmctl instance check` before you deploy."
            )
        if self.rights is Rights.OPERATOR:
            found.append(f"{self.username} is an operator: it can read a plan and deploy nothing.")
        elif self.rights is Rights.USER:
            found.append(
                f"{self.username} is neither administrator nor member of {_DEPLOYERS}: schedules and routes "
                "cannot be given to a customer's robot."
            )
        return tuple(found)


async def read_access(client: Client) -> Access:
    """Ask the server who it is and who we are.

    Raises: WindmillNotFound when there is no such workspace; WindmillDenied when we are not in it;
    WindmillTokenRejected.
    """
    version, exists = await asyncio.gather(client.version(), client.workspace_exists())
    if not exists:
        raise WindmillNotFound(
            f"{client.host} has no workspace {client.workspace}", next_step=await _others(client)
        )
    try:
        me = await client.whoami()
    except WindmillTokenRejected:
        # Windmill says the same of a token that is not valid and of one whose owner is not in the workspace;
        # the list of workspaces tells them apart, for it is refused to the first alone.
        raise WindmillDenied(
            f"The token's owner is not a user of workspace {client.workspace} at {client.host}",
            next_step=await _others(client),
        ) from None
    return Access(
        version,
        is_tested(version),
        str(me.get("username", "")),
        str(me.get("email", "")),
        _rights(me),
        await client.token_ends_at(),
    )


async def _others(client: Client) -> str:
    names = ", ".join(sorted(str(row.get("id")) for row in await client.workspaces()))
    return f"Yours there are: {names}." if names else "Ask whoever runs it for its name."


def is_tested(version: str) -> bool:
    """Whether a server's own words name the version that wmctl is tested with."""
    numbered = re.search(r"v?(\d+\.\d+)(?:\.\d+)?\b", version)
    return numbered[1] == TESTED_VERSION if numbered else _TESTED_COMMIT in version


def _rights(me: Row) -> Rights:
    if me.get("is_admin") is True or me.get("is_super_admin") is True:
        return Rights.ADMINISTRATOR
    if me.get("operator") is True:
        return Rights.OPERATOR
    return Rights.DEPLOYER if _DEPLOYERS in cast("list[str]", me.get("groups") or []) else Rights.USER
