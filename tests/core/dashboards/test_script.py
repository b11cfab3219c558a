"""The thin script, run as Windmill runs it: it asks once a stretch, and the queue does it."""

from __future__ import annotations

from platform_core.app import HANDLERS, open_app
from platform_core.dashboards import refresh
from tests.support.doors import CUSTOMER, open_house
from tests.support.payments import Treasury


def test_the_script_asks_and_the_runner_counts(treasury: Treasury) -> None:
    """In a process of its own; a second tick of the same five minutes asks for nothing more."""
    treasury.receipt_from()
    with open_house(treasury.tenant_db) as house:
        answers = [house.runtime.run_script(f"f/{CUSTOMER}/refresh_dashboard", {}).value for _ in range(2)]
    # A tick may fall between the two; then both asked.
    assert answers[0] == {"asked": True}
    assert answers[1] in ({"asked": True}, {"asked": False})

    handlers = {refresh.JOB: HANDLERS[refresh.JOB]}
    with open_app(treasury.tenant_db.slug, treasury.tenant_db.dsn, handlers=handlers) as app:
        app.run_jobs(seconds=20)
    assert treasury.rows("SELECT label, outcome, count FROM dashboards.tally WHERE noun = 'claim'") == [
        {"label": "whatsapp", "outcome": "pending_review", "count": 1}
    ]
