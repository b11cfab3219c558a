"""Reminders of debts: none while a claim waits for staff, none after it is paid, and none too late to help.

What a contact owes and what it claims decide a reminder three times: when that changes (`align`), when its
job runs (`remind`), and in the transaction that commits its message to being sent (`still_due`). The last one
is what wins the race against an approval; the first two keep people's lists honest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple, assert_never

from psycopg.rows import class_row

from platform_core.db import Queries, Tx
from platform_core.errors import InvalidInput, NotFound
from platform_core.jobs import queue
from platform_core.jobs.contracts import JobContext
from platform_core.messaging import contacts, outbound
from platform_core.payments import ledger
from platform_core.payments.contracts import ReminderCounts, claim_ref, obligation_ref, to_spanish
from platform_core.payments.ledger import Obligation
from platform_core.payments.lifecycle import ObligationState, ReminderState
from platform_core.payments.local_time import get_zone, next_at, to_reminder_instant
from platform_core.payments.people import people_of
from platform_core.tenancy.policy import Policy
from platform_core.values import Cancelled, Dead, Done, Outcome, Snooze

Q = Queries(Path(__file__).with_name("reminders.sql"))
C = Queries(Path(__file__).with_name("claims.sql"))

MAX_LATE = timedelta(hours=6)
"""A reminder later than this, after an outage say, waits for its hour: nobody is written to at 3 a.m."""


@dataclass(frozen=True, slots=True)
class Reminder:
    """One step of the plan for one debt. `next_due_at` is when the plan wants the following step."""

    id: int
    obligation_id: int
    step: str
    local_time: time
    timezone: str
    due_at: datetime
    send_at: datetime
    round: int
    state: ReminderState
    next_due_at: datetime | None

    def __post_init__(self) -> None:
        """Name the state; an unknown one is a schema newer than this code."""
        object.__setattr__(self, "state", ReminderState(self.state))


# --- What becomes of a reminder: pure ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """It is due and still wanted."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A claim of the contact waits for staff."""

    claim_id: int


@dataclass(frozen=True, slots=True)
class Wait:
    """It is late by hours; it goes out at its hour of the day."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Skip:
    """It is too late to help: a later step says the same."""


@dataclass(frozen=True, slots=True)
class Drop:
    """There is nothing to remind of, or it was done."""

    reason: str


Verdict = Send | Hold | Wait | Skip | Drop


def decide_reminder(
    reminder: Reminder, obligation: Obligation, waiting: Sequence[int], *, grace_days: int, now: datetime
) -> Verdict:
    """What a reminder's job does now, given what the contact owes and which of its claims wait for staff."""
    if reminder.state is not ReminderState.SCHEDULED:
        return Drop(f"the reminder is {reminder.state}")
    if obligation.state is not ObligationState.OPEN:
        return Drop(f"{obligation_ref(obligation.id)} is {obligation.state}")
    if waiting:
        return Hold(waiting[0])
    if reminder.next_due_at is not None and reminder.next_due_at <= now:
        return Skip()
    if now - reminder.send_at > MAX_LATE:
        until = decide_send_at(reminder, obligation.due_on, grace_days=grace_days, now=now)
        return Skip() if until is None else Wait(until)
    return Send()


def decide_send_at(reminder: Reminder, due_on: date, *, grace_days: int, now: datetime) -> datetime | None:
    """When a reminder that was held back goes out; None when the next step says the same.

    In time it keeps its plan. Past it, it waits for its hour of the day, and never for a day of grace.
    """
    if reminder.due_at > now:
        return reminder.due_at
    zone = get_zone(reminder.timezone)
    candidate = next_at(reminder.local_time, zone, after=now)
    last_quiet_day = due_on + timedelta(days=grace_days)
    if due_on < candidate.astimezone(zone).date() <= last_quiet_day:
        candidate = to_reminder_instant(last_quiet_day + timedelta(days=1), reminder.local_time, zone)
    if reminder.next_due_at is not None and reminder.next_due_at <= candidate:
        return None
    return candidate


# --- Keeping reminders in line with debts and claims ------------------------------------------------------


def schedule(tx: Tx, obligation: Obligation, *, policy: Policy, now: datetime) -> None:
    """Plan the reminders of a new debt. Steps whose time has passed are kept as skipped.

    Idempotency: a step is there once.
    """
    zone = get_zone(policy.customer.timezone)
    for planned in policy.reminders.plan:
        day = obligation.due_on + timedelta(days=planned.offset_days)
        due_at = to_reminder_instant(day, planned.local_time, zone)
        step = Step(planned.step, day, planned.local_time, due_at)
        state = ReminderState.SCHEDULED if due_at > now else ReminderState.SKIPPED
        insert(tx, obligation, step, state, policy=policy, now=now)


