"""Cron: it stays away for a while, then all its ticks come at once; nothing is lost, nothing doubled."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from platform_cli.local.day import PICTURES
from platform_cli.local.ycloud.payloads import Contact
from tests.support.databases import Databases
from tests.support.staged_panel import open_staged_panel
from tests.support.wmctl import rows_of

CUSTOMER = "einstein_kids"
PHONES = tuple(f"+5690000001{number}" for number in range(1, 5))
TICKS = 4
_CLAIMS = """
SELECT c.phone, p.state, p.version FROM payments.claim AS p JOIN messaging.contact AS c ON c.id = p.contact_id
ORDER BY c.phone
"""
_OUTBOX = """
SELECT c.phone, o.purpose, o.state FROM messaging.outbox AS o
JOIN messaging.contact AS c ON c.id = o.contact_id
ORDER BY c.phone, o.id
"""


def test_ticks_that_come_late_and_all_at_once_do_each_thing_once(
    databases: Databases, repository: Path
) -> None:
    """Four receipts wait for four runners, each a process of its own."""
    receipt = (PICTURES / "comprobante_1.png").read_bytes()
    with (
        databases.tenant(CUSTOMER) as made,
        open_staged_panel(repository / "customers", CUSTOMER, made.dsn) as panel,
    ):
        stage = panel.stage
        events = [
            stage.ycloud.image_event(
                Contact(phone=phone, name="Familia"), receipt + phone.encode(), "image/png"
            )
            for phone in PHONES
        ]
        delivered = [one.status for one in stage.ycloud.deliver_all(events)]
        with ThreadPoolExecutor(TICKS) as cron:
            first = [one.result() for one in [cron.submit(stage.tick, seconds=10) for _ in range(TICKS)]]
        panel.work()
        stage.ycloud.settle()
        panel.work()
        claims, outbox = rows_of(made.admin_dsn, _CLAIMS), rows_of(made.admin_dsn, _OUTBOX)
        texts = [len(panel.texts_to(phone)) for phone in PHONES]
        with stage.app() as app, app.tx() as tx:
            health = tx.execute("SELECT count(*) FROM jobs.dead").fetchall()

    assert (delivered, [one.ok for one in first]) == ([200] * 4, [True] * TICKS)
    assert claims == [{"phone": phone, "state": "pending_review", "version": 2} for phone in PHONES]
    assert outbox == [{"phone": phone, "purpose": "claim.received", "state": "read"} for phone in PHONES]
    assert (texts, health) == ([1] * 4, [(0,)])
