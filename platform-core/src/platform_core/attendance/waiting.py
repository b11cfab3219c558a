"""Sessions that wait for a person: found again, and asked about again, until somebody looked at them.

A session without proof or with a suspiciously empty feed waits: nobody is called absent by time alone. The
first alert comes when it is computed; this is what a flow of ops does about those that still wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from platform_core.attendance import results
from platform_core.attendance.contracts import session_ref
from platform_core.attendance.lifecycle import SessionState, Verdict
from platform_core.db import Tx
from platform_core.messaging.attention import Severity, raise_alert
from platform_core.tenancy.policy import Policy

_MAX_LISTED = 500


@dataclass(frozen=True, slots=True)
class Waiting:
    """One session as it waits now; `verdict` is empty when it does not wait any more."""

    session_id: int
    verdict: str
    hours: int


def list_waiting(tx: Tx, *, older_than_hours: int, policy: Policy, now: datetime) -> list[int]:
    """Sessions that wait for a person since that many hours after their end, and may still be corrected."""
    if policy.attendance is None:
        return []
    newest = now - timedelta(hours=older_than_hours)
    oldest = now - timedelta(hours=policy.attendance.correction_window_hours)
    found = [one for verdict in results.WAITING for one in _list(tx, verdict)]
    return sorted(
        one.id for one in found if one.state != SessionState.CANCELLED and oldest < one.ends_at <= newest
    )


def _list(tx: Tx, verdict: Verdict) -> list[results.SessionSummary]:
    return results.list_sessions(tx, verdict=verdict, limit=_MAX_LISTED)


def get_waiting(tx: Tx, session_id: int, *, now: datetime) -> Waiting:
    """How one session waits now. Raises: SessionInvalid when there is none."""
    summary = results.get_session(tx, session_id).summary
    waits = summary.state != SessionState.CANCELLED and summary.verdict in results.WAITING
    hours = int((now - summary.ends_at).total_seconds()) // 3600
    return Waiting(session_id, str(summary.verdict) if waits else "", hours)


def ask_again(tx: Tx, session_id: int, *, severity: Severity, now: datetime) -> bool:
    """Alert staff about a session that still waits. False when it does not any more.

    Idempotency: once a day for each version of its result. Raises: SessionInvalid.
    """
    summary = results.get_session(tx, session_id).summary
    if summary.state == SessionState.CANCELLED or summary.verdict not in results.WAITING:
        return False
    raise_alert(
        tx,
        "attendance.waits",
        severity=severity,
        subject=session_ref(session_id),
        once=f"{session_id}:{summary.version}:{now:%Y-%m-%d}",
        dedupe=f"attendance.waits:{session_id}",
        detail={"version": summary.version, "empty": summary.verdict == Verdict.SUSPICIOUS_EMPTY},
    )
    return True
