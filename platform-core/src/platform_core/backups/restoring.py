"""Put a cluster back: recovered beside the old one, proved, ended in order, and only then in its place.

The database must be stopped. Interrupted anywhere, what is there is the old cluster or none, and a marker
keeps the database from beginning an empty one; running it again goes on from nothing.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from platform_core.backups.contents import last_commit, timeline_of
from platform_core.backups.place import Place
from platform_core.backups.programs import end_left_over
from platform_core.backups.recovery import Goal, Server, recovered
from platform_core.backups.sealing import Identity, keep_names
from platform_core.backups.segments import said, stamp_of
from platform_core.db import open_connection
from platform_core.errors import StateConflict
from platform_core.values import Clock

MARKER = "restoring"


@dataclass(frozen=True, slots=True)
class Restored:
    """What is in place now. `to` is the newest commit in it, `replaced` where the old cluster is."""

    copy: str
    to: datetime | None
    timeline: int
    replaced: str | None
    took_s: int

    def as_json(self) -> dict[str, object]:
        """Times as text."""
        return {
            "copy": self.copy,
            "to": None if self.to is None else said(self.to),
            "timeline": self.timeline,
            "replaced": self.replaced,
            "took_s": self.took_s,
        }


def restore(
    place: Place,
    goal: Goal,
    identity: Identity,
    *,
    replace: bool,
    clock: Clock,
    at_step: Callable[[str], None] = lambda _: None,
) -> Restored:
    """Put the goal's cluster where the database looks for it. `replace` moves the old one aside.

    Idempotency: a repeat begins anew and ends the same. Raises: StateConflict when a cluster is there and is
    not to be replaced; whatever recovering raises, and then what was there is there.
    """
    began = time.monotonic()
    data, parent = place.data, place.data.parent
    if data.exists() and not replace:
        raise StateConflict(
            f"{data} is there",
            next_step="Stop the database, then say --replace: it is moved aside, not deleted.",
        )
    new, marker = data.with_name(f"{data.name}.new"), parent / MARKER
    with place.room("restore") as work:
        end_left_over(new)
        shutil.rmtree(new, ignore_errors=True)
        at_step("open")
        try:
            with recovered(place, goal, identity, data=new, work=work) as server:
                at_step("recovered")
                to, timeline = _facts(server)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        place.programs().run("initdb", "--sync-only", f"--pgdata={new}")
        marker.touch()
        keep_names(parent)
        at_step("aside")
        aside = _move_aside(data, clock)
        at_step("place")
        new.rename(data)
        keep_names(parent)
        at_step("unmark")
        marker.unlink()
        keep_names(parent)
    return Restored(goal.copy.name, to, timeline, aside, round(time.monotonic() - began))


def _move_aside(data: Path, clock: Clock) -> str | None:
    if not data.exists():
        return None
    instant = clock.now()
    while (aside := data.with_name(f"{data.name}.before-{stamp_of(instant)}")).exists():
        instant += timedelta(seconds=1)  # a second restore within the same second
    data.rename(aside)
    return aside.name


def _facts(server: Server) -> tuple[datetime | None, int]:
    with closing(open_connection(server.dsn, application="restore")) as admin:
        return last_commit(admin), timeline_of(admin)
