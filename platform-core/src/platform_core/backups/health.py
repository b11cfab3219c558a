"""Whether copies can be relied on, judged from what is written down.

It takes no connection and no identity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from platform_core.backups.place import Place
from platform_core.backups.segments import said
from platform_core.values import Clock

SILENCE_MAX = timedelta(minutes=1)
CUT_OFF_MAX = timedelta(minutes=2)
COPY_MAX = timedelta(hours=26)
DRILL_MAX = timedelta(days=8)


def complaints(place: Place, clock: Clock) -> list[str]:
    """What is wrong, in words; nothing when all is well.

    A drill is asked for once the oldest copy is eight days old: a new host has made none yet.
    """
    now = clock.now()
    return [*_of_service(_read(place.state), now), *_of_copies(place, now), *_of_drill(place, now)]


def _of_service(state: Mapping[str, object], now: datetime) -> list[str]:
    at = _instant(state.get("at"))
    if at is None or now - at > SILENCE_MAX:
        return ["the service does not run"]
    found = []
    connected_at = _instant(state.get("log_connected_at"))
    if connected_at is None or now - connected_at > CUT_OFF_MAX:
        found.append("the log is not followed" + (f" since {said(connected_at)}" if connected_at else ""))
    failed = state.get("failed")
    if isinstance(failed, dict):
        found += [f"the last attempt at {duty} failed: {reason}" for duty, reason in failed.items()]
    return found


def _of_copies(place: Place, now: datetime) -> list[str]:
    newest = {
        "copy": max((copy.ended_at for copy in place.list_copies()), default=None),
        "dumps": max((dump.at for dump in place.list_dumps()), default=None),
    }
    found = []
    for thing, at in newest.items():
        if at is None:
            found.append(f"there is no {thing}" if thing == "copy" else "there are no dumps")
        elif now - at > COPY_MAX:
            found.append(f"the newest {thing} is of {said(at)}")
    return found


def _of_drill(place: Place, now: datetime) -> list[str]:
    drilled = _read(place.drill)
    at = _instant(drilled.get("at"))
    if at is None:
        oldest = min((copy.ended_at for copy in place.list_copies()), default=now)
        return [f"no drill since the first copy, of {said(oldest)}"] if now - oldest > DRILL_MAX else []
    if now - at > DRILL_MAX:
        return [f"the last drill was on {said(at)}"]
    return [] if drilled.get("ok") is True else [f"the drill of {said(at)} failed"]


def _read(path: Path) -> Mapping[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _instant(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
