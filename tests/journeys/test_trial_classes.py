"""Trial classes as parents, Calendly, staff and cron live them: two doors, any order, crashes, a dead wire.

Every script runs in a process of its own, and what families get is what YCloud's stand-in accepted.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from platform_cli.local.calendly.payloads import Booking, encode
from platform_cli.local.stage import Stage, set_stage
from platform_cli.local.windmill.runtime import JobStarted
from platform_core.bookings import bookings
from platform_core.bookings.contracts import EnrolmentRequest
from platform_core.jobs import queue
from platform_core.values import Actor
from tests.support.bookings import PHONE, PHONE_QUESTION, PUPIL_QUESTION, TRIAL
from tests.support.databases import Databases
from tests.support.doorstep import door_password, door_process, wait_for

STAFF = Actor("user", "bruno")
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
ROUNDS = 4
LEASE_S = 1
LATEST_KILL_S = 0.4


class Academy:
    """Einstein Kids at work, with Calendly posting to its route."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.calendly = stage, stage.calendly

    def book(self, starts_at: datetime = SOON, *, deliver: bool = True) -> Booking:
        """A parent books a trial class."""
        answers = {PUPIL_QUESTION: "Leo Rojas", PHONE_QUESTION: PHONE}
        return self.calendly.book(
            "Ana Rojas", starts_at=starts_at, answers=answers, kind=TRIAL, deliver=deliver
        )

    def work(self) -> None:
        """Cron's minutes come until the queue is quiet."""
        for _ in range(60):
            self.stage.tick(seconds=20, lease_s=LEASE_S)
            with self.stage.app() as app, app.tx() as tx:
                health = queue.read_health(tx)
            if not (health.due or health.running or health.suspect or health.leases):
                return
            threading.Event().wait(0.2)  # a dead runner's lease ends
        raise AssertionError(f"the queue never became quiet: {health}")

    def states(self) -> list[str]:
        """Every booking's, by its hour."""
        with self.stage.app() as app, app.tx() as tx:
            return [one.state for one in reversed(bookings.list_bookings(tx))]

    def told(self) -> list[str]:
        """The templates the provider was asked to send, in order."""
        messages = self.stage.ycloud.account.messages.values()
        return [str(_part(message, "template")["name"]) for message in messages]

    def rows(self, table: str, columns: str) -> list[Any]:
        """What the customer's own login sees."""
        with self.stage.app() as app, app.tx() as tx:
            return tx.execute(f"SELECT {columns} FROM {table} ORDER BY 1".encode()).fetchall()


