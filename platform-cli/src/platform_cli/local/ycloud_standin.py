"""YCloud on this machine: the API over real HTTP, and webhooks signed and delivered as the real ones are.

```
with YCloudStandIn() as ycloud:
    endpoint = ycloud.add_endpoint("http://127.0.0.1:8000/w/ycloud")
    link = ycloud.send_inbound_image("+56911111111", picture, caption="pago marzo")
    ycloud.next_sends(Refuse(429, "TOO_MANY_REQUESTS", retry_after="3"))
```
It refuses what the account may not do (wrong key, unknown sender or template, no balance), fails later by
webhook what YCloud fails later (24 h window, unsubscribed, blocked), and misbehaves only as told. It proves
our side of the contract; that YCloud keeps its side, only YCloud can prove.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from platform_cli.local.api import Received
from platform_cli.local.deliveries import Attempt, Retrier
from platform_cli.local.ycloud import payloads
from platform_cli.local.ycloud.account import Account, StoredMedia
from platform_cli.local.ycloud.payloads import Contact
from platform_cli.local.ycloud.scenarios import Answer, Delay, Drop, Refuse, ReportPlan, Scenario
from platform_cli.local.ycloud.server import Api, ApiServer
from platform_cli.local.ycloud.webhooks import RETRY_DELAYS_S, Delivery, Endpoint, attempt
from platform_core.errors import NotFound
from platform_core.values import Clock, SystemClock

__all__ = [
    "Answer",
    "Attempt",
    "Contact",
    "Delay",
    "Delivery",
    "Drop",
    "Endpoint",
    "Refuse",
    "ReportPlan",
    "YCloudStandIn",
]

SENDER_PHONE = "+56900000001"
_PARALLEL_DELIVERIES = 8


class YCloudStandIn:
    """One account. Use it as a context manager, or call `start` and `close`.

    `time_scale` shrinks the schedule of webhook retries: 0.001 makes ten seconds ten milliseconds.
    """

    def __init__(
        self,
        *,
        sender_phone: str = SENDER_PHONE,
        port: int = 0,
        time_scale: float = 0.001,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.account = Account(api_key=secrets.token_hex(20), sender_phone=sender_phone)
        self.report_plan = ReportPlan()
        self._api = Api(self.account, self.clock, self._after_acceptance)
        self._server = ApiServer(self._api, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._retrier = Retrier[Delivery](
            lambda one: attempt(one, self.clock), RETRY_DELAYS_S, time_scale, "ycloud-retries"
        )
        self._pool = ThreadPoolExecutor(_PARALLEL_DELIVERIES, thread_name_prefix="ycloud-webhooks")
        self._reports: list[Future[None]] = []

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()
        self._retrier.start()

    def close(self) -> None:
        """Stop serving and retrying; requests under way are cut."""
        self._api.closing.set()
        self._pool.shutdown(cancel_futures=True)
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
        return f"http://127.0.0.1:{self._server.server_address[1]}/v2"

    @property
    def api_key(self) -> str:
        """The one key the API accepts."""
        return self.account.api_key

    @property
    def phones_url(self) -> str:
        """Where a browser sees the parents' phones."""
        return self.base_url.removesuffix("v2")

    def move_endpoints(self, base_url: str) -> None:
        """Deliver to another server from now on: every endpoint keeps its path, id and secret."""
        with self.account.lock:
            for known in tuple(self.account.endpoints.values()):
                url = base_url.rstrip("/") + urlsplit(known.url).path
                self.account.endpoints[known.id] = replace(known, url=url)

    def client_config(self) -> dict[str, object]:
        """What `open_client` needs to talk to this account."""
        return {
            "api_key": self.api_key,
            "sender_phone": self.account.sender_phone,
            "base_url": self.base_url,
        }

    @property
    def requests(self) -> Sequence[Received]:
        """Every request the API got, in order, answered or not."""
        with self.account.lock:
            return tuple(self.account.requests)

    def messages_with(self, external_id: str) -> Sequence[Mapping[str, object]]:
        """Every message accepted under that external id: more than one means it was sent twice."""
        with self.account.lock:
            found = self.account.messages.values()
            return tuple(message for message in found if message.get("externalId") == external_id)

    # --- Setting the account up ---------------------------------------------------------------------------

    def add_endpoint(self, url: str, *, events: Iterable[str] = (), secret: str = "") -> Endpoint:
        """Register a webhook endpoint; its secret is on the value returned."""
        endpoint = Endpoint(
            id=f"wh{payloads.new_id()}",
            url=url,
            secret=secret or f"whsec_{secrets.token_hex(16)}",
            events=frozenset(events),
        )
        self.account.endpoints[endpoint.id] = endpoint
        return endpoint

    def add_template(self, name: str, language: str) -> None:
        """Have a template approved; sends of any other are refused."""
        self.account.templates.add((name, language))

    def add_media(self, content: bytes, mime_type: str) -> str:
        """Store an attachment under the given type, true or not; returns its link."""
        media_id = payloads.new_id()
        self.account.media[media_id] = StoredMedia(content, mime_type)
        stamp = int(self.clock.now().timestamp())
        return f"{self.base_url}/whatsapp/media/download/{media_id}?sig=t={stamp},s={secrets.token_hex(8)}"

    def expire_media(self, link: str) -> None:
        """Forget an attachment, as the provider does after a month."""
        self.account.media.pop(link.rpartition("/")[2].partition("?")[0], None)

    def next_sends(self, *scenarios: Scenario) -> None:
        """How the next sends are answered, one value each; after them the truth answers again."""
        self._api.sends.extend(scenarios)

    def next_downloads(self, *scenarios: Scenario) -> None:
        """How the next downloads are answered."""
        self._api.downloads.extend(scenarios)

    def next_looks(self, *scenarios: Scenario) -> None:
        """How the next questions about balance, templates and endpoints are answered."""
        self._api.looks.extend(scenarios)

    # --- Events: built, then delivered as often as wanted ---------------------------------------------------

    def inbound_event(self, sender: str | Contact, content: Mapping[str, object]) -> dict[str, object]:
        """A message from a contact; `content` is its `type` and the object of that name."""
        contact = Contact(phone=sender) if isinstance(sender, str) else sender
        now = self.clock.now()
        with self.account.lock:
            for identity in filter(None, (contact.phone, contact.user_id)):
                self.account.last_inbound_at[identity] = now
        message = payloads.inbound_message(contact, self.account.sender_phone, content, now)
        with self.account.lock:
            self.account.received.append(message)
            self.account.names[contact.phone or contact.user_id] = contact.name
        return payloads.new_event("whatsapp.inbound_message.received", "whatsappInboundMessage", message, now)

    def text_event(self, sender: str | Contact, text: str) -> dict[str, object]:
        """A contact writes."""
        return self.inbound_event(sender, {"type": "text", "text": {"body": text}})

    def image_event(
        self, sender: str | Contact, content: bytes, mime_type: str = "image/jpeg", caption: str = ""
    ) -> dict[str, object]:
        """A contact sends a picture; its link serves the bytes given."""
        return self._media_event("image", sender, content, mime_type, {"caption": caption})

    def document_event(
        self, sender: str | Contact, content: bytes, mime_type: str, filename: str
    ) -> dict[str, object]:
        """A contact sends a document."""
        return self._media_event("document", sender, content, mime_type, {"filename": filename})

    def _media_event(
        self, kind: str, sender: str | Contact, content: bytes, mime_type: str, more: Mapping[str, str]
    ) -> dict[str, object]:
        shown = {key: value for key, value in more.items() if value}
        media = {
            "id": payloads.new_id(),
            "link": self.add_media(content, mime_type),
            "mime_type": mime_type,
            "sha256": payloads.base64_sha256(content),
            **shown,
        }
        return self.inbound_event(sender, {"type": kind, kind: media})

    def report_event(
        self, message_id: str, status: str, *, error_code: str = "", at: datetime | None = None
    ) -> dict[str, object]:
        """What became of an accepted message. Raises: NotFound."""
        with self.account.lock:
            message = self.account.messages.get(message_id)
        if message is None:
            raise NotFound(f"The stand-in accepted no message {message_id[:60]!r}")
        with self.account.lock:
            self.account.reported.setdefault(message_id, {"accepted"}).add(status)
        now = at or self.clock.now()
        content = payloads.report(message, status, now, error_code)
        return payloads.new_event("whatsapp.message.updated", "whatsappMessage", content, now)

    def opt_out_event(self, phone: str, *, opted_out: bool = True) -> dict[str, object]:
        """A contact unsubscribes, or subscribes again; the account's list changes with it."""
        now = self.clock.now()
        (self.account.unsubscribed.add if opted_out else self.account.unsubscribed.discard)(phone)
        verb = "Created" if opted_out else "Deleted"
        content = {"phoneNumber": phone, "source": "Whatsapp", "updateTime": payloads.instant_text(now)}
        return payloads.new_event(
            f"contact.unsubscribe.{verb.lower()}", f"contactUnsubscribe{verb}", content, now
        )

    # --- Delivering -----------------------------------------------------------------------------------------

    def deliver(
        self,
        event: Mapping[str, object],
        *,
        signed_at: datetime | None = None,
        secret: str | None = None,
        body: bytes | None = None,
        copies: int = 1,
    ) -> list[Delivery]:
        """POST an event to every endpoint that wants its type; retries follow by themselves.

        `signed_at` backdates the signature, `secret` forges it (then nothing is retried), `body` replaces the
        bytes that are sent and signed. The first attempts are over when this returns.
        """
        kind = str(event.get("type", ""))
        with self.account.lock:
            wanting = [endpoint for endpoint in self.account.endpoints.values() if endpoint.wants(kind)]
        deliveries = [
            Delivery(
                endpoint=endpoint,
                event=event,
                body=body if body is not None else payloads.encode(event),
                secret=secret or endpoint.secret,
                signed_at=signed_at,
            )
            for endpoint in wanting
            for _ in range(copies)
        ]
        for delivery in deliveries:
            self._attempt(delivery)
        return deliveries

    def deliver_all(self, events: Iterable[Mapping[str, object]]) -> list[Delivery]:
        """POST many events at once, several at a time, as a busy provider does: their order is not kept."""
        return [delivery for found in self._pool.map(self.deliver, events) for delivery in found]

    def send_inbound_text(self, sender: str | Contact, text: str) -> list[Delivery]:
        """A contact writes, and the endpoints hear of it."""
        return self.deliver(self.text_event(sender, text))

    def send_inbound_image(
        self, sender: str | Contact, content: bytes, mime_type: str = "image/jpeg", caption: str = ""
    ) -> list[Delivery]:
        """A contact sends a picture, and the endpoints hear of it."""
        return self.deliver(self.image_event(sender, content, mime_type, caption))

    def report(
        self, message_id: str, status: str, *, error_code: str = "", at: datetime | None = None
    ) -> list[Delivery]:
        """Tell the endpoints what became of a message."""
        return self.deliver(self.report_event(message_id, status, error_code=error_code, at=at))

    def settle(self, timeout_s: float = 10.0) -> bool:
        """Wait until every automatic report and every retry is over. False when time ran out."""
        finished, unfinished = wait(tuple(self._reports), timeout_s)
        for future in finished:
            future.result()
        return not unfinished and self._retrier.settle(timeout_s)

    def _attempt(self, delivery: Delivery) -> None:
        if not attempt(delivery, self.clock):
            self._retrier.add(delivery)

    def _after_acceptance(self, message: Mapping[str, object]) -> None:
        self._reports.append(self._pool.submit(self._report_by_itself, str(message["id"])))

    def _report_by_itself(self, message_id: str) -> None:
        code = self.account.fate(self.account.messages[message_id], self.clock.now())
        plan = ReportPlan(statuses=("failed",)) if code else self.report_plan
        for status in plan.order():
            event = self.report_event(message_id, status, error_code=code)
            self.deliver(event, copies=plan.copies)
