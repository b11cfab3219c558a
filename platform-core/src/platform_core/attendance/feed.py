"""What readers deliver: signed batches of check-ins and heartbeats, through the same inbox as every webhook.

    reader ── POST, signed ──▶ inbox ── job `inbox.received` ──▶ take_in_batch ──▶ check-ins, heartbeats

A check-in is kept whatever it says; whether it counts is decided when its session is computed. A heartbeat is
proof, so one of a reader whose clock is wrong is not kept: it would prove the wrong hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import ValidationError

from platform_core.attendance import sessions
from platform_core.attendance.contracts import Batch, Beat, Reading
from platform_core.db import Tx
from platform_core.errors import ContractDrift, IdempotencyConflict, InvalidTime
from platform_core.inbox.events import Event
from platform_core.jobs.contracts import JobContext
from platform_core.messaging import intake
from platform_core.messaging.attention import raise_alert
from platform_core.tenancy.attendance import Attendance
from platform_core.values import Outcome

_MAX_FIELDS_NAMED = 5


def take_in_batch(context: JobContext, event: Event) -> Outcome:
    """Write what one reader delivered. Job kind `inbox.received`, for events of the source `reader`.

    Idempotency: a handled event is left alone; a check-in is unique by the reader's own id, a heartbeat by
    reader and time, whatever batch they come in. A batch that is not as documented is `unreadable`: nothing
    of it is kept but its bytes, and a person is asked.
    """
    rules = context.policy().attendance

    def apply(tx: Tx, event: Event, found: Sequence[Batch], now: datetime) -> str:
        del now  # a job may run late; the reader's clock is judged by when its batch came
        return "; ".join(_record(tx, event, batch, rules) for batch in found)

    return intake.take_in(context, event, read=read_batch, apply=apply)


def read_batch(body: bytes) -> list[Batch]:
    """The batch that a body holds. Pure. Raises: ContractDrift naming the fields, never their values."""
    try:
        return [Batch.model_validate_json(body)]
    except ValidationError as error:
        fields = sorted({".".join(str(part) for part in one["loc"]) for one in error.errors()})
        named = ", ".join(field[:60] for field in fields[:_MAX_FIELDS_NAMED] if field) or "the whole"
        raise ContractDrift(
            f"The reader's batch is not as documented: {named}",
            next_step="Look at the stored body, and correct the reader; see docs/guides/attendance.md.",
        ) from None


def decide_clock(batch: Batch, received_at: datetime, rules: Attendance | None) -> bool:
    """Whether the reader's clock can be believed. Pure."""
    limit = timedelta(seconds=rules.max_clock_skew_seconds) if rules else timedelta(minutes=1)
    return abs(batch.sent_at - received_at) <= limit


def _record(tx: Tx, event: Event, batch: Batch, rules: Attendance | None) -> str:
    believed = decide_clock(batch, event.received_at, rules)
    recorded = known = contradicted = 0
    for one in batch.checkins:
        reading = Reading(
            source=batch.reader,
            source_id=one.id,
            student=one.student,
            session=one.session,
            kind=one.kind,
            at=one.at,
            device_at=batch.sent_at,
        )
        try:
            counts = sessions.record_checkins(tx, [reading], now=event.received_at)
        except IdempotencyConflict:  # the first that came under this id stays; the others of the batch count
            contradicted += 1
        else:
            recorded, known = recorded + counts.recorded, known + counts.known
    beats, ahead = _record_beats(tx, event, batch) if believed else (0, len(batch.heartbeats))
    if contradicted:
        _alert(tx, "attendance.contradicting_ids", event, batch, {"checkins": contradicted})
    if ahead or not believed:
        _alert(tx, "attendance.reader_clock", event, batch, {"heartbeats": ahead})
    return (
        f"{batch.reader}: {recorded} check-ins new, {known} known, {contradicted} contradicted; "
        f"{beats} heartbeats new, {ahead} not believed"
    )


def _record_beats(tx: Tx, event: Event, batch: Batch) -> tuple[int, int]:
    """How many heartbeats were new, and how many are ahead of time."""
    new = ahead = 0
    for one in batch.heartbeats:
        beat = Beat(source=batch.reader, at=one.at, synced_until=one.synced_until)
        try:
            new += sessions.record_heartbeat(tx, beat, now=event.received_at)
        except InvalidTime:
            ahead += 1
    return new, ahead


def _alert(tx: Tx, kind: str, event: Event, batch: Batch, counts: dict[str, int]) -> None:
    raise_alert(
        tx,
        kind,
        severity="P2",
        subject=f"E{event.id}",
        once=str(event.id),
        dedupe=f"{kind}:{batch.reader}",
        detail={"reader": batch.reader, **counts},
    )
