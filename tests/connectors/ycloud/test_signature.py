"""YCloud's signature: golden vectors, the edges of time, the secrets, and whatever hypothesis thinks of."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_connectors.signed import parse_strict_json
from platform_connectors.ycloud.signature import check_secrets, verify
from platform_core.connectors import Authentic, Rejected, Rejection
from platform_core.errors import ConfigurationError, SecretRejected
from tests.connectors.ycloud.deliveries import (
    BODY,
    GOOD_DIGEST,
    NOW,
    OTHER_SECRET,
    SECRET,
    TIMESTAMP,
    judge,
    signature,
    signed,
    with_header,
)

GENUINE = Authentic("evt_T1", "whatsapp.message.updated", NOW, stale=False)
MISMATCH = Rejected(Rejection.SIGNATURE_MISMATCH)
MALFORMED = Rejected(Rejection.HEADER_MALFORMED)

# The digests are written out: they were computed once, apart from this code, and must never change.
GOLDEN = {
    "exact body": (BODY, GOOD_DIGEST, True),
    "digest of the body with a newline": (
        BODY,
        "d44cd59f64866835dadca0ee362d7a39561cf2f420644211e7ef168f32481a6c",
        False,
    ),
    "body with a newline under its own digest": (
        BODY + b"\n",
        "d44cd59f64866835dadca0ee362d7a39561cf2f420644211e7ef168f32481a6c",
        True,
    ),
    "digest of the body with a trailing dot": (
        BODY,
        "0585926aa3e7239f535f5558f63c59fc87fc7c828b3190914631e446ec665cf9",
        False,
    ),
}


@pytest.mark.parametrize(("body", "digest", "genuine"), GOLDEN.values(), ids=GOLDEN.keys())
def test_golden_vectors_hold(body: bytes, digest: str, genuine: bool) -> None:
    """Newlines are signed bytes; the trailing dot of the provider's help page is not part of the input."""
    verdict = judge(body, with_header(f"t={TIMESTAMP},s={digest}"))

    assert verdict == (GENUINE if genuine else MISMATCH)


PRETTY = '{\n  "id": "evt_中文",\n  "type": "whatsapp.message.updated",\n  "note": "café ☕"\n}\n'.encode()


# The ten kinds of vector that the provider's own kit ships, with our values.
def test_compact_json_is_genuine() -> None:
    """The plain case."""
    assert judge() == GENUINE


def test_white_space_and_utf8_are_signed_as_sent() -> None:
    """Nothing is decoded or re-serialised before the digest."""
    assert judge(PRETTY) == Authentic("evt_中文", "whatsapp.message.updated", NOW, stale=False)


def test_the_second_of_two_secrets_is_as_good_as_the_first() -> None:
    """While an endpoint's secret rotates both are configured."""
    assert judge(headers=signed(secret=OTHER_SECRET), secrets=(SECRET, OTHER_SECRET)) == GENUINE


@pytest.mark.parametrize("skew_s", [301, -301])
def test_beyond_the_tolerance_is_authentic_but_stale(skew_s: int) -> None:
    """Stale is its own outcome in both directions: not forged, and not fresh."""
    verdict = judge(now=NOW + timedelta(seconds=skew_s))

    assert verdict == Authentic("evt_T1", "whatsapp.message.updated", NOW, stale=True)


@pytest.mark.parametrize("skew_s", [300, -300])
def test_exactly_at_the_tolerance_is_fresh(skew_s: int) -> None:
    """The edge belongs to the sender."""
    assert judge(now=NOW + timedelta(seconds=skew_s)) == GENUINE


def test_one_microsecond_beyond_the_tolerance_is_stale() -> None:
    """The comparison is not made in whole seconds."""
    verdict = judge(now=NOW + timedelta(seconds=300, microseconds=1))

    assert verdict == Authentic("evt_T1", "whatsapp.message.updated", NOW, stale=True)


def test_now_in_another_zone_is_the_same_instant() -> None:
    """Only instants are compared."""
    assert judge(now=NOW.astimezone(timezone(timedelta(hours=-4)))) == GENUINE


