"""One bounded HTTP exchange with a provider, and what a broken one means: shared by every client.

A mutation is made once. When no byte was written it is a TransientFailure; when anything but a clear answer
came back nobody knows whether the provider acted, and that is an AmbiguousOutcome. A read changes nothing, so
it is tried a few times and is at worst a TransientFailure. Answers are read up to a size and a deadline.
Nothing here puts a key, a URL or a body into an error.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
from pydantic import ValidationError

from platform_connectors.signed import is_placeholder, is_plain
from platform_core.connectors import Health, HealthStatus, health_of
from platform_core.errors import (
    AmbiguousOutcome,
    ConfigurationError,
    ConnectorError,
    NeedsReconciliation,
    PermanentRefusal,
    SecretRejected,
    TransientFailure,
)
from platform_core.values import Clock

READ_ATTEMPTS = 3
READ_BACKOFF_S = 0.5
MAX_ANSWER_BYTES = 256 * 1024
MAX_RETRY_AFTER_S = 3600.0
"""The longest window any of the providers publishes is an hour; a longer wait is a mistake somewhere."""

_LOOPBACK_HOSTS = ("127.0.0.1", "::1")
_MIN_KEY_CHARS = 16
_MAX_CODE_CHARS = 128
_NOT_OF_A_CODE = re.compile(r"[^A-Za-z0-9_.: -]")
_SECONDS = re.compile(r"[0-9]+", re.ASCII)
_NOT_WRITTEN = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_T = TypeVar("_T")


# --- Configuration: the rules every client's config shares ------------------------------------------------


def require_key(text: str, maker: str) -> None:
    """Raises: ValueError for what cannot be an account's key; the words name no value."""
    if not text.strip():
        raise ValueError("is empty")
    if is_placeholder(text):
        raise ValueError("is a placeholder")
    if not is_plain(text, min_chars=_MIN_KEY_CHARS):
        raise ValueError(f"is not a key {maker} makes (too short, or with spaces or strange characters)")


def require_base_url(text: str, provider_url: str) -> str:
    """The provider's own address, or a stand-in's on this machine; nothing else. Raises: ValueError."""
    wanted = httpx.URL(provider_url)
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise ValueError("is not a URL") from None
    provider = (url.scheme, url.host, url.port) == (wanted.scheme, wanted.host, wanted.port)
    stand_in = url.scheme == "http" and url.host in _LOOPBACK_HOSTS
    plain = not url.userinfo and not url.query and not url.fragment
    path = wanted.path.rstrip("/")
    if not (provider or stand_in) or not plain or url.path.rstrip("/") not in ("", path):
        raise ValueError(f"is neither {provider_url} nor a stand-in on this machine")
    return str(url.copy_with(path=path or "/")).rstrip("/")


