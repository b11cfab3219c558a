"""Calendly on this machine: its subscriptions over real HTTP, and bookings signed and posted as it does.

```
with CalendlyStandIn() as calendly:
    calendly.subscribe("http://127.0.0.1:8000/r/calendly", signing_key)
    booking = calendly.book("Ana Rojas", answers={"Nombre del niño": "Leo"}, starts_at=monday)
    calendly.reschedule(booking, tuesday, created_first=True)
```
It refuses what an account may not do, repeats what was not accepted, disables a subscription after a day of
failures and deletes it on 410, and misbehaves only as told. It proves our side of the contract; that Calendly
keeps its side, only Calendly can prove.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from platform_cli.local.api import Received
from platform_cli.local.calendly import payloads
from platform_cli.local.calendly.payloads import Booking, new_uri
from platform_cli.local.calendly.server import Account, Api, ApiServer
from platform_cli.local.calendly.webhooks import RETRY_DELAYS_S, Delivery, Subscription, attempt
from platform_cli.local.deliveries import Retrier, require_loopback
from platform_cli.local.scenarios import Scenario
from platform_core.values import Clock, SystemClock

__all__ = ["Booking", "CalendlyStandIn", "Delivery", "Subscription"]

TRIAL_CLASS = "Clase de prueba"
_EVENTS = ("invitee.created", "invitee.canceled", "invitee_no_show.created", "invitee_no_show.deleted")


class CalendlyStandIn:
    """One account. Use it as a context manager, or call `start` and `close`.

    `time_scale` shrinks the schedule of webhook retries: 0.001 makes a minute 60 milliseconds.
    """

    def __init__(self, *, port: int = 0, time_scale: float = 0.0001, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.account = Account(
            token=secrets.token_urlsafe(40), organization=new_uri("organizations"), user=new_uri("users")
        )
        self._api = Api(self.account, self.clock)
        self._server = ApiServer(self._api, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._retrier = Retrier[Delivery](
            lambda one: attempt(one, self.clock), RETRY_DELAYS_S, time_scale, "calendly-retries"
        )

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()
        self._retrier.start()

    def close(self) -> None:
        """Stop serving and repeating; requests under way are cut."""
        self._api.closing.set()
        self._retrier.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- What a caller needs to know of the account -------------------------------------------------------

    @property
    def base_url(self) -> str:
        """Where the API answers."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def client_config(self) -> dict[str, object]:
        """What `open_client` needs to talk to this account."""
        return {
            "token": self.account.token,
            "organization": self.account.organization,
            "base_url": self.base_url,
        }

    @property
    def requests(self) -> Sequence[Received]:
        """Every request the API got, in order, answered or not."""
        with self.account.lock:
            return tuple(self.account.requests)

    @property
    def subscriptions(self) -> Sequence[Subscription]:
        """The subscriptions that were not deleted."""
        with self.account.lock:
            return tuple(self.account.live())

    # --- Setting the account up ---------------------------------------------------------------------------

    def subscribe(self, url: str, signing_key: str | None, *, scope: str = "organization") -> Subscription:
        """Make a subscription, as somebody at Calendly's own page or script would. Raises: InvalidInput."""
        require_loopback(url)
        asked = {
            "url": url,
            "events": list(_EVENTS),
            "organization": self.account.organization,
            "scope": scope,
            "signing_key": signing_key,
            **({"user": self.account.user} if scope == "user" else {}),
        }
        return self.account.subscribe(asked, self.clock.now())

    def next_mutations(self, *scenarios: Scenario) -> None:
        """How the next creations and deletions are answered; after them the truth answers again."""
        self._api.mutations.extend(scenarios)

    def next_reads(self, *scenarios: Scenario) -> None:
        """How the next listings are answered."""
        self._api.reads.extend(scenarios)

    def list_in_pages_of(self, size: int, *, endless: bool = False) -> None:
        """Show so many subscriptions a page; `endless` names the first page as the next one for ever."""
        self._api.page_size, self._api.endless = size, endless

    # --- Bookings: what people do, and the events of it -----------------------------------------------------

    def book(  # noqa: PLR0913 - what a booking form asks
        self,
        name: str,
        *,
        starts_at: datetime,
        phone: str | None = None,
        answers: Mapping[str, str] | None = None,
        kind: str = TRIAL_CLASS,
        minutes: int = 60,
        deliver: bool = True,
    ) -> Booking:
        """Somebody books a class, and the subscriptions hear of it; without `deliver` nobody does."""
        now = self.clock.now()
        event_uri = new_uri("scheduled_events")
        booking = Booking(
            uri=f"{event_uri}/invitees/{new_uri('x').rpartition('/')[2]}",
            event_uri=event_uri,
            name=name,
            email=f"{secrets.token_hex(4)}@example.org",
            phone=phone,
            answers=answers or {},
            kind=kind,
            starts_at=starts_at,
            ends_at=starts_at + timedelta(minutes=minutes),
            created_at=now,
            updated_at=now,
        )
        if deliver:
            self.deliver(self.event("invitee.created", booking))
        return booking

    def reschedule(
        self, booking: Booking, starts_at: datetime, *, created_first: bool = False, deliver: bool = True
    ) -> Booking:
        """The parent takes another hour: one cancellation and one new booking, in either order."""
        length = booking.ends_at - booking.starts_at
        moved = self.book(
            booking.name,
            starts_at=starts_at,
            phone=booking.phone,
            answers=booking.answers,
            kind=booking.kind,
            minutes=int(length.total_seconds() // 60),
            deliver=False,
        )
        moved.old_invitee = booking.uri
        booking.rescheduled, booking.new_invitee = True, moved.uri
        self._cancel(booking, "")
        if deliver:
            pair = [self.event("invitee.canceled", booking), self.event("invitee.created", moved)]
            for event in reversed(pair) if created_first else pair:
                self.deliver(event)
        return moved

    def cancel(self, booking: Booking, *, reason: str = "", deliver: bool = True) -> Booking:
        """The parent cancels."""
        self._cancel(booking, reason)
        if deliver:
            self.deliver(self.event("invitee.canceled", booking))
        return booking

    def no_show(self, booking: Booking, *, marked: bool = True, deliver: bool = True) -> Booking:
        """Somebody marks that the pupil did not come; `marked=False` takes the mark back."""
        now = self.clock.now()
        if marked:
            booking.no_show = {
                "uri": new_uri("invitee_no_shows"),
                "created_at": payloads.instant_text(now),
            }
        booking.updated_at = now
        if deliver:
            self.deliver(self.event(f"invitee_no_show.{'created' if marked else 'deleted'}", booking))
        if not marked:
            booking.no_show = None
        return booking

    def event(self, kind: str, booking: Booking) -> dict[str, object]:
        """An event about a booking as it stands, to deliver as often as wanted."""
        return payloads.new_event(kind, booking, self.account.user, self.clock.now())

    def _cancel(self, booking: Booking, reason: str) -> None:
        now = self.clock.now()
        booking.updated_at = now
        booking.cancellation = {
            "canceled_by": booking.name,
            "reason": reason or None,
            "canceler_type": "invitee",
            "created_at": payloads.instant_text(now),
        }

    # --- Delivering -----------------------------------------------------------------------------------------

    def deliver(
        self,
        event: Mapping[str, object],
        *,
        signed_at: datetime | None = None,
        key: str | None = None,
        body: bytes | None = None,
        copies: int = 1,
    ) -> list[Delivery]:
        """POST an event to every subscription that wants its type; retries follow by themselves.

        `signed_at` backdates the signature, `key` forges it (then nothing is repeated), `body` replaces the
        bytes that are sent and signed. The first attempts are over when this returns.
        """
        kind = str(event.get("event", ""))
        deliveries = [
            Delivery(
                subscription=subscription,
                event=event,
                body=body if body is not None else payloads.encode(event),
                key=key or subscription.signing_key,
                signed_at=signed_at,
            )
            for subscription in self.subscriptions
            if subscription.wants(kind)
            for _ in range(copies)
        ]
        for delivery in deliveries:
            if not attempt(delivery, self.clock):
                self._retrier.add(delivery)
        return deliveries

    def settle(self, timeout_s: float = 10.0) -> bool:
        """Wait until every retry is over. False when time ran out."""
        return self._retrier.settle(timeout_s)
