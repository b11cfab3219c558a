"""A server that answers as a test says, byte for byte: what stands at an address may be anything."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

CUT = b"\0cut"
"""Read the request and close the connection without a word."""
SILENCE = b"\0silence"
"""Read the request and say nothing until the caller goes away."""

_TLS = b"\x16"


@dataclass(slots=True)
class Answering:
    """What a served address was asked. `url` is its address."""

    url: str
    answers: Sequence[bytes]
    requests: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)


def answer(status: int, body: str | bytes = "", kind: str = "text/plain", **headers: str) -> bytes:
    """A whole answer, after which the connection ends."""
    content = body.encode() if isinstance(body, str) else body
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{more}"
        f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + content


def page(title: str) -> bytes:
    """What a proxy shows a person."""
    return answer(200, f"<!DOCTYPE html><html><head><title>{title}</title></head></html>", "text/html")


@contextmanager
def answering(*answers: bytes) -> Iterator[Answering]:
    """Serve on a free port: the first request gets the first answer, and the last answer stays."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        served = Answering(f"http://127.0.0.1:{listener.getsockname()[1]}", answers)
        over = threading.Event()
        thread = threading.Thread(target=_serve, args=(listener, served, over), daemon=True)
        thread.start()
        try:
            yield served
        finally:
            over.set()
            with socket.create_connection(listener.getsockname()[:2]):
                pass  # wakes the listener
            thread.join(5)


def _serve(listener: socket.socket, served: Answering, over: threading.Event) -> None:
    while not over.is_set():
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(5)
            head, body = _request(connection)
            if not head:
                continue
            served.requests.append(head.split(" HTTP/", 1)[0])
            served.bodies.append(body)
            served.tokens.update(
                line.split(": ", 1)[1]
                for line in head.split("\r\n")
                if line.lower().startswith("authorization:")
            )
            said = served.answers[min(len(served.requests), len(served.answers)) - 1]
            if said == SILENCE:
                connection.recv(1)
            elif said != CUT:
                connection.sendall(said)


def _request(connection: socket.socket) -> tuple[str, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65536)
        if not part:
            return "", b""
        received += part
        if received[:1] == _TLS:  # a greeting that a plain server does not understand
            return "TLS", b""
    raw, _, body = received.partition(b"\r\n\r\n")
    head = raw.decode("latin-1")
    lengths = [line for line in head.split("\r\n") if line.lower().startswith("content-length:")]
    length = int(lengths[0].split(":")[1]) if lengths else 0
    while len(body) < length:
        body += connection.recv(65536)
    return head, body
