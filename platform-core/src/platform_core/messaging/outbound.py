"""The outbox: a message is a row before it is a call, and a call is made at most once per row and generation.

                         a person: not sent (new generation)
                    ┌───────────────────────────────────────┐
                    ▼                                       │
    queue_message → queued ── start ──▶ sending ── lost ──▶ ambiguous ── a person: sent ──▶ accepted
                    │  ▲                  │  │  │               │
       not needed,  │  └── surely nothing ┘  │  └─ refused      └── its report ──▶ accepted … failed
       not wanted   ▼         was done        ▼
          cancelled, suppressed            accepted ── reports ──▶ delivered, read, failed

`sending` is committed before the provider is called. Whoever finds a row there knows that a call was begun
and not that it ended: the row becomes `ambiguous` and is never sent again by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from platform_core import audit
from platform_core.db import Tx, load_queries
from platform_core.db.text import storable
from platform_core.errors import (
    ConfigurationError,
    ConnectorError,
    IdempotencyConflict,
    InvalidInput,
    NotFound,
    PlatformError,
    StateConflict,
)
from platform_core.jobs import queue
from platform_core.jobs.contracts import JobContext
from platform_core.messaging import contacts, reports
from platform_core.messaging.attention import Severity, raise_alert
from platform_core.messaging.contracts import OutgoingMessage, Party
from platform_core.messaging.form import Form, decide_form, render_template, render_text, require_words
from platform_core.messaging.lifecycle import OutboxState
from platform_core.messaging.settlement import PAUSE, Lost, PutBack, Refusal, decide_settlement
from platform_core.tenancy.members import Permission, require
from platform_core.tenancy.policy import Policy
from platform_core.values import Actor, Cancelled, Dead, Done, Outcome, Snooze

if TYPE_CHECKING:  # connectors come after messaging in the import order: their values only pass through
    from platform_core.connectors import Accepted

Q = load_queries(__file__)

UNREPORTED_AFTER = timedelta(minutes=10)
"""How long, at least, a send without a known outcome waits for its report before a person hears of it."""

INTERRUPTED = "interrupted"
"""The error code of a send whose worker ended in the middle of the call."""

_MAX_CODE_CHARS = 80
_WATCH_WINDOW_S = 300


@dataclass(frozen=True, slots=True)
class Queued:
    """A message that was asked for. `created` is false when it had been asked for before."""

    outbox_id: int
    created: bool


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """One message we send, as it stands."""

    id: int
    dedupe_key: str
    purpose: str
    contact_id: int
    values: Mapping[str, str]
    subject_type: str
    subject_id: str
    obligation_id: int | None
    state: OutboxState
    form: str | None
    external_id: str
    generation: int
    provider_message_id: str | None
    wamid: str | None
    error_code: str
    paused_code: str
    late_failure: bool
    attempts: int
    queued_at: datetime
    sending_at: datetime | None
    accepted_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    failed_at: datetime | None
    ambiguous_at: datetime | None
    suppressed_at: datetime | None
    cancelled_at: datetime | None

    def __post_init__(self) -> None:
        """Name the state; an unknown one is a schema newer than this code."""
        object.__setattr__(self, "state", OutboxState(self.state))


def queue_message(  # noqa: PLR0913 - every value is a fact about one message; all but tx are named
    tx: Tx,
    *,
    purpose: str,
    contact_id: int,
    dedupe_key: str,
    values: Mapping[str, str],
    policy: Policy,
    now: datetime,
    subject: tuple[str, str] = ("", ""),
    obligation_id: int | None = None,
    recheck: str | None = None,
) -> Queued:
    """Ask for a message in the caller's transaction; a job sends it, in the form the window then allows.

    `recheck` names a question about the subject's id that is asked again when it is sent; no cancels it.
    Idempotency: unique dedupe key. Raises: IdempotencyConflict when the key was used for another purpose or
    contact, ConfigurationError and InvalidInput when the policy has no words for it.
    """
    kept = {name: storable(value) for name, value in values.items()}
    require_words(policy, purpose, kept)
    row = tx.execute(
        Q["outbox_insert"],
        {
            "dedupe_key": dedupe_key,
            "purpose": purpose,
            "contact": contact_id,
            "values": Jsonb(kept),
            "subject_type": subject[0],
            "subject_id": subject[1],
            "obligation": obligation_id,
            "recheck": recheck,
            "external_key": uuid4().hex,
            "now": now,
        },
    ).fetchone()
    if row is None:
        return Queued(_asked_before(tx, dedupe_key, purpose, contact_id), created=False)
    outbox_id = int(row[0])
    _enqueue_send(tx, outbox_id, contact_id, generation=1)
    return Queued(outbox_id, created=True)


def _asked_before(tx: Tx, dedupe_key: str, purpose: str, contact_id: int) -> int:
    row = tx.execute(Q["outbox_find_asked"], {"dedupe_key": dedupe_key}).fetchone()
    if row is None:
        raise AssertionError("the dedupe key was taken")
    outbox_id, known_purpose, known_contact = row
    if (known_purpose, known_contact) != (purpose, contact_id):
        raise IdempotencyConflict(
            f"The key {dedupe_key[:80]!r} belongs to message {outbox_id} of purpose {known_purpose!r}",
            next_step="Use one key per reason to write.",
            outbox_id=outbox_id,
        )
    return int(outbox_id)


def _enqueue_send(tx: Tx, outbox_id: int, contact_id: int, *, generation: int) -> None:
    queue.enqueue(
        tx,
        "outbox.queued",
        {"outbox": outbox_id},
        key=f"outbox:{outbox_id}:{generation}",
        entity=f"outbox:{outbox_id}",
        lane=f"contact:{contact_id}",
    )


def cancel_queued(
    tx: Tx, *, now: datetime, subject: tuple[str, str] | None = None, dedupe_key: str | None = None
) -> int:
    """Cancel what is not sent yet about a subject, or under one key. Returns how many messages.

    A message being sent at this moment is past cancelling. Idempotency: a second call finds none.
    """
    if (subject is None) == (dedupe_key is None):
        raise InvalidInput("Name either the subject or the dedupe key of what to cancel")
    subject_type, subject_id = subject or (None, None)
    found = tx.execute(
        Q["outbox_list_queued"],
        {"subject_type": subject_type, "subject_id": subject_id, "dedupe_key": dedupe_key},
    ).fetchall()
    for (outbox_id,) in found:
        tx.execute(Q["outbox_cancel"], {"outbox": outbox_id, "now": now})
        queue.cancel(tx, entity=f"outbox:{outbox_id}")
    return len(found)


def resolve_ambiguous(
    tx: Tx, outbox_id: int, actor: Actor, verdict: Literal["sent", "not_sent"], *, now: datetime
) -> None:
    """Close an ambiguous send by what a person saw at the provider.

    `sent` takes it as accepted; `not_sent` sends it again, under a new external id so that reports of both
    can be told apart. A report that later proves the person wrong still counts.
    Idempotency: a second resolution raises StateConflict. Raises: NotFound, StateConflict,
    PermissionDenied.
    """
    require(tx, actor, Permission.JOB_REDRIVE)
    name = "outbox_confirm" if verdict == "sent" else "outbox_send_again"
    row = tx.execute(Q[name], {"outbox": outbox_id, "now": now}).fetchone()
    if row is None:
        state = get_message(tx, outbox_id).state
        raise StateConflict(
            f"Message S{outbox_id} is {state}, not ambiguous",
            next_step="Nothing to resolve; its state is already known.",
            state=state,
        )
    if verdict == "not_sent":
        contact_id = get_message(tx, outbox_id).contact_id
        _enqueue_send(tx, outbox_id, contact_id, generation=int(row[0]))
    audit.record(tx, "message.resolved", actor, ("outbox", str(outbox_id)), detail={"verdict": verdict})


def get_message(tx: Tx, outbox_id: int) -> OutboxMessage:
    """One message we send. Raises: NotFound."""
    with tx.cursor(row_factory=class_row(OutboxMessage)) as cursor:
        found = cursor.execute(Q["outbox_find"], {"outbox": outbox_id}).fetchone()
    if found is None:
        raise NotFound(
            f"There is no message S{outbox_id} in the outbox", next_step="See `wmctl outbox list`."
        )
    return found


def list_messages(
    tx: Tx,
    *,
    state: OutboxState | None = None,
    subject: tuple[str, str] | None = None,
    limit: int = 100,
) -> list[OutboxMessage]:
    """Messages we send, newest first: all, of one state, or about one thing."""
    subject_type, subject_id = subject or (None, None)
    with tx.cursor(row_factory=class_row(OutboxMessage)) as cursor:
        return cursor.execute(
            Q["outbox_list"],
            {"state": state, "subject_type": subject_type, "subject_id": subject_id, "limit": limit},
        ).fetchall()


# --- Sending: two short transactions with the call between them -------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """A call that is committed to and not made yet."""

    outbox_id: int
    generation: int
    contact_id: int
    external_id: str
    message: OutgoingMessage


def send(context: JobContext) -> Outcome:
    """Send one queued message, at most once. Job kind `outbox.queued`.

    A rerun that finds the message `sending` was interrupted in the call: it is ambiguous and not sent again.
    """
    outbox_id = _outbox_of(context)
    try:
        policy = context.policy()
        with context.tx() as tx:
            started = _start(tx, context, outbox_id, policy)
    except ConfigurationError as error:
        with context.tx() as tx:
            _pause(tx, outbox_id, error)
        return Snooze(f"waits for a person: {error.code}", PAUSE)
    if not isinstance(started, Started):
        return started
    try:
        accepted = context.messaging().send(started.message, external_id=started.external_id)
    except PlatformError as error:
        with context.tx() as tx:
            return _settle_failure(tx, started, error, now=context.clock.now())
    with context.tx() as tx:
        _settle_answer(tx, started, accepted, now=context.clock.now())
    return Done("accepted by the provider")


def _outbox_of(context: JobContext) -> int:
    outbox_id = context.job.payload.get("outbox")
    if not isinstance(outbox_id, int):
        raise InvalidInput(f"Job {context.job.id} names no message", next_step="Its payload lacks `outbox`.")
    return outbox_id


@dataclass(frozen=True, slots=True)
class _Locked:
    """A message under its lock, with what is known about its contact now."""

    id: int
    purpose: str
    values: Mapping[str, str]
    subject_id: str
    recheck: str | None
    state: str
    form: str | None
    external_id: str
    generation: int
    paused_code: str
    contact_id: int
    phone: str | None
    user_id: str | None
    last_inbound_at: datetime | None
    opted_out_at: datetime | None


def _lock(tx: Tx, outbox_id: int) -> _Locked:
    with tx.cursor(row_factory=class_row(_Locked)) as cursor:
        found = cursor.execute(Q["outbox_lock"], {"outbox": outbox_id}).fetchone()
    if found is None:
        raise NotFound(f"There is no message {outbox_id} in the outbox")
    return found


def _start(tx: Tx, context: JobContext, outbox_id: int, policy: Policy) -> Started | Outcome:
    row, now = _lock(tx, outbox_id), context.clock.now()
    if row.state != OutboxState.QUEUED:
        return _leave(tx, row, now=now)
    if row.recheck and not context.recheck(tx, row.recheck, row.subject_id):
        tx.execute(Q["outbox_cancel"], {"outbox": outbox_id, "now": now})
        return Cancelled(f"not needed any more: {row.recheck}")
    form = decide_form(
        last_inbound_at=row.last_inbound_at,
        opted_out=row.opted_out_at is not None,
        now=now,
        window_hours=policy.messaging.window_hours,
    )
    if form is Form.SUPPRESSED:
        tx.execute(Q["outbox_suppress"], {"outbox": outbox_id, "now": now})
        return Cancelled("the contact wants no messages")
    try:
        message = _write(row, form, policy)
    except InvalidInput as error:
        return _refuse(tx, outbox_id, error, now=now)
    tx.execute(Q["outbox_start"], {"outbox": outbox_id, "form": form, "now": now})
    watch_unreported(tx, now)
    return Started(row.id, row.generation, row.contact_id, row.external_id, message)


def _leave(tx: Tx, row: _Locked, *, now: datetime) -> Outcome:
    if row.state == OutboxState.SENDING:
        _lose(tx, row.id, INTERRUPTED, now=now)
        return Done("interrupted in the call before: ambiguous, waits for its report")
    if row.state in (OutboxState.CANCELLED, OutboxState.SUPPRESSED):
        return Cancelled(f"the message is {row.state}")
    return Done(f"nothing to send: the message is {row.state}")


def watch_unreported(tx: Tx, now: datetime) -> None:
    """Ask for a look at the sends of this time, once per window: whatever happens to a send's own job."""
    window = int(now.timestamp()) // _WATCH_WINDOW_S + 1
    begun_before = datetime.fromtimestamp(window * _WATCH_WINDOW_S, UTC)
    queue.enqueue(
        tx,
        "outbox.unreported",
        {"begun_before": begun_before.isoformat()},
        key=f"unreported:{window * _WATCH_WINDOW_S}",
        run_at=begun_before + UNREPORTED_AFTER,
    )