def _part(message: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = message[name]
    assert isinstance(found, Mapping)
    return found


@contextmanager
def academy(databases: Databases, repository: Path, **options: Any) -> Iterator[Academy]:
    """An academy of its own for one test."""
    with (
        databases.tenant("einstein_kids") as made,
        set_stage(repository / "customers", "einstein_kids", made.dsn, **options) as stage,
    ):
        yield Academy(stage)


def test_a_trial_class_is_booked_moved_and_leads_to_an_enrolment(
    databases: Databases, repository: Path
) -> None:
    """Parents and staff: told of each thing once, in order, and never that they cancelled."""
    with academy(databases, repository) as one:
        booking = one.book()
        one.work()
        moved = one.calendly.reschedule(booking, SOON + timedelta(hours=2), created_first=True)
        one.work()
        with one.stage.app() as app, app.tx() as tx:
            newest = bookings.list_bookings(tx)[0]
            request = EnrolmentRequest(booking_id=newest.id)
            bookings.enrol(tx, request, actor=STAFF, policy=app.policy(), now=app.clock.now())
        one.calendly.cancel(moved)
        one.work()

        assert one.states() == ["rescheduled", "enrolled"]
        assert one.told() == ["clase_prueba_agendada", "clase_prueba_movida", "bienvenida"]
        assert one.rows("attendance.student", "name") == [("Leo Rojas",)]


def test_a_booking_that_comes_through_both_doors_is_taken_in_once(
    databases: Databases, repository: Path, tmp_path: Path
) -> None:
    """Calendly: whichever door is open; the other one knows it, and both refuse a forger."""
    password = door_password(databases)
    with (
        academy(databases, repository, door_folder=tmp_path / "ingest") as one,
        door_process(tmp_path / "ingest", password) as door,
    ):
        (route,) = one.calendly.subscriptions
        key = str(route.signing_key)
        one.calendly.subscribe(f"{door.url}/api/r/einstein_kids/calendly/bookings", key, scope="user")
        event = one.calendly.event("invitee.created", one.book(deliver=False))

        taken = one.calendly.deliver(event)
        late = one.calendly.deliver(
            one.calendly.event("invitee.created", one.book(deliver=False)),
            signed_at=datetime.now(UTC) - timedelta(days=1),
        )
        forged = one.calendly.deliver(event, key="not-a-real-key-of-this-subscription-0")
        one.work()
        # The always-on door writes its counts a little later.
        wait_for(lambda: sum(count for (count,) in one.rows("inbox.refusal", "count")) == 2)

        assert [delivery.status for delivery in [*taken, *late]] == [200] * 4
        assert [delivery.status for delivery in forged] == [401, 401]
        assert sorted(one.rows("inbox.event", "state, source, endpoint")) == [
            ("handled", "calendly", "bookings"),
            ("held", "calendly", "bookings"),
        ]
        assert (one.states(), one.told()) == (["booked"], ["clase_prueba_agendada"])


def test_a_route_that_fails_for_a_day_costs_the_subscription_and_cron_brings_it_back(
    databases: Databases, repository: Path
) -> None:
    """Cron: the customer's script sees the dead wire, says so and makes it again."""
    with academy(databases, repository) as one:
        (route,) = one.calendly.subscriptions
        route.state = "disabled"
        one.book()
        one.work()
        lost = one.states()

        checked = [one.stage.run("check_connectors").value for _ in range(2)]
        one.book()
        one.work()

        assert lost == []
        assert checked == [
            {"checked": ["ycloud: ok", "calendly: degraded"], "recreated": ["calendly"]},
            {"checked": ["ycloud: ok", "calendly: ok"], "recreated": []},
        ]
        assert one.states() == ["booked"]
        assert one.rows("alerts.alert", "kind, severity, state") == [("subscription.disabled", "P1", "open")]


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_whatever_is_killed_and_repeated_leaves_the_same_bookings_and_no_second_message(
    databases: Databases, repository: Path, seed: int
) -> None:
    """Calendly and cron: every event twice, in an order by chance, while half of the runners are killed."""
    chance = random.Random(seed)  # noqa: S311 - chance, not a secret
    timers: list[threading.Timer] = []
    killing = threading.Event()

    def kill(pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def hear(started: JobStarted) -> None:
        if killing.is_set() and started.path.endswith("job_runner_cron") and chance.random() < 0.5:
            timers.append(threading.Timer(chance.uniform(0, LATEST_KILL_S), kill, (started.pid,)))
            timers[-1].start()

    with academy(databases, repository, on_start=hear) as one:
        events = _story(one)
        bodies = [(event, encode(event)) for event in events * 2]
        chance.shuffle(bodies)
        killing.set()
        for event, body in bodies:
            one.calendly.deliver(event, body=body)
            if chance.random() < 0.5:
                one.stage.tick(lease_s=LEASE_S)
        killing.clear()
        for timer in timers:
            timer.join()
        one.work()

        assert one.states() == ["rescheduled", "canceled", "booked"]
        assert one.rows("inbox.event", "DISTINCT state") == [("handled",)]
        sent = [json.dumps(_part(m, "template")) for m in one.stage.ycloud.account.messages.values()]
        assert len(sent) == len(set(sent)), "two classes have two hours, so no two messages are alike"
        assert set(one.told()) <= {"clase_prueba_agendada", "clase_prueba_movida", "clase_prueba_cancelada"}


def _story(one: Academy) -> list[dict[str, object]]:
    """One class is moved, another cancelled: five events, as each was posted."""
    first = one.book(SOON, deliver=False)
    made = one.calendly.event("invitee.created", first)
    second = one.book(SOON + timedelta(hours=1), deliver=False)
    other = one.calendly.event("invitee.created", second)
    moved = one.calendly.reschedule(first, SOON + timedelta(hours=2), deliver=False)
    one.calendly.cancel(second, deliver=False)
    return [
        made,
        other,
        one.calendly.event("invitee.canceled", first),
        one.calendly.event("invitee.created", moved),
        one.calendly.event("invitee.canceled", second),
    ]
