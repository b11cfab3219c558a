"""Calendly's API: the webhook subscriptions of one account, and whether they live.

Calendly disables a subscription whose deliveries failed for a day and never brings it back, so somebody must
look. A subscription without a signing key would deliver what nobody can verify: it is never made here. No
error, repr or log line carries the token, a signing key or a callback URL.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Self
from urllib.parse import quote, urlencode

import httpx
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from platform_connectors.calendly import failures
from platform_connectors.calendly.events import EVENTS
from platform_connectors.calendly.signature import check_secrets
from platform_connectors.exchange import (
    Answer,
    as_mutation,
    as_read,
    code_text,
    config_error,
    exchange,
    look,
    open_http,
    repeat_read,
    require_base_url,
    require_key,
)
from platform_connectors.signed import parse_strict_json
from platform_connectors.wire import OptionalInstant, Text, Wire, read_wire
from platform_core.connectors import Health, HealthStatus, Subscription
from platform_core.errors import AmbiguousOutcome, ContractDrift, NeedsReconciliation, PermanentRefusal
from platform_core.values import Clock, SystemClock

BASE_URL = "https://api.calendly.com"
MAX_PAGES = 20
PAGE_SIZE = 100

_IDENTIFIER = r"[A-Za-z0-9_-]{1,64}"
_SUBSCRIPTION = re.compile(rf"https?://[^/]+/webhook_subscriptions/({_IDENTIFIER})", re.ASCII)
_ACTIVE, _DISABLED = "active", "disabled"
_MAX_URL_CHARS = 500


class CalendlyConfig(BaseModel):
    """One account. `organization` and `user` are the URIs that name them; `user` is needed for its scope."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    token: SecretStr
    organization: str = Field(pattern=rf"^https://api\.calendly\.com/organizations/{_IDENTIFIER}$")
    user: str = Field(default="", pattern=rf"^(https://api\.calendly\.com/users/{_IDENTIFIER})?$")
    scope: Literal["organization", "user"] = "organization"
    base_url: str = BASE_URL
    connect_timeout_s: float = Field(default=5.0, gt=0, le=30)
    answer_timeout_s: float = Field(default=15.0, gt=0, le=60)

    @field_validator("token")
    @classmethod
    def _usable_token(cls, token: SecretStr) -> SecretStr:
        require_key(token.get_secret_value(), "Calendly")
        return token

    @field_validator("base_url")
    @classmethod
    def _allowed(cls, base_url: str) -> str:
        return require_base_url(base_url, BASE_URL)

    @model_validator(mode="after")
    def _scope_has_its_user(self) -> Self:
        if self.scope == "user" and not self.user:
            raise ValueError("user is needed for the scope user")
        return self


def open_client(
    config: Mapping[str, object],
    *,
    transport: httpx.BaseTransport | None = None,
    clock: Clock | None = None,
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = random.random,
) -> CalendlyClient:
    """Connect to one Calendly account; nothing is sent yet.

    Config: `token`, `organization`, optionally `user`, `scope`, `base_url`, `connect_timeout_s` and
    `answer_timeout_s`. Raises: SecretRejected for the token, ConfigurationError for the rest, both without
    the values.
    """
    try:
        settings = CalendlyConfig.model_validate(dict(config))
    except ValidationError as error:
        raise config_error("Calendly", ("token",), error) from None
    http = open_http(
        connect_timeout_s=settings.connect_timeout_s,
        answer_timeout_s=settings.answer_timeout_s,
        transport=transport,
    )
    return CalendlyClient(settings, http, clock=clock or SystemClock(), sleep=sleep, jitter=jitter)


class _Listed(Wire):
    uri: Text
    callback_url: Text
    state: Text
    retry_started_at: OptionalInstant = None


