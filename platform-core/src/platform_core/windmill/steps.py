"""What scheduled and staff-started scripts do: one function each, one verb inside.

Refusals are raised: Windmill then shows the job as failed with the error's one line. What comes back is
plain JSON for the next step or the person who started it. Arguments are judged here, because Windmill passes
what it was given: a missing one as None, a number where a text was meant.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime

from platform_core.app import App, cancel_work, open_app
from platform_core.attendance import results, waiting
from platform_core.attendance.contracts import parse_session_id, session_ref
from platform_core.bookings import bookings
from platform_core.bookings.asking import ask_staff
from platform_core.bookings.contracts import (
    DeclineRequest,
    EnrolmentRequest,
    booking_ref,
    parse_booking_id,
)
from platform_core.connectors import Capability, Connector, Health, HealthStatus, load_connector
from platform_core.dashboards import refresh
from platform_core.errors import (
    ConfigurationError,
    InvalidInput,
    InvalidMoney,
    PlatformError,
    Refused,
    StateConflict,
)
from platform_core.messaging import contacts
from platform_core.messaging.attention import raise_alert
from platform_core.messaging.contracts import Party
from platform_core.observability import connections
from platform_core.observability.logs import bind, configure
from platform_core.payments import approvals, claims, overdue
from platform_core.payments.contracts import (
    ClaimOpening,
    claim_ref,
    obligation_ref,
    parse_claim_id,
    parse_decision,
    parse_obligation_id,
    read_contract,
)
from platform_core.values import Actor, Money
from platform_core.windmill.flows import WindmillFlows, own_asking, own_flow
from platform_core.windmill.resources import database_dsn, get_resource, job_identity

MAX_SECONDS = 3600
BOOKINGS_ENDPOINT = "bookings"
"""The endpoint that a calendar posts to."""
MAX_ANSWER_CHARS = 20_000
_PATH_PARTS = 3  # f/CUSTOMER/NAME; inside a branch Windmill adds where


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


# --- Bookings: a trial class that is over leads to an enrolment, or to none ---------------------------------


def due_bookings(customer: str) -> dict[str, list[str]]:
    """The trial classes that are over and of which nobody said what came, oldest first, 50 at most."""
    with _office(customer) as office, office.app.tx() as tx:
        found = bookings.list_due(tx, now=office.app.clock.now())
    return {"bookings": [booking_ref(one) for one in found]}


def look_at_booking(customer: str, *, booking: str) -> dict[str, object]:
    """Where one booking stands and what it lacks, without a word that a parent wrote."""
    _require_text(booking=booking)
    with _office(customer) as office, office.app.tx() as tx:
        found = bookings.get_booking(tx, parse_booking_id(booking))
        over = found.ends_at <= office.app.clock.now()
    return {
        "booking": booking_ref(found.id),
        "state": found.state.value,
        "complete": not found.lacks,
        "lacks": list(found.lacks),
        "over": over,
    }


def enrol_booking(
    customer: str, *, booking: str, staff: str, course: str = "", starts_on: str = "", student: str = ""
) -> dict[str, object]:
    """The pupil stays: student, enrolment and welcome. Again, it answers what the first call made.

    `starts_on` is a local day, YYYY-MM-DD; empty is the day of the trial class. `course` is the booking's own
    when empty, `student` the reference of a pupil who is known already.
    """
    _require_text(booking=booking, staff=staff)
    facts = {"booking_id": parse_booking_id(booking), "course": course, "student": student}
    request = read_contract(EnrolmentRequest, facts | {"starts_on": starts_on or None})
    with _office(customer) as office:
        policy, now = office.app.policy(), office.app.clock.now()
        with office.app.tx() as tx:
            made = bookings.enrol(tx, request, actor=office.member(staff), policy=policy, now=now)
    return {
        "booking": booking_ref(made.booking_id),
        "state": "enrolled",
        "student": made.student,
        "enrolled": made.created,
    }


def welcome_pupil(customer: str, *, booking: str) -> dict[str, object]:
    """Queue the welcome of a pupil enrolled from a booking. `queued` is false when it had been asked for."""
    _require_text(booking=booking)
    with _office(customer) as office:
        policy, now = office.app.policy(), office.app.clock.now()
        with office.app.tx() as tx:
            queued = bookings.welcome(tx, parse_booking_id(booking), policy=policy, now=now)
    return {"booking": booking, "queued": queued.created}


def ask_about_booking(customer: str, *, booking: str) -> dict[str, object]:
    """Alert staff about a trial class that waits for a word from them; once a day."""
    _require_text(booking=booking)
    with _office(customer) as office, office.app.tx() as tx:
        asked = ask_staff(tx, parse_booking_id(booking), now=office.now())
    return {"booking": booking, "asked": asked}


def decline_booking(customer: str, *, booking: str, staff: str, reason: str = "") -> dict[str, object]:
    """No enrolment follows. `declined` is false when that was known."""
    _require_text(booking=booking, staff=staff)
    request = read_contract(DeclineRequest, {"booking_id": parse_booking_id(booking), "reason": reason})
    with _office(customer) as office, office.app.tx() as tx:
        settled = bookings.decline(tx, request, actor=office.member(staff), now=office.app.clock.now())
    return {"booking": booking_ref(settled.booking_id), "state": "declined", "declined": settled.changed}


# --- Accounts at providers ----------------------------------------------------------------------------------


def check_connectors(customer: str) -> dict[str, list[str]]:
    """Look at every account the customer depends on, and bring a dead webhook subscription back.

    Secrets come from the customer's resources. Raises: Refused, after all were looked at, naming those that
    are down or misconfigured; what was found is an alert too.
    """
    unwell: list[str] = []
    checked: list[str] = []
    recreated: list[str] = []
    with _office(customer) as office:
        policy, now = office.app.policy(), office.app.clock.now()
        for name in [policy.messaging.provider, *(["calendly"] if policy.bookings else [])]:
            health, kept = _look_after(office.app, name, now)
            checked.append(f"{name}: {health.status}")
            if kept is not None and kept.recreated:
                recreated.append(name)
            elif health.status in (HealthStatus.DOWN, HealthStatus.MISCONFIGURED):
                unwell.append(f"{name} is {health.status} ({'; '.join(health.evidence)})")
    if unwell:
        raise Refused(
            f"Not well: {', '.join(unwell)}", next_step="Correct the resource, or wait for the provider."
        )
    return {"checked": checked, "recreated": recreated}


def _look_after(app: App, name: str, now: datetime) -> tuple[Health, connections.Kept | None]:
    connector = load_connector(name)
    resource = dict(get_resource(f"f/{app.tenant}/{name}"))
    callback = resource.pop("callback_url", None)
    if Capability.MANAGE_SUBSCRIPTIONS not in connector.capabilities:
        client = connector.open_checked(resource)
        with closing(client):
            return _noted(app, name, client.check()), None
    wanted = connections.Wanted(name, _callback(app, name, callback), _signing_key(app, connector))
    subscriptions = connector.open_subscriptions(resource)
    with closing(subscriptions):
        health = subscriptions.check()
        if health.status in (HealthStatus.DOWN, HealthStatus.MISCONFIGURED):
            return _noted(app, name, health), None
        return health, connections.keep_subscription(subscriptions, wanted, tx=app.tx, now=now)


def _noted(app: App, name: str, health: Health) -> Health:
    with app.tx() as tx:
        connections.note_health(tx, name, health)
    return health


def _callback(app: App, name: str, found: object) -> str:
    if not isinstance(found, str) or not found.startswith(("https://", "http://127.0.0.1")):
        raise ConfigurationError(
            f"The resource f/{app.tenant}/{name} has no callback_url",
            next_step=f"Set it to the public https address of /api/r/{app.tenant}/{name}/….",
        )
    return found


def _signing_key(app: App, connector: Connector) -> str:
    """The first secret of the endpoint that bookings come in at: the one a new subscription signs with."""
    path = f"f/{app.tenant}/{connector.name}_webhooks"
    found = get_resource(path).get(BOOKINGS_ENDPOINT)
    if not isinstance(found, list):
        raise ConfigurationError(
            f"The resource {path} has no list of secrets for the endpoint {BOOKINGS_ENDPOINT}",
            next_step="Set it to a list with one signing key of 32 characters or more.",
        )
    connector.check_secrets(found)
    return str(found[0])
def refresh_dashboard(customer: str) -> dict[str, bool]:
    """Ask for the panel's numbers to be brought up to date; false when this stretch was asked for before.

    The queue does it, so a failure is retried, and stands where other failures do.
    """
    with _office(customer) as office, office.app.tx() as tx:
        return {"asked": refresh.request_refresh(tx, now=office.app.clock.now())}


# --- Steps of flows: ids go in and out, what people wrote stays in the database ---------------------------


def ask_review(customer: str, *, claim: str) -> dict[str, object]:
    """The first step of a review flow: staff are asked about one claim, and the flow may wait for them.

    What could resume the flow goes into the database and nowhere else. `waiting` is false when nobody owes
    an answer. Idempotency: a step that is tried again takes the place of its attempt before.
    """
    _require_text(claim=claim)
    claim_id, asking = parse_claim_id(claim), own_asking()
    with _office(customer) as office, office.app.tx() as tx:
        asked = approvals.ask(tx, claim_id, asking, now=office.app.clock.now())
    return {"claim": claim_ref(asked.claim_id), "version": asked.version, "waiting": asked.waiting}


def answer_review(customer: str, *, claim: str, version: int, answer: str) -> dict[str, object]:
    """The last step of a review flow: what it was answered becomes a decision, or nothing.

    `answer` is JSON as one text: a decision's fields and `staff`, or what Windmill says of a flow that nobody
    answered, or what our own job said when the claim had been decided elsewhere. Then nothing is decided.
    Idempotency: the flow's number is the decision's id.
    """
    said = _read_answer(answer)
    flow_job = own_flow()
    with _office(customer) as office:
        policy, now = office.app.policy(), office.app.clock.now()
        if "action" not in said:
            with office.app.tx() as tx:
                lapsed = approvals.lapse(tx, flow_job, now=now)
            return {"outcome": "unanswered" if lapsed else "decided_elsewhere", "claim": claim}
        staff = said.pop("staff", "")
        _require_text(staff=staff)
        facts = {**said, "decision_id": f"flow:{flow_job}", "claim": claim, "version": version}
        request = parse_decision(facts, currency=policy.customer.currency)
        try:
            with office.app.tx() as tx:
                approvals.take_answer(tx, request.claim_id, flow_job, now=now)
                result = claims.decide(tx, request, actor=office.member(staff), policy=policy, now=now)
        except StateConflict as error:
            return {"outcome": "decided_elsewhere", "claim": claim, "why": error.one_line()}
    return {"outcome": result.outcome, **result.model_dump(mode="json")}


def _read_answer(answer: object) -> dict[str, str]:
    """The plain fields of an answer; anything nested says nothing that we act on."""
    try:
        said = json.loads(answer) if isinstance(answer, str) and len(answer) <= MAX_ANSWER_CHARS else None
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise InvalidInput(
            "The answer is not a JSON object", next_step="Pass JSON.stringify(resume) from the step before."
        )
    return {str(key): str(value) for key, value in said.items() if isinstance(value, str | int)}


def list_overdue(customer: str, *, limit: int, **plan: object) -> dict[str, object]:
    """The debts that are to be reminded of again now, and how many they are."""
    _require_numbers(limit=limit)
    late = read_contract(overdue.LatePlan, plan)
    with _office(customer) as office:
        policy, now = office.app.policy(), office.app.clock.now()
        with office.app.tx() as tx:
            found = overdue.list_overdue(tx, late, policy=policy, now=now, limit=limit)
    return {"debts": [obligation_ref(one) for one in found], "count": len(found)}


def remind_overdue(customer: str, *, debt: str, **plan: object) -> dict[str, object]:
    """Plan one more reminder of one debt for today. `planned` is false when it was reminded of lately."""
    _require_text(debt=debt)
    late, obligation_id = read_contract(overdue.LatePlan, plan), parse_obligation_id(debt)
    with _office(customer) as office:
        policy, now = office.app.policy(), office.app.clock.now()
        with office.app.tx() as tx:
            planned = overdue.remind_late(tx, obligation_id, late, policy=policy, now=now)
    return {"debt": debt, "planned": planned}


def list_waiting_sessions(customer: str, *, older_than_hours: int) -> dict[str, object]:
    """The sessions that wait for a person since that long after their end."""
    _require_numbers(older_than_hours=older_than_hours)
    with _office(customer) as office:
        policy, now = office.app.policy(), office.app.clock.now()
        with office.app.tx() as tx:
            found = waiting.list_waiting(tx, older_than_hours=older_than_hours, policy=policy, now=now)
    return {"sessions": [session_ref(one) for one in found], "count": len(found)}


def look_at_session(customer: str, *, session: str) -> dict[str, object]:
    """How one session waits now: its verdict, empty when it does not, and the hours since its end."""
    _require_text(session=session)
    with _office(customer) as office, office.app.tx() as tx:
        found = waiting.get_waiting(tx, parse_session_id(session), now=office.app.clock.now())
    return {"session": session, "verdict": found.verdict, "hours": found.hours}


def ask_about_session(customer: str, *, session: str, severity: str) -> dict[str, object]:
    """Alert staff about a session that still waits for them; once a day for each version of its result."""
    _require_text(session=session)
    if severity not in ("P2", "P3"):
        raise InvalidInput("A session that waits is P2 or P3", next_step="Write one of the two.")
    with _office(customer) as office, office.app.tx() as tx:
        asked = waiting.ask_again(
            tx, parse_session_id(session), severity="P2" if severity == "P2" else "P3", now=office.now()
        )
    return {"session": session, "asked": asked}


def tell_of_overdue(customer: str, *, count: int) -> dict[str, object]:
    """Alert staff that more is overdue than messages can mend. Once a day."""
    _require_numbers(count=count)
    with _office(customer) as office, office.app.tx() as tx:
        overdue.tell_staff(tx, count, now=office.now())
    return {"count": count}


def report_failed_flow(customer: str) -> dict[str, object]:
    """What a flow's failure module does: one open alert for each flow, which counts and names the run.

    It takes no arguments: an error's message may quote what somebody wrote.
    """
    identity = job_identity()
    flow = "/".join((identity.flow_path or identity.path).split("/")[:_PATH_PARTS])
    with _office(customer) as office, office.app.tx() as tx:
        raise_alert(
            tx,
            "flow.failed",
            severity="P2",
            subject=flow,
            once=identity.flow_job_id or identity.job_id,
            dedupe=f"flow.failed:{flow}",
            detail={"job": identity.flow_job_id},
        )
    return {"flow": flow}


@dataclass(frozen=True, slots=True)
class _Office:
    """The customer's platform, and who runs this job."""

    app: App
    via: str

    def now(self) -> datetime:
        """The instant this is done."""
        return self.app.clock.now()

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
        open_app(customer, dsn, connector_config=account, flows=WindmillFlows() if sends else None) as app,
    ):
        yield _Office(app, f"windmill:{identity.username} as {identity.permissioned_as}"[:200])


def _require_seconds(**fields: object) -> None:
    for name, value in fields.items():
        if not isinstance(value, int) or not 1 <= value <= MAX_SECONDS:
            raise InvalidInput(
                f"{name} is no number of seconds", next_step=f"Write a whole number from 1 to {MAX_SECONDS}."
            )


def _require_numbers(**fields: object) -> None:
    for name, value in fields.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SECONDS:
            raise InvalidInput(f"{name} is no number from 0 to {MAX_SECONDS}", next_step=f"Write {name} so.")


def _require_text(**fields: object) -> None:
    for name, value in fields.items():
        if not isinstance(value, str) or not value.strip():
            raise InvalidInput(f"{name} is missing or is not text", next_step=f"Write {name} as text.")
