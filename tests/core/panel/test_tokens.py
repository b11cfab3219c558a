"""The signatures of links and cookies: one text is good, every other one is nothing."""

from __future__ import annotations

import dataclasses
import hmac
import json
import string
from base64 import urlsafe_b64encode

import pytest

from platform_core.errors import ConfigurationError, SecretRejected
from platform_core.panel.tokens import (
    Keyring,
    LinkClaims,
    is_csrf_of,
    make_cookie,
    name_of,
    parse_keyring,
    read_cookie,
    read_link,
    sign_link,
)
from platform_core.tenancy.members import Role
from tests.support.entrances import NOW, keyring_of

KEYS = keyring_of("acme")
CLAIMS = LinkClaims(7, "bruno", Role.OPS, NOW)
LETTERS = string.ascii_letters + string.digits + "-_."


def test_a_signed_link_says_what_was_signed() -> None:
    """And stands in an address as it is."""
    token = sign_link(KEYS, CLAIMS)

    assert read_link(KEYS, token) == CLAIMS
    assert set(token) <= set(LETTERS)
    assert token.startswith(f"v1.{name_of(KEYS.keys[0])}.")


def test_no_other_letter_at_any_place_of_a_link_is_accepted() -> None:
    """The last one too, where base64 has letters that mean the same bytes."""
    token = sign_link(KEYS, CLAIMS)
    altered = [token[:at] + letter + token[at + 1 :] for at in range(len(token)) for letter in LETTERS]

    assert [text for text in altered if text != token and read_link(KEYS, text) is not None] == []


def test_no_other_letter_at_any_place_of_a_cookie_is_accepted() -> None:
    """As for links."""
    text = make_cookie(KEYS).text
    altered = [text[:at] + letter + text[at + 1 :] for at in range(len(text)) for letter in LETTERS]

    assert [one for one in altered if one != text and read_cookie(KEYS, one) is not None] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "v1",
        "v1...",
        "v1.00000000.AA.AA",
        "v1." + "0" * 2_000_000,
        "\x00",
        "ñ" * 300,
        "💶",
        "$var:f/acme/panel",
        "\ud800",
        "v1.00000000.e30.e30",
        "V1.abcdefgh.AAAA.BBBB",
        "v1.00000000.AA\n." + "A" * 43,
    ],
)
def test_no_invented_text_is_a_link_or_a_cookie(text: str) -> None:
    """However long or strange; nothing is raised."""
    assert (read_link(KEYS, text), read_cookie(KEYS, text)) == (None, None)


@pytest.mark.parametrize("cut", [1, 10, 43, 44])
def test_a_link_cut_short_or_with_more_at_its_end_is_nothing(cut: int) -> None:
    """What a chat makes of an address by wrapping it."""
    token = sign_link(KEYS, CLAIMS)

    assert [read_link(KEYS, text) for text in (token[:-cut], token[cut:], token + "A" * cut)] == [None] * 3


def test_what_one_customer_signed_is_nothing_at_another_with_the_very_same_key() -> None:
    """The customer's name is in the key of each purpose and in the link."""
    other = Keyring("other", KEYS.url, KEYS.keys)

    assert read_link(other, sign_link(KEYS, CLAIMS)) is None
    assert read_cookie(other, make_cookie(KEYS).text) is None


@pytest.mark.parametrize(
    "said",
    [
        ["other", 7, "bruno", "ops", 1_800_000_000],
        ["acme", "7", "bruno", "ops", 1_800_000_000],
        ["acme", 7, "Bruno; DROP", "ops", 1_800_000_000],
        ["acme", 7, "bruno", "root", 1_800_000_000],
        ["acme", 7, "bruno", "ops", 10**18],
        ["acme", 7, "bruno", "ops", "soon"],
        ["acme", 7, "bruno", ["ops"], 1],
        ["acme", 7, "bruno", "ops"],
        {"link": 7},
        7,
        None,
    ],
)
def test_a_well_signed_text_that_says_nonsense_is_nothing(said: object) -> None:
    """A key that fell into wrong hands, or another version of the code."""
    packed = urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()
    good = sign_link(KEYS, CLAIMS)
    key_name = good.split(".")[1]
    derived = KEYS.derive(key_name, "link")
    assert derived is not None
    text = f"v1.{key_name}.{packed}"

    assert read_link(KEYS, f"{text}.{_mac(derived, text)}") is None


def _mac(key: bytes, text: str) -> str:
    return urlsafe_b64encode(hmac.digest(key, text.encode(), "sha256")).rstrip(b"=").decode()


