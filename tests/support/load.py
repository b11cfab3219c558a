"""A load of signed webhooks over kept connections, from a process of its own, that records every answer.

One request at a time on each connection, all of them signed before the first is sent. Prints one JSON
document; `python -m tests.support.load '<order as JSON>'`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import uvloop

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Order:
    """What to send. `rate_s` 0 means as fast as the answers come; `prefix` begins every event's id."""

    port: int
    path: str
    secret: str
    prefix: str
    count: int
    connections: int = 32
    rate_s: float = 0.0


@dataclass(slots=True)
class Load:
    """What came back: `answers` counts statuses, `stored` are the ids answered 200, times in milliseconds."""

    answers: dict[str, int]
    stored: list[str]
    lost: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def rate_s(self) -> float:
        """Answers a second."""
        return sum(self.answers.values()) / self.seconds


def body(event_id: str) -> bytes:
    """A delivery report as YCloud sends them, about 400 bytes."""
    return json.dumps(
        {
            "id": event_id,
            "type": "whatsapp.message.updated",
            "apiVersion": "v2",
            "createTime": "2026-01-02T03:04:05.000Z",
            "whatsappMessage": {
                "id": f"{hash(event_id):024x}",
                "status": "delivered",
                "wamid": "wamid." + "x" * 200,
            },
        }
    ).encode()


def requests(order: Order) -> list[tuple[str, bytes]]:
    """Every request in bytes, with its event's id."""
    stamp, secret = int(time.time()), order.secret.encode()
    made = []
    for number in range(order.count):
        event_id = f"{order.prefix}{number}"
        content = body(event_id)
        signature = hmac.new(secret, f"{stamp}.".encode() + content, hashlib.sha256).hexdigest()
        head = (
            f"POST {order.path} HTTP/1.1\r\nhost: door\r\ncontent-type: application/json\r\n"
            f"user-agent: ycloud\r\naccept: */*\r\nycloud-signature: t={stamp},s={signature}\r\n"
            f"content-length: {len(content)}\r\n\r\n"
        )
        made.append((event_id, head.encode() + content))
    return made


@dataclass(slots=True)
class _Run:
    order: Order
    waiting: Iterator[tuple[str, bytes]]
    done: asyncio.Event
    answers: Counter[str] = field(default_factory=Counter)
    stored: list[str] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    open: int = 0
    lost: int = 0
    began_s: float = 0.0
    sent: int = 0


class _Caller(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self.run = run
        self.event_id = ""
        self.sent_s = 0.0
        self.buffer = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(
            "asyncio.Transport", transport
        )  # uvloop's own, which is none of asyncio's classes
        self.run.open += 1
        self.next()

    def next(self) -> None:
        """Send the next request, when it is time for it."""
        if self.run.order.rate_s:
            due_s = self.run.began_s + self.run.sent / self.run.order.rate_s
            wait_s = due_s - time.perf_counter()
            self.run.sent += 1
            if wait_s > 0:
                asyncio.get_running_loop().call_later(wait_s, self.send, due_s)
                return
            self.send(due_s)
            return
        self.send(time.perf_counter())

    def send(self, due_s: float) -> None:
        """Send one, or leave when there is none. A paced one is timed from when it was due."""
        one = next(self.run.waiting, None)
        if one is None:
            self.transport.close()
            return
        self.event_id, content = one
        self.sent_s = due_s
        self.transport.write(content)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(rest) < length:
            return
        self.buffer = b""
        self.run.times_s.append(time.perf_counter() - self.sent_s)
        status = head[9:12].decode()
        self.run.answers[status] += 1
        if status == "200":
            self.run.stored.append(self.event_id)
        self.event_id = ""
        self.next()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.run.lost += bool(self.event_id)
        self.run.open -= 1
        if self.run.open == 0:
            self.run.done.set()


async def _go(order: Order) -> Load:
    run = _Run(order, iter(requests(order)), asyncio.Event())
    loop = asyncio.get_running_loop()
    run.began_s = time.perf_counter()
    await asyncio.gather(
        *(
            loop.create_connection(lambda: _Caller(run), "127.0.0.1", order.port)
            for _ in range(order.connections)
        )
    )
    await run.done.wait()
    seconds = time.perf_counter() - run.began_s
    times = sorted(run.times_s) or [0.0]
    return Load(
        dict(run.answers),
        run.stored,
        run.lost,
        seconds,
        times[len(times) // 2] * 1000,
        times[min(len(times) - 1, int(len(times) * 0.99))] * 1000,
    )


def start(order: Order) -> subprocess.Popen[str]:
    """Send it from a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.load", json.dumps(asdict(order))],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> Load:
    """Wait for its end: what came back."""
    out, _ = process.communicate(timeout=100)
    return Load(**json.loads(out))


def send(order: Order) -> Load:
    """Send it all and wait."""
    return outcome(start(order))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.write(json.dumps(asdict(runner.run(_go(Order(**json.loads(sys.argv[1])))))))
