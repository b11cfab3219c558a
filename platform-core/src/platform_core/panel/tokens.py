"""The signatures of the panel: links, cookies and the value each form carries. Pure.

    link    v1.<key>.<claims>.<mac>     claims: base64url of a JSON list: customer, link, member, role, expiry
    cookie  s1.<key>.<id>.<mac>         id: 32 random bytes, base64url; the database has only their hash
    csrf    <mac>                       of the cookie's id, so it fits no other session

A mac is HMAC-SHA256 in base64url under a key of its own for each purpose, derived from the customer's, and it
covers the customer's name: what is made for one thing or one customer is nothing for another. Texts are
compared as they are written, never decoded first, so a text has one form. `<key>` names the key: a customer
has one, or two while it is being changed, and the first one signs.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from platform_core.errors import ConfigurationError
from platform_core.settings import check_secret
from platform_core.tenancy.members import HANDLE, Role

MAX_TOKEN_CHARS = 600
MIN_KEY_CHARS = 32
MAX_KEYS = 2
_ID_BYTES = 32
_TEXT = r"[A-Za-z0-9_-]"
_LINK = re.compile(rf"v1\.([0-9a-f]{{8}})\.({_TEXT}{{1,400}})\.({_TEXT}{{43}})", re.ASCII)
_COOKIE = re.compile(rf"s1\.([0-9a-f]{{8}})\.({_TEXT}{{43}})\.({_TEXT}{{43}})", re.ASCII)
_MAX_UNIX_S = 2**40


@dataclass(frozen=True, slots=True)
class Keyring:
    """Where a customer's panel stands and what signs for it: one key, or two while it is being changed.

    `url` is the address of the panel's home as browsers see it, without a slash at its end.
    """

    customer: str
    url: str
    keys: tuple[str, ...] = field(repr=False)

    @property
    def base(self) -> str:
        """The path of `url`: what the panel's own addresses begin with, and the cookie's path."""
        return urlsplit(self.url).path

    @property
    def origin(self) -> str:
        """What a browser says a form of the panel comes from: lower case, without the scheme's own port."""
        parts = urlsplit(self.url.lower())
        usual = {"https": 443, "http": 80}[parts.scheme]
        port = "" if parts.port in (None, usual) else f":{parts.port}"
        return f"{parts.scheme}://{parts.hostname}{port}"

    @property
    def is_secure(self) -> bool:
        """Whether the panel is served over https, as everywhere but on the machine of who develops it."""
        return self.url.startswith("https://")

    def derive(self, key_name: str, purpose: str) -> bytes | None:
        """The key of one purpose, or None when the customer has no key of that name any more."""
        for key in self.keys:
            if hmac.compare_digest(name_of(key), key_name):
                return hmac.digest(key.encode(), f"{purpose}\n{self.customer}".encode(), "sha256")
        return None


@dataclass(frozen=True, slots=True)
class LinkClaims:
    """What a link says of itself. It is believed only where the link's row says the same."""

    link_id: int
    member: str
    role: Role
    expires_at: datetime


def parse_keyring(customer: str, resource: Mapping[str, object]) -> Keyring:
    """Read the resource `f/<customer>/panel`: `{"url": "https://...", "keys": ["..."]}`.

    Raises: ConfigurationError, SecretRejected; never with a key in the message.
    """
    where = f"The panel's resource of {customer}"
    url, keys = resource.get("url"), resource.get("keys")
    if not isinstance(url, str) or not _is_address(url):
        raise ConfigurationError(
            f"{where} has no usable url",
            next_step=f"Set the panel's address, such as https://panel.example.org/api/r/{customer}/panel.",
        )
    if not isinstance(keys, list) or not 1 <= len(keys) <= MAX_KEYS:
        raise ConfigurationError(
            f"{where} has no list of one or two keys", next_step=f"Run `wmctl panel key {customer}`."
        )
    judged = tuple(
        check_secret(f"{where}: keys[{at}]", key, min_chars=MIN_KEY_CHARS).reveal()
        for at, key in enumerate(keys)
    )
    return Keyring(customer, url.rstrip("/"), judged)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises when it is no number
    except ValueError:
        return False
    plain = re.fullmatch(r"[A-Za-z0-9:/._~-]{1,300}", url, re.ASCII) is not None
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname)


