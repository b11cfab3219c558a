"""The service.

The log is followed without a break, and each day there is a copy and a dump of every database.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from structlog.typing import FilteringBoundLogger

from platform_core.backups.copies import take_copy
from platform_core.backups.dumps import dump_all
from platform_core.backups.place import Place
from platform_core.backups.sealing import write_whole
from platform_core.backups.segments import said
from platform_core.backups.streaming import Receiver, Standing
from platform_core.errors import BackupFailed, FolderBusy, PlatformError
from platform_core.values import Clock

LOOK_S = 1
REPORT_S = 10
RETRY = timedelta(minutes=5)
BUSY_PAUSE = timedelta(seconds=5)


@dataclass(slots=True)
class Owed:
    """What the service still owes.

    Each duty's last failure, when to try again, and what is known to be well.
    """

    failed: dict[str, str] = field(default_factory=dict)
    not_before: datetime | None = None
    judged: Standing | None = None


def serve(place: Place, clock: Clock, log: FilteringBoundLogger) -> None:
    """Follow the log and take copies until SIGTERM; a copy that is being made then is finished or is none.

    Raises: ConfigurationError.
    """
    place.prepare()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    receiver, owed = Receiver(place, log), Owed()
    threads = [
        threading.Thread(target=receiver.follow, args=(stop,), daemon=True),
        threading.Thread(target=_report, args=(place, receiver, owed, clock, stop), daemon=True),
    ]
    for thread in threads:
        thread.start()
    while not stop.wait(LOOK_S) and threads[0].is_alive():
        _act(place, receiver, owed, clock, log)
    if not stop.is_set():
        raise BackupFailed("Following the log ended by an error of this program; the line above has it")
    for thread in threads:
        thread.join(5)


def _act(place: Place, receiver: Receiver, owed: Owed, clock: Clock, log: FilteringBoundLogger) -> None:
    now = clock.now()
    if owed.not_before is not None and now < owed.not_before:
        return
    reason = _reason_for_copy(place, receiver, owed, now)
    if reason is not None:
        _fulfil("copy", lambda: take_copy(place, reason, clock).name, owed, clock, log)
    elif _is_due(max((dump.at for dump in place.list_dumps()), default=None), place, now):
        _fulfil("dumps", lambda: f"{len(dump_all(place, clock))} dumps", owed, clock, log)


def _reason_for_copy(place: Place, receiver: Receiver, owed: Owed, now: datetime) -> str | None:
    """Why a copy is taken now: none stands before what is received, or the day's is due."""
    standing = receiver.standing
    if not standing.is_connected:
        return None
    if standing != owed.judged:
        if not receiver.is_anchored():
            return "anchor"
        owed.judged = standing
    newest = max((copy.ended_at for copy in place.list_copies()), default=None)
    return "daily" if _is_due(newest, place, now) else None


def _is_due(newest: datetime | None, place: Place, now: datetime) -> bool:
    """Whether the day's hour has come since the newest one was made."""
    hour = datetime.combine(now.date(), place.daily_at, now.tzinfo)
    last_hour = hour if hour <= now else hour - timedelta(days=1)
    return newest is None or newest < last_hour


def _fulfil(duty: str, work: Callable[[], str], owed: Owed, clock: Clock, log: FilteringBoundLogger) -> None:
    made = failure = ""
    try:
        made = work()
    except FolderBusy:
        owed.not_before = clock.now() + BUSY_PAUSE  # somebody at the host makes one
    except PlatformError as error:
        failure = error.one_line()
    if failure:
        owed.failed[duty] = failure
        owed.not_before = clock.now() + RETRY
        log.error("backup.failed", duty=duty, reason=failure)
    elif made:
        owed.failed.pop(duty, None)
        log.info("backup.made", duty=duty, made=made)


def _report(place: Place, receiver: Receiver, owed: Owed, clock: Clock, stop: threading.Event) -> None:
    """Write down how it stands, for the health check, which is another process."""
    connected_at: datetime | None = None
    while not stop.is_set():
        now = clock.now()
        if receiver.standing.is_connected or connected_at is None:
            connected_at = now
        standing = receiver.standing
        state = {
            "at": said(now),
            "log_connected_at": said(connected_at),
            "log_sealed_at": None if standing.sealed_at is None else said(standing.sealed_at),
            "failed": dict(owed.failed),
        }
        write_whole(place.state, json.dumps(state) + "\n")
        stop.wait(REPORT_S)
