"""Whether a delivery is a sender's own: pure, over the raw bytes, and never an exception.

Several senders sign alike: a header with the decimal timestamp and an HMAC-SHA256, in hex, over the
timestamp, one dot and the exact body bytes. What differs is a `Scheme`: the header's name and form, what a
secret looks like, and where the body keeps its id. This module is on the path of every webhook: beside our
contract it imports the standard library only.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NoReturn, TypeGuard

from platform_core.connectors import DEFAULT_TOLERANCE, Authentic, Rejected, Rejection, Verdict
from platform_core.errors import SecretRejected

MAX_BODY_BYTES = 1024 * 1024
"""The events that come are a few kilobytes. A larger body is refused before a single byte is hashed."""

Identity = tuple[str, str]
"""The id and the type of an event, as its body carries them; empty where it carries none that is usable."""

_MAX_ID_CHARS = 255
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PLACEHOLDER = re.compile(
    r"change.?me|place.?holder|replace.?me|your[_ -]|insert[_ -]|example|xxxxxx|[<>{}$]|\.\.\.", re.IGNORECASE
)
_LATEST = datetime.max.replace(tzinfo=UTC)


def timestamped(digest_key: str) -> re.Pattern[str]:
    """The header `t=<unix seconds>,<digest_key>=<64 hex>` in its one accepted form.

    `int()` would take full-width digits and underscores, `bytes.fromhex` spaces.
    """
    return re.compile(rf"t=([1-9][0-9]{{9,11}}),{digest_key}=([0-9a-f]{{64}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Scheme:
    """How one sender signs.

    `form` has two groups, timestamp and digest. `unusable` says why a text must not verify anything, and ""
    when it may. `next_step` tells where the right secret is found.
    """

    sender: str
    header: str
    form: re.Pattern[str]
    unusable: Callable[[str], str]
    identify: Callable[[object], Identity]
    next_step: str

    def verify(
        self,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        secrets: Sequence[str],
        now: datetime,
        tolerance: timedelta = DEFAULT_TOLERANCE,
    ) -> Verdict:
        """Judge one delivery. Pure, and total: any input of any type gets a verdict.

        A secret that `check_secrets` would refuse verifies nothing, whatever the delivery says. A timestamp
        exactly `tolerance` away is fresh. An authentic body without a usable id has `event_id` "".
        """
        if not _is_bytes(body):
            return Rejected(Rejection.SIGNATURE_MISMATCH)
        if len(body) > MAX_BODY_BYTES:
            return Rejected(Rejection.BODY_TOO_LARGE)
        values = list(_values_of(headers, self.header.lower()))
        if not values:
            return Rejected(Rejection.HEADER_MISSING)
        found = self.form.fullmatch(values[0]) if len(values) == 1 and isinstance(values[0], str) else None
        if found is None:
            return Rejected(Rejection.HEADER_MALFORMED)
        timestamp, digest = found.groups()
        if not self._is_signed(f"{timestamp}.".encode("ascii") + body, bytes.fromhex(digest), secrets):
            return Rejected(Rejection.SIGNATURE_MISMATCH)
        signed_at = _instant(int(timestamp))
        event_id, event_type = self._identify(body)
        return Authentic(event_id, event_type, signed_at, stale=_is_stale(signed_at, now, tolerance))

    def check_secrets(self, secrets: Sequence[str]) -> None:
        """Refuse a configuration that could verify nothing, or anything.

        Raises: SecretRejected naming the position of the secret and the reason, never the secret.
        """
        if not _is_list(secrets) or not secrets:
            raise SecretRejected(f"No {self.sender} webhook secret is configured", next_step=self.next_step)
        for position, secret in enumerate(secrets, start=1):
            reason = self._why_unusable(secret)
            if reason:
                raise SecretRejected(
                    f"{self.sender} webhook secret {position} of {len(secrets)} {reason}",
                    next_step=self.next_step,
                )

    def _is_signed(self, message: bytes, digest: bytes, secrets: object) -> bool:
        # No early exit: how long it takes does not tell which secret matched.
        matched = False
        for secret in secrets if _is_list(secrets) else ():
            if isinstance(secret, str) and not self._why_unusable(secret):
                matched |= hmac.compare_digest(hmac.digest(secret.encode("utf-8"), message, "sha256"), digest)
        return matched

    def _why_unusable(self, secret: object) -> str:
        """Why the secret must not verify anything; empty when it may."""
        if not isinstance(secret, str):
            return "is not text"
        if not secret.strip():
            return "is empty"
        return self.unusable(secret) or ("is a placeholder" if is_placeholder(secret) else "")

    def _identify(self, body: bytes) -> Identity:
        try:
            return self.identify(parse_strict_json(body))
        except ValueError:
            return "", ""


def is_plain(secret: str, *, min_chars: int) -> bool:
    """Whether a text is long enough for a secret and has no spaces or strange characters."""
    return len(secret) >= min_chars and secret.isascii() and secret.isprintable() and " " not in secret


def identify_by_id(event: object) -> Identity:
    """The members `id` and `type` of an object, where they are usable."""
    return (opaque(event.get("id")), opaque(event.get("type"))) if isinstance(event, dict) else ("", "")


def opaque(value: object) -> str:
    """The text as an identifier: short and printable, or ""."""
    if not isinstance(value, str) or len(value) > _MAX_ID_CHARS or _UNPRINTABLE.search(value):
        return ""
    return value if value.strip() else ""


def parse_strict_json(raw: bytes) -> object:
    """Read UTF-8 JSON that means one thing only.

    Refuses what `json.loads` lets through: a byte order mark, UTF-16, a key given twice, NaN, Infinity,
    and what makes it raise something else: nesting too deep, an integer of thousands of digits.
    Raises: ValueError, without quoting the text.
    """
    try:
        return _STRICT.decode(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ValueError("not strict JSON") from None


def is_placeholder(secret: str) -> bool:
    """Whether it is a text somebody was meant to replace."""
    return _PLACEHOLDER.search(secret) is not None


def _values_of(headers: object, name: str) -> Iterator[object]:
    for header in headers if _is_list(headers) else ():
        match header:
            case [str() as found, value] if found.lower() == name:
                yield value


def _is_bytes(value: object) -> bool:
    return isinstance(value, bytes)


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    # A bare string is a sequence of one-letter secrets to Python; here it is a mistake.
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))


def _instant(timestamp: int) -> datetime:
    try:
        return datetime.fromtimestamp(timestamp, UTC)
    except (ValueError, OverflowError, OSError):
        return _LATEST  # twelve digits reach past the year 9999


def _is_stale(signed_at: datetime, now: object, tolerance: object) -> bool:
    # A clock that is not aware, or no tolerance at all, cannot prove freshness.
    if not isinstance(now, datetime) or now.utcoffset() is None or not isinstance(tolerance, timedelta):
        return True
    return abs(now - signed_at) > tolerance


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return number


_STRICT = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_float=_finite
)  # made once: it costs as much as reading a small event
