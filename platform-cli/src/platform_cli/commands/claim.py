"""`wmctl claim`: what parents say they paid, and what staff decide."""

from __future__ import annotations

from typing import Annotated
from uuid import uuid4

import typer

from platform_cli import render
from platform_cli.options import As, AsJson, Customer, Limit, noun
from platform_cli.site import member, open_site
from platform_core.messaging import contacts
from platform_core.messaging.contracts import Party
from platform_core.payments import claims, previews, views
from platform_core.payments.contracts import (
    ClaimOpening,
    DecisionResult,
    claim_ref,
    parse_claim_id,
    parse_decision,
    read_contract,
)
from platform_core.payments.lifecycle import ClaimState
from platform_core.values import Money

app = noun("Claims: list them, look at the evidence, decide.")

ClaimName = Annotated[str, typer.Argument(metavar="CLAIM", help="Such as C12.")]
Reason = Annotated[str, typer.Option("--reason", help="The parent may read it.")]
Note = Annotated[str, typer.Option("--note", help="For your colleagues.")]
Version = Annotated[
    int | None, typer.Option("--version", help="The version you looked at; default: the newest.")
]
DecisionId = Annotated[
    str, typer.Option("--decision-id", help="Unique to this decision, so that repeating it is harmless.")
]
Amount = Annotated[str, typer.Option("--amount", help="What you saw at the bank, such as 45000.")]
Method = Annotated[str, typer.Option("--method", help="bank_app, statement, cep, cash or other.")]
Reference = Annotated[str, typer.Option("--reference", help="The bank's own reference of the movement.")]
Rail = Annotated[str, typer.Option("--rail", help="How the money came, such as transfer.")]
ValueDate = Annotated[str, typer.Option("--value-date", help="Day of the movement, YYYY-MM-DD.")]


