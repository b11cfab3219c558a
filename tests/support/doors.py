"""Einstein Kids' doors on this machine: the real scripts behind the local Windmill, over one database."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from platform_cli.local.stage import database_resource
from platform_cli.local.windmill import jsonb
from platform_cli.local.windmill.runtime import Runtime
from platform_cli.local.windmill.server import serving
from platform_core.tenancy.policy import store_policy
from platform_core.values import Actor
from platform_core.windmill.http import receive_signed
from tests.connectors.calendly import deliveries as calendly
from tests.connectors.ycloud.deliveries import SECRET, signed
from tests.support.databases import TenantDatabase
from tests.support.policies import policy_of
from tests.support.windmill import Answer, send
from tests.support.wmctl import rows_of

CUSTOMERS = Path(__file__).resolve().parents[2] / "customers"
CUSTOMER = "einstein_kids"
READERS = f"f/{CUSTOMER}/reader_webhooks"
READER_SECRET = "rdr_platform_core_test_000000000000000"
DATABASE, HOOKS, ACCOUNT, PANEL = (
    f"f/{CUSTOMER}/{name}" for name in ("database", "ycloud_webhooks", "ycloud", "panel")
)
PANEL_KEY = "panel_platform_core_test_Zq81ffoPq77aL"
ROUTE_SECRET = "a-secret-of-the-customer-17"
VARIABLES = {f"f/{CUSTOMER}/secret": ROUTE_SECRET, "f/other/secret": "a-secret-of-somebody-else-23"}

Headers = list[tuple[str, str]]


@dataclass(slots=True)
class House:
    """One customer's doors. `resources` is what its jobs read; a test may change or remove one."""

    tenant_db: TenantDatabase
    runtime: Runtime
    url: str
    resources: dict[str, object]

    def call(self, event: object, endpoint: str = "inbound", **environment: str) -> tuple[int, object]:
        """Judge a route's event in this process, as the script's preprocessor does; status and answer."""
        with self.as_job(**environment):
            answer = receive_signed(customer=CUSTOMER, source="ycloud", endpoint=endpoint, event=event)
        assert set(answer) == {"windmill_status_code", "result"}
        status, result = answer["windmill_status_code"], answer["result"]
        assert isinstance(status, int)
        self.assert_discreet(json.dumps(answer))
        return status, result

    def deliver(
        self, body: bytes, headers: Headers | None = None, *, secret: str = SECRET, at: float | None = None
    ) -> tuple[int, object]:
        """A signed delivery, judged in this process."""
        found = signed(body, t=int(at or time.time()), secret=secret) if headers is None else headers
        return self.call({"raw_string": body.decode(), "headers": dict(found)})

    def post(
        self, body: bytes, *, endpoint: str = "inbound", content_type: str = "text/plain", **changed: str
    ) -> Answer:
        """A signed delivery over HTTP, through the route, the preprocessor and the script's own process."""
        headers = {"YCloud-Signature": dict(signed(body, t=int(time.time())))["YCloud-Signature"], **changed}
        sent = [("content-type", content_type), *headers.items()]
        answer = send(self.url, "POST", f"/api/r/{CUSTOMER}/ycloud/{endpoint}", body, sent)
        self.assert_discreet(answer.text)
        return answer

    @contextmanager
    def as_job(self, path: str = f"f/{CUSTOMER}/a_script", **changed: str) -> Iterator[None]:
        """This process has the environment of a job of the customer."""
        environment = {
            "BASE_INTERNAL_URL": self.url,
            "WM_WORKSPACE": "prod",
            "WM_TOKEN": self.runtime.token_for(CUSTOMER),
            "WM_JOB_ID": "0196",
            "WM_JOB_PATH": path,
            **changed,
        }
        with pytest.MonkeyPatch.context() as worker:
            for name, value in environment.items():
                worker.setenv(name, value)
            yield

    def change(self, path: str, **changed: object) -> None:
        """Change a resource as somebody does in Windmill."""
        before = self.resources[path]
        assert isinstance(before, dict)
        self.resources[path] = {**before, **{key: jsonb.from_python(value) for key, value in changed.items()}}

    def events(self) -> list[dict[str, object]]:
        """What is stored, oldest first."""
        return rows_of(
            self.tenant_db.admin_dsn,
            "SELECT id, event_id, event_type, body, headers, state FROM inbox.event ORDER BY id",
        )

    def refusals(self) -> dict[str, int]:
        """How many deliveries were refused, by reason."""
        found = rows_of(
            self.tenant_db.admin_dsn, "SELECT reason, sum(count)::int AS count FROM inbox.refusal GROUP BY 1"
        )
        return {str(row["reason"]): int(str(row["count"])) for row in found}

    def assert_discreet(self, text: str) -> None:
        """Nothing of the inside is in an answer to a stranger."""
        password = str(conninfo_to_dict(self.tenant_db.dsn)["password"])
        for inside in (
            SECRET, READER_SECRET, calendly.SECRET, password, ROUTE_SECRET, PANEL_KEY,
            "a-secret-of-somebody-else", "Traceback", '.py"', "psycopg",
            self.tenant_db.name, self.tenant_db.login, "127.0.0.1",
        ):  # fmt: skip
            assert inside not in text, f"the answer shows {inside!r}"


