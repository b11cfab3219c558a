"""What scheduled and staff-started scripts do: one function each, one verb inside.

Refusals are raised: Windmill then shows the job as failed with the error's one line. What comes back is
plain JSON for the next step or the person who started it.
"""

from __future__ import annotations

from dataclasses import asdict

from platform_core.app import cancel_work
from platform_core.attendance import results
from platform_core.attendance.contracts import session_ref
from platform_core.dashboards import refresh
from platform_core.errors import InvalidInput, InvalidMoney, PlatformError, Refused
from platform_core.messaging import contacts
from platform_core.messaging.contracts import Party
from platform_core.payments import claims
from platform_core.payments.contracts import ClaimOpening, claim_ref, parse_decision, read_contract
from platform_core.values import Money
from platform_core.windmill.office import open_office, require_seconds, require_text


def run_jobs(customer: str, *, seconds: int, lease_s: int) -> dict[str, int]:
    """Work the customer's queue until it is empty or `seconds` are over; how many jobs ended how.

    Overlapping runs share the work; a run that is killed loses nothing: after `lease_s` another takes over.
    """
    require_seconds(seconds=seconds, lease_s=lease_s)
    with open_office(customer, sends=True) as office:
        return asdict(office.app.run_jobs(seconds=seconds, lease_s=lease_s))


def create_claim(  # noqa: PLR0913 - the fields of the form that staff fill in
    customer: str, *, request_id: str, staff: str, phone: str, amount: str, currency: str, note: str = ""
) -> dict[str, object]:
    """Open a claim for a payment reported at the desk. The same request id again opens nothing new."""
    require_text(staff=staff, phone=phone, amount=amount, currency=currency)
    with open_office(customer) as office:
        policy, now = office.app.policy(), office.app.clock.now()
        if currency != policy.customer.currency:
            raise InvalidMoney(
                f"{customer} decides claims in {policy.customer.currency}, not in {currency[:8]}",
                next_step=f"Write what was paid in {policy.customer.currency}.",
            )
        claimed = Money.parse(amount, currency)
        with office.app.tx() as tx:
            contact = contacts.find_or_create(tx, Party(phone=phone), now)
            facts = {"request_id": request_id, "contact_id": contact, "claimed": claimed, "note": note}
            opening = read_contract(ClaimOpening, facts)
            opened = claims.report_payment(tx, opening, actor=office.member(staff), policy=policy, now=now)
    return {"claim": claim_ref(opened.claim_id), **opened.model_dump(mode="json", exclude={"claim_id"})}


def decide_claim(customer: str, *, staff: str, **decision: object) -> dict[str, object]:
    """Take one decision about a claim. The same decision id again answers what was decided."""
    require_text(staff=staff)
    with open_office(customer) as office:
        policy, now = office.app.policy(), office.app.clock.now()
        request = parse_decision(decision, currency=policy.customer.currency)
        with office.app.tx() as tx:
            result = claims.decide(tx, request, actor=office.member(staff), policy=policy, now=now)
    return {"outcome": result.outcome, **result.model_dump(mode="json")}


def cancel_jobs(customer: str, *, staff: str, entity: str = "", key: str = "") -> dict[str, int]:
    """Stop what is queued for an entity or a key; what is running is told and not retried."""
    if bool(entity) == bool(key):
        raise InvalidInput(
            "Say what to stop", next_step="Give an entity such as obligation:7, or one job's key."
        )
    require_text(staff=staff, what=entity or key)
    with open_office(customer) as office, office.app.tx() as tx:
        counts = cancel_work(
            tx, office.member(staff), now=office.app.clock.now(), key=key or None, entity=entity or None
        )
    return asdict(counts)


def compute_attendance(customer: str) -> dict[str, int]:
    """Compute every session that may still change; how many were looked at, changed, and wait for a person.

    Each in a transaction of its own, so that one that is refused stops no other: it is named at the end.
    What nothing changed about is not stored again, so cron may start this as often as it likes.
    """
    refused: list[str] = []
    looked = changed = waiting = 0
    with open_office(customer) as office:
        policy, now = office.app.policy(), office.app.clock.now()
        with office.app.tx() as tx:
            due = results.list_due(tx, policy=policy, now=now)
        for session_id in due:
            try:
                with office.app.tx() as tx:
                    stored = results.compute_session(tx, session_id, policy=policy, now=now)
            except PlatformError as error:
                refused.append(f"{session_ref(session_id)}: {error.one_line()}")
                continue
            looked, changed = looked + 1, changed + stored.created
            waiting += stored.verdict in results.WAITING
    if refused:
        raise Refused(
            f"{len(refused)} of {len(due)} sessions were not computed: {'; '.join(refused[:5])}",
            next_step="Correct what they name; the others are computed.",
        )
    return {"sessions": looked, "changed": changed, "waiting": waiting}


def refresh_dashboard(customer: str) -> dict[str, bool]:
    """Ask for the panel's numbers to be brought up to date; false when this stretch was asked for before.

    The queue does it, so a failure is retried, and stands where other failures do.
    """
    with open_office(customer) as office, office.app.tx() as tx:
        return {"asked": refresh.request_refresh(tx, now=office.app.clock.now())}
