"""What is not sent by itself after a database was put back to an earlier instant."""

from __future__ import annotations

from datetime import datetime

from platform_core.db import Tx, load_queries
from platform_core.messaging.outbound import watch_unreported

RESTORED = "restored"
"""The error code of a message that was about to be sent at the instant the database was put back to."""

Q = load_queries(__file__)


def hold_unsent(tx: Tx, *, now: datetime) -> int:
    """Hold every message that was about to be sent: it may have been sent after that instant. How many.

    Each is `ambiguous` from then on: its report decides, or a person, who hears of it by an alert as of any
    other. Idempotency: a second call finds none. Call it before anything else works on the database.
    """
    held = tx.execute(Q["outbox_hold"], {"now": now, "code": RESTORED}).fetchall()
    if held:
        watch_unreported(tx, now)
    return len(held)
