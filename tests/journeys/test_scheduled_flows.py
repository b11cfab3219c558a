"""The flows that a schedule starts, each run once as its file says, and what they leave in the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from platform_cli.local.stage import Stage, set_stage
from platform_cli.local.windmill import jsonb
from platform_cli.local.windmill.runtime import Trigger
from platform_core.attendance import sessions
from platform_core.attendance.contracts import NewEnrolment, NewSession, NewStudent
from platform_core.bookings import reception
from platform_core.messaging import contacts
from platform_core.messaging.contracts import Party
from platform_core.payments import obligations
from platform_core.payments.contracts import NewObligation
from platform_core.values import Actor, Money
from tests.support.bookings import Calendar
from tests.support.databases import Databases
from tests.support.wmctl import rows_of
from tests.support.written_flows import new_state

CUSTOMER = "einstein_kids"
PHONE = "+56900000011"
OFFICE = Actor("system", "tests")
HOUR = timedelta(hours=1)
ALERTS = (
    "SELECT payload->>'kind' AS kind, payload->>'severity' AS severity, payload->>'subject' AS subject"
    " FROM jobs.job WHERE kind = 'alert.raised' ORDER BY id"
)
REMINDERS = (
    "SELECT debt.pupil, one.step, one.state, to_char(one.local_time, 'HH24:MI') AS at"
    " FROM payments.reminder AS one JOIN payments.obligation AS debt ON debt.id = one.obligation_id"
    " WHERE one.step LIKE 'late%' ORDER BY one.id"
)


class Academy:
    """Einstein Kids at work, with its flows; `now` is one moment for what a test enters."""

    def __init__(self, stage: Stage, admin_dsn: str) -> None:
        self.stage, self.admin_dsn = stage, admin_dsn
        self.now = datetime.now(UTC).replace(second=0, microsecond=0)

    def owes(self, pupil: str, *, days: int) -> None:
        """A debt that was due so many days ago."""
        with self.stage.app() as app, app.tx() as tx:
            new = NewObligation(
                reference=f"debt/{pupil}",
                contact_id=contacts.find_or_create(tx, Party(phone=PHONE, name=pupil), self.now),
                pupil=pupil,
                concept="la mensualidad",
                due_on=(self.now - timedelta(days=days)).date(),
                amount=Money(45_000, "CLP"),
            )
            obligations.add_obligation(tx, new, actor=OFFICE, policy=self.stage.policy, now=self.now)

    def has_taught(self, *, ended: timedelta) -> None:
        """A class without a reader that lived, over since so long; nobody has computed it yet."""
        ends = self.now - ended
        starts = ends - HOUR
        with self.stage.app() as app, app.tx() as tx:
            contact = contacts.find_or_create(tx, Party(phone=PHONE), self.now)
            student = NewStudent(reference="118", name="Sofía", contact_id=contact)
            sessions.add_student(tx, student, actor=OFFICE, now=self.now)
            enrolment = NewEnrolment(student="118", course="Robótica", valid_from=starts - HOUR)
            sessions.enrol(tx, enrolment, actor=OFFICE)
            new = NewSession(
                reference="rob/1",
                course="Robótica",
                feed="door-1",
                day=starts.date(),
                starts=starts.time(),
                ends=ends.time(),
                timezone="Etc/UTC",
            )
            sessions.add_session(tx, new, actor=OFFICE, policy=self.stage.policy, now=self.now)

    def had_trial_class(self, *, began: timedelta) -> None:
        """A family's trial class, as Calendly told of it."""
        made = Calendar(starts_at=self.now - began).made()
        with self.stage.app() as app, app.tx() as tx:
            reception.take_in(tx, "calendly", made, policy=self.stage.policy, now=self.now)

    def runs(self, name: str) -> object:
        """The flow with the arguments of its schedule, as at its hour; what it gave back."""
        path = f"f/{CUSTOMER}/{name}"
        (schedule,) = (one for one in self.stage.runtime.schedules if one.path == path)
        assert schedule.is_flow
        arguments = {key: jsonb.to_python(jsonb.to_text(value)) for key, value in schedule.args.items()}
        ran = self.stage.runtime.run_flow(schedule.script_path, arguments, trigger=Trigger("schedule", path))
        assert ran.ok, ran.text
        return ran.value

    def rows(self, query: str) -> list[dict[str, object]]:
        """What the database says."""
        return rows_of(self.admin_dsn, query)


@pytest.fixture
def academy(databases: Databases, repository: Path) -> Iterator[Academy]:
    """The customer as its files say, flows and schedules included."""
    state_dsn = new_state(databases.cluster)
    with (
        databases.tenant(CUSTOMER) as made,
        set_stage(repository / "customers", CUSTOMER, made.dsn, state_dsn=state_dsn) as stage,
    ):
        yield Academy(stage, made.admin_dsn)


def test_what_is_long_overdue_is_reminded_of_once(academy: Academy) -> None:
    """One more reminder for the debt whose plan is over; the second run of the day has nothing to do."""
    academy.owes("Sofía", days=20)
    academy.owes("Mateo", days=3)
    academy.runs("overdue_reminders")
    again = academy.runs("overdue_reminders")

    assert academy.rows(REMINDERS) == [
        {"pupil": "Sofía", "step": "late-1", "state": "scheduled", "at": "10:00"}
    ]
    assert again == {"debts": [], "count": 0}
    assert academy.rows(ALERTS) == []


def test_a_class_that_waits_for_a_person_is_asked_about_again(academy: Academy) -> None:
    """Nobody is called absent: the class is undetermined, and staff are asked, once a day."""
    academy.has_taught(ended=timedelta(hours=5))
    for _ in range(2):
        academy.runs("attendance_followup")

    assert academy.rows("SELECT verdict FROM attendance.result") == [{"verdict": "undetermined"}]
    assert [row for row in academy.rows(ALERTS) if row["kind"] == "attendance.waits"] == [
        {"kind": "attendance.waits", "severity": "P3", "subject": "L1"}
    ]
    assert academy.rows("SELECT purpose FROM messaging.outbox") == []


def test_staff_are_asked_what_came_of_a_trial_class_that_is_over(academy: Academy) -> None:
    """One that is still to come is left alone; nobody is enrolled by a schedule."""
    academy.had_trial_class(began=timedelta(hours=3))
    academy.had_trial_class(began=timedelta(hours=-3))
    for _ in range(2):
        academy.runs("onboard_pupil")

    assert academy.rows(ALERTS) == [{"kind": "booking.waits", "severity": "P3", "subject": "B1"}]
    assert academy.rows("SELECT state FROM bookings.booking ORDER BY id") == [{"state": "booked"}] * 2
    assert academy.rows("SELECT reference FROM attendance.student") == []