def name_of(key: str) -> str:
    """What a key is called where it signed: enough to find it among two, nothing to find it out."""
    return hashlib.sha256(b"panel key\n" + key.encode()).hexdigest()[:8]


def sign_link(keyring: Keyring, claims: LinkClaims) -> str:
    """The text that goes into a link's address."""
    expires_s = int(claims.expires_at.timestamp())
    said = [keyring.customer, claims.link_id, claims.member, claims.role.value, expires_s]
    packed = _encode(json.dumps(said, separators=(",", ":")).encode())
    return _signed(keyring, f"v1.{name_of(keyring.keys[0])}.{packed}", "link")


def read_link(keyring: Keyring, token: str) -> LinkClaims | None:
    """What a link says, or None when this customer's keys did not sign exactly this text. Never raises."""
    found = _LINK.fullmatch(token[: MAX_TOKEN_CHARS + 1])
    if found is None or not _is_signed(keyring, token, found[1], "link"):
        return None
    try:
        customer, link_id, member, role, expires = json.loads(urlsafe_b64decode(_padded(found[2])))
    except (ValueError, NotBase64, TypeError):
        return None
    fits = (
        customer == keyring.customer
        and isinstance(link_id, int)
        and isinstance(member, str)
        and HANDLE.fullmatch(member)
        and role in [one.value for one in Role]  # a list: what was signed may be unhashable
        and isinstance(expires, int)
        and 0 < expires < _MAX_UNIX_S
    )
    return LinkClaims(link_id, member, Role(role), datetime.fromtimestamp(expires, UTC)) if fits else None


@dataclass(frozen=True, slots=True)
class Cookie:
    """A session's cookie: its whole text, the hash the database knows it by, and what its forms carry."""

    text: str = field(repr=False)
    id_sha256: bytes = field(repr=False)
    csrf: str = field(repr=False)


def make_cookie(keyring: Keyring) -> Cookie:
    """A new session's cookie."""
    identifier = _encode(secrets.token_bytes(_ID_BYTES))
    text = _signed(keyring, f"s1.{name_of(keyring.keys[0])}.{identifier}", "session")
    made = read_cookie(keyring, text)
    if made is None:
        raise AssertionError("what was signed this moment verifies")
    return made


def read_cookie(keyring: Keyring, text: str) -> Cookie | None:
    """The session a cookie names, or None when this customer's keys did not sign exactly this text."""
    found = _COOKIE.fullmatch(text[: MAX_TOKEN_CHARS + 1])
    if found is None or not _is_signed(keyring, text, found[1], "session"):
        return None
    key = keyring.derive(found[1], "csrf")
    if key is None:
        return None
    csrf = _encode(hmac.digest(key, found[2].encode(), "sha256"))
    return Cookie(text, hashlib.sha256(found[2].encode()).digest(), csrf)


def is_csrf_of(cookie: Cookie, value: str) -> bool:
    """Whether a form's value belongs to this session; compared in constant time."""
    return hmac.compare_digest(cookie.csrf.encode(), value.encode("utf-8", "replace"))


def _signed(keyring: Keyring, text: str, purpose: str) -> str:
    key = keyring.derive(name_of(keyring.keys[0]), purpose)
    if key is None:
        raise AssertionError("the first key has a name")
    return f"{text}.{_encode(hmac.digest(key, text.encode(), 'sha256'))}"


def _is_signed(keyring: Keyring, whole: str, key_name: str, purpose: str) -> bool:
    text, _, mac = whole.rpartition(".")
    key = keyring.derive(key_name, purpose)
    if key is None:
        return False
    wanted = _encode(hmac.digest(key, text.encode(), "sha256"))
    return hmac.compare_digest(wanted.encode(), mac.encode())


def _encode(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _padded(text: str) -> str:
    return text + "=" * (-len(text) % 4)