class Step(NamedTuple):
    """One reminder to be planned: its label, its local day and hour, and the instant they mean."""

    name: str
    day: date
    local_time: time
    due_at: datetime


def insert(
    tx: Tx, obligation: Obligation, step: Step, state: ReminderState, *, policy: Policy, now: datetime
) -> None:
    """Plan one reminder of a debt, with its job when it is to be sent. Idempotency: a step is there once."""
    row = tx.execute(
        Q["reminder_insert"],
        {
            "obligation_id": obligation.id,
            "step": step.name,
            "local_date": step.day,
            "local_time": step.local_time,
            "timezone": policy.customer.timezone,
            "due_at": step.due_at,
            "state": state,
            "now": now,
        },
    ).fetchone()
    if row is not None and state is ReminderState.SCHEDULED:
        _enqueue(tx, row[0], obligation.id, send_at=step.due_at, round_=1)


def align(tx: Tx, people: Sequence[int], *, policy: Policy, now: datetime) -> ReminderCounts:
    """Bring the reminders of a person in line with what it owes and claims now.

    Paid debts: cancelled. A claim waits for staff: held back. Neither: scheduled again, or skipped when too
    late to help. Locks the person's debts. Idempotency: a second call changes nothing.
    """
    debts = ledger.lock_debts(tx, people)
    obligations = [debt.id for debt in debts]
    cancelled = cancel(tx, obligations, now=now)
    if list_waiting(tx, people):
        suspended = tx.execute(Q["reminder_suspend"], {"obligations": obligations, "now": now}).rowcount
        return ReminderCounts(suspended=suspended, cancelled=cancelled)
    due_on = {debt.id: debt.due_on for debt in debts}
    resumed = skipped = 0
    for reminder in _list_held(tx, obligations):
        send_at = decide_send_at(
            reminder, due_on[reminder.obligation_id], grace_days=policy.reminders.grace_days, now=now
        )
        if send_at is None:
            skipped += _skip(tx, reminder, now=now)
        else:
            resumed += _resume(tx, reminder, send_at=send_at, now=now)
    return ReminderCounts(cancelled=cancelled, resumed=resumed, skipped=skipped)


def cancel(tx: Tx, obligations: Sequence[int], *, now: datetime) -> int:
    """Cancel the reminders of those debts that are paid or cancelled, and their jobs. Returns how many."""
    rows = tx.execute(Q["reminder_cancel"], {"obligations": list(obligations), "now": now}).fetchall()
    for obligation_id in sorted({row[0] for row in rows}):
        queue.cancel(tx, entity=f"obligation:{obligation_id}")
    return len(rows)


def stop(tx: Tx, obligation_id: int, *, now: datetime) -> int:
    """Nobody shall be reminded of this debt any more; what is not sent yet never is. Returns how many.

    Nothing is planned for it later either. The caller cancels their jobs. Idempotency: a second call finds
    none. Raises: NotFound.
    """
    ledger.lock_obligation(tx, obligation_id)
    tx.execute(Q["obligation_silence"], {"obligation_id": obligation_id, "now": now})
    return len(tx.execute(Q["reminder_stop"], {"obligation_id": obligation_id, "now": now}).fetchall())


def list_waiting(tx: Tx, people: Sequence[int]) -> list[int]:
    """The claims of a person that hold back its reminders."""
    rows = tx.execute(C["claim_list_waiting_of"], {"people": list(people)}).fetchall()
    return [int(row[0]) for row in rows]


def _list_held(tx: Tx, obligations: Sequence[int]) -> list[Reminder]:
    with tx.cursor(row_factory=class_row(Reminder)) as cursor:
        return cursor.execute(Q["reminder_list_held"], {"obligations": list(obligations)}).fetchall()


def _resume(tx: Tx, reminder: Reminder, *, send_at: datetime, now: datetime) -> int:
    facts = {"reminder_id": reminder.id, "round": reminder.round, "send_at": send_at, "now": now}
    row = tx.execute(Q["reminder_resume"], facts).fetchone()
    if row is None:
        return 0
    _enqueue(tx, reminder.id, reminder.obligation_id, send_at=send_at, round_=row[0])
    return 1


def _skip(tx: Tx, reminder: Reminder, *, now: datetime) -> int:
    facts = {"reminder_id": reminder.id, "round": reminder.round, "now": now}
    return tx.execute(Q["reminder_skip"], facts).rowcount


