from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import errors as pg
from psycopg import sql

from platform_core.inbox import events
from platform_core.inbox.events import Delivery, Receipt
from platform_core.inbox.lifecycle import EventState
from tests.support.databases import TenantDatabase

SIGNED = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DELIVERY = Delivery(
    source="ycloud",
    endpoint="main",
    event_id="evt_1",
    event_type="whatsapp.inbound_message.received",
    body=b'{"id":"evt_1","text":"pago"}',
    headers=[("Content-Type", "application/json")],
    signed_at=SIGNED,
    stale=False,
)


def receive(tenant_db: TenantDatabase, delivery: Delivery) -> Receipt:
    """Deliver once, in a transaction of its own."""
    with tenant_db.connect() as connection, connection.transaction():
        return events.receive(connection, delivery)


def jobs(tenant_db: TenantDatabase) -> list[tuple[str, dict[str, object]]]:
    """The queued jobs, oldest first."""
    with tenant_db.admin() as admin:
        return admin.execute("SELECT kind, payload FROM jobs.job ORDER BY id").fetchall()


def alerts(tenant_db: TenantDatabase) -> list[tuple[object, object, object]]:
    """The raised alerts, oldest first."""
    return [
        (payload["kind"], payload["severity"], payload["subject"])
        for kind, payload in jobs(tenant_db)
        if kind == "alert.raised"
    ]


def count(tenant_db: TenantDatabase, table: str) -> int:
    """How many rows a table has."""
    with tenant_db.admin() as admin:
        row = admin.execute(
            sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*table.split(".")))
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_new_event_is_stored_with_its_job(tenant_db: TenantDatabase) -> None:
    """Event row and job row are there together, and the row remembers its job."""
    receipt = receive(tenant_db, DELIVERY)

    with tenant_db.connect() as connection:
        event = events.get_event(connection, receipt.event_id)
    assert receipt.outcome == "stored"
    assert (event.state, event.body, event.stale) == ("received", DELIVERY.body, False)
    assert (event.signed_at, event.job_id) == (SIGNED, receipt.job_id)
    assert jobs(tenant_db) == [("inbox.received", {"event": receipt.event_id})]


def test_the_same_webhook_three_times_is_one_event_and_one_job(tenant_db: TenantDatabase) -> None:
    """A redelivery answers duplicate, names the first event, and writes nothing."""
    first, second, third = (receive(tenant_db, DELIVERY) for _ in range(3))

    assert [first.outcome, second.outcome, third.outcome] == ["stored", "duplicate", "duplicate"]
    assert first.event_id == second.event_id == third.event_id
    assert first.job_id == second.job_id == third.job_id
    assert count(tenant_db, "inbox.event") == 1
    assert jobs(tenant_db) == [("inbox.received", {"event": first.event_id})]


def test_the_same_id_with_another_body_is_kept_and_alerted_once_per_body(tenant_db: TenantDatabase) -> None:
    """Conflicting bytes are kept beside the event, counted when they come again, and never handled."""
    stored = receive(tenant_db, DELIVERY)
    other, third = replace(DELIVERY, body=b"other"), replace(DELIVERY, body=b"third")

    outcomes = [receive(tenant_db, one).outcome for one in (other, other, third, other)]

    with tenant_db.connect() as connection:
        conflicts = events.list_conflicts(connection)
    assert outcomes == ["conflict"] * 4
    assert [(one.event, one.size_bytes, one.deliveries) for one in conflicts] == [
        (stored.event_id, 5, 1),
        (stored.event_id, 5, 3),
    ]
    assert alerts(tenant_db) == [("inbox.conflict", "P1", f"E{stored.event_id}")] * 2
    with tenant_db.connect() as connection:
        assert events.get_event(connection, stored.event_id).body == DELIVERY.body


def test_the_same_id_at_another_endpoint_or_source_is_another_event(tenant_db: TenantDatabase) -> None:
    """The key is (source, endpoint, event id), not the id alone."""
    deliveries = [DELIVERY, replace(DELIVERY, endpoint="second"), replace(DELIVERY, source="calendly")]

    assert [receive(tenant_db, one).outcome for one in deliveries] == ["stored"] * 3


@pytest.mark.parametrize("bodies", [[b"one", b"one"], [b"one", b"two"]], ids=["same body", "two bodies"])
def test_workers_that_receive_one_id_at_once_store_it_once(
    tenant_db: TenantDatabase, bodies: list[bytes]
) -> None:
    """Eight connections at the same moment: one stored, the others duplicates of it or conflicts with it."""
    start = threading.Barrier(8)

    def deliver(number: int) -> str:
        start.wait(timeout=20)
        return receive(tenant_db, replace(DELIVERY, body=bodies[number % 2])).outcome

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(deliver, range(8)))

    conflicts = 4 if bodies[0] != bodies[1] else 0
    assert outcomes == ["conflict"] * conflicts + ["duplicate"] * (7 - conflicts) + ["stored"]
    assert count(tenant_db, "inbox.event") == 1
    assert [kind for kind, _ in jobs(tenant_db)].count("inbox.received") == 1


