"""`wmctl obligation`: what families owe."""

from __future__ import annotations

from typing import Annotated

import typer

from platform_cli import render
from platform_cli.options import As, AsJson, Customer, Limit, noun
from platform_cli.site import member, open_site
from platform_core.messaging import contacts
from platform_core.messaging.contracts import Party
from platform_core.payments import obligations, views
from platform_core.payments.contracts import NewObligation, obligation_ref, parse_obligation_id, read_contract
from platform_core.payments.ledger import lock_obligation
from platform_core.payments.lifecycle import ObligationState
from platform_core.values import Money

app = noun("Obligations: what families owe, and the reminders of it.")

ObligationName = Annotated[str, typer.Argument(metavar="OBLIGATION", help="Such as O7.")]


@app.command("list")
def list_(
    customer: Customer = None,
    state: Annotated[ObligationState | None, typer.Option(help="Only debts in this state.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show debts, oldest due first.

    Example: wmctl obligation list --state open
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = views.list_obligations(tx, state=state, limit=limit)
    if as_json:
        render.document(found)
        return
    render.table(
        "Obligations",
        ("obligation", "reference", "pupil", "concept", "due on", "amount", "remaining", "state"),
        [
            (
                obligation_ref(o.id),
                o.reference,
                o.pupil,
                o.concept,
                o.due_on,
                Money(o.amount_minor, o.currency),
                o.remaining,
                o.state,
            )
            for o in found
        ],
    )


@app.command("show")
def show(obligation: ObligationName, customer: Customer = None, as_json: AsJson = False) -> None:
    """Show the reminders of one debt.

    Example: wmctl obligation show O7
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        number = parse_obligation_id(obligation)
        lock_obligation(tx, number)  # a debt nobody knows is not one without reminders
        found = views.list_reminders(tx, number)
    if as_json:
        render.document(found)
        return
    render.table(
        f"Reminders of {obligation}",
        ("step", "planned", "runs at", "state", "message"),
        [(r.step, r.due_at, r.send_at, r.state, r.outbox_id and f"S{r.outbox_id}") for r in found],
    )


@app.command("add")
def add(
    as_: As,
    phone: Annotated[str, typer.Option(help="The parent's WhatsApp number, such as +56900000011.")],
    pupil: Annotated[str, typer.Option(help="Whom it is for.")],
    concept: Annotated[str, typer.Option(help="What it is for, as the parent reads it.")],
    amount: Annotated[str, typer.Option(help="Such as 45000.")],
    due_on: Annotated[str, typer.Option(help="YYYY-MM-DD.")],
    reference: Annotated[str, typer.Option(help="Your own, unique to this debt.")],
    customer: Customer = None,
) -> None:
    """Enter a debt; its reminders are planned by the policy. The same reference again changes nothing.

    Example: wmctl obligation add --as bruno --phone +56900000011 --pupil Sofía --concept "la mensualidad"
    --amount 45000 --due-on 2026-12-05 --reference 2026-12/118
    """
    with open_site() as site, site.app(customer) as platform:
        policy, now = platform.policy(), platform.clock.now()
        owed = Money.parse(amount, policy.customer.currency)
        with platform.tx() as tx:
            facts = {
                "contact_id": contacts.find_or_create(tx, Party(phone=phone), now),
                "reference": reference,
                "pupil": pupil,
                "concept": concept,
                "due_on": due_on,
                "amount": owed,
            }
            new = read_contract(NewObligation, facts)
            added = obligations.add_obligation(tx, new, actor=member(as_), policy=policy, now=now)
    render.good(
        f"{obligation_ref(added.obligation_id)} is {'entered' if added.created else 'already_entered'}."
    )


@app.command("cancel")
def cancel(
    obligation: ObligationName,
    as_: As,
    reason: Annotated[str, typer.Option(help="Why it is not owed after all.")],
    customer: Customer = None,
) -> None:
    """Say that a debt is not owed after all; its reminders are cancelled.

    Example: wmctl obligation cancel O7 --as ana --reason "beca"
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        number, now = parse_obligation_id(obligation), platform.clock.now()
        touched = obligations.cancel_obligation(tx, number, actor=member(as_), reason=reason, now=now)
    render.good(f"{obligation} is cancelled, with {touched.cancelled} reminders.")
