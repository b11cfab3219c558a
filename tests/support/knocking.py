"""Bytes to the door over a socket, as a provider or a stranger sends them, and what comes back."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.connectors.ycloud.deliveries import SECRET, signed

TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One response. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> object:
        """The body as JSON."""
        value: object = json.loads(self.body)
        return value


def request(
    path: str,
    body: bytes,
    headers: Iterable[tuple[str, str]] = (),
    *,
    method: str = "POST",
    length: bool = True,
) -> bytes:
    """A request in bytes, with its length unless told otherwise."""
    lines = [f"{method} {path} HTTP/1.1", "host: door", *(f"{name}: {value}" for name, value in headers)]
    if length:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def genuine(path: str, body: bytes, *, secret: str = SECRET, at: float | None = None) -> bytes:
    """A delivery signed now."""
    return request(path, body, signed(body, t=int(at or time.time()), secret=secret))


def chunked(path: str, body: bytes, *, size: int = 100, secret: str = SECRET) -> bytes:
    """The same, in chunks."""
    head = request(
        path,
        b"",
        [*signed(body, t=int(time.time()), secret=secret), ("transfer-encoding", "chunked")],
        length=False,
    )
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


class Caller:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self._kept = b""

    def send(self, content: bytes) -> None:
        """Send, as far as the other side takes it."""
        try:
            self.socket.sendall(content)
        except OSError:
            return

    def half_close(self) -> None:
        """Say that nothing more comes, and listen on."""
        self.socket.shutdown(socket.SHUT_WR)

    def answer(self) -> Answer | None:
        """The next response; None when the connection ended instead."""
        head = self._until(b"\r\n\r\n")
        if head is None:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
        }
        body = self._exactly(int(headers.get("content-length", "0")))
        return Answer(int(first.split()[1]), headers, body)

    def answers(self) -> Iterator[Answer]:
        """Every response until the connection ends."""
        while (found := self.answer()) is not None:
            yield found

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def _until(self, mark: bytes) -> bytes | None:
        while mark not in self._kept:
            if not self._more():
                return None
        head, _, self._kept = self._kept.partition(mark)
        return head

    def _exactly(self, size: int) -> bytes:
        while len(self._kept) < size and self._more():
            pass
        found, self._kept = self._kept[:size], self._kept[size:]
        return found

    def _more(self) -> bool:
        try:
            piece = self.socket.recv(65536)
        except ConnectionError:
            return False
        self._kept += piece
        return bool(piece)


def knock(port: int, content: bytes) -> Answer | None:
    """One request on a connection of its own, and its answer."""
    caller = Caller(port)
    try:
        caller.send(content)
        return caller.answer()
    finally:
        caller.close()


def get(port: int, path: str) -> Answer:
    """A GET."""
    found = knock(port, request(path, b"", method="GET", length=False))
    assert found is not None
    return found
