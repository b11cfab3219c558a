"""Bounds of a request, a connection, an endpoint and the whole door, over real sockets with short limits."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.connectors.ycloud.deliveries import SECRET
from tests.support.databases import TenantDatabase
from tests.support.doors import whatsapp
from tests.support.doorstep import DoorProcess, door_process, tell, wait_for
from tests.support.knocking import Caller, genuine, get, knock, request
from tests.support.load import Order, send

CONNECTIONS = 20
LIMITS: dict[str, float] = {
    "head_s": 0.5, "body_s": 1.5, "body_grace_s": 0.3, "body_min_bytes_s": 1000, "keep_alive_s": 1,
    "connections": CONNECTIONS, "head_bytes": 8192, "rate_s": 20, "burst": 10,
}  # fmt: skip


@pytest.fixture(scope="module")
def door(
    password: str, customer: TenantDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DoorProcess]:
    """A door of little patience."""
    folder = tmp_path_factory.mktemp("ingest")
    tell(folder, customer)
    with door_process(folder, password, limits=LIMITS) as found:
        yield found


@pytest.fixture
def path(customer: TenantDatabase) -> str:
    """Where inbound messages go."""
    return f"/api/r/{customer.slug}/ycloud/inbound"


@pytest.fixture
def caller(door: DoorProcess) -> Iterator[Caller]:
    """A connection."""
    made = Caller(door.port)
    yield made
    made.close()


def test_a_head_that_does_not_come_to_its_end(caller: Caller, path: str) -> None:
    """408, and the connection ends."""
    caller.send(f"POST {path} HTTP/1.1\r\nhost: door\r\nx-slow: ".encode())

    assert [answer.status for answer in caller.answers()] == [408]


def test_empty_lines_for_ever_are_no_head(caller: Caller) -> None:
    """What the parser skips counts as a head that began."""
    caller.send(b"\r\n" * 100)

    assert [answer.status for answer in caller.answers()] == [408]


def test_a_connection_that_says_nothing_is_closed(caller: Caller) -> None:
    """Without an answer: nothing was asked."""
    began = time.monotonic()

    assert list(caller.answers()) == []
    assert time.monotonic() - began < 5


def test_a_kept_connection_is_closed_when_idle(caller: Caller, path: str) -> None:
    """After its answer."""
    caller.send(request(path, b"{}"))

    assert [answer.status for answer in caller.answers()] == [401]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_does_not_come_to_its_end(caller: Caller, path: str, *, chunked: bool) -> None:
    """408 once it is slower than the least rate."""
    how = ("transfer-encoding", "chunked") if chunked else ("content-length", "5000")
    caller.send(request(path, b"", [how], length=False) + (b"5\r\nhello" if chunked else b"hello"))

    assert [answer.status for answer in caller.answers()] == [408]


def test_a_body_fast_enough_but_too_long_in_coming(caller: Caller, path: str) -> None:
    """The whole of it has a deadline."""
    caller.send(request(path, b"", [("content-length", "1000000")], length=False) + b"x" * 200_000)

    assert [answer.status for answer in caller.answers()] == [408]


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nx: " + b"a" * 20_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nx: " + b"a" * 20_000,
        b"POST / HTTP/1.1\r\n" + b"x: aaaaaaaaaaaaaaaaaaaa\r\n" * 900 + b"\r\n",
        b"POST /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_a_head_that_is_too_large(caller: Caller, head: bytes) -> None:
    """431, in one piece or unfinished, in one header or in many."""
    caller.send(head)

    assert [answer.status for answer in caller.answers()] == [431]


def test_an_answer_given_early_leaves_the_connection_usable(caller: Caller, path: str) -> None:
    """The rest of a body nobody wants is thrown away."""
    caller.send(request(path, b"", [("content-length", str(1_200_000))], length=False) + b"x" * 1_200_000)
    caller.send(request(path, b"{}"))

    assert [answer.status for answer in caller.answers()] == [413, 401]


def test_a_body_without_an_end_is_not_read_for_ever(caller: Caller, path: str) -> None:
    """413 at once; after twice the limit the connection is closed."""
    caller.send(request(path, b"", [("content-length", "999999999999")], length=False) + b"x" * 4_000_000)

    assert [answer.status for answer in caller.answers()] == [413]


def test_a_connection_too_many_is_sent_away(door: DoorProcess, path: str) -> None:
    """503 with Retry-After; the ones before it go on."""
    held = [Caller(door.port) for _ in range(CONNECTIONS)]
    held[-1].send(request(path, b"{}"))
    first = held[-1].answer()
    extra = Caller(door.port)
    last = extra.answer()
    for one in (*held, extra):
        one.close()

    assert first is not None
    assert last is not None
    assert (first.status, last.status, last.headers["retry-after"]) == (401, 503, "1")
    wait_for(lambda: get(door.port, "/healthz").status == 200)


def test_an_endpoint_takes_so_many_genuine_deliveries_a_second(
    door: DoorProcess, customer: TenantDatabase, path: str
) -> None:
    """429 with Retry-After beyond that, counted; a forger's requests are not charged."""
    forged = [knock(door.port, request(path, b"{}")) for _ in range(30)]
    load = send(Order(door.port, path, SECRET, "evt_rate_", 40, connections=4))
    other = knock(door.port, genuine(path.replace("inbound", "status"), whatsapp("evt_other")))

    assert {answer.status for answer in forged if answer} == {401}
    assert set(load.answers) == {"200", "429"}
    assert 10 <= load.answers["200"] < 40
    assert other is not None
    assert other.status == 200
    with customer.admin() as admin:
        counted = "SELECT coalesce(sum(count), 0) FROM inbox.refusal WHERE reason = 'rate_limited'"
        wait_for(lambda: admin.execute(counted).fetchone() == (load.answers["429"],))
