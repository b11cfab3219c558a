"""COMPOSITION ROOT: everything is put together here and nowhere else.

`HANDLERS` is the one table where the flow can be read: which job kind runs which function. `open_app` builds
the connection factory, connector and clock once; scripts, wmctl and tests call the same function and tests
pass other values.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Self

from platform_core.attendance import feed, followups, results
from platform_core.bookings import bookings, reception
from platform_core.connectors import Connector, MessagingClient, load_connector
from platform_core.dashboards import refresh
from platform_core.db.connect import Tx, translated
from platform_core.errors import ConfigurationError
from platform_core.inbox.events import Event
from platform_core.jobs import orders
from platform_core.jobs.contracts import (
    CancelCounts,
    FlowServer,
    HandlerSpec,
    Job,
    JobContext,
    Limit,
    OpenTx,
    RunCounts,
)
from platform_core.jobs.rounds import Post
from platform_core.jobs.runner import Runner
from platform_core.jobs.tracing import RecordSpans
from platform_core.messaging import inbound, intake, outbound
from platform_core.observability import alerts
from platform_core.observability.logs import get_logger, get_logger_later
from platform_core.payments import approvals, claims, previews, receipts, reminders
from platform_core.tenancy import members
from platform_core.tenancy.policy import Policy, current_policy
from platform_core.values import Actor, Clock, Outcome, SystemClock

SOURCES: Mapping[str, Callable[[JobContext, Event], Outcome]] = {
    "reader": feed.take_in_batch,
    "calendly": reception.take_in_booking,
}
"""Events that are no messages, by where they came from. All others are the messaging provider's."""


def handle_event(context: JobContext) -> Outcome:
    """Give a stored event to those who know what its source says. Job kind `inbox.received`."""
    event = intake.open_event(context)
    return SOURCES.get(event.source, inbound.handle_event)(context, event)


SENDER_LIMIT = Limit(max_running=16, per_s=20, burst=20)
"""WhatsApp takes 20 messages a second from a number that is also used in the app, 80 from others."""

RECIPIENT_LIMIT = Limit(max_running=1, per_s=1 / 6, burst=20)
"""To one person a message every six seconds, short bursts aside; and never two at once."""

DRAWING_LIMIT = Limit(max_running=2)
"""A hostile file may take half a gigabyte of memory before it is stopped."""

HANDLERS: Mapping[str, HandlerSpec] = {
    # an event came through a door           -> contacts, messages, delivery reports; SOURCES for the others
    "inbox.received": HandlerSpec(handle_event, max_attempts=8),
    # a parent's message is stored           -> its receipt is fetched and a claim opened
    "message.received": HandlerSpec(receipts.capture, max_attempts=8, timeout_s=60),
    # a receipt's bytes are stored           -> a small picture of them for staff, or why there is none
    "receipt.captured": HandlerSpec(previews.make, max_attempts=4, timeout_s=60, limit=DRAWING_LIMIT),
    # a claim waits too long                 -> staff hear of it; it is never decided by time
    "claim.overdue": HandlerSpec(claims.escalate_overdue, max_attempts=5),
    # staff owe an answer, and have a flow   -> Windmill asks them; the claim is decided elsewhere as well
    "approval.wanted": HandlerSpec(approvals.start_review, max_attempts=12),
    # a claim was decided, and a flow waits  -> the flow is let go
    "approval.settled": HandlerSpec(approvals.settle, max_attempts=20),
    # the hour of a reminder has come        -> queued, if the debt still stands
    "reminder.due": HandlerSpec(reminders.remind, max_attempts=8),
    # a class is over and settled            -> who was there, and whose family hears of an absence
    "session.ended": HandlerSpec(results.session_ended, max_attempts=8),
    # a message is in the outbox             -> sent once; a crash or timeout in the call is never replayed
    "outbox.queued": HandlerSpec(
        outbound.send, max_attempts=20, timeout_s=60, limit=SENDER_LIMIT, lane_limit=RECIPIENT_LIMIT
    ),
    # nobody reported what became of a send  -> a person hears of it
    "outbox.unreported": HandlerSpec(outbound.check_unreported, max_attempts=5),
    # some minutes have passed               -> the panel's numbers of the days that changed are counted again
    "dashboard.refresh": HandlerSpec(refresh.handle, max_attempts=3, timeout_s=120),
    # somebody must know                     -> one open alert per cause
    "alert.raised": HandlerSpec(alerts.record, max_attempts=8),
}

RECHECKS: Mapping[str, Callable[[Tx, str], bool]] = {
    "reminder": reminders.still_due,
    "absence": followups.still_absent,
    "booking": bookings.still_booked,
    "booking_canceled": bookings.still_canceled,
}
"""Asked again in the transaction that commits a message to being sent: is it still wanted?"""


