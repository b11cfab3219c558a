"""One process works the queues of many customers in rounds, so that a busy one keeps no other waiting.

    idle --(NOTIFY, or a second has passed)--> line --(a hand is free)--> visit --(work is left)--> line
                                                                            |
                                                                            +--(nothing left)--> idle

A *post* is one customer's queue. A visit looks whether there is work and runs a slice of it; then the post
goes to the end of the line. With `hands` visits at once and slices of half a second, a customer with one
job waits for the visits before it and never for the backlog of another. A customer's own queue is visited
by one hand at a time. A post whose database does not answer is tried again later and later, and holds up
one hand at most.

While it is served, each post has a lease that holds nothing: by that the door of webhooks knows that
somebody is listening and starts no other runner.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field

import psycopg
import structlog

from platform_core.db.connect import Tx, open_connection, translated
from platform_core.db.queries import load_queries
from platform_core.errors import PlatformError
from platform_core.jobs.connections import KeptConnections
from platform_core.jobs.contracts import BuildContext, HandlerSpec
from platform_core.jobs.runner import Runner

Q = load_queries(__file__)

POLL_S = 1.0
"""How late a job may be noticed that becomes due without anybody saying so."""

REFRESH_S = 10.0
PREPARE_S = 3600.0
LONGEST_PAUSE_S = 60.0
_BEATS_A_LEASE = 4

log = structlog.get_logger("platform_core.jobs")


@dataclass(frozen=True, slots=True)
class Post:
    """One customer's queue and what works it."""

    customer: str
    dsn: str = field(repr=False)
    handlers: Mapping[str, HandlerSpec]
    build_context: BuildContext


Posts = Callable[[], Mapping[str, Post]]
"""Who is to be served now; asked every few seconds."""


class Rounds:
    """Serves until it is told to stop. `hands` is how many customers are worked at once."""

    def __init__(  # noqa: PLR0913 - one subject, then keyword-only settings with defaults
        self,
        posts: Posts,
        *,
        hands: int = 4,
        slice_s: float = 0.5,
        lease_s: float = 60.0,
        concurrency: int = 2,
        max_batch: int = 500,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._posts = posts
        self._hands = hands
        self._terms = _VisitTerms(slice_s, lease_s, concurrency, max_batch, monotonic)
        self._places: dict[str, _Place] = {}
        self._line: deque[_Place] = deque()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)

    def stop(self) -> None:
        """End in order: running jobs end, unstarted ones go back. Safe in a signal handler."""
        self._stopping.set()
        self._ring()

    def serve(self) -> None:
        """Serve until `stop`. What fails at one post is logged and tried again; the rounds go on."""
        self._selector.register(self._ear, selectors.EVENT_READ, None)
        hands = [
            threading.Thread(target=self._work, name=f"hand-{number}", daemon=True)
            for number in range(self._hands)
        ]
        for hand in hands:
            hand.start()
        try:
            self._keep_line()
        finally:
            self._stopping.set()
            self._hurry_visits()
            for hand in hands:
                hand.join()
            for place in self._places.values():
                place.leave()
            self._selector.close()
            self._bell.close()
            self._ear.close()

    def _keep_line(self) -> None:
        refresh_at_s = 0.0
        while not self._stopping.is_set():
            now_s = self._terms.monotonic()
            if now_s >= refresh_at_s:
                self._refresh()
                refresh_at_s = now_s + REFRESH_S
            with self._changed:
                idle = [place for place in self._places.values() if not place.engaged]
            for place in idle:
                self._watch(place)
            due_s = min((place.look_at_s for place in idle), default=now_s + POLL_S)
            called = {key.data for key, _ in self._selector.select(max(0.0, min(due_s - now_s, POLL_S)))}
            if None in called:
                with suppress(BlockingIOError):
                    self._ear.recv(4096)
            now_s = self._terms.monotonic()
            for place in idle:
                if place in called or now_s >= place.look_at_s:
                    self._engage(place)

    def _refresh(self) -> None:
        """Take up customers that came and let those go that left."""
        try:
            wanted = self._posts()
        except PlatformError as error:
            log.warning("rounds.customers_unknown", reason=error.one_line())
            return
        with self._changed:
            known = {name: place for name, place in self._places.items() if place.post == wanted.get(name)}
            gone = [place for name, place in self._places.items() if name not in known]
            for place in gone:
                place.unwanted = True
            fresh = {name: _Place(post, self._terms) for name, post in wanted.items() if name not in known}
            self._places = {**known, **fresh}
        for place in gone:
            self._unwatch(place)
            if not place.engaged:
                place.leave()

    def _watch(self, place: _Place) -> None:
        if place.watched is None and place.ear is not None and not place.ear.closed:
            place.watched = place.ear.fileno()
            self._selector.register(place.watched, selectors.EVENT_READ, place)

    def _unwatch(self, place: _Place) -> None:
        if place.watched is not None:
            with suppress(KeyError, ValueError):
                self._selector.unregister(place.watched)
            place.watched = None

    def _engage(self, place: _Place) -> None:
        self._unwatch(place)
        with self._changed:
            place.engaged = True
            self._line.append(place)
            self._changed.notify()

    def _work(self) -> None:
        """A hand: visit whoever is first in the line."""
        while (place := self._next()) is not None:
            more = place.visit(self._stopping)
            with self._changed:
                if more and not (place.unwanted or self._stopping.is_set()):
                    self._line.append(place)
                    self._changed.notify()
                    continue
                place.engaged = False
            if place.unwanted:
                place.leave()
            self._ring()

    def _next(self) -> _Place | None:
        with self._changed:
            while not self._line and not self._stopping.is_set():
                self._changed.wait(POLL_S)
            return None if self._stopping.is_set() else self._line.popleft()

    def _hurry_visits(self) -> None:
        with self._changed:
            for place in self._places.values():
                place.hurry()
            self._changed.notify_all()

    def _ring(self) -> None:
        with suppress(BlockingIOError, OSError):
            self._bell.send(b"!")