def config_error(maker: str, secret_fields: Sequence[str], error: ValidationError) -> ConfigurationError:
    """The first field that is wrong and why, without its value; a secret's field is a SecretRejected."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = str(first["loc"][0]) if first["loc"] else "configuration"
    reason = first["msg"].removeprefix("Value error, ")
    kind = SecretRejected if field in secret_fields else ConfigurationError
    return kind(f"{maker} {field[:40]}: {reason}", next_step=f"Correct the customer's {maker} resource.")


def open_http(
    *, connect_timeout_s: float, answer_timeout_s: float, transport: httpx.BaseTransport | None
) -> httpx.Client:
    """A connection without redirects, proxies or netrc: no other host may see the key."""
    # httpx logs every URL, and some open things for whoever has them.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return httpx.Client(
        transport=transport,
        timeout=httpx.Timeout(answer_timeout_s, connect=connect_timeout_s),
        follow_redirects=False,
        trust_env=False,
        headers={"User-Agent": "platform-connectors", "Accept-Encoding": "identity"},
    )


# --- One exchange -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: httpx.Headers
    body: bytes


class UnusableAnswer(Exception):
    """The answer is too slow, too large or encoded: it cannot be read as a whole."""


def exchange(
    http: httpx.Client,
    method: str,
    url: str | httpx.URL,
    *,
    headers: Mapping[str, str],
    content: bytes | None = None,
    answer_timeout_s: float,
) -> Answer:
    """One request and its whole answer. Raises: httpx.HTTPError, UnusableAnswer."""
    deadline = time.monotonic() + answer_timeout_s
    with http.stream(method, url, content=content, headers=dict(headers)) as response:
        body = b"".join(chunks(response, MAX_ANSWER_BYTES, deadline))
        return Answer(response.status_code, response.headers, body)


def chunks(response: httpx.Response, max_bytes: int | None, deadline: float) -> Iterator[bytes]:
    """The parts of a body, up to a size and a deadline. Raises: UnusableAnswer."""
    # We ask for no encoding, so an encoded answer is refused: it could unfold without end.
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnusableAnswer
    size = 0
    for part in response.iter_bytes():
        size += len(part)
        if (max_bytes is not None and size > max_bytes) or time.monotonic() > deadline:
            raise UnusableAnswer
        yield part


@contextmanager
def as_mutation(maker: str, deed: str) -> Iterator[None]:
    """Say of a mutation that broke whether it may have happened. `deed` such as "the send"."""
    try:
        yield
    except _NOT_WRITTEN as error:
        raise TransientFailure(
            f"{maker} could not be reached; nothing of {deed} was sent", cause=type(error).__name__
        ) from None
    except (httpx.HTTPError, UnusableAnswer) as error:
        raise AmbiguousOutcome(
            f"{maker} did not answer {deed}; it may have been taken",
            reason="no_answer",
            cause=type(error).__name__,
        ) from None


@contextmanager
def as_read(maker: str, deed: str) -> Iterator[None]:
    """A read that broke may be repeated. `deed` such as "the download"."""
    try:
        yield
    except (httpx.HTTPError, UnusableAnswer) as error:
        raise TransientFailure(f"{maker} did not answer {deed}", cause=type(error).__name__) from None


def repeat_read(read: Callable[[], _T], *, sleep: Callable[[float], None], jitter: Callable[[], float]) -> _T:
    """Try a read a few times with growing pauses. Raises: what its last attempt raised."""
    for attempt in range(1, READ_ATTEMPTS):
        try:
            return read()
        except TransientFailure:
            sleep(READ_BACKOFF_S * 2**attempt * jitter())
    return read()


def look(look_once: Callable[[], tuple[HealthStatus, Sequence[str]]], clock: Clock) -> Health:
    """Make a look at an account a Health, whatever became of it."""
    started = time.monotonic()
    try:
        status, evidence = look_once()
    except ConnectorError as error:
        status, evidence = health_of(error), (error.one_line(),)
    return Health(
        status=status,
        evidence=tuple(evidence),
        latency_ms=round((time.monotonic() - started) * 1000),
        checked_at=clock.now(),
    )


# --- What answers carry -------------------------------------------------------------------------------------


def kind_of_read(kind: type[ConnectorError]) -> type[ConnectorError]:
    """What a refusal means for a read: it changed nothing, so none is ambiguous, and what is gone is gone."""
    if kind is AmbiguousOutcome:
        return TransientFailure
    return PermanentRefusal if kind is NeedsReconciliation else kind


def retry_after_s(value: str, now: datetime, *, default_s: float) -> float:
    """How long the provider asks to wait: seconds or an HTTP date, never negative, never beyond an hour.

    What is not one of the two forms is the default, not zero: the provider did ask to wait.
    """
    if _SECONDS.fullmatch(value):
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return default_s
    wait = until.replace(tzinfo=until.tzinfo or UTC) - now
    return min(max(0.0, wait.total_seconds()), MAX_RETRY_AFTER_S)


def code_text(value: object) -> str:
    """A code or id as it may stand in messages and logs: short, and only what codes are made of."""
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    return _NOT_OF_A_CODE.sub("?", text[:_MAX_CODE_CHARS])
