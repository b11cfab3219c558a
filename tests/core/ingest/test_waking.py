"""A runner is started when something was stored and nobody works: soon, seldom, at no webhook's cost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest

from tests.connectors.ycloud.deliveries import SECRET
from tests.support.databases import Databases, TenantDatabase
from tests.support.doors import CUSTOMER, House, open_house, whatsapp
from tests.support.doorstep import DoorProcess, door_process, tell, wait_for
from tests.support.knocking import genuine, get, knock
from tests.support.load import Order, send

TOKEN = "not-a-real-token-of-the-door-0001"


@dataclass(slots=True)
class Recorder:
    """A Windmill that notes what it is asked, and answers as it is told."""

    url: str = ""
    status: int = 201
    asked: list[tuple[float, str, str, object]] = field(default_factory=list)

    def times_s(self) -> list[float]:
        """When it was asked."""
        return [at for at, _, _, _ in self.asked]


@contextmanager
def recorder() -> Iterator[Recorder]:
    """On a port of its own."""
    found = Recorder()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.asked.append((time.monotonic(), self.path, self.headers["authorization"], json.loads(body)))
            answer = b"01a20985-e332-18f9-4cf8-571e723831bc"
            self.send_response(found.status)
            self.send_header("content-type", "text/plain; charset=utf-8")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        found.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def _windmill(url: str, token: str = TOKEN) -> dict[str, str]:
    return {
        "PLATFORM_INGEST_WINDMILL_URL": url,
        "PLATFORM_INGEST_WINDMILL_WORKSPACE": "prod",
        "PLATFORM_INGEST_WINDMILL_TOKEN": token,
    }


def _post(door: DoorProcess, customer: TenantDatabase, event_id: str) -> None:
    answer = knock(door.port, genuine(f"/api/r/{customer.slug}/ycloud/inbound", whatsapp(event_id)))
    assert answer is not None
    assert answer.status == 200


@pytest.fixture
def windmill() -> Iterator[Recorder]:
    """A Windmill that notes."""
    with recorder() as found:
        yield found


def test_a_runner_is_asked_for_as_windmill_wants_it(
    password: str, tenant_db: TenantDatabase, folder: Path, windmill: Recorder
) -> None:
    """Path, token and empty arguments; within a moment of the webhook."""
    tell(folder, tenant_db)
    with door_process(folder, password, environment=_windmill(windmill.url)) as door:
        began = time.monotonic()
        _post(door, tenant_db, "evt_1")
        wait_for(lambda: windmill.asked)
        metrics = get(door.port, "/metrics").body.decode()

    at, path, authorization, arguments = windmill.asked[0]
    assert path == f"/api/w/prod/jobs/run/p/f/{tenant_db.slug}/job_runner_cron"
    assert (authorization, arguments) == (f"Bearer {TOKEN}", {})
    assert at - began < 1
    assert "door_wakes_total" in metrics or len(windmill.asked) == 1
    assert TOKEN not in "".join(door.raw)


def test_wakes_are_a_second_apart_and_then_further(
    password: str, tenant_db: TenantDatabase, folder: Path, windmill: Recorder
) -> None:
    """However many webhooks come, while no runner comes of it."""
    tell(folder, tenant_db)
    with door_process(folder, password, environment=_windmill(windmill.url)) as door:
        send(Order(door.port, f"/api/r/{tenant_db.slug}/ycloud/inbound", SECRET, "evt_", 900, 4, rate_s=200))
        wait_for(lambda: len(windmill.asked) >= 3)

    times = windmill.times_s()
    apart = [after - before for before, after in pairwise(times)]
    assert all(gap >= 0.95 for gap in apart)
    assert apart[1] > 1.5


def test_nobody_is_asked_for_while_a_runner_is_alive_but_once_it_is_gone(
    password: str, tenant_db: TenantDatabase, folder: Path, windmill: Recorder
) -> None:
    """A runner that ends without having seen the new job is followed by another, without a new webhook."""
    tell(folder, tenant_db)
    with (
        door_process(folder, password, environment=_windmill(windmill.url)) as door,
        tenant_db.admin() as admin,
    ):
        lease = admin.execute("SELECT jobs.open_lease('a test', 60)").fetchone()
        assert lease is not None
        _post(door, tenant_db, "evt_1")
        commits = _looks(tenant_db)
        wait_for(lambda: _looks(tenant_db) >= commits + 2)
        while_alive = len(windmill.asked)
        admin.execute("SELECT jobs.close_lease(%s)", lease)
        wait_for(lambda: windmill.asked)

    assert while_alive == 0


def _looks(customer: TenantDatabase) -> int:
    """How many transactions the door's session has begun: the time of the last one tells when it looked."""
    with customer.admin() as admin:
        row = admin.execute(
            "SELECT extract(epoch FROM max(query_start))::bigint FROM pg_stat_activity"
            " WHERE usename = 'ingest' AND datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_what_was_stored_before_the_door_opened_wakes_a_runner_too(
    password: str, tenant_db: TenantDatabase, folder: Path, windmill: Recorder
) -> None:
    """A door that was killed between its commit and its wake."""
    tell(folder, tenant_db)
    with tenant_db.connect() as tx:
        tx.execute("SELECT * FROM jobs.enqueue('inbox.received', '{}', NULL, NULL, NULL, NULL)")
    with door_process(folder, password, environment=_windmill(windmill.url)):
        wait_for(lambda: windmill.asked)

    assert len(windmill.asked) >= 1


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_wake_that_fails_is_said_and_tried_again_and_costs_no_webhook(
    password: str, tenant_db: TenantDatabase, folder: Path, windmill: Recorder, status: int
) -> None:
    """Windmill refuses, does not know the script, or is broken."""
    windmill.status = status
    tell(folder, tenant_db)
    with door_process(folder, password, environment=_windmill(windmill.url)) as door:
        _post(door, tenant_db, "evt_1")
        wait_for(lambda: len(windmill.asked) >= 2)
        wait_for(lambda: door.said("runner.wake_failed"))
        windmill.status = 201
        _post(door, tenant_db, "evt_2")

    assert {line["level"] for line in door.said("runner.wake_failed")} == {"warning"}


def test_without_a_windmill_one_line_says_that_only_cron_starts_runners(
    password: str, tenant_db: TenantDatabase, folder: Path
) -> None:
    """Once, at the start."""
    tell(folder, tenant_db)
    with door_process(folder, password) as door:
        _post(door, tenant_db, "evt_1")

    assert [line["level"] for line in door.said("door.wakes_nobody")] == ["warning"]


@pytest.fixture
def house(databases: Databases) -> Iterator[House]:
    """Einstein Kids behind the local Windmill, which runs its scripts."""
    with databases.tenant(CUSTOMER) as tenant, open_house(tenant) as found:
        yield found


def test_a_webhook_is_handled_seconds_later_without_cron(password: str, house: House, folder: Path) -> None:
    """Door, Windmill's API, the customer's own script in its own process, the queue."""
    customer = house.tenant_db
    tell(folder, customer)
    with door_process(
        folder, password, environment=_windmill(house.url, house.runtime.token_for(CUSTOMER))
    ) as door:
        _post(door, customer, "evt_whole_way")
        wait_for(lambda: house.events()[-1]["state"] == "handled", limit_s=30)

    assert door.said("runner.wake_failed") == []