class CalendlyClient:
    """An open connection to one account: a `SubscriptionClient`."""

    def __init__(
        self,
        config: CalendlyConfig,
        http: httpx.Client,
        *,
        clock: Clock,
        sleep: Callable[[float], None],
        jitter: Callable[[], float],
    ) -> None:
        self._config = config
        self._http = http
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter

    def __repr__(self) -> str:
        return f"CalendlyClient({httpx.URL(self._config.base_url).host})"

    def close(self) -> None:
        """Release the connection."""
        self._http.close()

    # --- Looking ----------------------------------------------------------------------------------------

    def list_subscriptions(self) -> Sequence[Subscription]:
        """All subscriptions of the configured scope. Safe to repeat.

        Raises: TransientFailure after a few attempts, RateLimited, ContractDrift for an answer that is none
        or a listing that never ends, and the refusals of `failures`.
        """
        found: list[Subscription] = []
        token, seen = "", set[str]()
        for _ in range(MAX_PAGES):
            page = self._page(token)
            found += [_subscription(one) for one in _members(page, "collection")]
            token = _next_page(page)
            if not token:
                return found
            if token in seen:
                break
            seen.add(token)
        raise ContractDrift("Calendly's list of webhook subscriptions does not end")

    def check(self) -> Health:
        """Whether there are subscriptions and all of them live. One listing; changes nothing."""
        return look(self._look, self._clock)

    def _look(self) -> tuple[HealthStatus, Sequence[str]]:
        found = self.list_subscriptions()
        disabled = sum(not one.is_active for one in found)
        now = self._clock.now()
        failing = sum(one.is_active and one.is_failing(now) for one in found)
        troubles = [
            (not found, "there is no webhook subscription: no booking arrives"),
            (disabled > 0, f"{disabled} of {len(found)} webhook subscriptions are disabled and get nothing"),
            (failing > 0, f"deliveries to {failing} of {len(found)} webhook subscriptions are failing"),
        ]
        evidence = [words for is_trouble, words in troubles if is_trouble]
        if evidence:
            return HealthStatus.DEGRADED, evidence
        return HealthStatus.OK, (f"{len(found)} webhook subscriptions are active",)

    def _page(self, token: str) -> Mapping[str, object]:
        wanted = {"organization": self._config.organization, "scope": self._config.scope, "count": PAGE_SIZE}
        more = {"user": self._config.user} if self._config.scope == "user" else {}
        query = urlencode({**wanted, **more, **({"page_token": token} if token else {})})

        def once() -> Mapping[str, object]:
            with as_read("Calendly", "the listing"):
                answer = self._exchange("GET", f"/webhook_subscriptions?{query}")
            if answer.status != httpx.codes.OK:
                raise self._refused_read(answer)
            return _object(answer, "the listing")

        return repeat_read(once, sleep=self._sleep, jitter=self._jitter)

    def _refused_read(self, answer: Answer) -> Exception:
        if not httpx.codes.is_error(answer.status):
            return ContractDrift(f"Calendly answered the listing with {answer.status}; nothing was followed")
        return failures.read_error(_refusal(answer), self._clock.now(), "the listing")

    # --- Changing ---------------------------------------------------------------------------------------

    def create_subscription(self, url: str, *, signing_key: str) -> Subscription:
        """Have bookings posted to `url`, signed with `signing_key`; one HTTP request at most.

        Raises: SecretRejected without a usable key and PermanentRefusal for an unusable URL, before anything
        is sent; NeedsReconciliation when there is one for that URL; AmbiguousOutcome when there may be.
        """
        check_secrets([signing_key])
        self._require_callback(url)
        body: dict[str, object] = {
            "url": url,
            "events": list(EVENTS),
            "organization": self._config.organization,
            "scope": self._config.scope,
            "signing_key": signing_key,
        }
        if self._config.scope == "user":
            body["user"] = self._config.user
        with as_mutation("Calendly", "the subscription"):
            answer = self._exchange("POST", "/webhook_subscriptions", json.dumps(body).encode("ascii"))
        if not httpx.codes.is_success(answer.status):
            raise failures.mutation_error(_refusal(answer), self._clock.now(), "the subscription")
        return self._created(answer, url)

    def delete_subscription(self, subscription_id: str) -> bool:
        """End one; one HTTP request at most. False when it was gone.

        Raises: AmbiguousOutcome when it may be gone; deleting it again is harmless.
        """
        with as_mutation("Calendly", "the deletion"):
            answer = self._exchange("DELETE", f"/webhook_subscriptions/{quote(subscription_id, safe='')}")
        if httpx.codes.is_success(answer.status):
            return True
        error = failures.mutation_error(_refusal(answer), self._clock.now(), "the deletion")
        if isinstance(error, NeedsReconciliation):
            return False
        raise error

    def _created(self, answer: Answer, url: str) -> Subscription:
        try:
            made = _subscription(_object(answer, "the subscription").get("resource"))
        except ContractDrift:
            made = None
        if made is None or made.url != url:
            raise AmbiguousOutcome(
                f"Calendly answered the subscription with {answer.status} and something that is none",
                request_id=code_text(answer.headers.get("X-Request-Id", "")),
                reason="contract_drift",
                answer_bytes=len(answer.body),
            )
        return made

    def _require_callback(self, url: str) -> None:
        try:
            parts = httpx.URL(url)
        except (httpx.InvalidURL, TypeError):
            parts = httpx.URL("")
        # A stand-in on this machine may call this machine; Calendly itself only what is public.
        wanted = "http" if self._config.base_url.startswith("http://") else "https"
        if parts.scheme != wanted or not parts.host or parts.userinfo or len(url) > _MAX_URL_CHARS:
            raise PermanentRefusal(
                "The callback of a subscription is no public https URL",
                next_step="Set callback_url in the customer's Calendly resource to the door's route.",
            )

    # --- How --------------------------------------------------------------------------------------------

    def _exchange(self, method: str, path: str, content: bytes | None = None) -> Answer:
        # The token per request, so that it is in no object that outlives it or prints itself.
        headers = {"Authorization": f"Bearer {self._config.token.get_secret_value()}"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        return exchange(
            self._http,
            method,
            f"{self._config.base_url}{path}",
            headers=headers,
            content=content,
            answer_timeout_s=self._config.answer_timeout_s,
        )


def _refusal(answer: Answer) -> failures.Refusal:
    return failures.parse_refusal(answer.status, answer.headers, answer.body)


def _object(answer: Answer, deed: str) -> Mapping[str, object]:
    try:
        found = parse_strict_json(answer.body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ContractDrift(f"Calendly answered {deed} with something that is no object")
    return found


def _members(page: Mapping[str, object], name: str) -> Sequence[object]:
    found = page.get(name)
    if not isinstance(found, list):
        raise ContractDrift(f"Calendly's list has no {name}")
    return found


def _next_page(page: Mapping[str, object]) -> str:
    pagination = page.get("pagination")
    token = pagination.get("next_page_token") if isinstance(pagination, dict) else None
    if token is not None and not isinstance(token, str):
        raise ContractDrift("Calendly's next_page_token is no text")
    return token or ""


def _subscription(source: object) -> Subscription:
    listed = read_wire("Calendly", _Listed, source, "webhook subscription")
    found = _SUBSCRIPTION.fullmatch(listed.uri)
    if found is None or listed.state not in (_ACTIVE, _DISABLED):
        raise ContractDrift("Calendly's webhook subscription has an unknown uri or state")
    return Subscription(
        id=found[1],
        url=listed.callback_url,
        is_active=listed.state == _ACTIVE,
        failing_since=listed.retry_started_at,
    )
