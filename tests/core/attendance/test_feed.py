"""What readers deliver, from the stored bytes to check-ins and heartbeats, and what is not believed."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from platform_core import app
from platform_core.attendance import feed
from platform_core.errors import ContractDrift
from platform_core.inbox import events
from platform_core.inbox.events import Delivery
from platform_core.values import Cancelled, Dead, Done, Outcome
from tests.support.attendance import READER, School

MINUTE = timedelta(minutes=1)
_numbers = itertools.count(1)


def took_in(new: int, known: int, contradicted: int, beats: int, ahead: int) -> Done:
    """What the job says it took in."""
    return Done(
        f"door-1: {new} check-ins new, {known} known, {contradicted} contradicted; "
        f"{beats} heartbeats new, {ahead} not believed"
    )


class Readers:
    """The readers of a school. Inbox and readers keep the database's time, so classes here end just now."""

    def __init__(self, school: School) -> None:
        self.school = school
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.begins = self.now - 90 * MINUTE
        school.clock.at = self.now

    def add_class(self) -> int:
        """An hour long, over for half an hour; the night may be in the middle of it."""
        day, starts, ends = self.begins.date(), self.begins.time(), (self.begins + 60 * MINUTE).time()
        return self.school.session("rob/1", day=day, starts=starts, ends=ends, timezone="Etc/UTC")

    def batch(self, *students: str, **changed: object) -> dict[str, Any]:
        """Everybody in time, and the whole class watched."""
        seen = [
            {"id": f"scan-{next(_numbers)}", "student": student, "at": self.begins.isoformat()}
            for student in students
        ]
        lived = [(self.begins + minute * MINUTE).isoformat() for minute in range(0, 61, 5)]
        return {
            "id": f"{next(_numbers):06}",
            "type": "reader.batch",
            "reader": READER,
            "sent_at": self.now.isoformat(),
            "checkins": seen,
            "heartbeats": [{"at": at, "synced_until": at} for at in lived],
        } | changed

    def deliver(self, batch: object, *, stale: bool = False) -> tuple[str, Outcome]:
        """Store the batch as a door does, then run its job; what the inbox said, and the job."""
        body = batch if isinstance(batch, bytes) else json.dumps(batch).encode()
        number = batch["id"] if isinstance(batch, dict) else f"bytes-{next(_numbers)}"
        delivery = Delivery("reader", "feed", f"{READER}:{number}", "reader.batch", body, [], self.now, stale)
        with self.school.tx() as tx:
            receipt = events.receive(tx, delivery)
        return receipt.outcome, self.school.run(app.handle_event, {"event": receipt.event_id})

    def kept(self) -> tuple[object, object]:
        """How many check-ins and heartbeats there are."""
        return self._count("checkin"), self._count("heartbeat")

    def _count(self, table: str) -> object:
        return self.school.rows(f"SELECT count(*) AS n FROM attendance.{table}")[0]["n"]


@pytest.fixture
def readers(school: School) -> Readers:
    """Of a school with five students."""
    school.with_attendance(suspicious_from=10)
    for number in range(1, 6):
        school.student(f"s{number}", valid_from=datetime(2026, 1, 1, tzinfo=UTC))
    return Readers(school)


def test_a_batch_says_who_came_and_that_the_reader_watched(readers: Readers) -> None:
    """From bytes to a result: four came, one did not, and the class was watched."""
    outcome = readers.deliver(readers.batch("s1", "s2", "s3", "s4"))
    session_id = readers.add_class()

    stored = readers.school.compute(session_id)

    assert outcome == ("stored", took_in(4, 0, 0, 13, 0))
    assert (stored.verdict, readers.school.statuses(session_id)) == (
        "complete",
        {"s1": "present", "s2": "present", "s3": "present", "s4": "present", "s5": "absent_unexcused"},
    )


def test_the_same_batch_again_and_the_same_check_ins_in_another_change_nothing(readers: Readers) -> None:
    """The inbox knows the batch, the table each check-in and heartbeat."""
    batch = readers.batch("s1", "s2")
    readers.deliver(batch)
    before = readers.kept()

    again, other = readers.deliver(batch), readers.deliver(batch | {"id": "999999"})

    assert again == ("duplicate", Done("handled before"))
    assert other == ("stored", took_in(0, 2, 0, 0, 0))
    assert readers.kept() == before == (2, 13)


def test_another_body_under_a_known_number_is_a_conflict_and_the_first_stays(readers: Readers) -> None:
    """A person sees it; nothing of the second is believed."""
    batch = readers.batch("s1")
    readers.deliver(batch)

    outcome, _ = readers.deliver(readers.batch("s2") | {"id": batch["id"]})

    assert (outcome, readers.kept()) == ("conflict", (1, 13))
    assert "inbox.conflict" in readers.school.alerts()


