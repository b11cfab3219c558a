"""`wmctl inbox`: what providers delivered."""

from __future__ import annotations

from typing import Annotated

import typer

from platform_cli import render
from platform_cli.options import As, AsJson, Customer, Limit, noun
from platform_cli.site import member, open_site
from platform_core.inbox import events
from platform_core.inbox.lifecycle import EventState
from platform_core.tenancy import members
from platform_core.tenancy.members import Permission
from platform_core.values import parse_number

app = noun("Inbox: what providers delivered, what was held or refused.")


@app.command("list")
def list_(
    customer: Customer = None,
    state: Annotated[EventState | None, typer.Option(help="Only events in this state.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show events, newest first.

    Example: wmctl inbox list --state held
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = events.list_events(tx, state=state, limit=limit)
    if as_json:
        render.document(found)
        return
    render.table(
        "Events",
        ("event", "received", "door", "type", "provider's id", "state", "note"),
        [
            (f"E{e.id}", e.received_at, f"{e.source}/{e.endpoint}", e.event_type, e.event_id, e.state, e.note)
            for e in found
        ],
    )


@app.command("conflicts")
def conflicts(customer: Customer = None, limit: Limit = 50, as_json: AsJson = False) -> None:
    """Show bodies that came under a known event id with other bytes.

    Example: wmctl inbox conflicts
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = events.list_conflicts(tx, limit=limit)
    if as_json:
        render.document(found)
        return
    render.table(
        "Conflicts",
        ("event", "provider's id", "stored sha256", "other sha256", "count", "last seen"),
        [
            (
                f"E{c.event}",
                c.event_id,
                c.stored_sha256[:16],
                c.other_sha256[:16],
                c.deliveries,
                c.last_received_at,
            )
            for c in found
        ],
    )


@app.command("refusals")
def refusals(customer: Customer = None, limit: Limit = 50, as_json: AsJson = False) -> None:
    """Show how many deliveries were refused at the door, by hour and reason.

    Example: wmctl inbox refusals
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = events.list_refusals(tx, limit=limit)
    if as_json:
        render.document(found)
        return
    render.table(
        "Refused deliveries",
        ("hour", "door", "reason", "count"),
        [(r.hour, f"{r.source}/{r.endpoint}", r.reason, r.count) for r in found],
    )


@app.command("release")
def release(
    event: Annotated[str, typer.Argument(help="A held event, such as E9.")],
    as_: As,
    customer: Customer = None,
) -> None:
    """Let a held event be handled, because you know it is genuine.

    Example: wmctl inbox release E9 --as bruno
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        actor = member(as_)
        members.require(tx, actor, Permission.JOB_REDRIVE)
        job = events.release(tx, parse_number(event, "E", "an event"), actor, now=platform.clock.now())
    render.good(f"{event} goes on as job J{job}.")
