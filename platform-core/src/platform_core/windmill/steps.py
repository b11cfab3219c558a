"""What scheduled and staff-started scripts do: one function each, one verb inside.

Refusals are raised: Windmill then shows the job as failed with the error's one line. What comes back is plain
JSON for the next step or the person who started it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from platform_core.app import App, open_app
from platform_core.errors import ConfigurationError, InvalidInput
from platform_core.jobs import orders
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
    if not 1 <= seconds <= MAX_SECONDS or not 1 <= lease_s <= MAX_SECONDS:
        raise InvalidInput(
            f"A run of {seconds} s with a lease of {lease_s} s is not possible",
            next_step=f"Both are between 1 and {MAX_SECONDS}.",
        )
    with _job_app(customer, sends=True) as app:
        return asdict(app.run_jobs(seconds=seconds, lease_s=lease_s))


def create_claim(  # noqa: PLR0913 - the fields of the form that staff fill in
    customer: str, *, request_id: str, staff: str, phone: str, amount: str, currency: str, note: str = ""
) -> dict[str, object]:
    """Open a claim for a payment reported at the desk. The same request id again opens nothing new."""
    with _job_app(customer) as app, app.tx() as tx:
        now, actor = app.clock.now(), Actor("user", staff)
        contact = contacts.find_or_create(tx, Party(phone=phone), now)
        opening = {"request_id": request_id, "contact_id": contact, "note": note}
        wanted = read_contract(ClaimOpening, {**opening, "claimed": Money.parse(amount, currency)})
        opened = claims.report_payment(tx, wanted, actor=actor, policy=app.policy(), now=now)
    return {"claim": claim_ref(opened.claim_id), **opened.model_dump(mode="json", exclude={"claim_id"})}


def decide_claim(customer: str, *, staff: str, **decision: object) -> dict[str, object]:
    """Take one decision about a claim. The same decision id again answers what was decided."""
    with _job_app(customer) as app:
        policy = app.policy()
        request = parse_decision(decision, currency=policy.customer.currency)
        with app.tx() as tx:
            result = claims.decide(
                tx, request, actor=Actor("user", staff), policy=policy, now=app.clock.now()
            )
    return {"outcome": result.outcome, **result.model_dump(mode="json")}


def cancel_jobs(customer: str, *, staff: str, entity: str = "", key: str = "") -> dict[str, int]:
    """Stop what is queued for an entity or a key; what is running is told and not retried."""
    if bool(entity) == bool(key):
        raise InvalidInput(
            "Say what to stop", next_step="Give an entity such as obligation:7, or one job's key."
        )
    with _job_app(customer) as app, app.tx() as tx:
        counts = orders.cancel(tx, Actor("user", staff), key=key or None, entity=entity or None)
    return asdict(counts)


@contextmanager
def _job_app(customer: str, *, sends: bool = False) -> Iterator[App]:
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
        bind(tenant=customer, windmill_job=identity.job_id),
        open_app(customer, dsn, connector_config=account) as app,
    ):
        yield app
