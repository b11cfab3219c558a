"""Delivering webhooks over HTTP from a stand-in: one attempt, and repeating it on a provider's schedule."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from platform_core.errors import InvalidInput

_ANSWER_TIMEOUT_S = 10
_LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST: the HTTP status it got, or None and the kind of failure."""

    status: int | None
    failure: str = ""


class Repeated(Protocol):
    """A delivery as the schedule sees it."""

    @property
    def attempts(self) -> Sequence[Attempt]:
        """What came of each POST so far."""
        ...

    @property
    def is_forged(self) -> bool:
        """Not from the provider, so never repeated."""
        ...


def require_loopback(url: str) -> None:
    """Refuse to send anything off this machine. Raises: InvalidInput."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK_HOSTS:
        raise InvalidInput(
            "The stand-in delivers webhooks on this machine only",
            next_step="Give an endpoint URL that starts with http://127.0.0.1.",
        )


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Attempt:
    """POST once and say what came back."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=_ANSWER_TIMEOUT_S)
    try:
        connection.request("POST", parts.path or "/", body=body, headers=dict(headers))
        answer = connection.getresponse()
        answer.read()
        return Attempt(answer.status)
    except (OSError, HTTPException) as error:
        return Attempt(None, type(error).__name__)
    finally:
        connection.close()


_D = TypeVar("_D", bound=Repeated)


class Retrier(Generic[_D]):
    """Repeats what was not accepted, on the provider's schedule times `time_scale`, in one thread.

    `attempt` makes one POST and says whether that was accepted, or needs no repeating.
    """

    def __init__(
        self, attempt: Callable[[_D], bool], delays_s: Sequence[float], time_scale: float, name: str
    ) -> None:
        self._attempt = attempt
        self._delays_s = delays_s
        self._time_scale = time_scale
        self._waiting: list[tuple[float, int, _D]] = []
        self._order = itertools.count()
        self._busy = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to repeat."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and forget what still waits."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def add(self, delivery: _D) -> None:
        """Repeat it later, unless its last retry was made."""
        made = len(delivery.attempts) - 1
        if delivery.is_forged or made >= len(self._delays_s):
            return
        due = time.monotonic() + self._delays_s[made] * self._time_scale
        with self._changed:
            heapq.heappush(self._waiting, (due, next(self._order), delivery))
            self._changed.notify_all()

    def settle(self, timeout_s: float) -> bool:
        """Wait until nothing is left to repeat. False when time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout_s)

    def _run(self) -> None:
        while (delivery := self._next()) is not None:
            if not self._attempt(delivery):
                self.add(delivery)
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    def _next(self) -> _D | None:
        with self._changed:
            while not self._closing:
                left = self._waiting[0][0] - time.monotonic() if self._waiting else None
                if left is not None and left <= 0:
                    self._busy += 1
                    return heapq.heappop(self._waiting)[2]
                self._changed.wait(left)
            return None