def _write(row: _Locked, form: Form, policy: Policy) -> OutgoingMessage:
    to = Party(phone=row.phone, user_id=row.user_id)
    if form is Form.TEXT:
        return render_text(policy, row.purpose, row.values, to=to)
    return render_template(policy, row.purpose, row.values, to=to)


def _settle_failure(tx: Tx, started: Started, error: PlatformError, *, now: datetime) -> Outcome:
    match decide_settlement(error):
        case PutBack(outcome=outcome, pause=pause):
            tx.execute(Q["outbox_return"], {"outbox": started.outbox_id})
            if pause:
                _pause(tx, started.outbox_id, error)
            return outcome
        case Refusal(opt_out=True):
            # The message before its contact: the order in which a report locks them.
            tx.execute(Q["outbox_refuse"], {"outbox": started.outbox_id, "code": _code(error), "now": now})
            contacts.set_opt_out(tx, started.contact_id, opted_out=True, changed_at=now)
            return Done("the provider will not deliver to this contact")
        case Refusal():
            return _refuse(tx, started.outbox_id, error, now=now)
        case Lost():
            _lose(tx, started.outbox_id, _code(error), now=now)
            return Done("ambiguous: waits for its report")


def _settle_answer(tx: Tx, started: Started, accepted: Accepted, *, now: datetime) -> None:
    tx.execute(Q["outbox_accept"], {"outbox": started.outbox_id, "now": now})
    reports.identify(
        tx,
        started.outbox_id,
        started.generation,
        provider_message_id=accepted.provider_message_id,
        wamid=accepted.wamid,
    )
    reports.adopt(tx, started.outbox_id, now=now)


