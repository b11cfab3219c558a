"""YCloud's API: send a message once, fetch an attachment.

A send is never repeated here. YCloud documents no idempotency key, so once a byte of the request may have
been written the outcome of anything but a clear answer is AmbiguousOutcome: it waits for the delivery report
that carries our external id, then for a person. Downloads change nothing: they are tried a few times.
No error, repr or log line carries the API key, a phone number, a text or an attachment's link.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from platform_connectors.exchange import (
    MAX_ANSWER_BYTES,
    Answer,
    as_mutation,
    as_read,
    chunks,
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
from platform_connectors.ycloud import failures
from platform_connectors.ycloud.media import checked_link, checked_type
from platform_core.connectors import Accepted, Health, HealthStatus, Media
from platform_core.errors import AmbiguousOutcome, ContractDrift, PermanentRefusal
from platform_core.messaging.contracts import OutgoingMessage, Party, TextMessage
from platform_core.values import Clock, SystemClock

BASE_URL = "https://api.ycloud.com/v2"
DOWNLOAD_DEADLINE_S = 60.0

_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_MAX_ID_CHARS = 255
_MAX_LISTED_ENDPOINTS = 100  # more than the twenty an account may have
_WORKING = "active"


class YCloudConfig(BaseModel):
    """One account and one sender number. `base_url` is YCloud's, or the stand-in's on this machine."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    api_key: SecretStr
    sender_phone: str
    base_url: str = BASE_URL
    connect_timeout_s: float = Field(default=5.0, gt=0, le=30)
    answer_timeout_s: float = Field(default=15.0, gt=0, le=60)

    @field_validator("api_key")
    @classmethod
    def _usable_key(cls, key: SecretStr) -> SecretStr:
        require_key(key.get_secret_value(), "YCloud")
        return key

    @field_validator("sender_phone")
    @classmethod
    def _e164(cls, phone: str) -> str:
        if not _E164.fullmatch(phone):
            raise ValueError("is not an E.164 number with its plus sign")
        return phone

    @field_validator("base_url")
    @classmethod
    def _allowed(cls, base_url: str) -> str:
        return require_base_url(base_url, BASE_URL)


def open_client(
    config: Mapping[str, object],
    *,
    transport: httpx.BaseTransport | None = None,
    clock: Clock | None = None,
    sleep: Callable[[float], None] = time.sleep,
    jitter: Callable[[], float] = random.random,
) -> YCloudClient:
    """Connect to one YCloud account; nothing is sent yet.

    Config: `api_key`, `sender_phone`, optionally `base_url`, `connect_timeout_s`, `answer_timeout_s`.
    Raises: SecretRejected for the key, ConfigurationError for the rest, both without the values.
    """
    try:
        settings = YCloudConfig.model_validate(dict(config))
    except ValidationError as error:
        raise config_error("YCloud", ("api_key",), error) from None
    http = open_http(
        connect_timeout_s=settings.connect_timeout_s,
        answer_timeout_s=settings.answer_timeout_s,
        transport=transport,
    )
    return YCloudClient(settings, http, clock=clock or SystemClock(), sleep=sleep, jitter=jitter)


