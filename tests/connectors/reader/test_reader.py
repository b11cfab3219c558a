"""The readers' signature: golden vectors, secrets, what a batch is called, and what a reader cannot do."""

from __future__ import annotations

import hashlib
import hmac
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from platform_connectors.reader import CONNECTOR
from platform_core.connectors import Authentic, Capability, Rejected, Rejection, load_connector
from platform_core.errors import SecretRejected, UnsupportedCapability

SECRET, NEXT = "rdr_platform_core_test_000000000000000", "rdr_platform_core_test_111111111111111"
TIMESTAMP = 1767323045
NOW = datetime.fromtimestamp(TIMESTAMP, UTC)
BODY = b'{"id":"000123","type":"reader.batch","reader":"door-1","sent_at":"2026-01-02T03:04:05Z"}'
# Written out: computed once, apart from this code.
DIGEST = "682f85f494d872730a246a670130692754212a1ebdcf297114540d37afe76318"
DIGEST_WITH_A_DOT = "1fed95d2851c7c027318f339161cdacd95f1a5b0be83ae4ab6f468a504bddd0a"
GENUINE = Authentic("door-1:000123", "reader.batch", NOW, stale=False)


def judge(
    body: bytes = BODY, value: str = f"t={TIMESTAMP},s={DIGEST}", *, skew_s: int = 0
) -> Authentic | Rejected:
    """What the connector says of a delivery with this header."""
    return CONNECTOR.verify(
        [("Reader-Signature", value)], body, secrets=[NEXT, SECRET], now=NOW + timedelta(seconds=skew_s)
    )


def signed(body: bytes, secret: str = SECRET) -> str:
    """A header of hand."""
    digest = hmac.new(secret.encode(), f"{TIMESTAMP}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={TIMESTAMP},s={digest}"


def test_golden_vectors_hold() -> None:
    """The exact bytes, by either of two secrets; nothing after them."""
    assert judge() == GENUINE
    assert judge(value=signed(BODY, NEXT)) == GENUINE
    assert judge(BODY + b"\n") == Rejected(Rejection.SIGNATURE_MISMATCH)
    assert judge(value=f"t={TIMESTAMP},s={DIGEST_WITH_A_DOT}") == Rejected(Rejection.SIGNATURE_MISMATCH)


@pytest.mark.parametrize("skew_s", [301, -301])
def test_a_reader_whose_clock_is_far_off_is_authentic_but_stale(skew_s: int) -> None:
    """In both directions; five minutes sharp are fresh."""
    assert judge(skew_s=skew_s) == Authentic("door-1:000123", "reader.batch", NOW, stale=True)
    assert judge(skew_s=300) == GENUINE


@pytest.mark.parametrize("value", ["", f"t={TIMESTAMP}", f"t={TIMESTAMP},v1={DIGEST}", f"s={DIGEST}",
                                   f"t={TIMESTAMP},s={DIGEST.upper()}"])  # fmt: skip
def test_another_spelling_of_the_header_is_malformed(value: str) -> None:
    """One form."""
    assert judge(value=value) == Rejected(Rejection.HEADER_MALFORMED)


@pytest.mark.parametrize(
    ("body", "identity"),
    [
        (b'{"id":"1","type":"reader.batch","reader":"door-2"}', ("door-2:1", "reader.batch")),
        (b'{"id":"1","type":"reader.batch"}', ("", "reader.batch")),
        (b'{"id":1,"type":"reader.batch","reader":"door-2"}', ("", "reader.batch")),
        (b'{"id":"' + b"1" * 250 + b'","reader":"door-2"}', ("", "")),
        (b"[]", ("", "")),
        (b"not JSON", ("", "")),
    ],
)
def test_a_batch_is_named_by_its_reader_and_its_number(body: bytes, identity: tuple[str, str]) -> None:
    """Two readers may both begin with 1; what has no name is stored under the hash of its bytes."""
    assert judge(body, signed(body)) == Authentic(*identity, NOW, stale=False)


@pytest.mark.parametrize(
    "secret",
    [
        "", " ", "rdr_", "rdr_short", SECRET.removeprefix("rdr_"), f"{SECRET}\n",
        SECRET.replace("test", "t st"),
        "rdr_your_secret_here_000000000000000000", "rdr_<secret of the readers of the door>00",
    ],
)  # fmt: skip
def test_a_secret_that_proves_nothing_is_refused_and_verifies_nothing(secret: str) -> None:
    """By its place, never by its text."""
    with pytest.raises(SecretRejected, match="secret 2 of 2") as refusal:
        CONNECTOR.check_secrets([SECRET, secret])

    assert not secret.strip() or secret not in refusal.value.one_line()
    found = CONNECTOR.verify([("Reader-Signature", signed(BODY, secret))], BODY, secrets=[secret], now=NOW)
    assert found == Rejected(Rejection.SIGNATURE_MISMATCH)


def test_a_reader_only_delivers() -> None:
    """Everything else is refused by name, not left undone."""
    assert load_connector("reader") is CONNECTOR
    assert CONNECTOR.capabilities == {Capability.RECEIVE_WEBHOOK}
    for capability in set(Capability) - CONNECTOR.capabilities:
        with pytest.raises(UnsupportedCapability):
            CONNECTOR.require(capability)
    with pytest.raises(UnsupportedCapability):
        CONNECTOR.open_client({})
    with pytest.raises(UnsupportedCapability):
        CONNECTOR.to_events(BODY)


def test_importing_it_loads_nothing_heavy() -> None:
    """A webhook script pays for verification only."""
    code = (
        "import sys; from platform_connectors.reader import CONNECTOR; "
        "print([m for m in ('httpx', 'pydantic', 'structlog', 'psycopg') if m in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert finished.stdout.strip() == "[]"