def test_a_cookie_is_no_link_a_link_no_cookie_and_a_csrf_value_neither() -> None:
    """Each purpose has a key of its own."""
    cookie, link = make_cookie(KEYS), sign_link(KEYS, CLAIMS)

    assert (read_link(KEYS, cookie.text), read_cookie(KEYS, link)) == (None, None)
    assert (read_link(KEYS, cookie.csrf), read_cookie(KEYS, cookie.csrf)) == (None, None)


def test_the_key_before_is_good_until_the_one_after_next() -> None:
    """Two keys while they are changed: the new one signs, both verify, the third is forgotten."""
    old, new = keyring_of("acme").keys[0], keyring_of("acme").keys[0]
    before, between, after = (Keyring("acme", KEYS.url, keys) for keys in ((old,), (new, old), (new,)))
    link, cookie = sign_link(before, CLAIMS), make_cookie(before)

    assert [read_link(ring, link) for ring in (before, between, after)] == [CLAIMS, CLAIMS, None]
    assert [read_cookie(ring, cookie.text) for ring in (before, between, after)] == [cookie, cookie, None]
    assert sign_link(between, CLAIMS) == sign_link(after, CLAIMS)


def test_the_value_in_a_form_is_that_of_one_session_alone() -> None:
    """Another session's, a part of it, and nothing at all are refused."""
    mine, other = make_cookie(KEYS), make_cookie(KEYS)

    assert is_csrf_of(mine, mine.csrf)
    assert [is_csrf_of(mine, text) for text in (other.csrf, mine.csrf[:-1], "", "\ud800", mine.text)] == [
        False
    ] * 5


def test_what_the_database_knows_of_a_cookie_makes_none() -> None:
    """A hash; and neither the cookie, its hash nor the csrf value shows when it is printed."""
    cookie = make_cookie(KEYS)

    assert read_cookie(KEYS, cookie.id_sha256.hex()) is None
    assert repr(cookie) == "Cookie()"
    assert KEYS.keys[0] not in repr(KEYS)
    assert {field.name for field in dataclasses.fields(cookie) if field.repr} == set()


GOOD = {
    "url": "https://panel.example.org/api/r/acme/panel",
    "keys": ["panel_platform_core_test_Zq81ffoPq77aL"],
}


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"url": None}, ConfigurationError),
        ({"url": "panel"}, ConfigurationError),
        ({"url": "javascript:alert(1)"}, ConfigurationError),
        ({"url": "https://panel.example.org:99999/x"}, ConfigurationError),
        ({"url": "https://panel.example.org/a\r\nset-cookie: x=1"}, ConfigurationError),
        ({"url": 'https://panel.example.org/"><script>'}, ConfigurationError),
        ({"keys": None}, ConfigurationError),
        ({"keys": []}, ConfigurationError),
        ({"keys": ["a", "b", "c"]}, ConfigurationError),
        ({"keys": ["short"]}, SecretRejected),
        ({"keys": ["x" * 40]}, SecretRejected),
        ({"keys": [17]}, SecretRejected),
        ({"keys": ["<the key of the panel, to be set>"]}, SecretRejected),
    ],
)
def test_a_resource_that_cannot_sign_is_refused_by_name(
    changed: dict[str, object], error: type[Exception]
) -> None:
    """Never with the value of a key."""
    with pytest.raises(error) as refused:
        parse_keyring("acme", {**GOOD, **changed})

    assert "acme" in str(refused.value)
    assert GOOD["keys"][0] not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "base", "origin", "secure"),
    [
        (
            "https://panel.example.org/api/r/acme/panel/",
            "/api/r/acme/panel",
            "https://panel.example.org",
            True,
        ),
        ("https://acme.example.org", "", "https://acme.example.org", True),
        ("https://Acme.Example.org:443/Panel", "/Panel", "https://acme.example.org", True),
        ("https://acme.example.org:8443/p", "/p", "https://acme.example.org:8443", True),
        ("http://127.0.0.1:8000/api/r/acme/panel", "/api/r/acme/panel", "http://127.0.0.1:8000", False),
    ],
)
def test_the_address_says_path_origin_and_whether_cookies_must_be_secure(
    url: str,
    base: str,
    origin: str,
    secure: bool,
) -> None:
    """What the edge builds addresses, cookies and the check of origins from."""
    found = parse_keyring("acme", {**GOOD, "url": url})

    assert (found.base, found.origin, found.is_secure) == (base, origin, secure)
