"""Debts whose reminder plan is over: reminded again at a pace that a person sets, a limited number of times.

The plan of the policy reminds of a debt around its due date. What is still owed long after is the business of
a flow that ops can change: how late, how far apart, how often. A late reminder is a row like every other, so
claims hold it back, a payment cancels it, and it is sent at most once.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from platform_core.db import Tx
from platform_core.messaging.attention import raise_alert
from platform_core.payments import ledger, reminders
from platform_core.payments.lifecycle import ReminderState
from platform_core.payments.local_time import get_zone, to_reminder_instant
from platform_core.payments.people import people_of
from platform_core.payments.reminders import Q
from platform_core.tenancy.policy import LocalTime, Policy

MAX_LISTED = 500


class LatePlan(BaseModel):
    """How debts are reminded of after their plan.

    From `after_days` past the due date, `every_days` apart, at most `times` times, at a local time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    after_days: Annotated[StrictInt, Field(ge=1, le=365)]
    every_days: Annotated[StrictInt, Field(ge=1, le=90)]
    times: Annotated[StrictInt, Field(ge=1, le=12)]
    at: LocalTime


def list_overdue(
    tx: Tx, plan: LatePlan, *, policy: Policy, now: datetime, limit: int = MAX_LISTED
) -> list[int]:
    """The debts that are to be reminded of again, the oldest first; none that was reminded of lately."""
    rows = tx.execute(
        Q["reminder_list_late"], _facts(plan, _today(policy, now)) | {"obligation_id": None, "limit": limit}
    ).fetchall()
    return [int(row[0]) for row in rows]


def remind_late(tx: Tx, obligation_id: int, plan: LatePlan, *, policy: Policy, now: datetime) -> bool:
    """Plan one more reminder of a debt for today, if the plan wants one. False when it does not.

    A claim that waits for staff holds it back. Idempotency: a second call finds that it was reminded of
    lately. Raises: NotFound.
    """
    obligation = ledger.lock_obligation(tx, obligation_id)
    today = _today(policy, now)
    facts = _facts(plan, today) | {"obligation_id": obligation_id, "limit": 1}
    row = tx.execute(Q["reminder_list_late"], facts).fetchone()
    if row is None:
        return False
    zone = get_zone(policy.customer.timezone)
    step = reminders.Step(f"late-{row[1]}", today, plan.at, to_reminder_instant(today, plan.at, zone))
    reminders.insert(tx, obligation, step, ReminderState.SCHEDULED, policy=policy, now=now)
    reminders.align(tx, people_of(tx, obligation.contact_id), policy=policy, now=now)
    return True


def tell_staff(tx: Tx, count: int, *, now: datetime) -> None:
    """So many debts are overdue that somebody should call. Idempotency: once a day."""
    raise_alert(
        tx,
        "obligations.overdue",
        severity="P3",
        subject="obligations",
        once=f"{now:%Y-%m-%d}",
        dedupe="obligations.overdue",
        detail={"count": count},
    )


def _today(policy: Policy, now: datetime) -> date:
    return now.astimezone(get_zone(policy.customer.timezone)).date()


def _facts(plan: LatePlan, today: date) -> dict[str, object]:
    return {
        "due_until": today - timedelta(days=plan.after_days),
        "quiet_until": today - timedelta(days=plan.every_days),
        "times": plan.times,
    }