@pytest.mark.parametrize("now", [NOW.replace(tzinfo=None), None, 1767323045])
def test_a_clock_that_is_no_instant_proves_no_freshness(now: Any) -> None:  # wrong types are the point
    """It fails towards stale, where a person looks, and does not raise."""
    verdict = verify(signed(), BODY, secrets=[SECRET], now=now)

    assert verdict == Authentic("evt_T1", "whatsapp.message.updated", NOW, stale=True)


def test_a_timestamp_beyond_the_calendar_is_stale_and_does_not_raise() -> None:
    """Twelve digits reach the year 33658, which Python's datetime cannot hold."""
    verdict = judge(headers=signed(t=999_999_999_999))

    latest = datetime.max.replace(tzinfo=UTC)
    assert verdict == Authentic("evt_T1", "whatsapp.message.updated", latest, stale=True)


def test_header_names_are_found_in_any_case_and_among_others() -> None:
    """HTTP header names have no case."""
    headers = [("X-Webhook-Endpoint-ID", "wh1"), ("yCLOUD-signature", signed()[1][1]), ("Host", "x")]

    assert judge(headers=headers) == GENUINE


class _Counted(str):
    """A secret that knows how often it was used as a key."""

    __slots__ = ("used",)
    used: int

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        self.used = getattr(self, "used", 0) + 1
        return super().encode(encoding, errors)


def test_every_secret_is_tried_even_after_one_matched() -> None:
    """Time taken must not tell which of the secrets is in use."""
    secrets = [_Counted(SECRET), _Counted(OTHER_SECRET), _Counted(SECRET)]

    assert judge(secrets=secrets) == GENUINE
    assert [secret.used for secret in secrets] == [1, 1, 1]


# --- Secrets that must never verify anything --------------------------------------------------------------

UNUSABLE = {
    "empty": "",
    "white space": " \t\n",
    "prefix alone": "whsec_",
    "too short": "whsec_abc",
    "no prefix": "platform_core_test_secret",
    "upper-case prefix": "WHSEC_platform_core_test",
    "leading space": " whsec_platform_core_test",
    "trailing newline": "whsec_platform_core_test\n",
    "inner space": "whsec_platform core test",
    "not ASCII": "whsec_plataforma_ñandú_x",
    "lone surrogate": "whsec_platform_core_test_\ud800",
    "placeholder of a template": "whsec_your_platform_core_test",
    "placeholder to change": "whsec_CHANGE-ME_platform_core_test",
    "placeholder in brackets": "whsec_<secret-of-endpoint>",
    "unresolved variable": "whsec_${YCLOUD_SECRET_X}",
}


@pytest.mark.parametrize("secret", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_secret_verifies_nothing_even_when_it_signed(secret: str) -> None:
    """Somebody who guesses the placeholder must not be believed."""
    digest = signature(secret=secret) if "\ud800" not in secret else GOOD_DIGEST

    assert judge(headers=with_header(f"t={TIMESTAMP},s={digest}"), secrets=[secret]) == MISMATCH


@pytest.mark.parametrize("secret", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_secret_is_refused_before_start_without_being_shown(secret: str) -> None:
    """Also beside a good one, and the message names its place instead of its text."""
    with pytest.raises(SecretRejected, match="secret 2 of 2") as refusal:
        check_secrets([SECRET, secret])

    assert isinstance(refusal.value, ConfigurationError)
    assert not secret.removeprefix("whsec_").strip() or secret not in refusal.value.one_line()


@pytest.mark.parametrize("secrets", [[], (), SECRET, None, [None], [b"whsec_platform_core_test"]])
def test_a_list_that_holds_no_secret_is_refused_before_start(
    secrets: Any,
) -> None:  # wrong types are the point
    """A bare string would be a list of one-letter secrets to Python."""
    with pytest.raises(SecretRejected):
        check_secrets(secrets)

    assert verify(signed(), BODY, secrets=secrets, now=NOW) == MISMATCH


def test_good_secrets_are_accepted_before_start() -> None:
    """One, and two during a rotation."""
    check_secrets([SECRET])
    check_secrets((SECRET, OTHER_SECRET))


# --- Strict JSON --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nul",
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"1" * 5000,
        b"\xef\xbb\xbf{}",
        b"\xff",
        b"{}x",
        "{}".encode("utf-16"),
        b'{"a":"\xed\xa0\x80"}',
    ],
)
def test_json_that_is_not_strict_is_refused_with_one_error_and_no_quote(raw: bytes) -> None:
    """Everything `json.loads` accepts or raises otherwise becomes the same ValueError."""
    with pytest.raises(ValueError, match=r"^not strict JSON$"):
        parse_strict_json(raw)


