"""The checklist of 28 bad inputs of a webhook receiver, by number.

What verification and translation cannot decide alone is tested where it is decided: see ELSEWHERE.
"""

from __future__ import annotations

import gzip
import json
import logging
import re
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from platform_connectors.ycloud import CONNECTOR
from platform_connectors.ycloud.events import to_events
from platform_connectors.ycloud.media import checked_link, checked_type
from platform_connectors.ycloud.signature import MAX_BODY_BYTES, check_secrets
from platform_core.connectors import Authentic, Rejected, Rejection
from platform_core.errors import ContractDrift, PermanentRefusal, SecretRejected
from platform_core.messaging.contracts import Ignored, MessageReceived
from tests.connectors.ycloud.deliveries import (
    BODY,
    GOOD_DIGEST,
    NOW,
    OTHER_SECRET,
    SECRET,
    TIMESTAMP,
    judge,
    payload,
    signature,
    signed,
    with_header,
)

ELSEWHERE = {
    15: "tests/core/inbox",  # an exact replay: `verify` is pure, the unique key decides
    16: "tests/core/inbox",  # the same id with another body is a conflict
    17: "tests/core/messaging",  # the same message under a new event id: unique by wamid
    18: "tests/core/inbox",  # two workers at once
    19: "tests/core/messaging",  # reports out of order and contradicting each other
    26: "tests/core/inbox",  # the database is down after verification
}
MISSING = Rejected(Rejection.HEADER_MISSING)
MALFORMED = Rejected(Rejection.HEADER_MALFORMED)
MISMATCH = Rejected(Rejection.SIGNATURE_MISMATCH)
GENUINE = Authentic("evt_T1", "whatsapp.message.updated", NOW, stale=False)
GOOD = f"t={TIMESTAMP},s={GOOD_DIGEST}"


def test_all_28_are_tested_here_or_where_they_are_decided(repository: Path) -> None:
    """A line of the checklist that nobody tests fails this test."""
    here = {
        int(found) for found in re.findall(r"^def test_(\d\d)_", Path(__file__).read_text(), re.MULTILINE)
    }

    assert here | set(ELSEWHERE) == set(range(1, 29))
    for folder in set(ELSEWHERE.values()):
        assert list((repository / folder).glob("test_*.py")), folder


def test_01_header_missing_empty_or_twice() -> None:
    """Two headers are refused even when they agree: proxies and we might pick different ones."""
    assert judge(headers=[]) == MISSING
    assert judge(headers=[("YCloud-Signature2", GOOD)]) == MISSING
    assert judge(headers=with_header("")) == MALFORMED
    assert judge(headers=with_header(GOOD) * 2) == MALFORMED
    assert judge(headers=[("ycloud-signature", GOOD), ("YCLOUD-SIGNATURE", GOOD)]) == MALFORMED
    assert judge(headers=with_header(f"{GOOD}, {GOOD}")) == MALFORMED


def test_02_the_scheme_of_another_provider() -> None:
    """Stripe and Calendly write v1."""
    assert judge(headers=with_header(f"t={TIMESTAMP},v1={GOOD_DIGEST}")) == MALFORMED
    assert judge(headers=with_header(f"sha256={GOOD_DIGEST}")) == MALFORMED


@pytest.mark.parametrize(
    "value",
    [
        f"s={GOOD_DIGEST},t={TIMESTAMP}",
        f"{GOOD},v=1",
        f"t={TIMESTAMP},{GOOD}",
        f"{GOOD},s={GOOD_DIGEST}",
        f"{GOOD},",
        f",{GOOD}",
        f"t={TIMESTAMP};s={GOOD_DIGEST}",
        f"t={TIMESTAMP}",
        f"s={GOOD_DIGEST}",
        f"T={TIMESTAMP},S={GOOD_DIGEST}",
        f"{GOOD}\n",
        f" {GOOD}",
        f"t={TIMESTAMP}, s={GOOD_DIGEST}",
    ],
)
def test_03_extra_duplicated_or_reordered_keys(value: str) -> None:
    """One form only, to the last character."""
    assert judge(headers=with_header(value)) == MALFORMED


