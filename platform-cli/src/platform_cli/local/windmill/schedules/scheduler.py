"""The agenda kept by a thread: it waits for the next tick and starts what is due.

The clock is handed in. Who moves it by hand calls `poke` afterwards, so that nobody waits for real time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from platform_cli.local.windmill.items import Schedule
from platform_cli.local.windmill.results import JobResult
from platform_cli.local.windmill.schedules.agenda import Agenda, Tick
from platform_core.errors import PlatformError
from platform_core.values import Clock

Run = Callable[[Tick], JobResult]
_LONGEST_WAIT_S = 0.5
"""How late a changed file, or a clock that was set, is noticed when nobody pokes."""


class Scheduler:
    """Runs `schedules()` by `clock`. `run` runs one tick to its end, in a thread of its own.

    `skipped` is told of a tick that an earlier run of its flow forbids, `failed` of one that could not start.
    """

    def __init__(
        self,
        schedules: Callable[[], Sequence[Schedule]],
        run: Run,
        clock: Clock,
        *,
        skipped: Callable[[Tick], None] = lambda _: None,
        failed: Callable[[Tick, PlatformError], None] = lambda *_: None,
    ) -> None:
        self._schedules, self._run, self._clock = schedules, run, clock
        self._skipped, self._failed = skipped, failed
        self._agenda = Agenda()
        self._changed = threading.Condition()
        self._closing = False
        self._runs: set[threading.Thread] = set()
        self._thread = threading.Thread(target=self._keep, name="schedules")

    def start(self) -> None:
        """Begin to keep time. What fell due before is not caught up."""
        with self._changed:
            self._agenda.adopt(self._schedules(), self._clock.now())
        self._thread.start()

    def close(self) -> None:
        """Start nothing more. Runs under way go on until the runtime ends them; `join` waits for them."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def join(self) -> None:
        """Wait for the runs under way."""
        for one in tuple(self._runs):
            one.join()

    def poke(self) -> None:
        """Look at the clock and at the schedules again, now."""
        with self._changed:
            self._changed.notify_all()

    def next_ticks(self) -> list[Tick]:
        """What comes next, soonest first."""
        with self._changed:
            self._agenda.adopt(self._schedules(), self._clock.now())
            return self._agenda.next_ticks()

    def fire(self, path: str) -> JobResult:
        """Run a schedule now, as if its time had come, and wait for the end.

        Raises: NotFound, StateConflict while it runs, and what running raises.
        """
        with self._changed:
            now = self._clock.now()
            tick = self._agenda.take_now(path, self._schedules(), now)
        return self._finish(tick)

    def _keep(self) -> None:
        with self._changed:
            while not self._closing:
                now = self._clock.now()
                self._agenda.adopt(self._schedules(), now)
                for tick in self._agenda.take_due(now):
                    self._launch(tick)
                due = self._agenda.next_instant()
                left_s = (due - now).total_seconds() if due is not None else _LONGEST_WAIT_S
                self._changed.wait(min(max(left_s, 0.0), _LONGEST_WAIT_S))

    def _launch(self, tick: Tick) -> None:
        if tick.overlaps:
            self._skipped(tick)
            return
        self._runs = {one for one in self._runs if one.is_alive()}
        thread = threading.Thread(target=self._finish_quietly, args=(tick,), name=tick.schedule.path)
        self._runs.add(thread)
        thread.start()

    def _finish_quietly(self, tick: Tick) -> None:
        try:
            self._finish(tick)
        except PlatformError as error:
            if not self._closing:
                self._failed(tick, error)

    def _finish(self, tick: Tick) -> JobResult:
        try:
            return self._run(tick)
        finally:
            with self._changed:
                self._agenda.ended(tick.schedule.path, self._clock.now())
                self._changed.notify_all()
