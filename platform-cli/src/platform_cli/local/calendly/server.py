"""Calendly's API over HTTP: the token is checked, then the scenario or the truth answers."""

from __future__ import annotations

import hmac
import json
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from platform_cli.local.api import ApiHandler, LocalServer, Received, RequestRefused, new_request_id
from platform_cli.local.calendly.payloads import new_uri
from platform_cli.local.calendly.webhooks import Subscription
from platform_cli.local.scenarios import Answer, Refuse, Scenario
from platform_core.values import Clock

_PATH = "/webhook_subscriptions"
_EVENTS = frozenset({
    "invitee.created", "invitee.canceled", "invitee_no_show.created", "invitee_no_show.deleted",
    "routing_form_submission.created", "event_type.created", "event_type.deleted", "event_type.updated",
})  # fmt: skip
_SCOPES = ("organization", "user")
_GOOD_PER_MINUTE = 500


@dataclass(slots=True)
class Account:
    """The state behind the API. Guarded by `lock`: every request is a thread."""

    token: str
    organization: str
    user: str
    subscriptions: list[Subscription] = field(default_factory=list)
    requests: list[Received] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def live(self) -> list[Subscription]:
        """The subscriptions that were not deleted."""
        return [one for one in self.subscriptions if not one.deleted]

    def subscribe(self, body: object, now: datetime) -> Subscription:
        """Take a subscription as `POST /webhook_subscriptions` does. Raises: RequestRefused."""
        asked = body if isinstance(body, dict) else {}
        url, events, scope = asked.get("url"), asked.get("events"), asked.get("scope")
        wrong = [
            ("url", not isinstance(url, str) or not url.startswith("http")),
            ("events", not isinstance(events, list) or not events or bool({*map(str, events)} - _EVENTS)),
            ("scope", scope not in _SCOPES),
            ("organization", not isinstance(asked.get("organization"), str)),
            ("user", scope == "user" and not isinstance(asked.get("user"), str)),
        ]
        for parameter, is_wrong in wrong:
            if is_wrong:
                raise RequestRefused(400, "Invalid Argument", parameter)
        if asked["organization"] != self.organization or asked.get("user", self.user) != self.user:
            raise RequestRefused(403, "Permission Denied")
        with self.lock:
            if any(one.url == url and one.scope == scope for one in self.live()):
                raise RequestRefused(409, "Already Exists")
            made = Subscription(
                uri=new_uri("webhook_subscriptions"),
                url=str(url),
                events=frozenset(map(str, events or ())),
                scope=str(scope),
                organization=self.organization,
                user=asked.get("user"),
                signing_key=asked.get("signing_key"),
                created_at=now,
            )
            self.subscriptions.append(made)
        return made


@dataclass(slots=True)
class Api:
    """What the handler needs: the account and the scenarios still to play. `page_size` caps every page."""

    account: Account
    clock: Clock
    mutations: deque[Scenario] = field(default_factory=deque)
    reads: deque[Scenario] = field(default_factory=deque)
    closing: threading.Event = field(default_factory=threading.Event)
    page_size: int = 100
    endless: bool = False


class ApiServer(LocalServer):
    """Serves one Calendly account on loopback."""

    def __init__(self, api: Api, port: int) -> None:
        self.api = api
        super().__init__(_Handler, port, api.closing)


class _Handler(ApiHandler, BaseHTTPRequestHandler):
    server: ApiServer

    def do_GET(self) -> None:
        """A list, one subscription, or who the token is."""
        path = urlsplit(self.path).path
        if not self._is_allowed(b""):
            return
        if path == "/users/me":
            account = self.server.api.account
            me = {"uri": account.user, "current_organization": account.organization}
            self.answer(Answer(200, json.dumps({"resource": me}).encode("ascii")))
        elif path == _PATH:
            self.play(self.server.api.reads, self._list)
        else:
            self.play(self.server.api.reads, lambda: _resource(200, self._find(path)))

    def do_POST(self) -> None:
        """Make a subscription."""
        body = self.read_body(Refuse(413, "Payload Too Large"))
        if body is None or not self._is_allowed(body):
            return
        if urlsplit(self.path).path != _PATH:
            self.refuse(Refuse(404, "Resource Not Found"))
        else:
            self.play(self.server.api.mutations, lambda: self._create(body))

    def do_DELETE(self) -> None:
        """End a subscription."""
        if self._is_allowed(b""):
            self.play(self.server.api.mutations, self._delete)

    # --- What it does when nothing is wrong -----------------------------------------------------------------

    def _create(self, body: bytes) -> Answer:
        try:
            asked = json.loads(body)
        except ValueError:
            raise RequestRefused(400, "Invalid Argument") from None
        account = self.server.api.account
        return _resource(201, account.subscribe(asked, self.server.api.clock.now()))

    def _delete(self) -> Answer:
        account = self.server.api.account
        with account.lock:
            self._find(urlsplit(self.path).path).deleted = True
        return Answer(204, b"")

    def _find(self, path: str) -> Subscription:
        identifier = path.removeprefix(f"{_PATH}/")
        for one in self.server.api.account.live():
            if one.uri.rpartition("/")[2] == identifier:
                return one
        raise RequestRefused(404, "Resource Not Found")

    def _list(self) -> Answer:
        api, query = self.server.api, parse_qs(urlsplit(self.path).query)
        if query.get("organization") != [api.account.organization]:
            raise RequestRefused(403, "Permission Denied")
        start = _number(query, "page_token", 0)
        size = min(_number(query, "count", 20), api.page_size)
        found = [one for one in api.account.live() if [one.scope] == query.get("scope")]
        more = start + size < len(found) or api.endless
        page = {
            "collection": [one.shown() for one in found[start : start + size]],
            "pagination": {
                "count": min(size, max(0, len(found) - start)),
                "next_page": None,
                "previous_page": None,
                "next_page_token": str(0 if api.endless else start + size) if more else None,
            },
        }
        return Answer(200, json.dumps(page).encode("ascii"))

    # --- HTTP -----------------------------------------------------------------------------------------------

    def refuse(self, refusal: Refuse, target: str = "") -> None:
        """An error as Calendly writes it; the wait of a 429 is in `X-RateLimit-Reset`."""
        error: dict[str, object] = {
            "title": refusal.code,
            "message": "Made-up words that nobody should branch on.",
        }
        if target:
            error["details"] = [{"parameter": target, "message": "made-up details"}]
        extra: Mapping[str, str] = {}
        if refusal.retry_after is not None:
            extra = {
                "X-RateLimit-Limit": str(_GOOD_PER_MINUTE),
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": refusal.retry_after,
            }
        self.answer(Answer(refusal.status, json.dumps(error).encode("ascii")), extra, new_request_id())

    def _is_allowed(self, body: bytes) -> bool:
        account = self.server.api.account
        with account.lock:
            account.requests.append(Received(self.command, self.path, body))
        given = self.headers.get("Authorization", "")
        if hmac.compare_digest(given.encode("utf-8", "replace"), f"Bearer {account.token}".encode()):
            return True
        self.refuse(Refuse(401, "Unauthenticated"))
        return False


def _resource(status: int, subscription: Subscription) -> Answer:
    return Answer(status, json.dumps({"resource": subscription.shown()}).encode("ascii"))


def _number(query: Mapping[str, list[str]], name: str, otherwise: int) -> int:
    found = query.get(name, [""])[0]
    return int(found) if found.isdecimal() else otherwise
