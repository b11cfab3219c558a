"""A reader at the door of a classroom, on this machine: it keeps what it saw, signs and delivers it.

It speaks the protocol of connectors/src/platform_connectors/reader/README.md, written down a second time on
purpose: what signs here is not what verifies there.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException
from typing import Literal
from urllib.parse import urlsplit

from platform_core.errors import InvalidInput
from platform_core.values import Clock, SystemClock

_ANSWER_TIMEOUT_S = 30
_LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")
_TAKEN = 200


@dataclass(frozen=True, slots=True)
class Delivered:
    """One POST: the batch's bytes and the HTTP status, None when nobody answered."""

    body: bytes
    status: int | None


@dataclass(slots=True)
class Reader:
    """One reader. `secret` is the customer's, `clock` its own: a test may set it wrong.

    What it saw is kept until a delivery is answered 200, so a delivery that fails is made again, the same
    bytes under the same number.
    """

    name: str
    url: str
    secret: str = field(repr=False)
    clock: Clock = field(default_factory=SystemClock)
    _checkins: list[dict[str, str]] = field(default_factory=list)
    _heartbeats: list[dict[str, str]] = field(default_factory=list)
    _waiting: list[bytes] = field(default_factory=list)
    _scans: int = 0
    _batches: int = 0

    def __post_init__(self) -> None:
        """Refuse to send anything off this machine."""
        url = urlsplit(self.url)
        if url.scheme != "http" or url.hostname not in _LOOPBACK_HOSTS:
            raise InvalidInput(
                "The reader of this machine delivers on this machine only",
                next_step="Give a URL that starts with http://127.0.0.1.",
            )

    def sees(
        self,
        student: str,
        *,
        at: datetime | None = None,
        kind: Literal["in", "out"] = "in",
        session: str = "",
    ) -> None:
        """Somebody holds a card to it."""
        self._scans += 1
        found = {"id": f"scan-{self._scans}", "student": student, "at": _text(at or self.clock.now())}
        if kind != "in":
            found["kind"] = kind
        if session:
            found["session"] = session
        self._checkins.append(found)

    def lives(self, at: datetime | None = None) -> None:
        """It notes that it lives, and that all it saw is in what it will deliver."""
        moment = _text(at or self.clock.now())
        self._heartbeats.append({"at": moment, "synced_until": moment})

    def lives_through(self, start: datetime, end: datetime, *, every: timedelta) -> None:
        """Notes from start to end, both included."""
        at = start
        while at < end:
            self.lives(at)
            at += every
        self.lives(end)

    def deliver(self, *, secret: str | None = None, signed_at: datetime | None = None) -> list[Delivered]:
        """Post everything that nobody has taken yet, oldest first, and stop at the first that is not taken.

        `secret` and `signed_at` make a forged or a stale delivery.
        """
        if self._checkins or self._heartbeats:
            self._waiting.append(self._batch())
        done: list[Delivered] = []
        while self._waiting and (not done or done[-1].status == _TAKEN):
            body = self._waiting[0]
            status = self.post(body, secret=secret, signed_at=signed_at)
            done.append(Delivered(body, status))
            if status == _TAKEN:
                self._waiting.pop(0)
        return done

    def post(
        self, body: bytes, *, secret: str | None = None, signed_at: datetime | None = None
    ) -> int | None:
        """Sign these bytes and post them; the HTTP status, None when nobody answered."""
        stamp = int((signed_at or self.clock.now()).timestamp())
        key = self.secret if secret is None else secret
        digest = hmac.new(key.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        url = urlsplit(self.url)
        connection = HTTPConnection(url.hostname or "", url.port, timeout=_ANSWER_TIMEOUT_S)
        headers = {"Content-Type": "application/json", "Reader-Signature": f"t={stamp},s={digest}"}
        try:
            connection.request("POST", url.path, body, headers)
            return connection.getresponse().status
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()

    def _batch(self) -> bytes:
        self._batches += 1
        batch = {
            "id": f"{self._batches:06}",
            "type": "reader.batch",
            "reader": self.name,
            "sent_at": _text(self.clock.now()),
            "checkins": self._checkins,
            "heartbeats": self._heartbeats,
        }
        self._checkins, self._heartbeats = [], []
        return json.dumps(batch, ensure_ascii=False).encode()


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
