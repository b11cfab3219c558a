"""Which schedule ticks when, and what may run beside what. No threads and no clock: whoever asks says when.

A script's schedule is waiting or running, never both: its next tick is computed when the run has ended, from
that moment, so what fell due meanwhile is dropped and nothing is ever caught up. A flow's next tick is
computed as soon as it has started, so its runs may stand beside one another, unless `no_flow_overlap` ends
the later one at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from platform_cli.local.windmill.items import Schedule
from platform_cli.local.windmill.schedules.cron import parse
from platform_core.errors import NotFound, StateConflict


@dataclass(frozen=True, slots=True)
class Tick:
    """A schedule's turn. `overlaps` says that an earlier run of its flow goes on and forbids this one."""

    schedule: Schedule
    scheduled_for: datetime
    overlaps: bool = False


@dataclass(slots=True)
class Agenda:
    """The ticks to come. Not safe for threads: whoever shares it holds a lock."""

    _known: dict[str, Schedule] = field(default_factory=dict)
    _due_at: dict[str, datetime] = field(default_factory=dict)
    _running: Counter[str] = field(default_factory=Counter)

    def adopt(self, schedules: Sequence[Schedule], now: datetime) -> None:
        """Follow these from now on. One that is new or changed counts anew; others keep their tick."""
        given = {one.path: one for one in schedules if one.enabled}
        for path in set(self._known) - set(given):
            self._known.pop(path)
            self._due_at.pop(path, None)
        for path, schedule in given.items():
            if self._known.get(path) != schedule:
                self._known[path] = schedule
                self._due_at.pop(path, None)
                if schedule.is_flow or not self._running[path]:
                    self._count(schedule, now)

    def next_instant(self) -> datetime | None:
        """When there is something to do next, or None."""
        return min(self._due_at.values(), default=None)

    def next_ticks(self) -> list[Tick]:
        """What comes next, soonest first; a script's schedule that runs has no next tick yet."""
        found = [Tick(self._known[path], at) for path, at in self._due_at.items()]
        return sorted(found, key=lambda tick: (tick.scheduled_for, tick.schedule.path))

    def take_due(self, now: datetime) -> list[Tick]:
        """The ticks whose time has come, soonest first. Each but an overlapping one has to be `ended`."""
        due = [tick for tick in self.next_ticks() if tick.scheduled_for <= now]
        return [self._begin(tick.schedule, tick.scheduled_for, now) for tick in due]

    def take_now(self, path: str, schedules: Sequence[Schedule], now: datetime) -> Tick:
        """A tick out of turn, also of a schedule that is switched off.

        Raises: NotFound for an unknown schedule, StateConflict while its script runs.
        """
        schedule = next((one for one in schedules if one.path == path), None)
        if schedule is None:
            known = ", ".join(sorted(one.path for one in schedules)) or "none"
            raise NotFound(f"There is no schedule {path}", next_step=f"Known: {known}.")
        if self._running[path] and not schedule.is_flow:
            raise StateConflict(f"{path} is running; a schedule never runs beside itself", next_step="Wait.")
        return self._begin(schedule, now, now)

    def ended(self, path: str, now: datetime) -> None:
        """A run has ended; a script's schedule counts on from here."""
        self._running[path] -= 1
        schedule = self._known.get(path)
        if schedule is not None and not schedule.is_flow:
            self._count(schedule, now)

    def _begin(self, schedule: Schedule, scheduled_for: datetime, now: datetime) -> Tick:
        path = schedule.path
        overlaps = schedule.is_flow and schedule.no_flow_overlap and self._running[path] > 0
        self._due_at.pop(path, None)
        if not overlaps:
            self._running[path] += 1
        if schedule.is_flow and path in self._known:
            self._count(schedule, now)
        return Tick(schedule, scheduled_for, overlaps)

    def _count(self, schedule: Schedule, now: datetime) -> None:
        zone = ZoneInfo(schedule.timezone)
        self._due_at[schedule.path] = parse(schedule.schedule).next_after(now, zone)