def test_a_second_delivery_waits_for_the_first_and_takes_its_place_when_it_fails(
    tenant_db: TenantDatabase,
) -> None:
    """A worker that dies before its commit leaves nothing, and the redelivery is stored."""
    with tenant_db.connect() as dying, ThreadPoolExecutor(1) as pool:
        with dying.transaction(force_rollback=True):
            events.receive(dying, DELIVERY)
            second = pool.submit(receive, tenant_db, DELIVERY)
        outcome = second.result(timeout=20).outcome

    assert outcome == "stored"
    assert count(tenant_db, "inbox.event") == 1


@pytest.mark.parametrize(
    "body",
    [
        rb'{"text":"a\u0000b"}',
        rb'{"text":"\ud800"}',
        b"\x00\xff\xfe raw",
        b"",
        '{"text":"emoji 🧾 y ñ"}'.encode(),
        b"x" * 3_000_000,
    ],
    ids=["escaped NUL", "lone surrogate", "raw bytes", "empty", "emoji", "3 MB"],
)
def test_any_bytes_survive(tenant_db: TenantDatabase, body: bytes) -> None:
    """The body is bytes: what neither text nor jsonb can hold comes back as it came."""
    receipt = receive(tenant_db, replace(DELIVERY, body=body))

    with tenant_db.connect() as connection:
        assert events.get_event(connection, receipt.event_id).body == body


@pytest.mark.parametrize("event_id", ["", "x" * 256, "evt\x00", "evt\ud800"])
def test_an_event_without_a_usable_id_is_kept_under_the_hash_of_its_bytes(
    tenant_db: TenantDatabase, event_id: str
) -> None:
    """An authentic body nobody can read is still stored once, and somebody is told."""
    unreadable = replace(DELIVERY, event_id=event_id, event_type="", body=b"[]")

    first, second = receive(tenant_db, unreadable), receive(tenant_db, unreadable)
    third = receive(tenant_db, replace(unreadable, body=b"null"))

    with tenant_db.connect() as connection:
        event = events.get_event(connection, first.event_id)
    assert [first.outcome, second.outcome, third.outcome] == ["stored", "duplicate", "stored"]
    assert event.event_id == "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
    assert event.event_type == "unreadable"
    assert alerts(tenant_db)[0] == ("inbox.unreadable", "P2", f"E{first.event_id}")


def test_only_the_two_headers_that_describe_the_body_are_kept(tenant_db: TenantDatabase) -> None:
    """A signature is never stored; header text that PostgreSQL refuses does not refuse the event."""
    headers = [
        ("Content-Type", "application/json\x00"),
        ("X-Webhook-Endpoint-ID", "we_1"),
        ("YCloud-Signature", "t=1,s=2"),
        ("Cookie", "no"),
    ]

    receipt = receive(tenant_db, replace(DELIVERY, headers=headers))

    with tenant_db.connect() as connection:
        kept = events.get_event(connection, receipt.event_id).headers
    assert kept == {"content-type": "application/json\ufffd", "x-webhook-endpoint-id": "we_1"}


def test_a_rolled_back_delivery_leaves_neither_event_nor_job(tenant_db: TenantDatabase) -> None:
    """Event and job are one transaction: the caller's."""
    with tenant_db.connect() as connection, connection.transaction(force_rollback=True):
        events.receive(connection, DELIVERY)

    assert (count(tenant_db, "inbox.event"), jobs(tenant_db)) == (0, [])


def test_a_login_with_nothing_but_execute_can_deliver(tenant_db: TenantDatabase) -> None:
    """The door's own login needs no right on any table."""
    role = sql.Identifier(f"door_{tenant_db.name}")
    with tenant_db.admin() as admin:
        admin.execute(sql.SQL("CREATE ROLE {}").format(role))
        try:
            admin.execute(sql.SQL("GRANT USAGE ON SCHEMA inbox TO {}").format(role))
            for routine in ("receive", "count_refusal"):
                admin.execute(
                    sql.SQL("GRANT EXECUTE ON ROUTINE inbox.{} TO {}").format(sql.Identifier(routine), role)
                )
            with admin.transaction():
                admin.execute(sql.SQL("SET LOCAL ROLE {}").format(role))
                outcomes = [events.receive(admin, one).outcome for one in (DELIVERY, DELIVERY)]
                outcomes.append(events.receive(admin, replace(DELIVERY, body=b"other")).outcome)
                events.count_refusal(admin, source="ycloud", endpoint="main", reason="header_missing")
                with pytest.raises(pg.InsufficientPrivilege), admin.transaction():
                    admin.execute("SELECT id FROM inbox.event")
        finally:
            admin.execute(sql.SQL("DROP OWNED BY {}").format(role))
            admin.execute(sql.SQL("DROP ROLE {}").format(role))

    assert outcomes == ["stored", "duplicate", "conflict"]


