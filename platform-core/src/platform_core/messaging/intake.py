"""One stored event, taken in once: the same for every source, whatever its bytes say.

Everything an event says is written in the transaction that takes the event as handled, so a worker that dies
leaves it untouched, and a second worker waits for the first and then finds it handled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from platform_core.db import Tx
from platform_core.errors import ContractDrift, InvalidInput, JobInterrupted, PlatformError
from platform_core.inbox import events
from platform_core.inbox.events import Event
from platform_core.inbox.lifecycle import EventState
from platform_core.jobs.contracts import Job, JobContext
from platform_core.messaging.attention import raise_alert
from platform_core.values import Cancelled, Dead, Done, Outcome

Said = TypeVar("Said")
_Said_contra = TypeVar("_Said_contra", contravariant=True)


class Apply(Protocol[_Said_contra]):
    """Writes what an event says, in one transaction."""

    def __call__(self, tx: Tx, event: Event, found: Sequence[_Said_contra], now: datetime, /) -> str:
        """What the job says it did; empty for the number of things found."""
        ...


def nothing_to_note(found: Sequence[object]) -> str:
    """Of most events there is nothing to say beside what they say."""
    del found
    return ""


def open_event(context: JobContext) -> Event:
    """The event of the job. Raises: InvalidInput when the job names none, NotFound."""
    event_id = context.job.payload.get("event")
    if not isinstance(event_id, int):
        raise InvalidInput(f"Job {context.job.id} names no event", next_step="Its payload lacks `event`.")
    with context.tx() as tx:
        return events.get_event(tx, event_id)


def take_in(
    context: JobContext,
    event: Event,
    *,
    read: Callable[[bytes], Sequence[Said]],
    apply: Apply[Said],
    note: Callable[[Sequence[Said]], str] = nothing_to_note,
) -> Outcome:
    """Read an event's bytes and write what they say, with a note on the event for people.

    Idempotency: a handled event is left alone. A body that `read` cannot read makes the event `unreadable`
    and alerts; when the job's last attempt raises, the event is `failed`.
    """
    if event.state is EventState.HANDLED:
        return Done("handled before")
    if event.state is EventState.HELD:
        return Cancelled("the event is held until a person releases it")
    now = context.clock.now()
    try:
        found = read(event.body)
        with context.tx() as tx:
            # Taken before anything is written: whoever comes second waits here and then finds it handled.
            if not events.mark_handled(tx, event.id, now=now, note=note(found)):
                return Done("handled before")
            return Done(apply(tx, event, found, now) or f"{len(found)} applied")
    except (ContractDrift, InvalidInput) as error:
        with context.tx() as tx:
            return _give_up(tx, event, error, now=now)
    except JobInterrupted:
        raise  # another worker has the job, or nobody wants it: this one may write nothing more
    except Exception as error:
        if _is_last_attempt(context.job, error):
            with context.tx() as tx:
                events.mark_failed(tx, event.id, now=now, note=type(error).__name__)
        raise


def _is_last_attempt(job: Job, error: Exception) -> bool:
    refused = isinstance(error, PlatformError) and not error.retryable
    return refused or job.attempt >= job.max_attempts


def _give_up(tx: Tx, event: Event, error: PlatformError, *, now: datetime) -> Dead:
    if events.mark_unreadable(tx, event.id, now=now, note=error.message):
        # The same alert that the inbox raised at the door when the body had no id: one trouble, one alert.
        raise_alert(
            tx,
            "inbox.unreadable",
            severity="P2",
            subject=f"E{event.id}",
            once=str(event.id),
            dedupe=f"inbox.unreadable:{event.id}",
            detail={"event_type": event.event_type, "reason": error.code},
        )
    return Dead(f"event E{event.id} is unreadable: {error.one_line()}")
