"""Alerts: what needs a person, one row per trouble however often it repeats.

    alert.raised --> OPEN --> ACKNOWLEDGED --> RESOLVED
                       |                          ^
                       +--------------------------+

OPEN          nobody has said they look after it. A repeat of the same trouble (`dedupe`) counts and may make
              it graver, never milder.
ACKNOWLEDGED  somebody does. A repeat still counts.
RESOLVED      over, final. The next repeat opens a new alert.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from psycopg.types.json import Jsonb

from platform_core import audit
from platform_core.db import Tx, load_queries
from platform_core.errors import InvalidInput, NotFound, StateConflict
from platform_core.jobs.contracts import JobContext
from platform_core.observability.redaction import Redactor
from platform_core.tenancy.members import Permission, require
from platform_core.values import Actor, Dead, Done, Outcome

Q = load_queries(__file__)

MAX_LISTED = 1000
_KIND = re.compile(r"[a-z][a-z_]*(\.[a-z][a-z_]*)+", re.ASCII)
_ALERT_ID = re.compile(r"A?([1-9][0-9]{0,17})", re.ASCII)


class AlertState(StrEnum):
    """Where an alert is. The prose above says how it gets in and out."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


FINAL = frozenset({AlertState.RESOLVED})

MOVES: frozenset[tuple[AlertState, AlertState]] = frozenset(
    {
        (AlertState.OPEN, AlertState.ACKNOWLEDGED),
        (AlertState.OPEN, AlertState.RESOLVED),
        (AlertState.ACKNOWLEDGED, AlertState.RESOLVED),
    }
)


_ACTS = {AlertState.ACKNOWLEDGED: "alert.acknowledged", AlertState.RESOLVED: "alert.resolved"}


class Severity(StrEnum):
    """How soon a person must come."""

    P1 = "P1"
    """Now."""
    P2 = "P2"
    """Today."""
    P3 = "P3"
    """When there is time."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One trouble. `acknowledged_by` and `resolved_by` are empty until somebody did."""

    id: int
    kind: str
    severity: Severity
    subject: str
    detail: Mapping[str, object]
    occurrences: int
    first_at: datetime
    last_at: datetime
    state: AlertState
    acknowledged_by: str
    resolved_by: str


class _RecordedBefore(Exception):
    """The same job recorded its alert meanwhile; what was counted is rolled back."""


def record(context: JobContext) -> Outcome:
    """Write down what a job `alert.raised` reports. A job that runs twice counts once.

    Secrets and phone numbers are taken out first: an alert is shown to more people than what caused it.
    """
    try:
        alert = _parse(context.job.payload)
    except InvalidInput as error:
        return Dead(error.one_line())
    now = context.clock.now()
    try:
        with context.tx() as tx:
            alert_id, occurrences = _record(tx, alert, context.job.id, now)
    except _RecordedBefore:
        return Done("recorded before")
    context.log.warning(
        "alert.raised",
        alert_id=alert_id,
        kind=alert.kind,
        severity=alert.severity,
        occurrences_count=occurrences,
    )
    return Done(f"A{alert_id}")


def list_alerts(tx: Tx, *, limit: int = 50, resolved_too: bool = False) -> list[Alert]:
    """The unresolved alerts, or all: the gravest first, the latest of them first."""
    rows = tx.execute(
        Q["alert_list"], {"resolved_too": resolved_too, "limit": max(1, min(limit, MAX_LISTED))}
    ).fetchall()
    return [
        Alert(
            id=row[0],
            kind=row[1],
            severity=Severity(row[2]),
            subject=row[3],
            detail=row[4],
            occurrences=row[5],
            first_at=row[6],
            last_at=row[7],
            state=AlertState(row[8]),
            acknowledged_by=row[9] or "",
            resolved_by=row[10] or "",
        )
        for row in rows
    ]


