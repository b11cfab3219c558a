"""Whatever bytes a stranger sends: 4xx or a closed connection, never 5xx, never a hang; the door stands."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.connectors.ycloud.deliveries import SECRET, signature, signed
from tests.support.databases import TenantDatabase
from tests.support.doors import whatsapp
from tests.support.doorstep import DoorProcess, door_process, tell
from tests.support.knocking import Caller, genuine, knock, request

CORPUS = json.loads(Path(__file__).with_name("corpus.json").read_text(encoding="utf-8"))
LIMITS = {"head_s": 0.3, "body_s": 0.6, "body_grace_s": 0.2, "keep_alive_s": 1}
MARK = "markofastranger"


@pytest.fixture(scope="module")
def door(
    password: str, customer: TenantDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DoorProcess]:
    """A door of little patience, asked at the end whether it stood it."""
    folder = tmp_path_factory.mktemp("ingest")
    tell(folder, customer)
    with door_process(folder, password, limits=LIMITS) as found:
        yield found
        assert found.process.poll() is None
        answer = knock(
            found.port, genuine(f"/api/r/{customer.slug}/ycloud/inbound", whatsapp("evt_after_all"))
        )
        assert answer is not None
        assert answer.status == 200
        assert found.said("library.logged") == []
        assert MARK not in "".join(found.raw)


@pytest.fixture(scope="module")
def path(customer: TenantDatabase) -> str:
    """Where inbound messages go."""
    return f"/api/r/{customer.slug}/ycloud/inbound"


def _statuses(door: DoorProcess, content: bytes, *, half_close: bool = False) -> list[int]:
    caller = Caller(door.port)
    try:
        caller.send(content)
        if half_close:
            try:
                caller.half_close()
            except OSError:  # it was closed already
                return []
        return [answer.status for answer in caller.answers()]
    finally:
        caller.close()


@pytest.mark.parametrize("one", CORPUS["http"], ids=lambda one: one["name"])
def test_what_is_not_quite_http(door: DoorProcess, path: str, one: dict[str, object]) -> None:
    """Each line of the corpus, as bytes: smuggled lengths, garbage in chunks, other protocols."""
    content = str(one["send"]).replace("{path}", path).replace("{mark}", MARK).encode("latin-1")

    statuses = _statuses(door, content)

    assert statuses == one["answers"], one["name"]


@pytest.mark.parametrize("one", CORPUS["deliveries"], ids=lambda one: one["name"])
def test_the_checklist_of_bad_deliveries(door: DoorProcess, path: str, one: dict[str, str]) -> None:
    """What is signed is stored, whatever its bytes mean; what is not quite signed is refused."""
    body, now = one["body"].encode("latin-1").replace(b"{mark}", MARK.encode()), int(time.time())
    right = signature(body, t=now)
    header = one["signature"].replace("{t}", str(now)).replace("{s}", right).replace("{S}", right.upper())
    lines = [("YCloud-Signature", value) for value in header.split("\n") if header]

    answer = knock(door.port, request(path, body, lines))

    assert answer is not None
    assert (answer.status, answer.json["outcome"] if isinstance(answer.json, dict) else "") == (
        (200, one["outcome"]) if one["outcome"] != "refused" else (401, "refused")
    )


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(min_size=1, max_size=300))
def test_any_bytes(door: DoorProcess, content: bytes) -> None:
    """Not HTTP at all."""
    assert all(400 <= status < 500 for status in _statuses(door, content, half_close=True))


_NAME = st.sampled_from(
    ["content-length", "Transfer-Encoding", "ycloud-signature", "connection", "expect", "upgrade"]
)
_VALUE = st.one_of(
    st.sampled_from(["0", "5", "-1", "+5", "0x10", "99999999999999999999", "chunked", "gzip, chunked",
                     "close", "keep-alive, upgrade", "100-continue", "websocket", "5, 5", ""]),
    st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=20),
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["POST", "GET", "HEAD", "CONNECT", "TRACE", "post", "P\0ST"]),
    headers=st.lists(st.tuples(_NAME, _VALUE), max_size=5),
    body=st.binary(max_size=60),
    cut=st.integers(min_value=0, max_value=40),
)
def test_any_headers_and_bodies(
    door: DoorProcess, path: str, method: str, headers: list[tuple[str, str]], body: bytes, cut: int
) -> None:
    """Lengths that lie, encodings that quarrel, an end that comes too early."""
    content = request(path, body, headers, method=method, length=False)
    content = content[: len(content) - cut]

    assert all(100 <= status < 500 for status in _statuses(door, content, half_close=True))


def test_callers_that_vanish_leave_nothing_behind(door: DoorProcess, path: str) -> None:
    """Reset in the middle of a head, of a body, and before the answer."""
    whole = genuine(path, whatsapp("evt_vanished"))
    for cut in (10, len(whole) - 10, len(whole)):
        for _ in range(10):
            caller = Caller(door.port)
            caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            caller.send(whole[:cut])
            caller.close()

    answer = knock(door.port, genuine(path, whatsapp("evt_vanished")))

    assert answer is not None
    assert answer.status == 200


def test_a_secret_of_another_customer_opens_nothing(door: DoorProcess, path: str) -> None:
    """The secret decides, not the header that names an endpoint."""
    body = whatsapp("evt_of_another")
    headers = [
        *signed(body, t=int(time.time()), secret=SECRET + "_other"),
        ("x-webhook-endpoint-id", "anything"),
    ]

    answer = knock(door.port, request(path, body, headers))

    assert answer is not None
    assert answer.status == 401
