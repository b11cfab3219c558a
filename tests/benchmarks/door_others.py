"""What the door is measured against: applications on its server that only answer, or insert each body.

The Starlette ones are what anybody would write; the bare one is the least that ASGI allows.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

import uvicorn
import uvloop

ANSWER = b'{"outcome":"stored","event":"E1"}'

Receive = Callable[[], Awaitable[Any]]  # Any: as ASGI types its messages
Send = Callable[[Any], Awaitable[None]]


async def _body(receive: Receive) -> bytes:
    pieces = []
    more = True
    while more:
        message = await receive()
        pieces.append(message["body"])
        more = message.get("more_body", False)
    return b"".join(pieces)


async def _answer(send: Send) -> None:
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": ANSWER})


async def only_answer(scope: object, receive: Receive, send: Send) -> None:
    """Read the body, answer."""
    del scope
    await _body(receive)
    await _answer(send)


async def serve(kind: str, dsn: str) -> None:
    """Serve until killed; the port is printed first."""
    app: Any = only_answer  # Any: one of three ASGI applications
    if kind in ("starlette", "insert"):
        app = await import_module("tests.benchmarks.door_starlette").application(kind, dsn)
    config = uvicorn.Config(
        app, port=0, http="httptools", ws="none", lifespan="off", interface="asgi3", log_config=None,
        access_log=False, server_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn says it in an attribute only
        await asyncio.sleep(0.01)
    sys.stdout.write(f"{server.servers[0].sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await serving


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(*sys.argv[1:]))