@dataclass(frozen=True, slots=True)
class _VisitTerms:
    slice_s: float
    lease_s: float
    concurrency: int
    max_batch: int
    monotonic: Callable[[], float]


class _Place:
    """A post while it is served, by one hand at a time; `engaged` while it is in line or visited."""

    def __init__(self, post: Post, terms: _VisitTerms) -> None:
        self.post = post
        self.engaged = False
        self.unwanted = False
        self.look_at_s = 0.0
        self.ear: Tx | None = None
        self.watched: int | None = None
        self._terms = terms
        self._connections = KeptConnections(post.dsn)
        self._runner: Runner | None = None
        self._lease: int | None = None
        self._beat_at_s = 0.0
        self._prepare_at_s = 0.0
        self._failures = 0

    def visit(self, stopping: threading.Event) -> bool:
        """Look, and run a slice when there is work. True when there may be more."""
        try:
            with translated(self.post.dsn):
                more = self._look() and not stopping.is_set() and self._run_slice()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this customer's; the hand goes on
            self._fail(error)
            return False
        if self._failures:
            log.info("rounds.customer_reached", tenant=self.post.customer)
        self._failures = 0
        self.look_at_s = self._terms.monotonic() + POLL_S
        return more

    def hurry(self) -> None:
        """End the visit in order."""
        runner = self._runner
        if runner is not None:
            runner.stop()

    def leave(self) -> None:
        """Nobody serves it from here any more."""
        self._hang_up()

    def _look(self) -> bool:
        ear = self._listening()
        for _ in ear.notifies(timeout=0):
            pass  # what they say is what is asked next
        self._be_present(ear)
        row = ear.execute(Q["queue_has_work"]).fetchone()
        return bool(row and row[0])

    def _listening(self) -> Tx:
        if self.ear is None or self.ear.closed:
            self.ear = open_connection(self.post.dsn, application="job-rounds")
            self.ear.execute(Q["queue_listen"])
            self._lease = None
        return self.ear

    def _be_present(self, ear: Tx) -> None:
        now_s = self._terms.monotonic()
        if self._lease is not None and now_s < self._beat_at_s:
            return
        worker = f"rounds:{socket.gethostname()}"
        worker = f"rounds:{socket.gethostname()}"
        facts = {"lease": self._lease, "lease_s": self._terms.lease_s, "worker": worker}
        row = ear.execute(Q["lease_beat"], facts).fetchone() if self._lease is not None else None
        if row is None or not row[0]:
            opened = ear.execute(Q["lease_open"], facts).fetchone()
            self._lease = opened[0] if opened else None
        self._beat_at_s = now_s + self._terms.lease_s / _BEATS_A_LEASE

    def _run_slice(self) -> bool:
        terms, now_s = self._terms, self._terms.monotonic()
        preparing = now_s >= self._prepare_at_s
        self._runner = Runner(
            self.post.dsn,
            self.post.handlers,
            self.post.build_context,
            deadline_s=terms.slice_s,
            lease_s=terms.lease_s,
            concurrency=terms.concurrency,
            max_batch=terms.max_batch,
            connections=self._connections,
            preparing=preparing,
            monotonic=terms.monotonic,
        )
        try:
            counts = self._runner.run_until_empty()
        finally:
            self._runner = None
        if preparing:
            self._prepare_at_s = now_s + PREPARE_S
        if not any(asdict(counts).values()):
            return False  # what there is cannot start yet, such as a suspect whose lane is at its limit
        row = self._listening().execute(Q["queue_has_work"]).fetchone()
        return bool(row and row[0])

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        pause_s = min(LONGEST_PAUSE_S, POLL_S * 2**self._failures)
        self.look_at_s = self._terms.monotonic() + pause_s
        reason = error.one_line() if isinstance(error, PlatformError) else type(error).__name__
        if self._failures == 1:
            log.error("rounds.customer_unreachable", tenant=self.post.customer, reason=reason)
        self._hang_up()

    def _hang_up(self) -> None:
        """Stop listening, and say so where that can be said: the door then wakes others."""
        ear, self.ear = self.ear, None
        if ear is not None and not ear.closed:
            with suppress(psycopg.Error):
                ear.execute(Q["lease_close"], {"lease": self._lease})
            ear.close()
        self._connections.close()
