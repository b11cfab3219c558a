"""YCloud's API: send a message once, fetch an attachment.

A send is never repeated here. YCloud documents no idempotency key, so once a byte of the request may have
been written the outcome of anything but a clear answer is AmbiguousOutcome: it waits for the delivery report
that carries our external id, then for a person. Downloads change nothing: they are tried a few times.
No error, repr or log line carries the API key, a phone number, a text or an attachment's link.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from platform_connectors.signed import is_placeholder, parse_strict_json
from platform_connectors.ycloud import failures
from platform_connectors.ycloud.media import checked_link, checked_type
from platform_core.connectors import Accepted, Media
from platform_core.errors import (
    AmbiguousOutcome,
    ConfigurationError,
    ContractDrift,
    PermanentRefusal,
    SecretRejected,
    TransientFailure,
)
from platform_core.messaging.contracts import OutgoingMessage, Party, TextMessage
from platform_core.values import Clock, SystemClock

BASE_URL = "https://api.ycloud.com/v2"
READ_ATTEMPTS = 3
READ_BACKOFF_S = 0.5
MAX_ANSWER_BYTES = 256 * 1024
DOWNLOAD_DEADLINE_S = 60.0

_PROVIDER_HOST = "api.ycloud.com"
_LOOPBACK_HOSTS = ("127.0.0.1", "::1")
_MIN_KEY_CHARS = 16
_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_MAX_ID_CHARS = 255
_NOT_WRITTEN = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


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
        text = key.get_secret_value()
        if not text.strip():
            raise ValueError("is empty")
        if is_placeholder(text):
            raise ValueError("is a placeholder")
        if len(text) < _MIN_KEY_CHARS or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("is not a key YCloud makes (too short, or with spaces or strange characters)")
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
        try:
            url = httpx.URL(base_url)
        except httpx.InvalidURL:
            raise ValueError("is not a URL") from None
        provider = url.scheme == "https" and url.host == _PROVIDER_HOST and url.port is None
        stand_in = url.scheme == "http" and url.host in _LOOPBACK_HOSTS
        plain = not url.userinfo and not url.query and not url.fragment
        if not (provider or stand_in) or not plain or url.path.rstrip("/") not in ("", "/v2"):
            raise ValueError(f"is neither {BASE_URL} nor a stand-in on this machine")
        return str(url.copy_with(path="/v2"))


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
        raise _config_error(error) from None
    # httpx logs every URL, and an attachment's link opens the attachment for a while.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    timeout = httpx.Timeout(settings.answer_timeout_s, connect=settings.connect_timeout_s)
    http = httpx.Client(
        transport=transport,
        timeout=timeout,
        follow_redirects=False,
        trust_env=False,  # no proxy and no netrc of the machine may see the key
        headers={"User-Agent": "platform-connectors", "Accept-Encoding": "identity"},
    )
    return YCloudClient(settings, http, clock=clock or SystemClock(), sleep=sleep, jitter=jitter)


def _config_error(error: ValidationError) -> ConfigurationError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = str(first["loc"][0]) if first["loc"] else "configuration"
    reason = first["msg"].removeprefix("Value error, ")
    kind = SecretRejected if field == "api_key" else ConfigurationError
    return kind(f"YCloud {field[:40]}: {reason}", next_step="Correct the customer's YCloud resource.")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def refusal(self) -> failures.Refusal:
        return failures.parse_refusal(self.status, self.headers, self.body)


class _UnusableAnswer(Exception):
    """The answer is too slow, too large or encoded: it cannot be read as a whole."""


class YCloudClient:
    """An open connection to one account. Implements `platform_core.connectors.MessagingClient`."""

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
        try:
            answer = self._exchange("POST", f"{self._base_url}/whatsapp/messages", content)
        except _NOT_WRITTEN as error:
            raise TransientFailure(
                "YCloud could not be reached; nothing was sent", cause=type(error).__name__
            ) from None
        except (httpx.HTTPError, _UnusableAnswer) as error:
            raise AmbiguousOutcome(
                "YCloud did not answer the send; it may have been taken",
                reason="no_answer",
                cause=type(error).__name__,
            ) from None
        if not httpx.codes.is_success(answer.status):
            raise failures.send_error(answer.refusal, self._clock.now())
        return self._accepted(answer, external_id)

    def _accepted(self, answer: _Answer, external_id: str) -> Accepted:
        request_id = failures.code_text(answer.headers.get("YCloud-Request-ID", ""))
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
            code = failures.code_text(fields.get("errorCode"))
            refusal = failures.Refusal(400, code=code, meta_code=code, request_id=request_id)
            raise failures.send_error(refusal, self._clock.now())
        return Accepted(
            provider_message_id=str(found),
            wamid=wamid if isinstance(wamid, str) and _is_id(wamid) else "",
            status=str(status),
            request_id=request_id,
        )

    def _exchange(self, method: str, url: str, content: bytes) -> _Answer:
        deadline = time.monotonic() + self._config.answer_timeout_s
        with self._http.stream(
            method, url, content=content, headers=self._headers({"Content-Type": "application/json"})
        ) as response:
            body = b"".join(_chunks(response, MAX_ANSWER_BYTES, deadline))
            return _Answer(response.status_code, response.headers, body)

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
        for attempt in range(1, READ_ATTEMPTS):
            try:
                return self._download(url, max_bytes)
            except TransientFailure:
                self._sleep(READ_BACKOFF_S * 2**attempt * self._jitter())
        return self._download(url, max_bytes)

    def _download(self, url: httpx.URL, max_bytes: int) -> Media:
        deadline = time.monotonic() + DOWNLOAD_DEADLINE_S
        with _as_read_failures(), self._http.stream("GET", url, headers=self._headers()) as response:
            if response.status_code != httpx.codes.OK:
                raise self._refused(response, deadline)
            if _declared_bytes(response) > max_bytes:
                raise _too_large(max_bytes)
            parts, digest, size = [], hashlib.sha256(), 0
            for part in _chunks(response, None, deadline):
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
        answer = _Answer(status, response.headers, b"".join(_chunks(response, MAX_ANSWER_BYTES, deadline)))
        return failures.read_error(answer.refusal, self._clock.now())


@contextmanager
def _as_read_failures() -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, _UnusableAnswer) as error:
        raise TransientFailure("YCloud did not answer the download", cause=type(error).__name__) from None


def _chunks(response: httpx.Response, max_bytes: int | None, deadline: float) -> Iterator[bytes]:
    # We ask for no encoding, so an encoded answer is refused: it could unfold without end.
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _UnusableAnswer
    size = 0
    for part in response.iter_bytes():
        size += len(part)
        if (max_bytes is not None and size > max_bytes) or time.monotonic() > deadline:
            raise _UnusableAnswer
        yield part


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
