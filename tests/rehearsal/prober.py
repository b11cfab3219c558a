"""A visitor who never stops asking: every answer is counted, so that a lost one is seen."""

from __future__ import annotations

import hmac
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from secrets import token_hex

from tests.support.load import body as report

OK = 200
BETWEEN_S = 0.02
BETWEEN_DELIVERIES_S = 0.1
"""Each is an event that is stored, and then handled by a job on two cores that also serve."""
PATIENCE_S = 15


@dataclass
class Sender:
    """The provider, as one customer's endpoint knows it: a secret, and the ids of what was acknowledged."""

    path: str
    secret: str
    acknowledged: set[str] = field(default_factory=set)

    def delivery(self) -> tuple[str, bytes, dict[str, str]]:
        """An event of its own: its id, its bytes, and the headers that prove whose it is."""
        event = f"evt_{token_hex(12)}"
        body, now = report(event), str(int(time.time()))
        signed = hmac.new(self.secret.encode(), f"{now}.".encode() + body, "sha256").hexdigest()
        return event, body, {"YCloud-Signature": f"t={now},s={signed}", "Content-Type": "application/json"}


@dataclass
class Count:
    """What a visitor saw in one stretch of time: times in milliseconds."""

    asked: int = 0
    failures: list[str] = field(default_factory=list)
    longest_ms: int = 0
    versions: set[str] = field(default_factory=set)

    @property
    def failed(self) -> int:
        """How many requests had no good answer."""
        return len(self.failures)


@dataclass(frozen=True)
class Address:
    """A page of the platform under test: which host, by which name, and what a good answer is.

    With a sender each request is a delivery of its own, signed as the provider signs.
    """

    ip: str
    name: str
    path: str
    method: str = "GET"
    good: tuple[int, ...] = (200,)
    sender: Sender | None = None


@contextmanager
def connected(
    ip: str, name: str, trust: ssl.SSLContext, *, patience_s: float = PATIENCE_S
) -> Iterator[http.client.HTTPSConnection]:
    """A connection of its own, by TLS, to a host at an address that no resolver knows. Raises: OSError."""
    raw = socket.create_connection((ip, 443), timeout=patience_s)
    with trust.wrap_socket(raw, server_hostname=name) as secured:
        connection = http.client.HTTPSConnection(name, timeout=patience_s)
        connection.sock = secured
        yield connection


def ask(address: Address, trust: ssl.SSLContext, *, patience_s: float = PATIENCE_S) -> tuple[int, bytes]:
    """One request on a connection of its own. Raises: OSError, HTTPException."""
    with connected(address.ip, address.name, trust, patience_s=patience_s) as connection:
        event, body = "", b"{}" if address.method == "POST" else None
        headers: dict[str, str] = {}
        if address.sender:
            event, body, headers = address.sender.delivery()
        connection.request(address.method, address.path, body, {**headers, "Connection": "close"})
        answer = connection.getresponse()
        said = answer.read()
    if address.sender and answer.status == OK:
        address.sender.acknowledged.add(event)
    return answer.status, said


@contextmanager
def visiting(addresses: tuple[Address, ...], trust: ssl.SSLContext) -> Iterator[Count]:
    """Ask each address in turn, on and on, until the block ends; the count is whole then."""
    count, stop = Count(), threading.Event()
    visitors = [
        threading.Thread(target=_visit, args=(address, trust, count, stop), daemon=True)
        for address in addresses
    ]
    for visitor in visitors:
        visitor.start()
    try:
        yield count
    finally:
        stop.set()
        for visitor in visitors:
            visitor.join(PATIENCE_S * 2)


def _visit(address: Address, trust: ssl.SSLContext, count: Count, stop: threading.Event) -> None:
    while not stop.wait(BETWEEN_DELIVERIES_S if address.sender else BETWEEN_S):
        began = time.monotonic()
        try:
            status, body = ask(address, trust)
            problem = "" if status in address.good else f"{address.name} {status}"
            if not problem and address.path == "/api/version":
                count.versions.add(body.decode("utf-8", "replace").strip()[:60])
        except (OSError, http.client.HTTPException) as error:
            problem = f"{address.name} {type(error).__name__} {time.strftime('%X')}"
        count.asked += 1
        count.longest_ms = max(count.longest_ms, round((time.monotonic() - began) * 1000))
        if problem:
            count.failures.append(problem)