def _refuse(tx: Tx, outbox_id: int, error: PlatformError, *, now: datetime) -> Dead:
    code = _code(error)
    if tx.execute(Q["outbox_refuse"], {"outbox": outbox_id, "code": code, "now": now}).fetchone():
        _alert(tx, "message.refused", outbox_id, error, once=str(outbox_id), severity="P2")
    return Dead(f"message S{outbox_id} cannot be sent: {error.one_line()}")


def _pause(tx: Tx, outbox_id: int, error: PlatformError) -> None:
    code = _code(error)
    row = tx.execute(Q["outbox_pause"], {"outbox": outbox_id, "code": code}).fetchone()
    if row is not None:
        _alert(tx, "message.paused", outbox_id, error, once=f"{outbox_id}:{row[0]}:{code}", severity="P1")


def _alert(tx: Tx, kind: str, outbox_id: int, error: PlatformError, *, once: str, severity: Severity) -> None:
    code = _code(error)
    raise_alert(
        tx,
        kind,
        severity=severity,
        subject=f"outbox:{outbox_id}",
        once=once,
        dedupe=f"{kind}:{code}",
        detail={"outbox": outbox_id, "error_code": code, "reason": error.one_line()},
    )


def _lose(tx: Tx, outbox_id: int, code: str, *, now: datetime) -> None:
    tx.execute(Q["outbox_mark_ambiguous"], {"outbox": outbox_id, "code": code, "now": now})


