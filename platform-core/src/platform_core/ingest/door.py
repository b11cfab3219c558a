"""The door as an ASGI application: which request is let in, how far it is read, and what it is answered.

In this order: path and method, declared length, room; then the raw bytes under a cap; then the signature
over exactly those bytes; then the commit; then the answer. Nothing is read of the query. Whatever a stranger
sends is answered 4xx; 5xx means that it was not stored, and only ever follows a genuine signature or a full
house.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from platform_core.connectors import Rejection
from platform_core.errors import PlatformError
from platform_core.inbox.judging import (
    REFUSED,
    Said,
    facts_of_failure,
    judge,
    said_of_failure,
    said_of_receipt,
)
from platform_core.ingest.committer import Committer
from platform_core.ingest.files import CustomerDoor, Endpoint
from platform_core.ingest.journal import Journal
from platform_core.ingest.limits import Limits, TokenBucket
from platform_core.ingest.metrics import CONTENT_TYPE, Metrics
from platform_core.ingest.protocol import ANSWER
from platform_core.ingest.store import DoorLogin, Store
from platform_core.ingest.waking import Waker, Waking
from platform_core.values import Clock, SystemClock

PREFIX = "/api/r/"
_JSON = b"application/json"
_CLOSE = (b"connection", b"close")
_RETRY = (b"retry-after", b"1")

Message = MutableMapping[str, Any]  # Any: as ASGI types what the server and the application hand each other
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
RawHeaders = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Reply:
    """One response. `reason` is for the log and the counters; the caller is not told it."""

    status: HTTPStatus
    content: bytes
    reason: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    media_type: bytes = _JSON


_COMPACT = json.JSONEncoder(separators=(",", ":"))


def _reply(said: Said, reason: str, *headers: tuple[bytes, bytes]) -> Reply:
    return Reply(said[0], _COMPACT.encode(said[1]).encode(), reason, headers)


def _error(status: HTTPStatus, reason: str, *headers: tuple[bytes, bytes]) -> Reply:
    return _reply((status, {"error": reason}), reason, *headers)


class CallerGone(Exception):
    """Nobody waits for the answer any more."""


class Unfit(Exception):
    """The request is answered before it is read to its end."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.reason)
        self.reply = reply


@dataclass(slots=True)
class Customer:
    """One customer at the door: what its file says, its committer, its runner's waking."""

    door: CustomerDoor
    committer: Committer
    waking: Waking
    task: asyncio.Task[None]

    async def leave(self) -> None:
        """Store what waits, then let go of the database."""
        self.committer.stop()
        await asyncio.wait({self.task})
        await self.waking.stop()


@dataclass(frozen=True, slots=True)
class Way:
    """Where a path leads."""

    endpoint: Endpoint
    customer: Customer
    bucket: TokenBucket