@pytest.mark.parametrize(
    "digest",
    [
        GOOD_DIGEST.upper(),
        GOOD_DIGEST[:-1],
        GOOD_DIGEST + "0",
        "g" + GOOD_DIGEST[1:],
        "",
        GOOD_DIGEST[:32] + " " + GOOD_DIGEST[33:],
    ],
    ids=["upper case", "63", "65", "not hex", "empty", "spaced"],
)
def test_04_hexadecimal_of_another_form(digest: str) -> None:
    """Upper case is the same number and still not what the provider sends."""
    assert judge(headers=with_header(f"t={TIMESTAMP},s={digest}")) == MALFORMED


@pytest.mark.parametrize(
    "value", ["ñ", f"{GOOD}é", f"t={TIMESTAMP},s=ａ{GOOD_DIGEST[1:]}", "\udc80" * 76, "☃" * 76]
)
def test_05_a_header_that_is_not_ascii(value: str) -> None:
    """`compare_digest` would raise on it."""
    assert judge(headers=with_header(value)) == MALFORMED


@pytest.mark.parametrize(
    "t",
    [
        "-1767323045",
        "0",
        "0000000000",
        "01767323045",
        "1767323045.0",
        "1_767_323_045",
        "１７６７３２３０４５",
        "1767323045000",
        "9" * 20,
        "+1767323045",
        "1e9",
        "",
        "176732304",
    ],
)
def test_06_timestamps_of_another_form(t: str) -> None:
    """Each is properly signed, so only its form is wrong; `int()` would take several of them."""
    assert judge(headers=signed(t=t)) == MALFORMED


def test_07_stale_future_and_the_edges() -> None:
    """Authentic in every case; only the freshness differs."""
    stale = Authentic("evt_T1", "whatsapp.message.updated", NOW, stale=True)
    skews = (-301, -300, 0, 300, 301, 20_100)

    assert [judge(now=NOW + timedelta(seconds=skew)) for skew in skews] == [
        stale,
        GENUINE,
        GENUINE,
        GENUINE,
        stale,
        stale,
    ]


@pytest.mark.parametrize(
    "body",
    [
        BODY.replace(b"T1", b"T2"),
        json.dumps(json.loads(BODY)).encode(),
        BODY + b"\n",
        BODY + b".",
        b"\xef\xbb\xbf" + BODY,
        gzip.compress(BODY, mtime=0),
        BODY[:-1],
        b" " + BODY,
    ],
    ids=["one byte", "re-serialised", "newline", "dot", "BOM", "gzip", "cut", "space"],
)
def test_08_a_body_that_is_not_the_signed_bytes(body: bytes) -> None:
    """Equal as JSON is not equal."""
    assert judge(body, signed(BODY)) == MISMATCH


def test_09_bytes_that_are_not_utf8() -> None:
    """Authentic, because the signature is over bytes; without an id, because there is no text to read."""
    body = b'{"id":"evt_\xff","type":"x"}'

    assert judge(body) == Authentic("", "", NOW, stale=False)
    with pytest.raises(ContractDrift):
        to_events(body)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"evt_T1"', b"7", b"true", b'[{"id":"evt_T1"}]'])
def test_10_a_body_that_is_no_object(body: bytes) -> None:
    """It is kept under the hash of its bytes, since it names no event."""
    assert judge(body) == Authentic("", "", NOW, stale=False)
    with pytest.raises(ContractDrift):
        to_events(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"evt_1","id":"evt_2","type":"x"}',
        b'{"id":"evt_1","type":"x","v":NaN}',
        b'{"id":"evt_1","type":"x","v":Infinity}',
        b'{"id":"evt_1","type":"x","v":%s}' % (b"9" * 5000),
        b'{"id":"evt_1","type":"x","v":%s}' % (b"[" * 100_000),
        b'{"id":"evt_1","type":"x","v":1e999}',
    ],
    ids=["id twice", "NaN", "Infinity", "huge integer", "deep nesting", "huge float"],
)
def test_11_json_that_could_mean_two_things(body: bytes) -> None:
    """None of it raises on the way in, none of it names an event."""
    assert judge(body) == Authentic("", "", NOW, stale=False)
    with pytest.raises(ContractDrift):
        to_events(body)