@contextmanager
def open_house(tenant_db: TenantDatabase) -> Iterator[House]:
    """Serve the repository's customers over this database, with a policy in force."""
    resources: dict[str, object] = {
        DATABASE: database_resource(tenant_db.dsn),
        HOOKS: {"inbound": [SECRET], "status": [SECRET]},
        READERS: {"feed": [READER_SECRET]},
        f"f/{CUSTOMER}/calendly_webhooks": {"bookings": [calendly.SECRET]},
        ACCOUNT: {"base_url": "http://127.0.0.1:9", "api_key": "not-a-real-key-of-ycloud-000000000000"},
    }
    with tenant_db.connect() as tx, tx.transaction():
        store_policy(tx, policy_of(tenant_db), Actor("user", "ana"))
    with Runtime(CUSTOMERS, resources, variables=VARIABLES) as runtime, serving(runtime) as url:
        live = runtime.store.resources
        assert isinstance(live, dict)
        live[PANEL] = {"url": f"{url}/api/r/{CUSTOMER}/panel", "keys": [PANEL_KEY]}
        yield House(tenant_db, runtime, url, live)


def signed_for(route: str, name: str, text: str) -> tuple[bytes, Headers]:
    """An event with this text in it, as whoever calls the route writes and signs it."""
    stamp = int(time.time())
    match route.split("/")[1]:
        case "reader":
            batch = {"id": name, "type": "reader.batch", "reader": "door-1", "sent_at": "", "more": text}
            body = json.dumps(batch).encode()
            digest = hmac.new(READER_SECRET.encode(), f"{stamp}.".encode() + body, "sha256").hexdigest()
            return body, [("Reader-Signature", f"t={stamp},s={digest}")]
        case "calendly":
            body = calendly.booked(name, text)
            return body, calendly.signed(body, t=stamp)[1:]
        case _:
            body = whatsapp(name, text)
            return body, signed(body, t=stamp)[1:]


def whatsapp(event_id: str, text: str = "Hola") -> bytes:
    """An inbound text message as YCloud writes it."""
    event = {
        "id": event_id,
        "type": "whatsapp.inbound_message.received",
        "apiVersion": "v2",
        "createTime": "2026-11-23T12:00:00.000Z",
        "whatsappInboundMessage": {
            "id": f"wim_{event_id}",
            "wamid": f"wamid.{event_id}",
            "wabaId": "1",
            "from": "+56900000011",
            "customerProfile": {"name": "Familia"},
            "to": "+56900000000",
            "sendTime": "2026-11-23T12:00:00.000Z",
            "type": "text",
            "text": {"body": text},
        },
    }
    return json.dumps(event, ensure_ascii=True).encode()
