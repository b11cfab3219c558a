"""`wmctl outbox`: what we send, and what became of it."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from platform_cli import render
from platform_cli.options import As, AsJson, Customer, Limit, noun
from platform_cli.site import member, open_site
from platform_core.messaging import outbound
from platform_core.messaging.lifecycle import OutboxState
from platform_core.values import parse_number

app = noun("Outbox: messages to parents.")


@app.command("list")
def list_(
    customer: Customer = None,
    state: Annotated[OutboxState | None, typer.Option(help="Only messages in this state.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show messages, newest first.

    Example: wmctl outbox list --state ambiguous
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = outbound.list_messages(tx, state=state, limit=limit)
    if as_json:
        render.document(found)
        return
    render.table(
        "Outbox",
        ("message", "purpose", "about", "state", "form", "attempt", "queued", "error"),
        [
            (f"S{m.id}", m.purpose, m.subject_id, m.state, m.form, m.attempts, m.queued_at, m.error_code)
            for m in found
        ],
    )


@app.command("resolve")
def resolve(
    message: Annotated[str, typer.Argument(help="An ambiguous message, such as S3.")],
    verdict: Annotated[str, typer.Argument(help="sent or not_sent, as you saw it at the provider.")],
    as_: As,
    customer: Customer = None,
) -> None:
    """Say what became of a send nobody reported; not_sent sends it again.

    Example: wmctl outbox resolve S3 not_sent --as bruno
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        number = parse_number(message, "S", "a message we send")
        outbound.resolve_ambiguous(tx, number, member(as_), _verdict(verdict), now=platform.clock.now())
    render.good(f"{message}: {verdict}.")


def _verdict(text: str) -> Literal["sent", "not_sent"]:
    if text == "sent":
        return "sent"
    if text == "not_sent":
        return "not_sent"
    raise typer.BadParameter(f"{text!r} is neither sent nor not_sent")
