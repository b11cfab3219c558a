"""Taking secrets and people out of whatever is about to be shown.

Two ways, both always on: by name (a value called `password` is never shown) and by form (a connection string,
a webhook secret, a token, a phone number are recognised wherever they stand, in a traceback too). It errs on
the side of hiding: a number that merely looks like a phone number is hidden with the rest.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime, time
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

HIDDEN = "[redacted]"
MAX_TEXT_CHARS = 16_384
_MAX_SCANNED_CHARS = 200_000
_MAX_DEPTH = 8
_MAX_ITEMS = 200
_PHONE_DIGITS = range(10, 16)
_FORMATTED_PHONE_DIGITS = range(7, 16)

_SECRET_WORDS = frozenset({"authorization", "bearer", "conninfo", "dsn", "jwt", "pwd", "salt", "signature"})
_SECRET_PARTS = ("apikey", "cookie", "credential", "passphrase", "passwd", "password", "secret", "token")
_PERSONAL_WORDS = frozenset({"body", "caption", "mobile", "msisdn", "phone", "phones", "text"})
_PERSONAL_NAMES = frozenset({"contact_name", "full_name", "profile_name", "wa_id"})
_OPEN_KEYS = frozenset({
    "cache", "dedupe", "dictionary", "external", "foreign", "idempotency", "job", "natural", "object",
    "primary", "public", "sort", "unique",
})  # fmt: skip
_UNITS = ("_at", "_bytes", "_chars", "_count", "_id", "_minor", "_ms", "_ns", "_pct", "_s", "_us")
_HASHES = ("_id", "hash", "sha256", "digest", "version", "release", "commit")

_IS_HASH = re.compile(r"[0-9a-fA-F-]{8,64}")
_IS_NAME = re.compile(r"[\w.-]{1,60}")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SEPARATORS = re.compile(r"[^A-Za-z0-9]+")


def is_secret_name(name: str) -> bool:
    """Whether what goes by this name is never shown, whatever its value."""
    words = [word for word in _SEPARATORS.split(_CAMEL.sub("_", name).lower()) if word]
    if not words or words[-1].endswith(("rejected", "error")):
        return False  # the names of our errors, as they begin a line of a traceback
    if any(word in _SECRET_WORDS or any(part in word for part in _SECRET_PARTS) for word in words):
        return True
    return words[-1] == "key" and len(words) > 1 and words[-2] not in _OPEN_KEYS


def is_personal_name(name: str) -> bool:
    """Whether what goes by this name belongs to a person or is what they wrote."""
    snake = _CAMEL.sub("_", name).lower()
    return snake in _PERSONAL_NAMES or any(word in _PERSONAL_WORDS for word in _SEPARATORS.split(snake))


_QUOTED = r"""b?"(?:\\.|[^"\\])*"|b?'(?:\\.|[^'\\])*'"""
# The name's beginning is looked up behind the match: searching for it would cost the square of a long word.
_NAME_BEFORE = re.compile(r"[\w.-]*$")
_ASSIGNED = re.compile(
    rf"""(?P<name>(?:secret|token|passw|passphrase|pwd|key|credential|jwt|dsn|conninfo|salt|signature)[\w-]{{0,40}})
         (?P<between>\\*["']?\s{{0,4}}(?:=>|[:=])\s{{0,4}} | ["']\s{{0,4}},\s{{0,4}}(?=b?["']))
         (?P<value>{_QUOTED}|(?:\\.|[^\s\\])+)""",
    re.IGNORECASE | re.VERBOSE,
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_LINE_HEADER = re.compile(r"(?i)([\w-]{0,20}(?:authorization|cookie))(\\*[\"']?\s{0,4}[:=]\s{0,4})[^\r\n]+")
_OPTION = re.compile(r"(?i)(--?[\w-]*(?:token|passw|secret|key)[\w-]*[ =])(\S+)")
_ROLE_PASSWORD = re.compile(rf"(?i)(\bpassword\s+)(?:{_QUOTED})")
_POSTGRES_KEY = re.compile(r"(Key \([^)]{0,200}\)=)\(.*\)")
_POSTGRES_ROW = re.compile(r"(Failing row contains )\(.*\)")
_POSTGRES_PARAMETER = re.compile(rf"(\$\d+ = )(?:{_QUOTED})")

_TOKENS = re.compile(
    r"""(?P<wamid>wamid\.[A-Za-z0-9+/=_-]+)   # WhatsApp's id: the phone number is inside, in base64
      | (?:jwt_)?eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?
      | whsec_[A-Za-z0-9+/=_-]*
      | AGE-SECRET-KEY-1[0-9A-Z]+
      | \b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]+ | \bgh[pousr]_[A-Za-z0-9]{20,} | \bAKIA[0-9A-Z]{16}\b
      | (?i:\bbearer\s+)[A-Za-z0-9._~+/=-]{6,}
      | (?i:\bbasic\s+)(?=\S*[0-9=+/])[A-Za-z0-9+/=]{8,}
    """,
    re.VERBOSE,
)
_RANDOM = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{28,}(?![A-Za-z0-9_-])")
_BARE_KEY = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{32}(?![0-9A-Za-z])")
_URL_LOGIN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}:/{1,3})[^\s/@:'\"]*:[^\s'\"]*@")
_PHONES = re.compile(
    r"""(?P<kept>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}   # a UUID
              | (?<![0-9A-Za-z])(?=[0-9]*[A-Fa-f])[0-9A-Fa-f]{16,}(?![0-9A-Za-z]))  # a hash
      | (?P<formatted>(?:\+|%2B|(?<![\w)])\()\s?\d(?:[\s().-]{0,2}\d){6,14}(?!\d))
      | (?P<bare>(?<!\d)(?<!\d\.)\d{10,15}(?!\d))
      | (?P<spaced>(?<!\d)(?<!\d[.:-])\d{1,4}(?:[ ]\d{1,4}){2,6}(?!\d|[.:-]\d))
    """,
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Redactor:
    """Hides secrets and people. With a key, the same phone number gets the same short mark, and only then."""

    key: bytes | None = None

    def text(self, text: str, *, hashes_shown: bool = False) -> str:
        """The text without secrets and phone numbers; cut when very long."""
        shown = text[:_MAX_SCANNED_CHARS]
        shown = _PRIVATE_KEY.sub(HIDDEN, shown)
        shown = _TOKENS.sub(self._token, shown)
        shown = _URL_LOGIN.sub(rf"\1{HIDDEN}@", shown)
        shown = _LINE_HEADER.sub(rf"\1\2{HIDDEN}", shown)
        shown = _ASSIGNED.sub(_assigned, shown)
        shown = _OPTION.sub(rf"\1{HIDDEN}", shown)
        shown = _ROLE_PASSWORD.sub(rf"\1{HIDDEN}", shown)
        shown = _POSTGRES_KEY.sub(rf"\1({HIDDEN})", shown)
        shown = _POSTGRES_ROW.sub(rf"\1({HIDDEN})", shown)
        shown = _POSTGRES_PARAMETER.sub(rf"\1{HIDDEN}", shown)
        shown = _RANDOM.sub(_random, shown)
        if not hashes_shown:
            shown = _BARE_KEY.sub(HIDDEN, shown)
        shown = _PHONES.sub(self._phone, shown)
        if len(shown) <= MAX_TEXT_CHARS:
            return shown
        half = MAX_TEXT_CHARS // 2  # a traceback says most at its two ends
        return f"{shown[:half]} [cut] {shown[-half:]}"

    def value(self, value: object, name: str = "", depth: int = 0) -> Json:
        """Anything as JSON that may be shown; `name` is what it is called where it stands."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return self._number(value, name)
        if is_secret_name(name) or is_personal_name(name):
            return HIDDEN
        return self._shaped(value, name, depth) if depth < _MAX_DEPTH else "[too deep]"

    def _shaped(self, value: object, name: str, depth: int) -> Json:
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, list | tuple | AbstractSet):
            return self._sequence(list(value)[:_MAX_ITEMS], name, depth)
        if hasattr(type(value), "model_fields"):
            return f"[{type(value).__name__}]"  # what crosses a boundary holds people's names and words
        if is_dataclass(value) and not _has_text_of_its_own(type(value)):
            return self._mapping({item.name: getattr(value, item.name) for item in fields(value)}, depth)
        text = _as_text(value)
        return self.text(text, hashes_shown=name.endswith(_HASHES) and _IS_HASH.fullmatch(text) is not None)

    def mark(self, digits: str) -> str:
        """A short name for a phone number, the same on every line, that does not lead back to it."""
        if self.key is None:
            return "[phone]"
        digest = hmac.new(self.key, digits.encode(), hashlib.sha256).digest()
        # Letters only: a mark of digits would be taken for a phone number again.
        return f"[phone {''.join('abcdefghijklmnop'[byte & 15] for byte in digest[:10])}]"

    def _mapping(self, found: Mapping[object, object], depth: int) -> Json:
        items = list(found.items())[:_MAX_ITEMS]
        return {self.text(str(key)): self.value(item, str(key), depth + 1) for key, item in items}

    def _sequence(self, found: list[object], name: str, depth: int) -> Json:
        # Headers travel as pairs: the first says what the second is.
        if len(found) == 2 and isinstance(found[0], str | bytes):  # noqa: PLR2004 - a pair
            first = _as_text(found[0])
            if _IS_NAME.fullmatch(first) and is_secret_name(first):
                return [first, HIDDEN]
        return [self.value(item, name, depth + 1) for item in found]

    def _number(self, value: float, name: str) -> Json:
        if not math.isfinite(value):
            return str(value)  # JSON has no word for it
        if name.lower().endswith(_UNITS):
            return value
        if is_secret_name(name) or is_personal_name(name):
            return HIDDEN
        digits = str(abs(int(value)))
        return self.mark(digits) if len(digits) in _PHONE_DIGITS else value

    def _token(self, match: re.Match[str]) -> str:
        return "wamid." + HIDDEN if match["wamid"] else HIDDEN

    def _phone(self, match: re.Match[str]) -> str:
        if match["kept"]:
            return match[0]
        digits = re.sub(r"\D", "", match[0].removeprefix("%2B").removeprefix("%2b"))
        wanted = _FORMATTED_PHONE_DIGITS if match["formatted"] else _PHONE_DIGITS
        return self.mark(digits) if len(digits) in wanted else match[0]


def _assigned(match: re.Match[str]) -> str:
    before = _NAME_BEFORE.search(match.string, max(0, match.start() - 60), match.start())
    name = (before[0] if before else "") + match["name"]
    if not is_secret_name(name.rsplit(".", 1)[-1]):
        return match[0]
    return f"{match['name']}{match['between']}{HIDDEN}"


def _random(match: re.Match[str]) -> str:
    found = match[0]
    mixed: tuple[Callable[[str], bool], ...] = (str.islower, str.isupper, str.isdigit)
    return HIDDEN if all(any(test(letter) for letter in found) for test in mixed) else found


def _has_text_of_its_own(kind: type) -> bool:
    return any("__str__" in vars(base) for base in kind.__mro__[:-1])


def _as_text(value: object) -> str:
    match value:
        case str():
            return value
        case bytes() | bytearray() | memoryview():
            return bytes(value).decode("utf-8", "backslashreplace")
        case datetime() | date() | time():
            return value.isoformat()
        case BaseException():
            return f"{type(value).__name__}: {value}"
        case _:
            return str(value)