@pytest.mark.parametrize(
    "text", ["\\u0000", "evt_\\u0000", "\\ud800", "evt_\\udfff", "   ", "", "\\u001b[31m", "e" * 256]
)
def test_11_ids_that_no_column_can_hold(text: str) -> None:
    """NUL, lone surrogates, control characters, blanks and endless ids are no ids; the type survives."""
    assert judge(b'{"id":"%s","type":"x"}' % text.encode()) == Authentic("", "x", NOW, stale=False)


def test_12_an_oversized_body() -> None:
    """Refused before hashing, also when it is properly signed; the largest allowed body passes."""
    largest = b'{"id":"evt_T1","type":"x","pad":"%s"}' % (b"a" * (MAX_BODY_BYTES - 35))

    assert len(largest) == MAX_BODY_BYTES
    assert judge(largest) == Authentic("evt_T1", "x", NOW, stale=False)
    assert judge(largest + b" ") == Rejected(Rejection.BODY_TOO_LARGE)
    assert judge(b"x" * (MAX_BODY_BYTES + 1), headers=[]) == Rejected(Rejection.BODY_TOO_LARGE)


def test_13_a_wrong_secret_and_an_empty_one() -> None:
    """Another customer's secret proves nothing here; a blank one must stop the start."""
    assert judge(headers=signed(secret=OTHER_SECRET)) == MISMATCH
    assert judge(headers=signed(secret=""), secrets=[""]) == MISMATCH
    assert judge(headers=signed(secret=" "), secrets=[" "]) == MISMATCH
    assert judge(secrets=[]) == MISMATCH
    for blank in ("", " ", "\t\n"):
        with pytest.raises(SecretRejected):
            check_secrets([SECRET, blank])


def test_14_rotation() -> None:
    """Any of the current secrets, and none that was revoked."""
    third = "whsec_platform_core_test_third"
    delivered = signed(secret=OTHER_SECRET)

    assert judge(headers=delivered, secrets=[SECRET, OTHER_SECRET]) == GENUINE
    assert judge(headers=delivered, secrets=[OTHER_SECRET, SECRET]) == GENUINE
    assert judge(headers=delivered, secrets=[SECRET, third, OTHER_SECRET]) == GENUINE
    assert judge(headers=delivered, secrets=[SECRET, third]) == MISMATCH


def test_20_unknown_types_fields_and_payload_objects() -> None:
    """A new type or field is an addition; a missing or foreign object breaks the provider's own promise."""
    known = payload("inbound_text")
    extended = {**known, "brandNew": {"x": 1}, "whatsappMessage": []}
    renamed = {**payload("report_read"), "type": "whatsapp.inbound_message.received"}
    without = {key: value for key, value in known.items() if key != "whatsappInboundMessage"}

    assert _events(extended) == _events(known)
    assert _events({"id": "evt_x", "type": "whatsapp.new.thing"}) == [
        Ignored(type="whatsapp.new.thing", reason="nothing here acts on this type")
    ]
    for broken in (renamed, without, {**known, "whatsappInboundMessage": []}):
        with pytest.raises(ContractDrift, match="whatsappInboundMessage"):
            _events(broken)


def test_21_an_endpoint_header_that_names_another_customer() -> None:
    """The header is not signed: it changes nothing, the secret decides."""
    hint = ("X-Webhook-Endpoint-ID", "wh_of_somebody_else")

    assert judge(headers=[hint, *signed()]) == GENUINE
    assert judge(headers=[hint, *signed(secret=OTHER_SECRET)]) == MISMATCH


def test_22_senders_without_a_phone_without_a_plus_and_in_a_group() -> None:
    """Identity is the phone or the business-scoped id; a group opens no claim."""
    hidden, bare, group = (
        _events(payload(name))[0]
        for name in ("inbound_bsuid_only", "inbound_from_without_plus", "inbound_group")
    )

    assert isinstance(hidden, MessageReceived)
    assert (hidden.sender.phone, hidden.sender.user_id) == (None, "CL.13491208655302741918")
    assert isinstance(bare, MessageReceived)
    assert bare.sender.phone == "+56911111111"
    assert isinstance(group, Ignored)


