"""What scheduled and staff-started scripts do: one function each, one verb inside.

Refusals are raised: Windmill then shows the job as failed with the error's one line. What comes back is
plain JSON for the next step or the person who started it. Arguments are judged here, because Windmill passes
what it was given: a missing one as None, a number where a text was meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from platform_core.app import App, cancel_work, open_app
from platform_core.attendance import results
from platform_core.attendance.contracts import session_ref
from platform_core.dashboards import refresh
from platform_core.errors import ConfigurationError, InvalidInput, InvalidMoney, PlatformError, Refused
from platform_core.messaging import contacts
from platform_core.messaging.contracts import Party
from platform_core.observability.logs import bind, configure
from platform_core.payments import claims
from platform_core.payments.contracts import ClaimOpening, claim_ref, parse_decision, read_contract
from platform_core.values import Actor, Money
from platform_core.windmill.resources import database_dsn, get_resource, job_identity

MAX_SECONDS = 3600


def run_jobs(customer: str, *, seconds: int, lease_s: int) -> dict[str, int]:
    """Work the customer's queue until it is empty or `seconds` are over; how many jobs ended how.

    Overlapping runs share the work; a run that is killed loses nothing: after `lease_s` another takes over.
    """
    _require_seconds(seconds=seconds, lease_s=lease_s)
    with _office(customer, sends=True) as office:
        return asdict(office.app.run_jobs(seconds=seconds, lease_s=lease_s))


def create_claim(  # noqa: PLR0913 - the fields of the form that staff fill in
    customer: str, *, request_id: str, staff: str, phone: str, amount: str, currency: str, note: str = ""
) -> dict[str, object]:
    """Open a claim for a payment reported at the desk. The same request id again opens nothing new."""
    _require_text(staff=staff, phone=phone, amount=amount, currency=currency)
    with _office(customer) as office:
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
    _require_text(staff=staff)
    with _office(customer) as office:
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
    _require_text(staff=staff, what=entity or key)
    with _office(customer) as office, office.app.tx() as tx:
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
    with _office(customer) as office:
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
    with _office(customer) as office, office.app.tx() as tx:
        return {"asked": refresh.request_refresh(tx, now=office.app.clock.now())}


@dataclass(frozen=True, slots=True)
class _Office:
    """The customer's platform, and who runs this job."""

    app: App
    via: str

    def member(self, handle: str) -> Actor:
        """The person staff say they are; the identity the job ran under stands beside it in the trail."""
        return Actor("user", handle.strip(), via=self.via)


@contextmanager
def _office(customer: str, *, sends: bool = False) -> Iterator[_Office]:
    """The customer's platform as this Windmill job may see it; only a job that sends reads the account."""
    identity = job_identity()
    if identity.path and not identity.path.startswith(f"f/{customer}/"):
        raise ConfigurationError(
            f"The job {identity.path} works for {customer}", next_step="Run it from that customer's folder."
        )
    configure("job")
    dsn = database_dsn(get_resource(f"f/{customer}/database"))
    account = get_resource(f"f/{customer}/ycloud") if sends else None
    with (
        bind(tenant=customer, request_id=identity.job_id),
        open_app(customer, dsn, connector_config=account) as app,
    ):
        yield _Office(app, f"windmill:{identity.username} as {identity.permissioned_as}"[:200])


def _require_seconds(**fields: object) -> None:
    for name, value in fields.items():
        if not isinstance(value, int) or not 1 <= value <= MAX_SECONDS:
            raise InvalidInput(
                f"{name} is no number of seconds", next_step=f"Write a whole number from 1 to {MAX_SECONDS}."
            )


def _require_text(**fields: object) -> None:
    for name, value in fields.items():
        if not isinstance(value, str) or not value.strip():
            raise InvalidInput(f"{name} is missing or is not text", next_step=f"Write {name} as text.")
