"""What is answered to whom, and what is stored when it is answered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from tests.connectors.ycloud.deliveries import SECRET, signed
from tests.support.databases import TenantDatabase
from tests.support.doors import whatsapp
from tests.support.doorstep import DoorProcess, wait_for
from tests.support.knocking import Answer, Caller, chunked, genuine, get, knock, request
from tests.support.wmctl import rows_of

REFUSED = {"outcome": "refused"}


@pytest.fixture
def path(customer: TenantDatabase) -> str:
    """Where inbound messages go."""
    return f"/api/r/{customer.slug}/ycloud/inbound"


def _events(customer: TenantDatabase, event_id: str) -> list[dict[str, object]]:
    return rows_of(
        customer.admin_dsn,
        "SELECT e.id, e.body, e.state, e.headers, k.key IS NOT NULL AS queued FROM inbox.event AS e"
        f" LEFT JOIN jobs.key AS k ON k.key = 'event:' || e.id WHERE e.event_id = '{event_id}'",
    )


def _refusals(customer: TenantDatabase) -> dict[str, int]:
    found = rows_of(
        customer.admin_dsn, "SELECT reason, sum(count)::int AS count FROM inbox.refusal GROUP BY 1"
    )
    return {str(row["reason"]): int(str(row["count"])) for row in found}


def _said(answer: Answer | None) -> tuple[int, object]:
    assert answer is not None
    return answer.status, answer.json


def test_a_genuine_delivery_is_stored_with_its_job_before_it_is_answered(
    door: DoorProcess, customer: TenantDatabase, path: str
) -> None:
    """200 names our event; its bytes are those that came."""
    body = whatsapp("evt_first")

    answer = _said(knock(door.port, genuine(path, body)))

    (row,) = _events(customer, "evt_first")
    assert answer == (200, {"outcome": "stored", "event": f"E{row['id']}"})
    assert row == {
        "id": row["id"], "body": body, "state": "received",
        "headers": {"content-type": "application/json"}, "queued": True,
    }  # fmt: skip


def test_a_repeat_another_body_a_late_one_and_its_fresh_repeat(
    door: DoorProcess, customer: TenantDatabase, path: str
) -> None:
    """Duplicate, conflict, held, and stored once it is signed afresh: all of them 200."""
    late = time.time() - 3600
    sent = [
        genuine(path, whatsapp("evt_twice")),
        genuine(path, whatsapp("evt_twice")),
        genuine(path, whatsapp("evt_twice", "otro")),
        genuine(path, whatsapp("evt_late"), at=late),
        genuine(path, whatsapp("evt_late"), at=late),
        genuine(path, whatsapp("evt_late")),
    ]

    answers = [knock(door.port, one) for one in sent]

    outcomes = [answer.json["outcome"] for answer in answers if answer and isinstance(answer.json, dict)]
    assert outcomes == ["stored", "duplicate", "conflict", "held", "duplicate", "stored"]
    assert {answer.status for answer in answers if answer} == {200}
    assert [row["state"] for row in _events(customer, "evt_late")] == ["received"]


def test_a_body_in_chunks_and_a_query_are_taken(
    door: DoorProcess, customer: TenantDatabase, path: str
) -> None:
    """The query is never read, whatever it says."""
    body = whatsapp("evt_chunked")

    answers = [
        _said(knock(door.port, chunked(path, body))),
        _said(knock(door.port, genuine(f"{path}?a=$var:f/x/y&b=%00", whatsapp("evt_query")))),
    ]

    assert [answer[0] for answer in answers] == [200, 200]
    assert [row["body"] for row in _events(customer, "evt_chunked")] == [body]


@pytest.mark.parametrize(
    ("made", "status", "reason"),
    [
        (lambda path: request(path, b"{}"), 401, "header_missing"),
        (lambda path: request(path, b"{}", [("ycloud-signature", "t=1,s=2")]), 401, "header_malformed"),
        (lambda path: genuine(path, b"{}", secret="whsec_platform_core_test_x"), 401, "signature_mismatch"),
        (lambda path: request(path, b""), 401, "header_missing"),
        (lambda path: genuine(path, b"x" * (1024 * 1024 + 1)), 413, "body_too_large"),
        (lambda path: chunked(path, b"x" * (1024 * 1024 + 1), size=65536), 413, "body_too_large"),
    ],
)
def test_what_is_not_provably_genuine_is_refused_counted_and_not_kept(
    door: DoorProcess,
    customer: TenantDatabase,
    path: str,
    made: Callable[[str], bytes],
    status: int,
    reason: str,
) -> None:
    """The caller is not told the reason, the counter is, within a second or two."""
    before, known = _refusals(customer).get(reason, 0), len(_all(customer))

    answer = knock(door.port, made(path))

    assert answer is not None
    assert answer.status == status
    assert answer.json == (REFUSED if status == 401 else {"error": reason})
    wait_for(lambda: _refusals(customer).get(reason, 0) == before + 1)
    assert len(_all(customer)) == known


def _all(customer: TenantDatabase) -> list[dict[str, object]]:
    return rows_of(customer.admin_dsn, "SELECT id FROM inbox.event")


@pytest.mark.parametrize(
    ("content", "status", "headers"),
    [
        (request("/api/r/nobody/ycloud/inbound", b"{}"), 404, {}),
        (request("/", b"", method="GET", length=False), 404, {}),
        (request("/api/r/", b"{}"), 404, {}),
        (request("/healthz", b"{}"), 405, {"allow": "GET, HEAD"}),
    ],
)
def test_no_other_path_leads_anywhere(
    door: DoorProcess, content: bytes, status: int, headers: dict[str, str]
) -> None:
    """Whatever is asked of it."""
    answer = knock(door.port, content)

    assert answer is not None
    assert answer.status == status
    assert headers.items() <= answer.headers.items()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_an_endpoint_takes_post_only(door: DoorProcess, path: str, method: str) -> None:
    """405, with the method that would do."""
    answer = knock(door.port, request(path, b"", method=method))

    assert answer is not None
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_a_post_that_does_not_say_how_long_it_is(door: DoorProcess, path: str) -> None:
    """411: neither a length nor chunks."""
    answer = knock(door.port, request(path, b"", length=False))

    assert answer is not None
    assert answer.status == 411


def test_a_connection_is_kept_and_answers_stay_in_order(door: DoorProcess, path: str) -> None:
    """Also when the next request comes before the answer to the one before."""
    caller = Caller(door.port)
    caller.send(b"".join(genuine(path, whatsapp(f"evt_piped_{number}")) for number in range(5)))
    caller.send(request("/nowhere", b"{}") + genuine(path, whatsapp("evt_piped_5")))

    found = [caller.answer() for _ in range(7)]
    caller.close()

    assert [answer.status for answer in found if answer] == [200, 200, 200, 200, 200, 404, 200]


def test_a_caller_that_sends_all_and_listens_on_gets_its_answer(door: DoorProcess, path: str) -> None:
    """Half a connection is enough for an answer."""
    caller = Caller(door.port)
    caller.send(genuine(path, whatsapp("evt_half")))
    caller.half_close()

    answers = list(caller.answers())
    caller.close()

    assert [answer.status for answer in answers] == [200]


def test_a_caller_may_ask_before_it_sends_the_body(door: DoorProcess, path: str) -> None:
    """`Expect: 100-continue`."""
    body = whatsapp("evt_expect")
    caller = Caller(door.port)
    caller.send(
        request(path, body, [*signed(body, t=int(time.time())), ("expect", "100-continue")]).removesuffix(
            body
        )
    )
    first = caller.answer()
    caller.send(body)
    second = caller.answer()
    caller.close()

    assert first is not None
    assert second is not None
    assert (first.status, second.status) == (100, 200)


def test_health_readiness_and_metrics(door: DoorProcess, customer: TenantDatabase, path: str) -> None:
    """For the machine beside it: the proxy forwards /api/r/ only."""
    knock(door.port, genuine(path, whatsapp("evt_metrics")))
    health, ready, metrics = (get(door.port, name) for name in ("/healthz", "/readyz", "/metrics"))

    assert (health.status, health.json) == (200, {"status": "alive"})
    assert ready.status == 200
    assert ready.json == {
        "ready": True,
        "stopping": False,
        "customers": {customer.slug: {"database": "reachable", "committer": "running", "waiting": 0}},
    }
    text = metrics.body.decode()
    assert f'door_requests_total{{customer="{customer.slug}",endpoint="inbound",outcome="stored"}}' in text
    assert "door_latency_seconds_bucket" in text
    assert "door_batch_deliveries_count" in text


def test_nothing_that_was_sent_is_in_the_log(door: DoorProcess, customer: TenantDatabase, path: str) -> None:
    """One line of what was refused: customer, endpoint, status, reason."""
    mark = "a-text-nobody-else-writes"
    before = len(door.said("webhook.refused"))

    knock(door.port, request(path, mark.encode(), [("ycloud-signature", mark), ("x-more", mark)]))

    wait_for(lambda: len(door.said("webhook.refused")) > before)
    line = door.said("webhook.refused")[-1]
    assert {name: line[name] for name in ("tenant", "endpoint", "status", "reason")} == {
        "tenant": customer.slug, "endpoint": "inbound", "status": 401, "reason": "header_malformed",
    }  # fmt: skip
    assert mark not in "".join(door.raw)
    assert SECRET not in "".join(door.raw)
    assert all(json.loads(line) for line in door.raw if line.startswith("{"))