def _enqueue(tx: Tx, reminder_id: int, obligation_id: int, *, send_at: datetime, round_: int) -> None:
    queue.enqueue(
        tx,
        "reminder.due",
        {"reminder": reminder_id, "round": round_},
        key=f"reminder:{reminder_id}:{round_}",
        entity=f"obligation:{obligation_id}",
        run_at=send_at,
    )


# --- Sending ----------------------------------------------------------------------------------------------


def remind(context: JobContext) -> Outcome:
    """Queue one reminder's message, if the debt still stands. Job kind `reminder.due`.

    Reads debt and claims in the transaction that queues the message. Idempotency: a reminder is queued once a
    round; a job of an older round does nothing.
    """
    reminder_id, round_ = _named(context.job.payload, "reminder"), _named(context.job.payload, "round")
    policy, now = context.policy(), context.clock.now()
    with context.tx() as tx:
        obligation = _lock_obligation_of(tx, reminder_id)
        if obligation is None:
            return Dead(f"there is no reminder {reminder_id}")
        reminder = _lock(tx, reminder_id)
        if reminder.round != round_:
            return Cancelled(f"the reminder was scheduled again, round {reminder.round}")
        waiting = list_waiting(tx, people_of(tx, obligation.contact_id))
        verdict = decide_reminder(
            reminder, obligation, waiting, grace_days=policy.reminders.grace_days, now=now
        )
        return _apply(tx, reminder, obligation, verdict, policy=policy, now=now)


def still_due(tx: Tx, subject_id: str) -> bool:
    """Whether a reminder whose message is about to be sent is still wanted. Holds the debt until then."""
    obligation = _lock_obligation_of(tx, int(subject_id))
    if obligation is None or obligation.state is not ObligationState.OPEN:
        return False
    return not list_waiting(tx, people_of(tx, obligation.contact_id))


def _apply(
    tx: Tx, reminder: Reminder, obligation: Obligation, verdict: Verdict, *, policy: Policy, now: datetime
) -> Outcome:
    match verdict:
        case Send():
            outbox_id = _queue_message(tx, reminder, obligation, policy=policy, now=now)
            tx.execute(Q["reminder_queue"], {"reminder_id": reminder.id, "outbox_id": outbox_id, "now": now})
            return Done(f"reminder {reminder.step} of {obligation_ref(obligation.id)} is in the outbox")
        case Hold(claim_id=claim_id):
            tx.execute(Q["reminder_suspend"], {"obligations": [obligation.id], "now": now})
            return Cancelled(f"held back while {claim_ref(claim_id)} waits for staff")
        case Wait(until=until):
            tx.execute(Q["reminder_postpone"], {"reminder_id": reminder.id, "send_at": until})
            return Snooze("late by hours: it waits for its hour of the day", until - now)
        case Skip():
            _skip(tx, reminder, now=now)
            return Cancelled("too late: the next step says the same")
        case Drop(reason=reason):
            return Cancelled(reason)
        case _:
            assert_never(verdict)


def _queue_message(
    tx: Tx, reminder: Reminder, obligation: Obligation, *, policy: Policy, now: datetime
) -> int:
    return outbound.queue_message(
        tx,
        purpose="reminder",
        contact_id=contacts.get_contact(tx, obligation.contact_id).id,
        dedupe_key=f"reminder:{reminder.id}:{reminder.round}",
        values={
            "concept": f"{obligation.concept} · {obligation.pupil}",
            "amount": to_spanish(obligation.remaining),
            "due_on": f"{obligation.due_on:%d-%m-%Y}",
        },
        policy=policy,
        now=now,
        subject=("reminder", str(reminder.id)),
        obligation_id=obligation.id,
        recheck="reminder",
    ).outbox_id


def _lock_obligation_of(tx: Tx, reminder_id: int) -> Obligation | None:
    row = tx.execute(Q["reminder_find_obligation"], {"reminder_id": reminder_id}).fetchone()
    return None if row is None else ledger.lock_obligation(tx, int(row[0]))


def _lock(tx: Tx, reminder_id: int) -> Reminder:
    with tx.cursor(row_factory=class_row(Reminder)) as cursor:
        found = cursor.execute(Q["reminder_lock"], {"reminder_id": reminder_id}).fetchone()
    if found is None:
        raise NotFound(f"There is no reminder {reminder_id}")
    return found


def _named(payload: Mapping[str, object], name: str) -> int:
    value = payload.get(name)
    if not isinstance(value, int):
        raise InvalidInput(f"The job names no {name}", next_step=f"Its payload lacks `{name}`.")
    return value
