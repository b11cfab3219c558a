"""A process that deploys `much_edited` to a stand-in: `python -m tests.support.deploy_process URL TOKEN`."""

from __future__ import annotations

import asyncio
import sys

from platform_cli.local.windmill.workspace.standin import StandIn, new
from platform_cli.sync.client import Client
from tests.support.deploys import Desk, much_edited


async def _deploy(windmill: StandIn) -> None:
    async with Client(windmill.url, "prod", windmill.admin_token) as client:
        await Desk(windmill, "process").deploying(client, much_edited())


if __name__ == "__main__":
    elsewhere = new(admin_token=sys.argv[2])
    elsewhere.url = sys.argv[1]
    asyncio.run(_deploy(elsewhere))
