"""Classes as parents, readers and cron live them: late data, two doors, crashes.

Every script runs in a process of its own, and what families get is what the provider's stand-in accepted.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from platform_cli.local.reader import Reader
from platform_cli.local.stage import Stage, set_stage
from platform_cli.local.windmill.runtime import JobStarted
from platform_core.attendance import loading, results
from platform_core.attendance.contracts import ConfirmationRequest
from platform_core.inbox import events
from platform_core.jobs import queue
from platform_core.values import Actor
from tests.support.databases import Databases, TenantDatabase
from tests.support.doorstep import door_password, door_process, wait_for

STAFF = Actor("user", "bruno")
PUPILS = ("118", "119", "120", "121", "122")
READER = "door-1"
ROUNDS = 6
LEASE_S = 1
LATEST_KILL_S = 0.4


class School:
    """Einstein Kids at work, with a class of an hour that has just settled and nothing yet of its reader."""

    def __init__(self, stage: Stage, made: TenantDatabase) -> None:
        self.stage, self.made = stage, made
        self.ends = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=21)
        self.starts = self.ends - timedelta(hours=1)
        students = "".join(f"{one};Alumno {one};+569000000{one[1:]};Robótica;2026-01-01\n" for one in PUPILS)
        hours = f"{self.starts:%Y-%m-%d};{self.starts:%H:%M:%S};{self.ends:%H:%M:%S};Etc/UTC"
        with stage.app() as app, app.tx() as tx:
            policy, now = app.policy(), app.clock.now()
            sheet = f"reference;name;phone;course;from\n{students}".encode()
            loading.load_students(tx, sheet, actor=STAFF, policy=policy, now=now)
            sheet = (
                f"reference;course;reader;day;starts;ends;zone\nrob/1;Robótica;{READER};{hours}\n".encode()
            )
            loading.load_sessions(tx, sheet, actor=STAFF, policy=policy, now=now)

    def reader(self, url: str = "", *came: str) -> Reader:
        """The reader of the class, which lived through it and saw these come."""
        found = Reader(READER, url or self.stage.reader_url, self.stage.reader_secret)
        found.lives_through(self.starts, self.ends, every=timedelta(minutes=5))
        for student in came:
            found.sees(student, at=self.starts)
        return found

    def detail(self) -> results.SessionDetail:
        """What is known of the class."""
        with self.stage.app() as app, app.tx() as tx:
            (one,) = results.list_sessions(tx)
            return results.get_session(tx, one.id)

    def said(self) -> tuple[str | None, int | None, dict[str, str]]:
        """The verdict, its version, and each student."""
        found = self.detail()
        return (
            found.summary.verdict,
            found.summary.version,
            {one.reference: one.status for one in found.students},
        )

    def told(self) -> list[str]:
        """Whom the provider was asked to write to, in order."""
        return [str(message["to"]) for message in self.stage.ycloud.account.messages.values()]

    def refused(self) -> int:
        """How many deliveries the doors refused."""
        with self.stage.app() as app, app.tx() as tx:
            return sum(one.count for one in events.list_refusals(tx))

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


@contextmanager
def school(
    databases: Databases,
    repository: Path,
    *,
    on_start: Callable[[JobStarted], None] | None = None,
    door_folder: Path | None = None,
) -> Iterator[School]:
    """A school of its own for one test."""
    customers = repository / "customers"
    with (
        databases.tenant("einstein_kids") as made,
        set_stage(customers, "einstein_kids", made.dsn, on_start=on_start, door_folder=door_folder) as stage,
    ):
        yield School(stage, made)


def test_a_reader_that_was_cut_off_is_believed_when_it_delivers_and_not_before(
    databases: Databases, repository: Path
) -> None:
    """Parents: nobody hears of an absence while the reader is silent; one family does when it has spoken."""
    with school(databases, repository) as class_:
        reader = class_.reader("http://127.0.0.1:9/nobody/listens", "118", "119", "120", "121")
        lost = [delivered.status for delivered in reader.deliver()]
        class_.work()
        silent, told = class_.said(), class_.told()
        reader.url = class_.stage.reader_url
        late = [delivered.status for delivered in reader.deliver()]
        class_.work()
        computed = class_.stage.run("compute_attendance")
        class_.work()

        assert (lost, late) == ([None], [200])
        assert (silent, told) == (("undetermined", 1, dict.fromkeys(PUPILS, "undetermined")), [])
        assert computed.value == {"sessions": 1, "changed": 1, "waiting": 0}
        assert class_.said() == (
            "complete",
            2,
            dict.fromkeys(PUPILS[:4], "present") | {"122": "absent_unexcused"},
        )
        assert class_.told() == ["+56900000022"]


def test_a_batch_that_comes_through_both_doors_is_taken_in_once(
    databases: Databases, repository: Path, tmp_path: Path
) -> None:
    """Readers: whichever door is open; the other one knows it."""
    password = door_password(databases)
    with (
        school(databases, repository, door_folder=tmp_path / "ingest") as class_,
        door_process(tmp_path / "ingest", password) as door,
    ):
        reader = class_.reader(f"{door.url}/api/r/einstein_kids/reader/feed", *PUPILS)
        (delivered,) = reader.deliver()
        reader.url = class_.stage.reader_url
        again = reader.post(delivered.body)
        forged = [reader.post(delivered.body, secret=f"rdr_{'0' * 32}")]
        reader.url = f"{door.url}/api/r/einstein_kids/reader/feed"
        forged.append(reader.post(delivered.body, secret=f"rdr_{'0' * 32}"))
        class_.work()
        class_.stage.run("compute_attendance")
        wait_for(lambda: class_.refused() == 2)  # the always-on door writes its counts a little later
        with class_.stage.app() as app, app.tx() as tx:
            stored = tx.execute("SELECT source, endpoint, event_id, state FROM inbox.event").fetchall()

        assert (delivered.status, again, forged) == (200, 200, [401, 401])
        assert stored == [("reader", "feed", f"{READER}:000001", "handled")]
        assert class_.said()[0] == "complete"
        assert class_.told() == []


def test_an_empty_class_is_told_to_families_only_after_somebody_vouches_for_it(
    databases: Databases, repository: Path
) -> None:
    """Staff: a living reader that saw nobody waits for a person; confirming tells each family once."""
    with school(databases, repository) as class_:
        class_.reader().deliver()
        class_.work()
        class_.stage.run("compute_attendance")
        class_.work()
        waiting, told = class_.said()[0], class_.told()
        with class_.stage.app() as app, app.tx() as tx:
            version = class_.detail().summary.version
            request = ConfirmationRequest(session_id=class_.detail().summary.id, version=version or 0)
            results.confirm_empty(tx, request, actor=STAFF, policy=app.policy(), now=app.clock.now())
        class_.work()
        class_.stage.run("compute_attendance")
        class_.work()

        assert (waiting, told) == ("suspicious_empty", [])
        assert sorted(class_.told()) == [f"+569000000{one[1:]}" for one in PUPILS]


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_cron_that_is_killed_and_comes_twice_tells_one_family_once(
    databases: Databases, repository: Path, seed: int
) -> None:
    """Cron: half of its processes are killed, two compute at once; one result, one message at most."""
    chance = random.Random(seed)  # noqa: S311 - chance, not a secret
    timers: list[threading.Timer] = []
    killing = threading.Event()

    def kill(pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def hear(started: JobStarted) -> None:
        if killing.is_set() and chance.random() < 0.5:
            timers.append(threading.Timer(chance.uniform(0, LATEST_KILL_S), kill, (started.pid,)))
            timers[-1].start()

    with school(databases, repository, on_start=hear) as class_:
        class_.reader("", *PUPILS[:4]).deliver()
        killing.set()
        for _ in range(3):
            both = [
                threading.Thread(target=class_.stage.run, args=("compute_attendance",)),
                threading.Thread(target=class_.stage.tick, kwargs={"lease_s": LEASE_S}),
            ]
            for one in both:
                one.start()
            for one in both:
                one.join()
        killing.clear()
        for timer in timers:
            timer.join()
        class_.work()
        class_.stage.run("compute_attendance")
        class_.work()
        with class_.stage.app() as app, app.tx() as tx:
            messages = tx.execute("SELECT purpose, state FROM messaging.outbox").fetchall()

        assert class_.said()[0::2] == (
            "complete",
            dict.fromkeys(PUPILS[:4], "present") | {"122": "absent_unexcused"},
        )
        # A send that was killed in the call is never made again: then a person asks the provider.
        assert messages in ([("attendance.absent", "accepted")], [("attendance.absent", "ambiguous")])
        assert class_.told() in (["+56900000022"], [])
        assert class_.told() or messages == [("attendance.absent", "ambiguous")]
