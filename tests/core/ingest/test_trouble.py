"""Killed, stopped, without a database, with a slow one, with a full house, with a row PostgreSQL refuses."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
import pytest

from platform_cli.local import postgres
from platform_core.tenancy.life import move_tenant
from platform_core.values import Actor
from tests.connectors.ycloud.deliveries import SECRET
from tests.support import load
from tests.support.databases import Databases, TenantDatabase
from tests.support.doors import whatsapp
from tests.support.doorstep import DoorProcess, door_password, door_process, tell, wait_for
from tests.support.knocking import Caller, genuine, get, knock
from tests.support.load import Order

FAST = ("--rate-s", "1000000")


def _path(customer: TenantDatabase, endpoint: str = "inbound") -> str:
    return f"/api/r/{customer.slug}/ycloud/{endpoint}"


def _kept(customer: TenantDatabase, prefix: str) -> set[str]:
    with customer.admin() as admin:
        found = admin.execute(
            "SELECT event_id FROM inbox.event WHERE event_id LIKE %s", (f"{prefix}%",)
        ).fetchall()
    return {event_id for (event_id,) in found}


def _jobless(customer: TenantDatabase) -> int:
    with customer.admin() as admin:
        row = admin.execute(
            "SELECT count(*) FROM inbox.event AS e"
            " WHERE NOT EXISTS (SELECT FROM jobs.key AS k WHERE k.key = 'event:' || e.id)"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("turn", range(3))
def test_what_was_answered_200_before_a_sigkill_is_in_the_inbox(
    password: str, tenant_db: TenantDatabase, folder: Path, turn: int
) -> None:
    """The generator keeps every 200 it saw; each has its event and its job."""
    tell(folder, tenant_db)
    with door_process(folder, password, *FAST) as door:
        sending = load.start(
            Order(door.port, _path(tenant_db), SECRET, f"evt_kill{turn}_", 20_000, connections=64)
        )
        wait_for(lambda: len(_kept(tenant_db, "evt_kill")) > 500 * (turn + 1))
        door.process.kill()
        found = load.outcome(sending)

    assert 0 < len(found.stored) < 20_000
    assert set(found.stored) - _kept(tenant_db, "evt_kill") == set()
    assert _jobless(tenant_db) == 0


def test_a_door_that_is_stopped_under_load_answers_what_it_accepted(
    password: str, tenant_db: TenantDatabase, folder: Path
) -> None:
    """Exit 0; whatever is stored was answered, apart from nothing; readiness said no before."""
    tell(folder, tenant_db)
    with door_process(folder, password, *FAST) as door:
        sending = load.start(Order(door.port, _path(tenant_db), SECRET, "evt_stop_", 40_000, connections=64))
        wait_for(lambda: len(_kept(tenant_db, "evt_stop_")) > 200)
        door.process.send_signal(signal.SIGTERM)
        ready = get(door.port, "/readyz")
        code = door.process.wait(20)
        found = load.outcome(sending)

    assert code == 0
    assert (ready.status, ready.json.get("stopping") if isinstance(ready.json, dict) else None) == (503, True)
    assert set(found.answers) == {"200"}
    assert set(found.stored) == _kept(tenant_db, "evt_stop_")
    assert [line["event"] for line in door.lines][-2:] == ["door.stopping", "door.closed"]


def test_a_stopped_door_counts_what_it_refused_last(
    password: str, tenant_db: TenantDatabase, folder: Path
) -> None:
    """Counters are flushed before the end."""
    tell(folder, tenant_db)
    with door_process(folder, password) as door:
        for _ in range(3):
            knock(door.port, genuine(_path(tenant_db), b"{}", secret="whsec_platform_core_test_of_another"))
        assert door.stop() == 0

    with tenant_db.admin() as admin:
        assert admin.execute("SELECT reason, count FROM inbox.refusal").fetchall() == [
            ("signature_mismatch", 3)
        ]


def test_a_second_signal_ends_at_once(password: str, tenant_db: TenantDatabase, folder: Path) -> None:
    """While the first one waits for a commit that cannot end soon."""
    tell(folder, tenant_db)
    with door_process(folder, password) as door, tenant_db.admin() as admin:
        admin.execute("BEGIN")
        admin.execute("LOCK TABLE inbox.event IN ACCESS EXCLUSIVE MODE")
        caller = Caller(door.port)
        caller.send(genuine(_path(tenant_db), whatsapp("evt_waits")))
        wait_for(lambda: _waiting(door, tenant_db) == 1)
        door.process.send_signal(signal.SIGINT)
        wait_for(lambda: door.said("door.stopping"))
        began = time.monotonic()
        code = door.stop(signal.SIGINT)
        caller.close()
        admin.execute("ROLLBACK")

    assert code == 128 + signal.SIGINT
    assert time.monotonic() - began < 1


def _waits(door: DoorProcess, customer: TenantDatabase, many: int) -> bool:
    return _waiting(door, customer) == many


def _waiting(door: DoorProcess, customer: TenantDatabase) -> object:
    ready = get(door.port, "/readyz").json
    assert isinstance(ready, dict)
    return ready["customers"][customer.slug]["waiting"]


def test_a_slow_database_makes_only_its_own_customer_wait(
    password: str, databases: Databases, folder: Path
) -> None:
    """A locked table: 503 within seconds there, and the neighbour is as fast as ever."""
    with databases.tenant() as slow, databases.tenant() as quick:
        tell(folder, slow)
        tell(folder, quick)
        with door_process(folder, password, *FAST) as door, slow.admin() as admin:
            admin.execute("BEGIN")
            admin.execute("LOCK TABLE inbox.event IN ACCESS EXCLUSIVE MODE")
            stuck = load.start(Order(door.port, _path(slow), SECRET, "evt_slow_", 8, connections=8))
            wait_for(lambda: _waiting(door, slow) == 8)
            found = load.send(Order(door.port, _path(quick), SECRET, "evt_quick_", 400, connections=8))
            waited = load.outcome(stuck)
            admin.execute("ROLLBACK")
            after = knock(door.port, genuine(_path(slow), whatsapp("evt_after")))

    assert (found.answers, found.p99_ms < 500) == ({"200": 400}, True)
    assert waited.answers == {"503": 8}
    assert waited.p99_ms < 6000
    assert after is not None
    assert after.status == 200


def test_a_customer_that_is_suspended_is_answered_503_until_it_is_resumed(
    password: str, databases: Databases, tenant_db: TenantDatabase, folder: Path
) -> None:
    """The door is shut out with everybody else; nothing is lost, the provider sends it again."""
    admin_dsn, operator = databases.cluster.admin_dsn, Actor("support", "a-test")
    tell(folder, tenant_db)
    with door_process(folder, password) as door:
        statuses = [_status(door, tenant_db, "evt_1")]
        move_tenant(admin_dsn, tenant_db.slug, "suspend", actor=operator, reason="a test")
        statuses.append(_status(door, tenant_db, "evt_2"))
        move_tenant(admin_dsn, tenant_db.slug, "resume", actor=operator, reason="a test")
        wait_for(lambda: _status(door, tenant_db, "evt_2") == 200)

    assert statuses == [200, 503]
    assert [line["code"] for line in door.said("door.database_lost")] == ["database_closed"]
    assert len(door.said("door.database_back")) == 1


def _any_status(door: DoorProcess, customer: TenantDatabase, event_id: str) -> int:
    answer = knock(door.port, genuine(_path(customer), whatsapp(event_id)))
    return answer.status if answer else 0


def _status(door: DoorProcess, customer: TenantDatabase, event_id: str) -> int:
    answer = knock(door.port, genuine(_path(customer), whatsapp(event_id)))
    assert answer is not None
    assert "retry-after" in answer.headers or answer.status == 200
    return answer.status


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Path]:
    """The folder of a server that a test may stop."""
    folder = tmp_path / "own"
    try:
        postgres.start(folder, postgres.DURABILITY_OFF)
        yield folder
    finally:
        postgres.destroy(folder)


def test_without_a_database_it_says_so_in_seconds_and_goes_on_when_it_is_back(
    own_server: Path, folder: Path
) -> None:
    """The server is stopped under load and started again: 503, never 200, then 200 by itself."""
    cluster = postgres.cluster_in(own_server)
    databases = Databases(cluster)
    with databases.tenant() as customer:
        tell(folder, customer)
        with door_process(folder, door_password(databases), *FAST) as door:
            before = _status(door, customer, "evt_before")
            with psycopg.connect(cluster.admin_dsn, autocommit=True) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ingest'"
                )
            after_kick = _status(door, customer, "evt_kicked")
            postgres.stop(own_server)
            began = time.monotonic()
            down = load.send(Order(door.port, _path(customer), SECRET, "evt_down_", 50, connections=10))
            took_s = time.monotonic() - began
            ready = get(door.port, "/readyz").status
            postgres.start(own_server, postgres.DURABILITY_OFF)
            moved = replace(customer, dsn=postgres.cluster_in(own_server).dsn(customer.name))
            tell(folder, moved)  # an embedded server has another port at each start
            wait_for(lambda: _any_status(door, customer, "evt_back") == 200)
        # The customer is taken away again through the server's new address.
        databases.cluster = postgres.cluster_in(own_server)

    assert (before, after_kick) == (200, 200)
    assert down.answers == {"503": 50}
    assert took_s < 10
    assert ready == 503


def test_a_full_house_sends_away_before_it_reads(
    password: str, tenant_db: TenantDatabase, folder: Path
) -> None:
    """Accepted deliveries are bounded: beyond that 503 with Retry-After, and those accepted are stored."""
    tell(folder, tenant_db)
    with door_process(folder, password, limits={"waiting": 5}) as door, tenant_db.admin() as admin:
        admin.execute("BEGIN")
        admin.execute("LOCK TABLE inbox.event IN ACCESS EXCLUSIVE MODE")
        callers = [Caller(door.port) for _ in range(5)]
        for number, caller in enumerate(callers):
            caller.send(genuine(_path(tenant_db), whatsapp(f"evt_in_{number}")))
        wait_for(lambda: _waiting(door, tenant_db) == 5)
        late = Caller(door.port)
        late.send(genuine(_path(tenant_db), whatsapp("evt_out")).partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        away = late.answer()
        admin.execute("ROLLBACK")
        statuses = [answer.status for caller in callers if (answer := caller.answer())]
        for caller in (*callers, late):
            caller.close()

    assert away is not None
    assert (away.status, away.headers["retry-after"], away.json) == (503, "1", {"error": "busy"})
    assert statuses == [200] * 5


def test_bytes_held_are_bounded_too(password: str, tenant_db: TenantDatabase, folder: Path) -> None:
    """Large bodies that are slow in coming are sent away, and what they held is given back."""
    tell(folder, tenant_db)
    with door_process(folder, password, limits={"held_bytes": 300_000}) as door:
        body = b'{"id":"evt_large","x":"' + b"x" * 900_000 + b'"}'
        callers = [Caller(door.port) for _ in range(4)]
        senders = [
            threading.Thread(target=caller.send, args=(genuine(_path(tenant_db), body),))
            for caller in callers
        ]
        for sender in senders:
            sender.start()
        statuses = {answer.status for caller in callers if (answer := caller.answer())}
        for sender in senders:
            sender.join()
        for caller in callers:
            caller.close()
        wait_for(lambda: b"door_held_bytes 0\n" in get(door.port, "/metrics").body)
        small = _status(door, tenant_db, "evt_small")

    assert statuses == {503}
    assert small == 200


def test_a_row_that_postgresql_refuses_hurts_none_of_its_batch(
    password: str, tenant_db: TenantDatabase, folder: Path
) -> None:
    """A constraint nobody foresaw: that delivery alone is answered 500 and logged, the others are stored."""
    tell(folder, tenant_db)
    with tenant_db.admin() as admin:
        admin.execute("ALTER TABLE inbox.event ADD CHECK (event_id NOT LIKE '%poison%')")
        with door_process(folder, password) as door:
            admin.execute("BEGIN")
            admin.execute("LOCK TABLE inbox.event IN ACCESS EXCLUSIVE MODE")
            names = ["evt_first", "evt_a", "evt_poison", "evt_b", "evt_c"]
            callers = [Caller(door.port) for _ in names]
            for number, (name, caller) in enumerate(zip(names, callers, strict=True), start=1):
                caller.send(genuine(_path(tenant_db), whatsapp(name)))
                wait_for(partial(_waits, door, tenant_db, number))
            admin.execute("ROLLBACK")
            statuses = [answer.status for caller in callers if (answer := caller.answer())]
            for caller in callers:
                caller.close()

    assert statuses == [200, 200, 500, 200, 200]
    assert _kept(tenant_db, "evt_") == {"evt_first", "evt_a", "evt_b", "evt_c"}
    assert [line["code"] for line in door.said("webhook.not_stored")] == ["internal"]