def _code(error: PlatformError) -> str:
    provider_code = error.provider_code if isinstance(error, ConnectorError) else ""
    return (provider_code or error.code)[:_MAX_CODE_CHARS].encode("ascii", "replace").decode()


def check_unreported(context: JobContext) -> Outcome:
    """Tell a person about sends of a time window whose outcome nobody knows. Job kind `outbox.unreported`.

    A send found `sending` so long after is interrupted, whatever became of its own job: it is ambiguous.
    Idempotency: one alert per message and generation.
    """
    begun_before = _begun_before(context)
    now = context.clock.now()
    if now < begun_before + UNREPORTED_AFTER:
        return Snooze("reports may still come", begun_before + UNREPORTED_AFTER - now)
    with context.tx() as tx:
        found = tx.execute(Q["outbox_list_unreported"], {"begun_before": begun_before}).fetchall()
        for outbox_id, state, generation, external_id in found:
            if state == OutboxState.SENDING:
                _lose(tx, outbox_id, INTERRUPTED, now=now)
            raise_alert(
                tx,
                "message.ambiguous",
                severity="P2",
                subject=f"outbox:{outbox_id}",
                once=f"{outbox_id}:{generation}",
                dedupe="message.ambiguous",
                detail={"outbox": outbox_id, "external_id": external_id},
            )
    return Done(f"{len(found)} of unknown outcome")


def _begun_before(context: JobContext) -> datetime:
    try:
        found = datetime.fromisoformat(str(context.job.payload.get("begun_before")))
    except ValueError as error:
        raise InvalidInput(f"Job {context.job.id} names no instant in `begun_before`") from error
    return found
