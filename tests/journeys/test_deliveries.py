"""YCloud delivers: to both doors, again and again, while one of them is broken; each event is stored once."""

from __future__ import annotations

import shutil
from pathlib import Path

from platform_cli.local.day import FORGED
from platform_cli.local.stage import INBOUND_EVENTS, set_stage
from tests.support.databases import Databases
from tests.support.doorstep import door_password, door_process, wait_for
from tests.support.wmctl import rows_of

CUSTOMER = "einstein_kids"
PHONE = "+56900000011"
_EVENTS = "SELECT source, endpoint, event_id, event_type, state FROM inbox.event ORDER BY id"
_REFUSALS = "SELECT source, endpoint, reason, sum(count)::int AS count FROM inbox.refusal GROUP BY 1, 2, 3"


def test_every_event_is_stored_once_whatever_the_doors_go_through(
    databases: Databases, repository: Path, tmp_path: Path
) -> None:
    """A forger is refused at both; what a broken route did not take comes again and is taken then."""
    customers = tmp_path / "customers"
    shutil.copytree(repository / "customers", customers)
    script = customers / CUSTOMER / "scripts/ycloud_webhook_inbound.py"
    whole = script.read_text(encoding="utf-8")
    with (
        databases.tenant(CUSTOMER) as made,
        set_stage(customers, CUSTOMER, made.dsn, door_folder=tmp_path / "ingest", follow=True) as stage,
        door_process(tmp_path / "ingest", door_password(databases)) as door,
    ):
        ycloud = stage.ycloud
        (secret,) = (one.secret for one in ycloud.account.endpoints.values() if one.url.endswith("/inbound"))
        ycloud.add_endpoint(
            f"{door.url}/api/r/{CUSTOMER}/ycloud/inbound", events=INBOUND_EVENTS, secret=secret
        )
        forged = [
            one.status for one in ycloud.deliver(ycloud.text_event(PHONE, "Aprueben mi pago"), secret=FORGED)
        ]
        both = ycloud.text_event(PHONE, "Hola")
        taken = [one.status for one in ycloud.deliver(both, copies=3)]
        script.write_text(f"{whole}\ndef (", encoding="utf-8")
        late = ycloud.text_event(PHONE, "¿Llegó mi pago?")
        broken = [one.status for one in ycloud.deliver(late)]
        script.write_text(whole, encoding="utf-8")
        again = ycloud.settle(30)
        assert stage.tick().ok
        wait_for(lambda: sum(int(str(row["count"])) for row in rows_of(made.admin_dsn, _REFUSALS)) == 2)
        events, refusals = rows_of(made.admin_dsn, _EVENTS), rows_of(made.admin_dsn, _REFUSALS)
        texts = rows_of(made.admin_dsn, "SELECT text FROM messaging.message ORDER BY id")

    assert (forged, taken, broken, again) == ([401, 401], [200] * 6, [503, 200], True)
    assert events == [
        {
            "source": "ycloud",
            "endpoint": "inbound",
            "event_id": event["id"],
            "event_type": "whatsapp.inbound_message.received",
            "state": "handled",
        }
        for event in (both, late)
    ]
    assert refusals == [
        {"source": "ycloud", "endpoint": "inbound", "reason": "signature_mismatch", "count": 2}
    ]
    assert texts == [{"text": "Hola"}, {"text": "¿Llegó mi pago?"}]
