"""Starlette beside the door: an application that only answers, and one that inserts each body by itself.

Imported by name only where Starlette is installed, which `make bench` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.benchmarks.door_others import ANSWER

CONNECTIONS = 8
INSERT = "INSERT INTO public.bare (body) VALUES (%b)"


async def application(kind: str, dsn: str) -> Starlette:
    """The one of that kind, its connections open."""
    if kind == "starlette":
        return starlette(starlette_answer)
    inserting = OneInsertEach(dsn)
    await inserting.open()
    return starlette(inserting.answer)


async def starlette_answer(request: Request) -> Response:
    """Read the body, answer."""
    await request.body()
    return Response(ANSWER, media_type="application/json")


class OneInsertEach:
    """Read the body, insert it in a transaction of its own, answer."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.free: asyncio.Queue[psycopg.AsyncConnection] = asyncio.Queue()

    async def open(self) -> None:
        """Open the connections."""
        for _ in range(CONNECTIONS):
            self.free.put_nowait(await psycopg.AsyncConnection.connect(self.dsn, autocommit=True))

    async def answer(self, request: Request) -> Response:
        """One request."""
        body = await request.body()
        connection = await self.free.get()
        try:
            await connection.execute(INSERT, (body,), prepare=True)
        finally:
            self.free.put_nowait(connection)
        return Response(ANSWER, media_type="application/json")


def starlette(endpoint: Callable[[Request], Awaitable[Response]]) -> Starlette:
    """One route, as the door has them."""
    return Starlette(routes=[Route("/api/r/{path:path}", endpoint, methods=["POST"])])
