"""Signing webhooks and delivering them over HTTP, with YCloud's headers and its schedule of retries.

Left out, because nothing here needs it: the suspension of a URL after 200 failures a minute.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import itertools
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from platform_core.errors import InvalidInput
from platform_core.values import Clock

RETRY_DELAYS_S = (10, 30, 300, 1800, 3600, 7200, 7200)
"""After the first attempt; then never again. The provider treats a 401 like a 500."""

_ANSWER_TIMEOUT_S = 10
_SUCCESSES = range(200, 300)
_LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook endpoint of the account: `events` are the types it wants, none meaning all."""

    id: str
    url: str
    secret: str
    events: frozenset[str] = frozenset()
    status: str = "active"

    def __post_init__(self) -> None:
        """Refuse to send anything off this machine."""
        url = urlsplit(self.url)
        if url.scheme != "http" or url.hostname not in _LOOPBACK_HOSTS:
            raise InvalidInput(
                "The stand-in delivers webhooks on this machine only",
                next_step="Give an endpoint URL that starts with http://127.0.0.1.",
            )

    def wants(self, kind: str) -> bool:
        """Whether events of that type go here."""
        return self.status == "active" and (not self.events or kind in self.events)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST: the HTTP status it got, or None and the kind of failure."""

    status: int | None
    failure: str = ""


@dataclass(slots=True)
class Delivery:
    """One event on its way to one endpoint. `signed_at` None means signed afresh at each attempt."""

    endpoint: Endpoint
    event: Mapping[str, object]
    body: bytes
    secret: str
    signed_at: datetime | None = None
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def status(self) -> int | None:
        """The status of the latest attempt."""
        return self.attempts[-1].status if self.attempts else None

    @property
    def is_accepted(self) -> bool:
        """Any 2xx; the body of the answer does not matter."""
        return self.status in _SUCCESSES

    @property
    def is_forged(self) -> bool:
        """Signed with another secret than the endpoint's: not from the provider, so never retried."""
        return self.secret != self.endpoint.secret


def sign(body: bytes, secret: str, signed_at: datetime) -> str:
    """The value of the `YCloud-Signature` header."""
    timestamp = int(signed_at.timestamp())
    digest = hmac.new(secret.encode("utf-8"), f"{timestamp}.".encode("ascii") + body, hashlib.sha256)
    return f"t={timestamp},s={digest.hexdigest()}"


def attempt(delivery: Delivery, clock: Clock) -> bool:
    """POST it once and note what came back. True when it was accepted."""
    url = urlsplit(delivery.endpoint.url)
    headers = {
        "Content-Type": "application/json",
        "YCloud-Signature": sign(delivery.body, delivery.secret, delivery.signed_at or clock.now()),
        "X-Webhook-Endpoint-ID": delivery.endpoint.id,
    }
    connection = HTTPConnection(url.hostname or "", url.port, timeout=_ANSWER_TIMEOUT_S)
    try:
        connection.request("POST", url.path or "/", body=delivery.body, headers=headers)
        answer = connection.getresponse()
        answer.read()
        delivery.attempts.append(Attempt(answer.status))
    except (OSError, HTTPException) as error:
        delivery.attempts.append(Attempt(None, type(error).__name__))
    finally:
        connection.close()
    return delivery.is_accepted


class Retrier:
    """Repeats what was not accepted, on the provider's schedule times `time_scale`, in one thread."""

    def __init__(self, clock: Clock, time_scale: float) -> None:
        self._clock = clock
        self._time_scale = time_scale
        self._waiting: list[tuple[float, int, Delivery]] = []
        self._order = itertools.count()
        self._busy = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="ycloud-retries", daemon=True)

    def start(self) -> None:
        """Begin to repeat."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and forget what still waits."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def add(self, delivery: Delivery) -> None:
        """Repeat it later, unless its last retry was made."""
        made = len(delivery.attempts) - 1
        if delivery.is_forged or made >= len(RETRY_DELAYS_S):
            return
        due = time.monotonic() + RETRY_DELAYS_S[made] * self._time_scale
        with self._changed:
            heapq.heappush(self._waiting, (due, next(self._order), delivery))
            self._changed.notify_all()

    def settle(self, timeout_s: float) -> bool:
        """Wait until nothing is left to repeat. False when time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout_s)

    def _run(self) -> None:
        while (delivery := self._next()) is not None:
            if not attempt(delivery, self._clock):
                self.add(delivery)
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _next(self) -> Delivery | None:
        with self._changed:
            while not self._closing:
                left = self._waiting[0][0] - time.monotonic() if self._waiting else None
                if left is not None and left <= 0:
                    self._busy += 1
                    return heapq.heappop(self._waiting)[2]
                self._changed.wait(left)
            return None