class YCloudClient:
    """An open connection to one account: a `MessagingClient` and a `CheckedClient`."""

    def __init__(
        self,
        config: YCloudConfig,
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
        self._base_url = httpx.URL(config.base_url)

    def __repr__(self) -> str:
        return f"YCloudClient({self._base_url.host})"

    def close(self) -> None:
        """Release the connection."""
        self._http.close()

    # --- Sending ----------------------------------------------------------------------------------------

    def send(self, message: OutgoingMessage, *, external_id: str) -> Accepted:
        """Send once; one HTTP request at most.

        Raises: AmbiguousOutcome when YCloud may have taken it; TransientFailure when no byte was written;
        RateLimited and the refusals of `failures` when YCloud surely has not taken it.
        """
        content = _send_body(message, self._config.sender_phone, external_id)
        with as_mutation("YCloud", "the send"):
            answer = self._exchange("POST", "/whatsapp/messages", content)
        if not httpx.codes.is_success(answer.status):
            raise failures.send_error(_refusal(answer), self._clock.now())
        return self._accepted(answer, external_id)

    def _accepted(self, answer: Answer, external_id: str) -> Accepted:
        request_id = code_text(answer.headers.get("YCloud-Request-ID", ""))
        try:
            message = parse_strict_json(answer.body)
        except ValueError:
            message = None
        fields = message if isinstance(message, dict) else {}
        found, status, echoed = fields.get("id"), fields.get("status"), fields.get("externalId")
        wamid = fields.get("wamid")
        if not _is_id(found) or not _is_id(status) or echoed not in (None, external_id):
            raise AmbiguousOutcome(
                f"YCloud answered the send with {answer.status} and something that is no message",
                request_id=request_id,
                reason="contract_drift",
                answer_bytes=len(answer.body),
            )
        if status == "failed":
            code = code_text(fields.get("errorCode"))
            refusal = failures.Refusal(400, code=code, meta_code=code, request_id=request_id)
            raise failures.send_error(refusal, self._clock.now())
        return Accepted(
            provider_message_id=str(found),
            wamid=wamid if isinstance(wamid, str) and _is_id(wamid) else "",
            status=str(status),
            request_id=request_id,
        )

    def _exchange(self, method: str, path: str, content: bytes | None = None) -> Answer:
        return exchange(
            self._http,
            method,
            f"{self._base_url}{path}",
            headers=self._headers({"Content-Type": "application/json"} if content is not None else None),
            content=content,
            answer_timeout_s=self._config.answer_timeout_s,
        )

    def _headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        # Per request, so that the key is in no object that outlives it or prints itself.
        return {"X-API-Key": self._config.api_key.get_secret_value(), **(more or {})}

    # --- Fetching ---------------------------------------------------------------------------------------

    def fetch_media(self, link: str, *, max_bytes: int) -> Media:
        """Download one attachment from the provider's own host. Safe to repeat.

        Raises: TransientFailure after a few attempts, RateLimited, ContractDrift when the answer is no
        attachment, PermanentRefusal when the link is foreign, the file too large, gone, or not what it says.
        """
        url = checked_link(link, self._base_url)
        return repeat_read(lambda: self._download(url, max_bytes), sleep=self._sleep, jitter=self._jitter)

    def _download(self, url: httpx.URL, max_bytes: int) -> Media:
        deadline = time.monotonic() + DOWNLOAD_DEADLINE_S
        with (
            as_read("YCloud", "the download"),
            self._http.stream("GET", url, headers=self._headers()) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise self._refused(response, deadline)
            if _declared_bytes(response) > max_bytes:
                raise _too_large(max_bytes)
            parts, digest, size = [], hashlib.sha256(), 0
            for part in chunks(response, None, deadline):
                size += len(part)
                if size > max_bytes:
                    raise _too_large(max_bytes)
                digest.update(part)
                parts.append(part)
            content = b"".join(parts)
            mime_type = checked_type(response.headers.get("Content-Type", ""), content)
            return Media(content=content, mime_type=mime_type, sha256=digest.digest())

    def _refused(self, response: httpx.Response, deadline: float) -> Exception:
        status = response.status_code
        if not httpx.codes.is_error(status):
            return ContractDrift(f"YCloud answered the download with {status}; nothing was followed")
        answer = Answer(status, response.headers, b"".join(chunks(response, MAX_ANSWER_BYTES, deadline)))
        return failures.read_error(_refusal(answer), self._clock.now())

    # --- Looking ----------------------------------------------------------------------------------------

    def check(self) -> Health:
        """Balance and webhook endpoints. Changes nothing; two requests of the management limit."""
        return look(self._look, self._clock)

    def _look(self) -> tuple[HealthStatus, Sequence[str]]:
        amount = self._read("/balance").get("amount")
        if not isinstance(amount, (int, float)) or isinstance(amount, bool):
            raise ContractDrift("YCloud's balance has no amount")
        listed = self._read(f"/webhookEndpoints?page=1&limit={_MAX_LISTED_ENDPOINTS}").get("items")
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise ContractDrift("YCloud's list of webhook endpoints is no list")
        working = sum(one.get("status") == _WORKING for one in listed)
        idle = len(listed) - working
        troubles = [
            (amount <= 0, "there is no balance: nothing is sent until it is topped up"),
            (not listed, "there is no webhook endpoint: no message and no report arrives"),
            (idle > 0, f"{idle} of {len(listed)} webhook endpoints get nothing"),
        ]
        found = [words for is_trouble, words in troubles if is_trouble]
        if found:
            return HealthStatus.DEGRADED, found
        return HealthStatus.OK, (f"{working} webhook endpoints work",)

    def _read(self, path: str) -> Mapping[str, object]:
        def once() -> Mapping[str, object]:
            with as_read("YCloud", "the look at the account"):
                answer = self._exchange("GET", path)
            if answer.status != httpx.codes.OK:
                raise failures.read_error(_refusal(answer), self._clock.now(), "the look at the account")
            try:
                found = parse_strict_json(answer.body)
            except ValueError:
                found = None
            if not isinstance(found, dict):
                raise ContractDrift("YCloud answered the look at the account with something else")
            return found

        return repeat_read(once, sleep=self._sleep, jitter=self._jitter)


def _refusal(answer: Answer) -> failures.Refusal:
    return failures.parse_refusal(answer.status, answer.headers, answer.body)


def _declared_bytes(response: httpx.Response) -> int:
    declared = response.headers.get("Content-Length", "")
    return int(declared) if re.fullmatch(r"[0-9]{1,18}", declared, re.ASCII) else 0


def _too_large(max_bytes: int) -> PermanentRefusal:
    return PermanentRefusal(
        f"The attachment is larger than {max_bytes} bytes",
        reason="too_large",
        next_step="Ask the contact to send a smaller file.",
    )


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_ID_CHARS and value.isprintable()


def _send_body(message: OutgoingMessage, sender_phone: str, external_id: str) -> bytes:
    """The request as YCloud's OpenAPI v1.16.2 has it; both filters leave alone who said stop."""
    if not _is_id(external_id):
        raise PermanentRefusal("The send has no usable external id, so nobody could trace its outcome")
    body: dict[str, object] = {
        "from": sender_phone,
        **_recipient(message.to),
        "type": message.kind,
        "externalId": external_id,
        "filterUnsubscribed": True,
        "filterBlocked": True,
    }
    if isinstance(message, TextMessage):
        body["text"] = {"body": message.body, "preview_url": False}
    else:
        template: dict[str, object] = {
            "name": message.name,
            "language": {"code": message.language, "policy": "deterministic"},
        }
        if message.parameters:
            parameters = [{"type": "text", "text": text} for text in message.parameters]
            template["components"] = [{"type": "body", "parameters": parameters}]
        body["template"] = template
    return json.dumps(body).encode("ascii")


def _recipient(to: Party) -> dict[str, str]:
    if to.phone:
        return {"to": to.phone}
    if to.user_id:
        return {"recipient": to.user_id}
    raise PermanentRefusal("The message has no recipient", next_step="Give the contact a phone or user id.")