@dataclass(slots=True)
class Door:
    """The application. `customers` change while it runs: see `admit`, `dismiss`."""

    login: DoorLogin
    waker: Waker | None
    limits: Limits = field(default_factory=Limits)
    metrics: Metrics = field(default_factory=Metrics)
    journal: Journal = field(default_factory=Journal)
    clock: Clock = field(default_factory=SystemClock)
    customers: dict[str, Customer] = field(default_factory=dict)
    stopping: bool = False
    _ways: dict[str, Way] = field(default_factory=dict)
    _held_bytes: int = 0
    _leaving: set[asyncio.Task[None]] = field(default_factory=set)

    # --- Customers ----------------------------------------------------------------------------------------

    def admit(self, door: CustomerDoor) -> None:
        """Let a customer in, or take over what its changed file says; its queue goes on when it can."""
        known = self.customers.get(door.customer)
        if known is None or known.door.database != door.database:
            if known is not None:
                self._let_go(known)
            self.customers[door.customer] = self._new(door)
        else:
            known.door, known.waking.path = door, door.wake_path
        self._direct()

    def dismiss(self, name: str) -> None:
        """A customer's file is gone: its paths lead nowhere; what was accepted is still stored."""
        self._let_go(self.customers.pop(name))
        self._direct()

    async def close(self) -> None:
        """Store and count what waits, for every customer, then let go of everything."""
        await asyncio.gather(*(one.leave() for one in self.customers.values()), *self._leaving)
        if self.waker is not None:
            await self.waker.close()

    def _new(self, door: CustomerDoor) -> Customer:
        store = Store(self.login.dsn(door.database), self.limits.store_s)
        committer = Committer(
            door.customer,
            store,
            self.limits,
            self.metrics,
            on_pulse=lambda awake, due, new: waking.seen(awake=awake, due=due, new=new),
            on_lost=_Told(self.journal, door.customer),
        )
        waking = Waking(
            door.customer,
            door.wake_path,
            self.waker,
            committer.look_in,
            lambda error: self.journal.log.warning(
                "runner.wake_failed", tenant=door.customer, **facts_of_failure(error)
            ),
            self.metrics,
        )
        committer.look_in(0)  # what was stored before this process began may still wait
        return Customer(door, committer, waking, asyncio.get_running_loop().create_task(committer.run()))

    def _let_go(self, customer: Customer) -> None:
        task = asyncio.get_running_loop().create_task(customer.leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _direct(self) -> None:
        kept = {path: way.bucket for path, way in self._ways.items()}
        self._ways = {
            PREFIX + endpoint.route: Way(
                endpoint,
                customer,
                kept.get(PREFIX + endpoint.route) or TokenBucket(self.limits.rate_s, self.limits.burst),
            )
            for customer in self.customers.values()
            for endpoint in customer.door.endpoints
        }

    # --- Requests -----------------------------------------------------------------------------------------

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        way = self._ways.get(scope["path"])
        if way is None:
            await _send(send, scope, self._other(scope["method"], scope["path"]))
            return
        began_s = time.monotonic()
        try:
            reply = await self._deliver(way, scope, receive)
        except Unfit as unfit:
            reply = unfit.reply
        except CallerGone:
            self._note(way, _error(HTTPStatus.BAD_REQUEST, "caller_gone"))
            return
        self._note(way, reply)
        self.metrics.latency_s.observe(time.monotonic() - began_s)
        await _send(send, scope, reply)

    async def _deliver(self, way: Way, scope: Mapping[str, Any], receive: Receive) -> Reply:
        if scope["method"] != "POST":
            raise Unfit(_error(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", (b"allow", b"POST")))
        endpoint, committer = way.endpoint, way.customer.committer
        self._check_length(way, scope["headers"])
        if committer.full() or self._held_bytes > self.limits.held_bytes:
            raise Unfit(_error(HTTPStatus.SERVICE_UNAVAILABLE, "busy", _RETRY))
        held = [0]
        try:
            body = await self._read(way, receive, held)
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
            found = judge(
                endpoint.connector,
                endpoint.name,
                headers,
                body,
                secrets=endpoint.secrets,
                now=self.clock.now(),
            )
            if isinstance(found, Rejection):
                committer.count_refusal(endpoint.connector.name, endpoint.name, found.value)
                return _reply(REFUSED, found.value)
            if not way.bucket.take(time.monotonic()):
                committer.count_refusal(endpoint.connector.name, endpoint.name, "rate_limited")
                return _error(HTTPStatus.TOO_MANY_REQUESTS, "rate_limited", _RETRY)
            return await self._stored(way, committer.stored(found))
        finally:
            self._held_bytes -= held[0]

    async def _stored(self, way: Way, storing: Awaitable[tuple[str, int]]) -> Reply:
        try:
            outcome, event = await storing
        except Exception as error:  # noqa: BLE001 - whatever it is, the provider is asked to send it again
            about = {
                "tenant": way.endpoint.customer,
                "endpoint": way.endpoint.name,
                **facts_of_failure(error),
            }
            self.journal.not_stored(None if isinstance(error, PlatformError) else error, **about)
            return _reply(said_of_failure(error), "not_stored", _RETRY)
        return _reply(said_of_receipt(outcome, event), outcome)

    def _check_length(self, way: Way, headers: RawHeaders) -> None:
        """Judge the body by what is declared of it, before a byte is read."""
        declared, chunked = b"", False
        for name, value in headers:
            if name == b"content-length":
                declared = value
            elif name == b"transfer-encoding":
                chunked = True
        if declared:
            if not declared.isdigit() or int(declared[:20]) > self.limits.body_bytes:
                raise self._too_large(way)
        elif not chunked:
            raise Unfit(_error(HTTPStatus.LENGTH_REQUIRED, "length_required"))

    def _too_large(self, way: Way) -> Unfit:
        source, reason = way.endpoint.connector.name, Rejection.BODY_TOO_LARGE
        way.customer.committer.count_refusal(source, way.endpoint.name, reason.value)
        return Unfit(_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, reason.value))

    async def _read(self, way: Way, receive: Receive, held: list[int]) -> bytes:
        """The raw bytes of the body, whole. What is held is charged as it comes, to `held` and the house."""
        pieces: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise CallerGone
            piece: bytes = message["body"]
            held[0] += len(piece)
            self._held_bytes += len(piece)
            self.metrics.received_bytes += len(piece)
            if held[0] > self.limits.body_bytes:
                raise self._too_large(way)
            pieces.append(piece)
            if not message.get("more_body"):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            if self._held_bytes > self.limits.held_bytes:
                raise Unfit(_error(HTTPStatus.SERVICE_UNAVAILABLE, "busy", _RETRY))

    def _note(self, way: Way, reply: Reply) -> None:
        """Count it; a refusal is also one line in the log, without anything its sender wrote."""
        customer, endpoint = way.endpoint.customer, way.endpoint.name
        self.metrics.requests[customer, endpoint, reply.reason] += 1
        if reply.status >= HTTPStatus.BAD_REQUEST and reply.reason != "not_stored":
            self.journal.refused(
                tenant=customer, endpoint=endpoint, status=reply.status.value, reason=reply.reason
            )

    # --- Everything else ----------------------------------------------------------------------------------

    def refused(self, status: HTTPStatus, reason: str) -> None:
        """A request that reached no endpoint was answered."""
        self.metrics.refused_requests[reason] += 1
        self.journal.refused(status=status.value, reason=reason)

    def _other(self, method: str, path: str) -> Reply:
        answers = {"/healthz": self._health, "/readyz": self._readiness, "/metrics": self._shown}
        if path not in answers:
            reply = _error(HTTPStatus.NOT_FOUND, "not_found")
        elif method not in ("GET", "HEAD"):
            reply = _error(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", (b"allow", b"GET, HEAD"))
        else:
            return answers[path]()
        self.refused(reply.status, reply.reason)
        return reply

    def _health(self) -> Reply:
        return _reply((HTTPStatus.OK, {"status": "alive"}), "alive")

    def _readiness(self) -> Reply:
        customers = {
            name: {
                "database": "reachable" if one.committer.store.reachable else "unreachable",
                "committer": "ended" if one.task.done() else "running",
                "waiting": one.committer.waiting,
            }
            for name, one in sorted(self.customers.items())
        }
        # One customer's dead database must not take the door away from the others.
        working = any(one.committer.store.reachable for one in self.customers.values())
        ready = not self.stopping and (working or not self.customers)
        content = json.dumps({"ready": ready, "stopping": self.stopping, "customers": customers}).encode()
        return Reply(HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, content, "ready")

    def _shown(self) -> Reply:
        gauges: list[tuple[str, dict[str, str], float]] = [
            ("door_held_bytes", {}, self._held_bytes),
            ("door_stopping", {}, self.stopping),
        ]
        for name, one in sorted(self.customers.items()):
            gauges.append(("door_waiting_deliveries", {"customer": name}, one.committer.waiting))
        for name, one in sorted(self.customers.items()):
            gauges.append(("door_database_reachable", {"customer": name}, one.committer.store.reachable))
        return Reply(HTTPStatus.OK, self.metrics.render(gauges), "shown", media_type=CONTENT_TYPE.encode())


class _Told:
    """Says once that a customer's database was lost, and once that it is back."""

    def __init__(self, journal: Journal, customer: str) -> None:
        self._journal, self._customer, self._lost = journal, customer, False

    def __call__(self, error: Exception | None) -> None:
        if error is not None and not self._lost:
            self._lost = True
            self._journal.log.error("door.database_lost", tenant=self._customer, **facts_of_failure(error))
        elif error is None and self._lost:
            self._lost = False
            self._journal.log.info("door.database_back", tenant=self._customer)


async def _send(send: Send, scope: Mapping[str, Any], reply: Reply) -> None:
    """Answer through our protocol's extension where there is one, else as any ASGI application does."""
    extension = scope.get("extensions", {}).get(ANSWER)
    if extension is not None and scope["http_version"] == "1.1" and scope["method"] == "POST":
        more = b"".join(b"%s: %s\r\n" % header for header in reply.headers)
        lines = b"content-type: %s\r\ncontent-length: %d\r\n%s" % (reply.media_type, len(reply.content), more)
        if extension["write"](reply.status.value, lines, reply.content):
            return
    head = [
        (b"content-type", reply.media_type),
        (b"content-length", b"%d" % len(reply.content)),
        *reply.headers,
    ]
    if scope["http_version"] == "1.0":
        head.append(_CLOSE)
    await send({"type": "http.response.start", "status": reply.status.value, "headers": head})
    await send({"type": "http.response.body", "body": reply.content if scope["method"] != "HEAD" else b""})
