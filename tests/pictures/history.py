"""Two weeks of a customer's work before today, made by the real verbs with a clock that was set back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from platform_cli.local.ycloud.payloads import Contact
from platform_core.app import App, open_app
from platform_core.inbox import events
from platform_core.inbox.events import Delivery
from platform_core.observability import alerts
from platform_core.payments import claims, views
from platform_core.payments.contracts import DecisionRequest, Verification
from platform_core.payments.lifecycle import Action, ClaimState
from platform_core.values import Actor, Money
from tests.support import hostile
from tests.support.messaging import MovingClock
from tests.support.staged_panel import StagedPanel

FAMILIES = (
    ("Ignacio Pérez de Arce", "Tomás"),
    ("María José Contreras", "Antonia"),
    ("Fernanda Lagos", "Benjamín"),
    ("Cristóbal Vera", "Emilia"),
    ("Paulina Araya", "Gaspar"),
)
DECIDER = Actor("user", "ana")


def live(panel: StagedPanel, *, days: int) -> None:
    """On each weekday before today, one to three receipts come and are decided an hour or so later."""
    clock = MovingClock(datetime.now(UTC).replace(hour=13, minute=0, second=0, microsecond=0))
    clock.move(-timedelta(days=days))
    app = open_app(
        panel.stage.customer,
        panel.stage.dsn,
        connector_config={**panel.stage.ycloud.client_config()},
        clock=clock,
    )
    with app:
        for number in range(days):
            if clock.now().isoweekday() <= 5:
                for which in range(1 + number % 3):
                    _receipt(panel, app, clock, 10 * number + which)
            clock.move(timedelta(days=1))
    panel.work()
    with panel.stage.app() as now, now.tx() as tx:
        for alert in alerts.list_alerts(tx, limit=500):  # hours of two weeks went by in a second
            alerts.resolve(tx, alert.id, DECIDER, now=now.clock.now())


def _receipt(panel: StagedPanel, app: App, clock: MovingClock, number: int) -> None:
    name, pupil = FAMILIES[number % len(FAMILIES)]
    phone = f"+569111{number:05}"
    panel.owe(phone, name, pupil, 45_000)
    picture = hostile.photo(300 + number, 400)
    event = panel.stage.ycloud.image_event(Contact(phone=phone, name=name), picture)
    delivery = Delivery(
        source="ycloud",
        endpoint="inbound",
        event_id=str(event["id"]),
        event_type=str(event["type"]),
        body=json.dumps(event).encode(),
        headers=(),
        signed_at=clock.now(),
        stale=False,
    )
    with app.tx() as tx:
        events.receive(tx, delivery)
    app.run_jobs(seconds=30)
    clock.move(timedelta(minutes=20 + 7 * (number % 5)))
    _decide(app, clock.now(), number)
    app.run_jobs(seconds=30)
    clock.move(timedelta(minutes=20))


def _decide(app: App, now: datetime, number: int) -> None:
    """Nine of ten are paid; one picture in ten shows no transfer that the bank knows."""
    with app.tx() as tx:
        waiting = views.list_claims(tx, state=ClaimState.PENDING_REVIEW)
        for claim in waiting:
            paid = number % 10 != 2
            facts: dict[str, object] = (
                {
                    "verified": Money(45_000, claim.currency),
                    "verification": Verification(method="bank_app", bank_reference=f"TRX-{claim.id}"),
                }
                if paid
                else {"reason": "La transferencia no aparece en el banco"}
            )
            request = DecisionRequest.model_validate(
                {
                    "decision_id": f"history-{claim.id}",
                    "claim_id": claim.id,
                    "claim_version": claim.version,
                    "action": Action.APPROVE if paid else Action.REJECT,
                    **facts,
                }
            )
            claims.decide(tx, request, actor=DECIDER, policy=app.policy(), now=now)
