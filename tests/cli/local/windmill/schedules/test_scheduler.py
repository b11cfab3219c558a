"""Schedules kept by a thread, with a clock that the test moves and scripts in processes of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from platform_cli.local.windmill.results import JobResult
from platform_cli.local.windmill.runtime import Runtime, Trigger
from platform_cli.local.windmill.schedules.agenda import Tick
from platform_cli.local.windmill.schedules.scheduler import Scheduler
from tests.support.windmill import add_schedule, add_script

_WAIT_S = 20.0
TELLS = (
    "import os\ndef main(name):\n"
    "    names = ['WM_SCHEDULE_PATH', 'WM_SCHEDULED_FOR', 'WM_USERNAME']\n"
    "    return [name, *(os.environ[one] for one in names)]\n"
)


class MovedClock:
    """A clock that stands still until somebody moves it."""

    def __init__(self) -> None:
        self._now = datetime(2027, 9, 5, 3, 59, 30, tzinfo=UTC)

    def now(self) -> datetime:
        """Where it stands."""
        return self._now

    def move(self, by: timedelta) -> None:
        """On by so much."""
        self._now += by


def test_a_tick_runs_the_script_with_its_arguments_and_the_instant_it_was_meant_for(tmp_path: Path) -> None:
    """Once for each tick, as the schedule's own user; a file that changes is followed at once."""
    add_script(tmp_path, "tells", TELLS)
    path = add_schedule(tmp_path, "tells", args={"name": "first"}, schedule="0 15 0 * * *")
    clock, results = MovedClock(), list[JobResult]()
    ended = threading.Semaphore(0)
    with Runtime(tmp_path, {}, mode="cold", follow=True) as runtime:

        def run(tick: Tick) -> JobResult:
            trigger = Trigger("schedule", tick.schedule.path, tick.scheduled_for)
            results.append(
                runtime.run_script(tick.schedule.script_path, dict(tick.schedule.args), trigger=trigger)
            )
            ended.release()
            return results[-1]

        scheduler = Scheduler(lambda: runtime.schedules, run, clock)
        scheduler.start()
        _move(clock, scheduler, timedelta(minutes=1), ended)
        add_schedule(tmp_path, "tells", args={"name": "second"}, schedule="0 15 2 * * *")
        scheduler.next_ticks()
        _move(clock, scheduler, timedelta(hours=2), ended)
        add_schedule(tmp_path, "tells", args={"name": "third"}, enabled=False)
        fired = scheduler.fire(path)
        scheduler.close()
        scheduler.join()

    username = "schedule-f-acme-tells_cron"
    assert [one.value for one in results] == [
        ["first", path, "2027-09-05T04:00:00Z", username],
        ["second", path, "2027-09-05T05:15:00Z", username],
        ["third", path, "2027-09-05T06:00:30Z", username],
    ]
    assert fired is results[2]


def _move(clock: MovedClock, scheduler: Scheduler, by: timedelta, ended: threading.Semaphore) -> None:
    clock.move(by)
    scheduler.poke()
    assert ended.acquire(timeout=_WAIT_S)
    _until(scheduler.next_ticks)


def _until(condition: Callable[[], object]) -> None:
    for _ in range(int(_WAIT_S / 0.01)):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError
