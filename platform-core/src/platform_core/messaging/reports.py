"""What the provider says became of a message: every observation kept, one state projected from all of them.

Reports repeat, arrive out of order and contradict each other, so the state is never moved by the report that
happens to arrive; it is computed from the set of all reports. Any order of the same reports ends in the same
row:

- A report of delivery or reading is believed for good. A failure reported later is only a flag.
- Otherwise the newest observation by the provider's own clock decides between accepted and failed, and a
  failure wins a tie.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from platform_core.db import Tx, load_queries
from platform_core.db.text import storable
from platform_core.messaging import contacts
from platform_core.messaging.attention import raise_alert
from platform_core.messaging.contracts import DeliveryReported
from platform_core.messaging.lifecycle import OutboxState

Q = load_queries(__file__)

OPT_OUT_CODES = frozenset({"RECIPIENT_UNSUBSCRIBED", "131050"})
"""YCloud's and Meta's words for a person who wants no messages (sheet sections 1.6 and 2)."""

_EXTERNAL_ID = re.compile(r"([0-9a-f]{32})\.([1-9][0-9]{0,8})", re.ASCII)
_MAX_ERROR_CHARS = 500
_MARKS = {
    OutboxState.ACCEPTED: "outbox_report_accepted",
    OutboxState.DELIVERED: "outbox_report_delivered",
    OutboxState.READ: "outbox_report_read",
    OutboxState.FAILED: "outbox_report_failed",
}


@dataclass(frozen=True, slots=True)
class Total:
    """All reports of one status about one message. `last_error_code` is the newest one's."""

    status: str
    first_at: datetime
    last_at: datetime
    last_error_code: str


@dataclass(frozen=True, slots=True)
class Projection:
    """What all reports together say."""

    state: OutboxState
    accepted_at: datetime | None = None
    delivered_at: datetime | None = None
    read_at: datetime | None = None
    failed_at: datetime | None = None
    error_code: str = ""
    late_failure: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """One kept observation. `deliveries` counts how often it was told."""

    id: int
    outbox_id: int | None
    generation: int | None
    provider_message_id: str
    status: str
    error_code: str
    updated_at: datetime
    received_at: datetime
    deliveries: int


def decide_projection(totals: Sequence[Total]) -> Projection | None:
    """The state that a set of reports amounts to; None when it says nothing. Pure, blind to order."""
    by_status = {total.status: total for total in totals}
    failed, read = by_status.get("failed"), by_status.get("read")
    taken = [total for total in totals if total.status != "failed"]
    arrived = [total for total in taken if total.status in ("delivered", "read")]
    accepted_at = min((total.first_at for total in taken), default=None)
    if arrived:
        delivered_at = min(total.first_at for total in arrived)
        late = failed is not None and failed.last_at >= delivered_at
        return Projection(
            state=OutboxState.READ if read else OutboxState.DELIVERED,
            accepted_at=accepted_at,
            delivered_at=delivered_at,
            read_at=read.first_at if read else None,
            error_code=failed.last_error_code if failed and late else "",
            late_failure=late,
        )
    if failed and all(failed.last_at >= total.last_at for total in taken):
        return Projection(
            state=OutboxState.FAILED,
            accepted_at=accepted_at,
            failed_at=failed.last_at,
            error_code=failed.last_error_code,
        )
    return Projection(state=OutboxState.ACCEPTED, accepted_at=accepted_at) if taken else None


def record(tx: Tx, report: DeliveryReported, *, event: int, now: datetime) -> int | None:
    """Keep one report and project the message it is about. Returns that message's id, if it is known.

    Idempotency: the same observation again is counted and changes nothing else.
    """
    row = tx.execute(
        Q["report_insert"],
        {
            "provider_message_id": report.provider_message_id,
            "wamid": report.wamid,
            "external_id": report.external_id,
            "status": report.status,
            "error_code": storable(report.error_code),
            "error_message": storable(report.error_message[:_MAX_ERROR_CHARS]),
            "updated_at": report.updated_at,
            "event": event,
            "now": now,
        },
    ).fetchone()
    if row is None:
        raise AssertionError("an insert that updates on conflict returns its row")
    found = _find_outbox(tx, report)
    if found is None:
        # The answer that tells the provider's id may be on its way to the database right now.
        tx.execute(Q["outbox_await_answers"])
        found = _find_outbox(tx, report)
    if found is None:
        return None
    outbox_id, generation = found
    tx.execute(Q["report_match"], {"report": row[0], "outbox": outbox_id, "generation": generation})
    identify(tx, outbox_id, generation, provider_message_id=report.provider_message_id, wamid=report.wamid)
    project(tx, outbox_id, now=now)
    return outbox_id


def _find_outbox(tx: Tx, report: DeliveryReported) -> tuple[int, int] | None:
    ours = _EXTERNAL_ID.fullmatch(report.external_id)
    row = tx.execute(
        Q["report_find_outbox"],
        {
            "external_key": ours[1] if ours else None,
            "provider_message_id": report.provider_message_id,
            "wamid": report.wamid,
        },
    ).fetchone()
    if row is None:
        return None
    outbox_id, external_key, generation = row
    if ours and external_key == ours[1]:
        return outbox_id, int(ours[2])
    return outbox_id, generation


def identify(tx: Tx, outbox_id: int, generation: int, *, provider_message_id: str, wamid: str) -> None:
    """Remember the provider's ids of one sending of a message, as its answer or a report tells them."""
    tx.execute(
        Q["outbox_identify"],
        {
            "outbox": outbox_id,
            "generation": generation,
            "provider_message_id": provider_message_id,
            "wamid": wamid,
        },
    )


def adopt(tx: Tx, outbox_id: int, *, now: datetime) -> None:
    """Match the reports that came before we knew the provider's id of a message, and project it."""
    if tx.execute(Q["report_adopt"], {"outbox": outbox_id}).fetchall():
        project(tx, outbox_id, now=now)


def project(tx: Tx, outbox_id: int, *, now: datetime) -> None:
    """Make the message's row say what all its reports say. Idempotent."""
    locked = tx.execute(Q["outbox_lock_contact"], {"outbox": outbox_id}).fetchone()
    with tx.cursor(row_factory=class_row(Total)) as cursor:
        totals = cursor.execute(Q["report_totals"], {"outbox": outbox_id}).fetchall()
    projection = decide_projection(totals)
    if projection is None or locked is None:
        return
    parameters = {
        "outbox": outbox_id,
        "state": projection.state,
        "accepted_at": projection.accepted_at,
        "delivered_at": projection.delivered_at,
        "read_at": projection.read_at,
        "failed_at": projection.failed_at,
        "error_code": projection.error_code,
        "late_failure": projection.late_failure,
    }
    moved = tx.execute(Q[_MARKS[projection.state]], parameters).fetchone() is not None
    if not moved:
        tx.execute(Q["outbox_note_reports"], parameters)
    elif projection.state is OutboxState.FAILED:
        _after_failure(tx, outbox_id, int(locked[0]), projection, now=now)


def _after_failure(tx: Tx, outbox_id: int, contact_id: int, projection: Projection, *, now: datetime) -> None:
    if projection.error_code in OPT_OUT_CODES:
        contacts.set_opt_out(tx, contact_id, opted_out=True, changed_at=projection.failed_at or now)
    raise_alert(
        tx,
        "message.failed",
        severity="P2",
        subject=f"outbox:{outbox_id}",
        once=f"{outbox_id}:{projection.error_code[:60]}",
        dedupe=f"message.failed:{projection.error_code[:60]}",
        detail={"outbox": outbox_id, "error_code": projection.error_code[:60]},
    )


def list_reports(tx: Tx, outbox_id: int | None, *, limit: int = 100) -> list[Report]:
    """What was reported about a message, by the provider's clock; None: about no message of ours."""
    with tx.cursor(row_factory=class_row(Report)) as cursor:
        return cursor.execute(Q["report_list"], {"outbox": outbox_id, "limit": limit}).fetchall()