@app.command("list")
def list_(
    customer: Customer = None,
    state: Annotated[ClaimState | None, typer.Option(help="Only claims in this state.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show claims, those that wait longest first.

    Example: wmctl claim list --state pending_review
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = views.list_claims(tx, state=state, limit=limit)
    if as_json:
        render.document(found)
        return
    flagged = sum(claim.flags > 0 for claim in found)
    waiting = sum(claim.state in (ClaimState.PENDING_REVIEW, ClaimState.AWAITING_SECOND) for claim in found)
    rows = [
        (
            claim_ref(c.id),
            c.state,
            c.version,
            c.contact_name,
            c.verified or c.claimed,
            c.opened_at,
            _deciders(c),
        )
        for c in found
    ]
    render.table(
        "Claims",
        ("claim", "state", "version", "family", "amount", "opened", "decided by"),
        rows,
        summary=f"{len(found)} claims, {waiting} wait for staff, {flagged} carry a warning.",
    )


def _deciders(claim: views.ClaimSummary) -> str:
    return " + ".join(filter(None, (claim.first_approver_id, claim.approver_id)))


@app.command("show")
def show(claim: ClaimName, customer: Customer = None, as_json: AsJson = False) -> None:
    """Show one claim: evidence, flags, decisions, money and history.

    Example: wmctl claim show C12
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = views.get_claim(tx, parse_claim_id(claim))
    if as_json:
        render.document(found)
        return
    _show_summary(found.summary)
    evidence = [
        (f"M{r.message_id}", r.state, (r.sha256 or "")[:16], r.size_bytes, r.failure) for r in found.receipts
    ]
    render.table("Evidence", ("message", "state", "sha256", "bytes", "failure"), evidence)
    flags = [(flag.kind, claim_ref(flag.other_claim_id), flag.raised_at) for flag in found.flags]
    render.table("Flags", ("kind", "other claim", "raised"), flags)
    decided = [
        (d.decided_at, d.actor_id, d.action, d.outcome, d.method, d.bank_reference, d.reason or d.note)
        for d in found.decisions
    ]
    columns = ("at", "who", "action", "outcome", "checked", "reference", "reason")
    render.table("Decisions", columns, decided)
    money = [(a.at, f"O{a.obligation_id}", Money(a.amount_minor, a.currency)) for a in found.allocations]
    money += [(c.at, "credit", Money(c.amount_minor, c.currency)) for c in found.credits]
    render.table("Money", ("at", "to", "amount"), money)
    history = [
        (h.version, h.at, h.from_state, h.to_state, render.who(h.actor_type, h.actor_id))
        for h in found.history
    ]
    render.table("History", ("version", "at", "from", "to", "who"), history)


def _show_summary(one: views.ClaimSummary) -> None:
    facts = {
        "version": one.version,
        "family": one.contact_name,
        "claimed": one.claimed,
        "verified": one.verified,
        "reason": one.reason,
        "supersedes": one.supersedes and claim_ref(one.supersedes),
        "duplicate of": one.duplicate_of and claim_ref(one.duplicate_of),
    }
    render.record(f"{claim_ref(one.id)} is {one.state}", facts)


@app.command("preview")
def preview(claim: ClaimName, customer: Customer = None) -> None:
    """Draw the pictures of a claim's receipts anew; the job runner does it at its next start.

    Example: wmctl claim preview C12
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        asked = previews.request_again(tx, parse_claim_id(claim))
    receipts = ", ".join(f"M{one.message_id} by J{one.job_id}" for one in asked)
    render.good(f"{claim.upper()} is drawn anew: {receipts}.")


@app.command("open")
def open_(
    as_: As,
    phone: Annotated[str, typer.Option(help="The parent's WhatsApp number, such as +56900000011.")],
    amount: Annotated[str, typer.Option(help="What the parent says was paid, such as 45000.")],
    customer: Customer = None,
    note: Note = "",
    request_id: Annotated[str, typer.Option(help="Unique to this report of a payment.")] = "",
) -> None:
    """Open a claim for a payment reported at the desk; somebody else decides it.

    Example: wmctl claim open --as bruno --phone +56900000011 --amount 45000
    """
    with open_site() as site, site.app(customer) as platform:
        policy, now = platform.policy(), platform.clock.now()
        claimed = Money.parse(amount, policy.customer.currency)
        with platform.tx() as tx:
            contact = contacts.find_or_create(tx, Party(phone=phone), now)
            facts = {
                "request_id": request_id or uuid4().hex,
                "contact_id": contact,
                "claimed": claimed,
                "note": note,
            }
            opened = claims.report_payment(
                tx, read_contract(ClaimOpening, facts), actor=member(as_), policy=policy, now=now
            )
    render.good(f"{claim_ref(opened.claim_id)} is {opened.state}{'' if opened.created else ', as before'}.")


@app.command("approve")
def approve(
    claim: ClaimName,
    as_: As,
    amount: Amount,
    method: Method,
    reference: Reference = "",
    rail: Rail = "",
    value_date: ValueDate = "",
    note: Note = "",
    version: Version = None,
    decision_id: DecisionId = "",
    customer: Customer = None,
    as_json: AsJson = False,
) -> None:
    """Say that you saw the money, where, and how much.

    Example: wmctl claim approve C12 --as bruno --amount 45000 --method bank_app --reference 778123
    """
    seen = {
        "amount": amount,
        "method": method,
        "bank_reference": reference,
        "rail": rail,
        "value_date": value_date,
    }
    _decide(
        "approve", claim, as_, customer, as_json, version=version, decision_id=decision_id, note=note, **seen
    )


@app.command("reject")
def reject(
    claim: ClaimName,
    as_: As,
    reason: Reason,
    version: Version = None,
    decision_id: DecisionId = "",
    customer: Customer = None,
    as_json: AsJson = False,
) -> None:
    """Say that it was not paid, and why; the parent is told.

    Example: wmctl claim reject C12 --as bruno --reason "no aparece la transferencia"
    """
    _decide("reject", claim, as_, customer, as_json, version=version, decision_id=decision_id, reason=reason)


@app.command("ask")
def ask(
    claim: ClaimName,
    as_: As,
    reason: Reason,
    version: Version = None,
    decision_id: DecisionId = "",
    customer: Customer = None,
    as_json: AsJson = False,
) -> None:
    """Ask the parent for what is missing; the answer brings the claim back to review.

    Example: wmctl claim ask C12 --as bruno --reason "¿de qué banco transfirió?"
    """
    _decide(
        "needs_info", claim, as_, customer, as_json, version=version, decision_id=decision_id, reason=reason
    )


@app.command("duplicate")
def duplicate(
    claim: ClaimName,
    as_: As,
    of: Annotated[str, typer.Option(help="The claim it repeats, such as C9.")],
    version: Version = None,
    decision_id: DecisionId = "",
    customer: Customer = None,
    as_json: AsJson = False,
) -> None:
    """Say that it claims what another claim claims.

    Example: wmctl claim duplicate C12 --of C9 --as bruno
    """
    _decide(
        "duplicate", claim, as_, customer, as_json, version=version, decision_id=decision_id, duplicate_of=of
    )


@app.command("withdraw")
def withdraw(
    claim: ClaimName,
    as_: As,
    reason: Reason,
    version: Version = None,
    decision_id: DecisionId = "",
    customer: Customer = None,
    as_json: AsJson = False,
) -> None:
    """Take a claim back before it is decided.

    Example: wmctl claim withdraw C12 --as bruno --reason "se envió por error"
    """
    _decide(
        "withdraw", claim, as_, customer, as_json, version=version, decision_id=decision_id, reason=reason
    )


@app.command("reverse")
def reverse(
    claim: ClaimName,
    as_: As,
    reason: Reason,
    version: Version = None,
    decision_id: DecisionId = "",
    customer: Customer = None,
    as_json: AsJson = False,
) -> None:
    """Undo an approval somebody else gave; the debt is owed again.

    Example: wmctl claim reverse C12 --as carla --reason "el banco devolvió la transferencia"
    """
    _decide("reverse", claim, as_, customer, as_json, version=version, decision_id=decision_id, reason=reason)


@app.command("reconcile")
def reconcile(
    claim: ClaimName,
    as_: As,
    method: Method = "statement",
    reference: Reference = "",
    rail: Rail = "",
    value_date: ValueDate = "",
    note: Note = "",
    version: Version = None,
    decision_id: DecisionId = "",
    customer: Customer = None,
    as_json: AsJson = False,
) -> None:
    """Link an approved claim to a line of the bank statement.

    Example: wmctl claim reconcile C12 --as carla --reference 778123
    """
    seen = {"method": method, "bank_reference": reference, "rail": rail, "value_date": value_date}
    _decide(
        "reconcile",
        claim,
        as_,
        customer,
        as_json,
        version=version,
        decision_id=decision_id,
        note=note,
        **seen,
    )


def _decide(action: str, claim: str, as_: str, customer: str | None, as_json: bool, **facts: object) -> None:
    with open_site() as site, site.app(customer) as platform:
        policy = platform.policy()
        if facts["version"] is None:
            with platform.tx() as tx:
                facts["version"] = views.get_claim(tx, parse_claim_id(claim)).summary.version
        facts["decision_id"] = facts["decision_id"] or uuid4().hex
        request = parse_decision(
            {"claim": claim, "action": action, **facts}, currency=policy.customer.currency
        )
        with platform.tx() as tx:
            result = claims.decide(tx, request, actor=member(as_), policy=policy, now=platform.clock.now())
    if as_json:
        render.document({"outcome": result.outcome, **result.model_dump(mode="json")})
        return
    render.good(_told(result))


def _told(result: DecisionResult) -> str:
    parts = [f"{claim_ref(result.claim_id)} is {result.outcome}"]
    parts += [
        f"{part.amount} to O{part.obligation_id}, {part.remaining} remain" for part in result.allocations
    ]
    if result.credit is not None and result.credit.amount_minor:
        parts.append(f"{result.credit} as credit")
    if result.second_approver_needed:
        parts.append("a second member must approve")
    if result.reminders.cancelled:
        parts.append(f"{result.reminders.cancelled} reminders cancelled")
    return "; ".join(parts) + "."