def acknowledge(tx: Tx, alert_id: int, actor: Actor, *, now: datetime) -> None:
    """Say that somebody looks after an open alert.

    Idempotency: the same person saying it again changes nothing.
    Raises: PermissionDenied, NotFound, StateConflict when somebody else does, or it is resolved.
    """
    _move(tx, alert_id, actor, now=now, statement="alert_acknowledge", reached=AlertState.ACKNOWLEDGED)


def resolve(tx: Tx, alert_id: int, actor: Actor, *, now: datetime) -> None:
    """Say that the trouble is over.

    Idempotency: the same person saying it again changes nothing.
    Raises: PermissionDenied, NotFound, StateConflict when somebody else resolved it.
    """
    _move(tx, alert_id, actor, now=now, statement="alert_resolve", reached=AlertState.RESOLVED)


def parse_alert_id(text: str) -> int:
    """The number in `A3`. Raises: InvalidInput."""
    match = _ALERT_ID.fullmatch(text.strip().upper())
    if match is None:
        raise InvalidInput(
            f"{text[:20]!r} is not an alert",
            next_step="Alerts are called A1, A2, …; see `wmctl alert list`.",
        )
    return int(match[1])


@dataclass(frozen=True, slots=True)
class _Reported:
    kind: str
    severity: Severity
    subject: str
    detail: Mapping[str, object]
    dedupe: str


def _parse(payload: Mapping[str, object]) -> _Reported:
    kind, severity = str(payload.get("kind")), str(payload.get("severity"))
    detail = payload.get("detail") or {}
    if not _KIND.fullmatch(kind):
        raise InvalidInput("An alert's kind is dotted lower-case words")
    if severity not in set(Severity):
        raise InvalidInput(f"The alert {kind} has no severity P1, P2 or P3")
    if not isinstance(detail, Mapping):
        raise InvalidInput(f"The detail of the alert {kind} is not an object")
    redactor = Redactor()
    shown = redactor.value(detail)
    subject = str(payload.get("subject") or kind)
    return _Reported(
        kind=kind[:80],
        severity=Severity(severity),
        subject=redactor.text(subject)[:300],
        detail=shown if isinstance(shown, dict) else {},
        dedupe=str(payload.get("dedupe") or f"{kind}:{subject}")[:200],
    )


def _record(tx: Tx, alert: _Reported, job_id: int, now: datetime) -> tuple[int, int]:
    if tx.execute(Q["occurrence_find"], {"job_id": job_id}).fetchone() is not None:
        raise _RecordedBefore
    row = tx.execute(
        Q["alert_raise"],
        {
            "kind": alert.kind,
            "severity": alert.severity.value,
            "subject": alert.subject,
            "detail": Jsonb(dict(alert.detail)),
            "dedupe": alert.dedupe,
            "now": now,
        },
    ).fetchone()
    if row is None:
        raise AssertionError("an upsert always returns its row")
    alert_id, occurrences = row
    added = tx.execute(Q["occurrence_add"], {"job_id": job_id, "alert_id": alert_id, "now": now}).fetchone()
    if added is None:
        raise _RecordedBefore
    return alert_id, occurrences


def _move(tx: Tx, alert_id: int, actor: Actor, *, now: datetime, statement: str, reached: AlertState) -> None:
    known = require(tx, actor, Permission.ALERT_ACKNOWLEDGE)
    if tx.execute(Q[statement], {"alert_id": alert_id, "by": known.id, "now": now}).fetchone() is not None:
        audit.record(tx, _ACTS[reached], known, ("alert", f"A{alert_id}"))
        return
    row = tx.execute(Q["alert_get_state"], {"alert_id": alert_id}).fetchone()
    if row is None:
        raise NotFound(f"There is no alert A{alert_id}", next_step="See `wmctl alert list`.")
    state, by = row
    if (state, by) != (reached.value, known.id):
        raise StateConflict(
            f"The alert A{alert_id} is {state} already, by {by}", next_step="See `wmctl alert list`."
        )