@pytest.mark.parametrize(
    "attack",
    [
        "DELETE FROM inbox.event",
        "TRUNCATE inbox.event CASCADE",
        "UPDATE inbox.event SET body = 'x'",
        "UPDATE inbox.event SET received_at = now()",
        "INSERT INTO inbox.event (source) VALUES ('x')",
        "DELETE FROM inbox.conflict",
        "INSERT INTO inbox.refusal (hour, source, endpoint, reason) VALUES (now(), 'a', 'b', 'c')",
        "SELECT inbox.start(1)",
        "SELECT inbox.raise_alert('a', 'P1', 1, '{}')",
    ],
)
def test_the_customers_login_cannot_rewrite_what_was_received(tenant_db: TenantDatabase, attack: str) -> None:
    """What came in is evidence: it can be handled and annotated, nothing else."""
    receive(tenant_db, DELIVERY)

    with tenant_db.connect() as connection, pytest.raises(pg.InsufficientPrivilege):
        connection.execute(attack.encode())


def test_refusals_are_counted_by_hour_door_and_reason(tenant_db: TenantDatabase) -> None:
    """A forged delivery leaves a count and nothing of itself."""
    with tenant_db.connect() as connection, connection.transaction():
        for reason in ("signature_mismatch", "header_missing", "signature_mismatch"):
            events.count_refusal(connection, source="ycloud", endpoint="main", reason=reason)
        counted = events.list_refusals(connection)

    assert [(one.source, one.endpoint, one.reason, one.count) for one in counted] == [
        ("ycloud", "main", "header_missing", 1),
        ("ycloud", "main", "signature_mismatch", 2),
    ]
    assert all(one.hour.minute == 0 for one in counted)


def test_a_thousand_deliveries_replayed_change_nothing(tenant_db: TenantDatabase) -> None:
    """Every one of 1,000 deliveries again: duplicates all, and the rows are the same rows."""
    deliveries = [replace(DELIVERY, event_id=f"evt_{number}", body=b"%d" % number) for number in range(1000)]
    with tenant_db.connect() as connection:
        with connection.transaction():
            first = [events.receive(connection, one) for one in deliveries]
        before = connection.execute("SELECT id, state FROM inbox.event ORDER BY id").fetchall()
        with connection.transaction():
            again = [events.receive(connection, one) for one in reversed(deliveries)]
        after = connection.execute("SELECT id, state FROM inbox.event ORDER BY id").fetchall()

    assert {one.outcome for one in first} == {"stored"}
    assert {one.outcome for one in again} == {"duplicate"}
    assert (len(before), after) == (1000, before)
    assert len(jobs(tenant_db)) == 1000


def test_events_are_listed_newest_first_and_by_state(tenant_db: TenantDatabase) -> None:
    """A list says what, where and how large; never the body."""
    fresh = receive(tenant_db, DELIVERY)
    stale = receive(tenant_db, replace(DELIVERY, event_id="evt_2", stale=True))

    with tenant_db.connect() as connection:
        everything = events.list_events(connection)
        held = events.list_events(connection, state=EventState.HELD)
        one = events.list_events(connection, limit=1)

    assert [event.id for event in everything] == [stale.event_id, fresh.event_id]
    assert [(event.id, event.size_bytes, event.state) for event in held] == [(stale.event_id, 28, "held")]
    assert [event.id for event in one] == [stale.event_id]


def test_the_signing_time_is_kept_to_the_microsecond(tenant_db: TenantDatabase) -> None:
    """It is evidence: when the provider says it signed."""
    receipt = receive(tenant_db, replace(DELIVERY, signed_at=SIGNED + timedelta(microseconds=1)))

    with tenant_db.connect() as connection:
        kept = events.get_event(connection, receipt.event_id).signed_at
    assert kept == SIGNED + timedelta(microseconds=1)


def test_a_database_that_fails_in_the_middle_stores_nothing(tenant_db: TenantDatabase) -> None:
    """When the job cannot be queued the event is not stored either: the provider delivers again."""
    with tenant_db.admin() as admin:
        admin.execute("ALTER TABLE jobs.job ADD CONSTRAINT no_room CHECK (kind <> 'inbox.received')")

    with pytest.raises(psycopg.Error):
        receive(tenant_db, DELIVERY)

    assert count(tenant_db, "inbox.event") == 0


def test_the_door_imports_nothing_heavy() -> None:
    """Every webhook pays for the imports of `receive`: the standard library, psycopg and ours."""
    program = "import sys, json, platform_core.inbox.events; print(json.dumps(sorted(sys.modules)))"

    modules = json.loads(subprocess.check_output([sys.executable, "-c", program]))

    heavy = {"pydantic", "httpx", "structlog", "rich", "typer", "ruamel", "platform_core.tenancy.policy"}
    assert heavy.intersection(modules) == set()
