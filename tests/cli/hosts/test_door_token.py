"""The door's token may start each customer's runner and nothing else; the one before ends in Windmill."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from platform_cli.hosts.door_token import end_other_tokens, make_token
from platform_cli.instances.server import Server
from platform_core.errors import PermissionDenied, Refused
from platform_core.settings import Secret

MADE = "not-a-real-token-of-the-door"
RUNNERS = {"f/acme/job_runner_cron", "f/vet/job_runner_cron"}


class Windmill:
    """What a Windmill 1.743 answers about folders, scripts and tokens."""

    def __init__(self, *, scoped: bool = False) -> None:
        self.scoped = scoped
        self.asked: list[dict[str, object]] = []
        self.tokens = [("not-a-real", "door of prod"), ("older-not-a", "door of prod"), ("other-not-", "ana")]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """One answer."""
        path = request.url.path
        if path.endswith("/folders/list"):
            return httpx.Response(200, json=[{"name": name} for name in ("vet", "ops", "acme")])
        if "/scripts/exists/p/" in path:
            return httpx.Response(200, json=path.rpartition("/p/")[2] in RUNNERS)
        if path == "/api/users/tokens/list":
            rows = [{"token_prefix": prefix, "label": label} for prefix, label in self.tokens]
            return httpx.Response(200, json=rows)
        if path == "/api/users/tokens/create":
            self.asked.append(json.loads(request.content))
            return httpx.Response(403, text="scoped") if self.scoped else httpx.Response(201, text=MADE)
        self.tokens = [one for one in self.tokens if one[0] != path.rpartition("/")[2]]
        return httpx.Response(200, text="deleted")

    def server(self) -> Server:
        """A connection to it."""
        return Server("https://windmill.invalid", Secret("t"), "prod", transport=httpx.MockTransport(self))


def test_a_token_names_each_runner_and_the_ones_before_it_end() -> None:
    """Another person's token stays."""
    windmill = Windmill()

    async def run() -> int:
        async with windmill.server() as server:
            return await end_other_tokens(server, "prod", await make_token(server, "prod"))

    assert asyncio.run(run()) == 1
    assert windmill.asked == [
        {"label": "door of prod", "scopes": [f"jobs:run:scripts:{path}" for path in sorted(RUNNERS)]}
    ]
    assert windmill.tokens == [("not-a-real", "door of prod"), ("other-not-", "ana")]


def test_a_token_that_may_make_none_is_said() -> None:
    """Before anything is different on the host."""

    async def run() -> None:
        async with Windmill(scoped=True).server() as server:
            await make_token(server, "prod")

    with pytest.raises(PermissionDenied, match="makes no token: 403"):
        asyncio.run(run())


def test_tokens_that_are_not_listed_did_not_end() -> None:
    """A refused list is no empty one: the token before may go on opening what it opened."""
    denied = httpx.MockTransport(lambda _: httpx.Response(403, text="scoped"))

    async def run() -> None:
        async with Server("https://windmill.invalid", Secret("t"), "prod", transport=denied) as server:
            await end_other_tokens(server, "prod", Secret(MADE))

    with pytest.raises(Refused, match=r"tokens/list.*: 403 scoped"):
        asyncio.run(run())
