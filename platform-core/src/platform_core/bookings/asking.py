"""Trial classes that are over: staff are asked what came of them, until somebody says it."""

from __future__ import annotations

from datetime import datetime

from platform_core.bookings.bookings import OPEN, get_booking
from platform_core.bookings.contracts import booking_ref
from platform_core.db import Tx
from platform_core.messaging.attention import raise_alert


def ask_staff(tx: Tx, booking_id: int, *, now: datetime) -> bool:
    """Alert staff about a booking that waits for them. False when it does not any more.

    One open alert counts all of them. Idempotency: once a day for each booking. Raises: NotFound.
    """
    booking = get_booking(tx, booking_id)
    if booking.state not in OPEN:
        return False
    raise_alert(
        tx,
        "booking.waits",
        severity="P3",
        subject=booking_ref(booking.id),
        once=f"{booking.id}:{now:%Y-%m-%d}",
        dedupe="booking.waits",
        detail={"booking": booking_ref(booking.id), "state": booking.state},
    )
    return True