@dataclass(slots=True)
class App:
    """One customer's platform: its database, its provider account, its clock."""

    tenant: str
    dsn: str = field(repr=False)
    connector: Connector
    connector_config: Mapping[str, object] | None = field(repr=False)
    clock: Clock
    handlers: Mapping[str, HandlerSpec]
    flows: FlowServer | None = field(default=None, repr=False)
    _client: MessagingClient | None = None
    _opening: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _policy: Policy | None = None

    @contextmanager
    def tx(self) -> Iterator[Tx]:
        """One transaction on a connection of its own, for one verb.

        Failures a person can act on are platform errors; a denied permission stays on record although the
        transaction it stopped is rolled back.
        """
        with members.open_transaction(self.dsn, application="platform") as tx:
            yield tx

    def policy(self) -> Policy:
        """The policy in force when this app first asked. Raises: ConfigurationError when there is none."""
        if self._policy is None:
            with self.tx() as tx:
                self._policy = current_policy(tx)
        return self._policy

    def messaging(self) -> MessagingClient:
        """The provider's client, opened at first use. Raises: ConfigurationError without an account."""
        with self._opening:
            if self._client is None:
                if self.connector_config is None:
                    raise ConfigurationError(
                        f"{self.tenant} has no {self.connector.name} account here",
                        next_step=f"Set the resource f/{self.tenant}/{self.connector.name}.",
                    )
                self._client = self.connector.open_messaging(self.connector_config)
            return self._client

    def run_jobs(
        self,
        *,
        seconds: float,
        lease_s: float = 60,
        wait: bool = False,
        record_spans: RecordSpans | None = None,
    ) -> RunCounts:
        """Work the queue until it is empty or the time box ends; `wait` listens until the deadline.

        Safe to run many times at once, and to kill at any moment.
        """
        runner = self.runner(seconds=seconds, lease_s=lease_s, wait=wait, record_spans=record_spans)
        with translated(self.dsn):
            return runner.run_until_empty()

    def runner(
        self,
        *,
        seconds: float,
        lease_s: float = 60,
        wait: bool = False,
        record_spans: RecordSpans | None = None,
    ) -> Runner:
        """A runner over this customer's queue, for callers that stop it themselves."""
        get_logger("jobs")  # what the queue logs passes the redaction only once logging is set up
        return Runner(
            self.dsn,
            self.handlers,
            self.build_context,
            deadline_s=seconds,
            lease_s=lease_s,
            wait=wait,
            record_spans=record_spans,
        )

    def post(self) -> Post:
        """This customer's queue as one of many that a process serves in rounds."""
        get_logger("jobs")
        return Post(self.tenant, self.dsn, self.handlers, self.build_context)

    def build_context(self, job: Job, tx: OpenTx, cancelled: Callable[[], bool], /) -> JobContext:
        """What a handler of this customer may use."""
        # By position: this is made for every job, and names would cost half of it.
        return JobContext(
            job,
            self.clock,
            tx,
            self.policy,
            self.messaging,
            self.connector,
            recheck,
            cancelled,
            get_logger_later(
                lambda: get_logger("job", tenant=self.tenant, job_id=f"J{job.id}", kind=job.kind)
            ),
            self.flows,
        )

    def close(self) -> None:
        """Release the provider's client."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def __enter__(self) -> Self:
        """The app itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def cancel_work(
    tx: Tx, actor: Actor, *, now: datetime, key: str | None = None, entity: str | None = None
) -> CancelCounts:
    """Stop what is queued for a key or an entity, because a person says so.

    Of an obligation the reminders stop with their jobs: none is left waiting for a job that is gone.
    Idempotency: a second order finds nothing left. Raises: PermissionDenied, InvalidInput, NotFound.
    """
    counts = orders.cancel(tx, actor, key=key, entity=entity)
    kind, _, number = (entity or "").partition(":")
    if kind == "obligation" and number.isdecimal():
        reminders.stop(tx, int(number), now=now)
    return counts


def recheck(tx: Tx, name: str, subject_id: str) -> bool:
    """Ask one of RECHECKS. Raises: ConfigurationError for a question nobody can answer."""
    try:
        still_wanted = RECHECKS[name]
    except KeyError:
        raise ConfigurationError(
            f"No recheck is called {name!r}", next_step="Deploy one version of the code."
        ) from None
    return still_wanted(tx, subject_id)


def open_app(  # noqa: PLR0913 - what a platform is put together from; all but two are named
    tenant: str,
    dsn: str,
    *,
    connector: str | Connector = "ycloud",
    connector_config: Mapping[str, object] | None = None,
    clock: Clock | None = None,
    handlers: Mapping[str, HandlerSpec] = HANDLERS,
    flows: FlowServer | None = None,
) -> App:
    """Put one customer's platform together. `dsn` is the customer's own login, `flows` where its flows run.

    Nothing is opened yet: a wrong password shows at the first transaction, a wrong account at the first
    message. Raises: ConfigurationError when the connector is not installed.
    """
    return App(
        tenant=tenant,
        dsn=dsn,
        connector=load_connector(connector) if isinstance(connector, str) else connector,
        connector_config=connector_config,
        clock=clock or SystemClock(),
        handlers=handlers,
        flows=flows,
    )