# --- Everything else ----------------------------------------------------------------------------------------

# Other work shares the machine: slowness is no failure here.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ANYTHING = st.none() | st.integers() | st.text() | st.binary() | st.booleans() | st.floats()
HEADERISH = st.lists(
    st.tuples(st.sampled_from(["YCloud-Signature", "ycloud-signature", "Other"]) | ANYTHING, ANYTHING)
    | ANYTHING
)
NEARLY = st.from_regex(r"\A ?t=[0-9]{8,14},[sv]1?=[0-9a-fA-F]{62,66}\n?\Z")


@CALM
@given(
    headers=HEADERISH | ANYTHING | NEARLY.map(with_header),
    body=ANYTHING,
    secrets=st.lists(ANYTHING) | ANYTHING,
    now=st.datetimes() | st.datetimes(timezones=st.timezones()) | ANYTHING,
    tolerance=st.timedeltas() | ANYTHING,
)
def test_no_input_of_any_type_raises_or_is_believed(
    headers: Any,
    body: Any,
    secrets: Any,
    now: Any,
    tolerance: Any,  # wrong types are the point
) -> None:
    """Junk gets a refusal, whatever its type."""
    assert isinstance(verify(headers, body, secrets=secrets, now=now, tolerance=tolerance), Rejected)


@CALM
@given(
    body=st.binary(max_size=2000),
    t=st.integers(10**9, 10**12 - 1),
    now=st.datetimes(timezones=st.just(UTC)),
    tolerance=st.timedeltas(min_value=timedelta(0)),
)
def test_what_is_signed_is_believed_whatever_the_bytes(
    body: bytes, t: int, now: datetime, tolerance: timedelta
) -> None:
    """Authenticity depends on the signature alone; time only decides freshness."""
    verdict = verify(signed(body, t=t), body, secrets=[OTHER_SECRET, SECRET], now=now, tolerance=tolerance)

    assert isinstance(verdict, Authentic)
    assert verdict.stale == (abs(now - verdict.signed_at) > tolerance)


@CALM
@given(body=st.binary(min_size=1, max_size=200), index=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_in_the_body_is_noticed(body: bytes, index: int, bit: int) -> None:
    """The digest covers every byte."""
    changed = bytearray(body)
    changed[index % len(body)] ^= 1 << bit

    assert judge(bytes(changed), signed(body)) == MISMATCH


@CALM
@given(text=st.text(alphabet="ts=,v1 0123456789abcdefABCDEF\n_-+.１２", max_size=90))
def test_no_other_spelling_of_the_header_is_taken(text: str) -> None:
    """One form, matched whole."""
    assert judge(headers=with_header(text)) in (MALFORMED, MISMATCH)


@CALM
@given(id_=st.text(max_size=300))
def test_an_event_id_is_taken_as_it_is_or_not_at_all(id_: str) -> None:
    """Ids are opaque and kept exactly; what no database column can hold is no id."""
    body = b'{"id":%s,"type":"t"}' % _json(id_)

    verdict = judge(body)

    assert isinstance(verdict, Authentic)
    assert verdict.event_id in (id_, "")
    assert verdict.event_id == "" or (len(id_) <= 255 and "\x00" not in id_)


def _json(text: str) -> bytes:
    return json.dumps(text).encode("ascii")


def test_importing_the_connector_loads_neither_the_http_client_nor_the_models() -> None:
    """A webhook script pays for verification only."""
    code = (
        "import sys; from platform_connectors.ycloud import CONNECTOR; "
        "print([m for m in ('httpx', 'pydantic', 'structlog', 'psycopg', 'logging') if m in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert finished.stdout.strip() == "[]"


def test_headers_may_be_any_sequence_of_pairs() -> None:
    """Lists of lists come out of JSON."""
    headers: Sequence[Any] = [list(pair) for pair in signed()]  # JSON has no tuples

    assert verify(headers, BODY, secrets=[SECRET], now=NOW) == GENUINE