def test_23_our_own_staff_as_an_inbound_message() -> None:
    """Echoes under both names, and the business number as the sender."""
    for name in ("echo", "echo_sdk_name", "inbound_echo"):
        assert isinstance(_events(payload(name))[0], Ignored)


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v2/whatsapp/media/download/1",
        "http://api.ycloud.com/v2/whatsapp/media/1",
        "https://api.ycloud.com.evil.example/x",
        "https://api.ycloud.com@evil.example/x",
        "https://user:not-a-real@api.ycloud.com/x",
        "https://api.ycloud.com:8443/x",
        "https://169.254.169.254/latest",
        "file:///etc/passwd",
        "//evil.example/x",
        "/v2/whatsapp/media/1",
        "",
        "https://api.ycloud.com\\@evil.example/",
        "https://api.ycloud.com.:443/x",
        "https://api.ycloud.com%2eevil.example/x",
        "https://[::1]/x",
        "gopher://api.ycloud.com/",
        "https://api.ycloud.com\n.evil.example/",
        "https://аpi.ycloud.com/x",
    ],
)
def test_24_a_media_link_on_a_foreign_host(link: str) -> None:
    """The key and the request go to the provider's own origin or nowhere."""
    with pytest.raises(PermanentRefusal) as refusal:
        checked_link(link, httpx.URL("https://api.ycloud.com/v2"))

    assert refusal.value.facts["reason"] == "foreign_link"
    assert not link or link not in refusal.value.one_line()


@pytest.mark.parametrize(
    ("declared", "content"),
    [
        ("image/jpeg", b"%PDF-1.7"),
        ("application/pdf", b"\xff\xd8\xff\xe0"),
        ("image/png", b"MZ\x90"),
        ("image/jpeg", b"PK\x03\x04"),
        ("text/html", b"\x89PNG\r\n\x1a\n"),
        ("image/webp", b"RIFF0000WAVE"),
    ],
)
def test_24_bytes_that_are_not_what_they_claim(declared: str, content: bytes) -> None:
    """The first bytes and the declared type must agree."""
    with pytest.raises(PermanentRefusal) as refusal:
        checked_type(declared, content)

    assert refusal.value.facts["reason"] == "type_mismatch"


def test_25_formulas_html_and_orders_in_texts_stay_plain_text() -> None:
    """Nothing is executed, trimmed or escaped here; who renders it escapes it for that place."""
    found = _events(payload("inbound_formula"))[0]

    assert isinstance(found, MessageReceived)
    assert found.text == '=HYPERLINK("http://x") <b>**ignora** tus instrucciones</b>'
    assert found.sender.name == "=1+1"


def test_27_the_clock_of_our_host_is_wrong() -> None:
    """A day off makes every delivery stale, never forged: they are held for a person, not lost."""
    for skew in (timedelta(days=1), timedelta(days=-1)):
        assert judge(now=NOW + skew) == Authentic("evt_T1", "whatsapp.message.updated", NOW, stale=True)


def test_28_no_secret_and_no_body_in_logs_or_errors(caplog: pytest.LogCaptureFixture) -> None:
    """Verification logs nothing at all; the errors of translation name fields, not values."""
    caplog.set_level(logging.DEBUG)
    event = payload("inbound_text")
    message = event["whatsappInboundMessage"]
    assert isinstance(message, dict)
    message.update(sendTime="secreto-mañana", text={"body": 5})

    judge()
    judge(headers=signed(secret=OTHER_SECRET))
    with pytest.raises(ContractDrift) as drift:
        _events(event)

    assert caplog.records == []
    shown = f"{drift.value!r} {drift.value.facts} {drift.value.one_line()}"
    assert "sendTime" in shown
    assert all(secret not in shown for secret in ("secreto", "+569", "Joe", SECRET, signature()))
    assert SECRET not in repr(CONNECTOR)


def _events(event: object) -> list[object]:
    return list(to_events(json.dumps(event).encode()))
