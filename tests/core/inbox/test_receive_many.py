"""Many deliveries in one call are what the same deliveries one after the other are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_core.db import Tx
from platform_core.inbox.events import Delivery, receive
from platform_core.ingest.store import Q, Refusals, batch_parameters
from tests.support.databases import Databases, TenantDatabase
from tests.support.wmctl import rows_of

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
NONE: Refusals = {}

_EVENTS = (
    "SELECT source, endpoint, event_id, event_type, body, body_sha256, headers, signed_at, stale, state,"
    " note, released_at IS NOT NULL AS released FROM inbox.event ORDER BY source, endpoint, event_id"
)
_CONFLICTS = (
    "SELECT e.endpoint, e.event_id, c.body, c.deliveries"
    " FROM inbox.conflict AS c JOIN inbox.event AS e ON e.id = c.event"
    " ORDER BY e.endpoint, e.event_id, c.body_sha256"
)
_JOBS = (
    "SELECT j.kind, e.endpoint, e.event_id, j.payload - 'event' - 'subject' - 'dedupe' - 'detail' AS payload"
    " FROM jobs.job AS j JOIN inbox.event AS e"
    " ON e.id = coalesce(j.payload ->> 'event', substr(j.payload ->> 'subject', 2))::bigint"
    " ORDER BY 1, 2, 3, 4"
)


def delivery(
    event_id: str,
    body: bytes = b"{}",
    *,
    stale: bool = False,
    endpoint: str = "inbound",
    event_type: str = "x",
) -> Delivery:
    """A delivery as a door judged it."""
    at = NOW - timedelta(hours=1) if stale else NOW
    headers = [("content-type", "application/json")]
    return Delivery("ycloud", endpoint, event_id, event_type, body, headers, at, stale)


def many(
    tx: Tx, deliveries: Sequence[Delivery], refusals: Refusals = NONE
) -> tuple[list[str], list[int], bool, bool]:
    """One call with all of them."""
    row = tx.execute(Q["batch_receive"], batch_parameters(deliveries, refusals)).fetchone()
    assert row is not None
    return row[0], row[1], row[2], row[3]


@pytest.fixture(scope="module")
def pair(databases: Databases) -> Iterator[tuple[TenantDatabase, TenantDatabase]]:
    """One customer for batches, one for deliveries one by one."""
    with databases.tenant() as batches, databases.tenant() as singles:
        yield batches, singles


_deliveries = st.builds(
    delivery,
    st.sampled_from(["a", "b", "c", ""]),
    st.sampled_from([b"{}", b'{"x":1}', b"\xff"]),
    stale=st.booleans(),
    endpoint=st.sampled_from(["inbound", "status"]),
    event_type=st.sampled_from(["x", ""]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(_deliveries, max_size=8), min_size=1, max_size=4))
def test_a_batch_says_and_writes_what_one_by_one_would(
    pair: tuple[TenantDatabase, TenantDatabase], batches: list[list[Delivery]]
) -> None:
    """Stored, held, duplicate, conflict, released: also when the same event is in a batch several times."""
    with pair[0].admin() as together, pair[1].admin() as alone:
        for admin in (together, alone):
            admin.execute("TRUNCATE inbox.event, inbox.conflict, jobs.job, jobs.key CASCADE")
        said = [outcome for batch in batches for outcome in many(together, batch)[0]]
        expected = [receive(alone, one).outcome for batch in batches for one in batch]

    # A batch starts what is new before it looks at what is known, so jobs are compared as a set.
    assert said == expected
    for query in (_EVENTS, _CONFLICTS, _JOBS):
        assert rows_of(pair[0].admin_dsn, query) == rows_of(pair[1].admin_dsn, query)


def test_every_delivery_is_told_its_event(tenant_db: TenantDatabase) -> None:
    """In the order of the arrays."""
    with tenant_db.admin() as tx:
        many(tx, [delivery("old")])
        outcomes, events, _, _ = many(
            tx, [delivery("new"), delivery("old"), delivery("new", b"[]"), delivery("newer")]
        )
        known: dict[int, str] = dict(tx.execute("SELECT id, event_id FROM inbox.event").fetchall())

    assert outcomes == ["stored", "duplicate", "conflict", "stored"]
    assert [known[event] for event in events] == ["new", "old", "new", "newer"]


def test_jobs_are_queued_in_the_order_of_the_deliveries(tenant_db: TenantDatabase) -> None:
    """Though rows are inserted in the order of their keys."""
    with tenant_db.admin() as tx:
        _, events, _, _ = many(tx, [delivery("z"), delivery("a"), delivery("m")])
        queued = tx.execute("SELECT (payload ->> 'event')::bigint FROM jobs.job ORDER BY id").fetchall()

    assert [event for (event,) in queued] == events


def test_refusals_are_counted_in_the_same_commit(tenant_db: TenantDatabase) -> None:
    """By hour, source, endpoint and reason; alone, too, and on top of what was counted before."""
    with tenant_db.admin() as tx:
        many(tx, [], {("ycloud", "inbound", "header_missing"): 3})
        many(
            tx,
            [delivery("a")],
            {("ycloud", "inbound", "header_missing"): 2, ("ycloud", "status", "rate_limited"): 1},
        )
        found = tx.execute("SELECT endpoint, reason, count FROM inbox.refusal ORDER BY 1").fetchall()

    assert found == [("inbound", "header_missing", 5), ("status", "rate_limited", 1)]


def test_it_tells_whether_a_runner_is_alive_and_a_job_due(tenant_db: TenantDatabase) -> None:
    """An expired lease is no runner; a claimed or later job is not due."""
    with tenant_db.admin() as tx:
        pulses = [many(tx, [])[2:]]
        many(tx, [delivery("a")])
        pulses.append(many(tx, [])[2:])
        lease = tx.execute("SELECT jobs.open_lease('a test', 60)").fetchone()
        assert lease is not None
        pulses.append(many(tx, [])[2:])
        tx.execute("SELECT id FROM jobs.claim(%s, 10, false, NULL, NULL, '{}', '{}')", lease)
        pulses.append(many(tx, [])[2:])
        tx.execute("UPDATE jobs.lease SET expires_at = now() - interval '1 second'")
        pulses.append(many(tx, [])[2:])

    assert pulses == [(False, False), (False, True), (True, True), (True, False), (False, False)]


def test_a_row_that_postgresql_refuses_takes_the_call_with_it(tenant_db: TenantDatabase) -> None:
    """All or nothing; the door then stores the others one by one."""
    with tenant_db.admin() as tx:
        with pytest.raises(psycopg.errors.CheckViolation):
            many(tx, [delivery("a"), delivery("b", endpoint="e" * 200)])
        left = tx.execute("SELECT count(*) FROM inbox.event").fetchone()

    assert left == (0,)