def test_an_id_that_comes_again_with_other_content_is_counted_and_loses_no_other(readers: Readers) -> None:
    """The first of the two stays; what came with the second is taken in."""
    batch = readers.batch("s1")
    readers.deliver(batch)
    second = readers.batch("s2", "s3")
    first_id = batch["checkins"][0]["id"]
    second["checkins"][0]["id"] = first_id

    _, outcome = readers.deliver(second)

    assert outcome == took_in(1, 0, 1, 0, 0)
    rows = readers.school.rows("SELECT student FROM attendance.checkin ORDER BY id")
    assert [row["student"] for row in rows] == ["s1", "s3"]
    assert readers.school.alerts() == ["attendance.contradicting_ids"]


@pytest.mark.parametrize("off", [-121, 3600])
def test_a_reader_whose_clock_is_off_proves_nothing(readers: Readers, off: int) -> None:
    """Its heartbeats are not kept, its check-ins are set aside, and nobody is absent on its word."""
    sent_at = (readers.now + off * timedelta(seconds=1)).isoformat()
    readers.deliver(readers.batch("s1", "s2", "s3", "s4", sent_at=sent_at))
    session_id = readers.add_class()

    stored = readers.school.compute(session_id)

    assert readers.kept() == (4, 0)
    assert (stored.verdict, set(readers.school.statuses(session_id).values())) == (
        "undetermined",
        {"undetermined"},
    )
    assert {one.reason for one in readers.school.detail(session_id).quarantined} == {"clock_skew"}
    assert "attendance.reader_clock" in readers.school.alerts()
    assert readers.school.messages() == []


def test_a_clock_that_is_a_minute_off_is_believed(readers: Readers) -> None:
    """Two minutes by this policy; what a busy network takes is within it."""
    sent_at = (readers.now - timedelta(seconds=60)).isoformat()

    _, outcome = readers.deliver(readers.batch("s1", sent_at=sent_at))

    assert outcome == took_in(1, 0, 0, 13, 0)
    assert readers.school.alerts() == []


def test_a_heartbeat_from_the_future_is_not_believed_and_stops_nothing(readers: Readers) -> None:
    """The check-ins beside it are taken in."""
    ahead = (readers.now + 5 * MINUTE).isoformat()
    batch = readers.batch("s1", heartbeats=[{"at": ahead, "synced_until": ahead}])

    _, outcome = readers.deliver(batch)

    assert outcome == took_in(1, 0, 0, 0, 1)
    assert readers.school.alerts() == ["attendance.reader_clock"]


def test_a_late_job_does_not_make_the_readers_clock_wrong(readers: Readers) -> None:
    """A batch is judged by when it came, not by when it is read."""
    readers.school.clock.at = readers.now + timedelta(hours=5)

    readers.deliver(readers.batch("s1"))

    assert readers.kept() == (1, 13)


def test_a_stale_batch_is_held_until_a_person_releases_it(readers: Readers) -> None:
    """Authentic, and signed at another time: nothing of it counts before."""
    outcome = readers.deliver(readers.batch("s1"), stale=True)

    assert outcome == ("held", Cancelled("the event is held until a person releases it"))
    assert readers.kept() == (0, 0)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"type": "reader.other"}, "type"),
        ({"reader": "the door"}, "reader"),
        ({"sent_at": "2026-03-02T15:00:00"}, "sent_at"),
        ({"sent_at": 1767323045}, "sent_at"),
        ({"sent_at": "0001-01-01T00:00:00+05:00"}, "sent_at"),
        ({"sent_at": "9999-12-31T23:59:59-05:00"}, "sent_at"),
        (
            {"heartbeats": [{"at": "1970-01-01T00:00:00Z", "synced_until": "1970-01-01T00:00:00Z"}]},
            "heartbeats.0.at",
        ),
        ({"more": 1}, "more"),
        ({"checkins": [{"id": "1", "student": "s1"}]}, "checkins.0.at"),
        ({"checkins": [{"id": "1", "student": "", "at": "2026-03-02T15:00:00Z"}]}, "checkins.0.student"),
        ({"checkins": [{"id": "1", "student": "s1", "at": "2026-03-02T15:00:00Z"}] * 1001}, "checkins"),
        ({"heartbeats": [{"at": "2026-03-02T15:00:00Z"}]}, "heartbeats.0.synced_until"),
    ],
)
def test_a_batch_that_is_not_as_documented_is_kept_unread_and_somebody_is_asked(
    readers: Readers, changed: dict[str, object], named: str
) -> None:
    """By field, never by value; of the batch nothing but its bytes is kept."""
    _, outcome = readers.deliver(readers.batch("s1", **changed))

    assert isinstance(outcome, Dead)
    assert named in outcome.reason
    assert readers.kept() == (0, 0)
    assert readers.school.rows("SELECT state FROM inbox.event") == [{"state": "unreadable"}]
    assert readers.school.alerts() == ["inbox.unreadable"]


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"id":"1"', b"\xff\xfe", b"[" * 100_000])
def test_bytes_that_are_no_batch_are_refused_with_one_error(body: bytes) -> None:
    """Nothing else is raised, whatever a reader sends."""
    with pytest.raises(ContractDrift, match="not as documented"):
        feed.read_batch(body)
