"""HTTP/1.1 with deadlines: uvicorn's httptools protocol, and what a door to strangers needs beside it.

uvicorn bounds neither the time a head may take nor its size, has no least rate for a body, and answers what
it cannot parse in words. Here each of these has a bound and one short answer, and the connections are looked
at three times a second in one sweep, so that a request costs no timer. Pinned to one minor release of
uvicorn: this reads its attributes, and tests/core/ingest/test_limits.py drives every line of it over real
sockets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from platform_core.ingest.limits import Limits

LINGER_S = 0.5
ANSWER = "door.answer"
"""The ASGI extension by which the application answers in one call: `write` (status, head lines, content)."""


@dataclass(slots=True)
class Gate:
    """What every connection of a door shares: its limits, and who hears of a request answered here."""

    limits: Limits
    on_refused: Callable[[HTTPStatus, str], None]


def protocol_of(gate: Gate) -> type[HttpToolsProtocol]:
    """The protocol class uvicorn makes a connection's protocol of."""
    return type("GatedProtocol", (DoorProtocol,), {"gate": gate})


class DoorProtocol(HttpToolsProtocol):
    """One connection. `_head_s` and `_body_s` say when the head or body being read began; None without."""

    gate: ClassVar[Gate]
    _head_s: float | None = None
    _body_s: float | None = None
    _asked_s: float = 0.0
    _head_bytes: int = 0
    _body_bytes: int = 0
    _hung_up: bool = False

    @property
    def _unanswered(self) -> bool:
        """Whether a request is being read or answered."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first; uvicorn types it without
        return cycle is not None and not cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """A connection beyond the cap is sent away at once."""
        super().connection_made(transport)
        self._head_s = time.monotonic()
        if len(self.connections) > self.gate.limits.connections:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too_many_connections", b"retry-after: 1\r\n")
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and bound what a head may take."""
        if self._hung_up:
            return
        if self._body_s is None:
            if self._head_s is None:
                self._head_s, self._head_bytes = time.monotonic(), 0
            self._head_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._last_request()
        except httptools.HttpParserError:
            too_large = self._head_bytes > self.gate.limits.head_bytes
            self._unreadable(too_large=too_large and self._body_s is None)
            return
        if self._head_s is not None and self._head_bytes > self.gate.limits.head_bytes:
            self._unreadable(too_large=True)

    def eof_received(self) -> bool | None:  # type: ignore[override]  # uvicorn's says nothing and closes
        """A caller that has sent everything and still listens gets its answer."""
        if self._unanswered and not self.cycle.more_body:
            self._last_request()
            return True
        return None

    def on_message_begin(self) -> None:
        """A request begins, perhaps in the middle of what was received."""
        super().on_message_begin()
        if self._head_s is None:
            self._head_s, self._head_bytes = time.monotonic(), 0

    def on_headers_complete(self) -> None:
        """The head is complete. A head over the limit is refused although it came in one piece."""
        size = self._head_bytes  # with what else came in the same piece: enough to know that it is small
        if size > self.gate.limits.head_bytes:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.gate.limits.head_bytes:
            self._head_bytes = size
            raise ValueError(
                "the head is too large"
            )  # httptools makes it a parser error: data_received answers
        self._head_s = None
        self._body_s = self._asked_s = time.monotonic()
        self._body_bytes = 0
        super().on_headers_complete()
        self.scope["extensions"] = {ANSWER: {"write": partial(self._answer, self.cycle)}}

    def on_body(self, body: bytes) -> None:
        """Part of a body. What follows an answer given early is thrown away, up to a limit."""
        self._body_bytes += len(body)
        if self.cycle.response_complete and self._body_bytes > 2 * self.gate.limits.body_bytes:
            self._hang_up()
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is complete."""
        self._body_s = None
        super().on_message_complete()

    def shutdown(self) -> None:
        """Close when idle; what has begun to arrive is read and answered first."""
        if self._unanswered:
            self.cycle.keep_alive = False
        else:  # bytes may be waiting in the socket: one turn of the loop reads them
            self.loop.call_later(0.05, self._close_when_idle)

    def sweep(self, now_s: float) -> None:
        """End what takes too long. Called by the server three times a second."""
        limits = self.gate.limits
        if self._hung_up or self.transport.is_closing():
            return
        unanswered = self._unanswered
        if self._body_s is not None and self._body_too_slow(now_s - self._body_s):
            if unanswered:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT, "body_too_slow")
            else:
                self._hang_up()
        elif unanswered and now_s - self._asked_s > limits.answer_s:
            self._hang_up()
        elif self._head_s is not None and not unanswered and now_s - self._head_s > limits.head_s:
            if self._head_bytes:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT, "head_too_slow")
            else:
                self._hang_up()

    def _body_too_slow(self, taken_s: float) -> bool:
        limits = self.gate.limits
        late = taken_s - limits.body_grace_s
        return taken_s > limits.body_s or (late > 0 and self._body_bytes < late * limits.body_min_bytes_s)

    def _unreadable(self, *, too_large: bool) -> None:
        """Bytes that are no HTTP. An earlier request of this connection is answered before it is closed."""
        if self._unanswered and not self.cycle.more_body:
            self.gate.on_refused(HTTPStatus.BAD_REQUEST, "not_http")
            self._last_request()
            self._hung_up = True
        elif too_large:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, "not_http")

    def _last_request(self) -> None:
        """What is being answered is answered, then the connection ends."""
        self.pipeline.clear()
        if self._unanswered:
            self.cycle.keep_alive = False

    def _refuse(self, status: HTTPStatus, reason: str, more: bytes = b"") -> None:
        """Answer here and close. The application, when it is reading, sees its caller gone."""
        self.gate.on_refused(status, reason)
        if not (self._unanswered and self.cycle.response_started):
            content = b'{"error":"%s"}' % reason.encode()
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s"
                b"connection: close\r\n\r\n%s"
                % (status.value, status.phrase.encode(), len(content), more, content)
            )
        self._hang_up(linger_s=LINGER_S)

    def _hang_up(self, *, linger_s: float = 0.0) -> None:
        """End the connection. Lingering, what still arrives is thrown away, so our answer is not lost."""
        self._hung_up = True
        self._head_s = self._body_s = None
        if self._unanswered:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if linger_s and self.transport.can_write_eof():
            self.transport.write_eof()
            self.loop.call_later(linger_s, self.transport.close)
        else:
            self.transport.close()

    def _answer(self, cycle: RequestResponseCycle, status: int, head: bytes, content: bytes) -> bool:
        """Write a whole response at once; False when it must be sent in messages.

        Does to uvicorn's cycle what its own `send` does in two messages and two writes.
        """
        if cycle.disconnected or cycle.response_started or self.flow.write_paused:
            return cycle.disconnected
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        date = b"".join(b"%s: %s\r\n" % header for header in cycle.default_headers)
        close = b"" if cycle.keep_alive else b"connection: close\r\n"
        self.transport.write(b"".join((STATUS_LINE[status], date, head, close, b"\r\n", content)))
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    def _close_when_idle(self) -> None:
        if self.transport.is_closing():
            return
        if self._unanswered:
            self.cycle.keep_alive = False
        elif self._head_s is None or not self._head_bytes:
            self.transport.close()
        else:
            self.loop.call_later(0.25, self._close_when_idle)
