"""`wmctl alert`: what needs a person."""

from __future__ import annotations

from typing import Annotated

import typer

from platform_cli import render
from platform_cli.options import As, AsJson, Customer, Limit, noun
from platform_cli.site import member, open_site
from platform_core.observability import alerts

app = noun("Alerts: what needs a person.")


@app.command("list")
def list_(customer: Customer = None, limit: Limit = 50, as_json: AsJson = False) -> None:
    """Show alerts that are not resolved, the gravest first.

    Example: wmctl alert list
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = alerts.list_alerts(tx, limit=limit)
    if as_json:
        render.document(found)
        return
    # The runbook of each P1 has its kind's name; tests/docs holds that it is there.
    for kind in sorted({alert.kind for alert in found if alert.severity is alerts.Severity.P1}):
        render.note(f"{kind}: begin with ops/runbooks/{kind}.md")
    render.table(
        "Alerts",
        ("alert", "severity", "kind", "about", "count", "state", "last seen"),
        [(f"A{a.id}", a.severity, a.kind, a.subject, a.occurrences, a.state, a.last_at) for a in found],
    )


@app.command("acknowledge")
def acknowledge(
    alert: Annotated[str, typer.Argument(help="Such as A3.")], as_: As, customer: Customer = None
) -> None:
    """Say that you are on it.

    Example: wmctl alert acknowledge A3 --as bruno
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        alerts.acknowledge(tx, alerts.parse_alert_id(alert), member(as_), now=platform.clock.now())
    render.good(f"{alert} is acknowledged.")


@app.command("resolve")
def resolve(
    alert: Annotated[str, typer.Argument(help="Such as A3.")], as_: As, customer: Customer = None
) -> None:
    """Say that it is over; should it come again, that is a new alert.

    Example: wmctl alert resolve A3 --as bruno
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        alerts.resolve(tx, alerts.parse_alert_id(alert), member(as_), now=platform.clock.now())
    render.good(f"{alert} is resolved.")
