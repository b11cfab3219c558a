"""A customer at work in an installation of its own: things of every kind, made by the real verbs."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql

from platform_cli.local.postgres import Cluster
from platform_cli.local.secret_store import FileSecretStore
from platform_core.app import App, open_app
from platform_core.attendance import results, sessions
from platform_core.attendance.contracts import (
    Beat,
    NewEnrolment,
    NewSession,
    NewStudent,
    Reading,
    session_ref,
)
from platform_core.bookings import reception
from platform_core.connectors import Accepted, Media, load_connector
from platform_core.db import Tx
from platform_core.errors import AmbiguousOutcome
from platform_core.inbox import events
from platform_core.inbox.events import Delivery
from platform_core.jobs import queue
from platform_core.messaging import contacts, inbound
from platform_core.messaging.contracts import OutgoingMessage, Party
from platform_core.tenancy.policy import store_policy
from platform_core.tenancy.provision import Provisioned, provision
from platform_core.values import Actor
from tests.support import hostile
from tests.support.bookings import PHONE_QUESTION, Calendar
from tests.support.messaging import ScriptedClient, image_message
from tests.support.policies import policy_text, policy_under
from tests.support.wmctl import Terminal, rows_of

SLUG = "einstein_kids"
PHONE = "+56900000011"
AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

_numbers = itertools.count(1)
_NEWEST_COURSE = "SELECT course FROM attendance.session ORDER BY id DESC LIMIT 1"


class _Forgetful(ScriptedClient):
    """A provider that never says what became of a message."""

    def send(self, message: OutgoingMessage, *, external_id: str) -> Accepted:
        """No answer."""
        raise AmbiguousOutcome(f"Nothing is known of the {message.kind} {external_id}")

    def fetch_media(self, link: str, *, max_bytes: int) -> Media:
        """A picture, whatever is asked for."""
        return Media(content=hostile.photo(), mime_type="image/jpeg", sha256=link.encode()[:max_bytes])


class Office:
    """Einstein Kids on a cluster. `made` says how its own login connects."""

    def __init__(
        self, cluster: Cluster, state: Path, made: Provisioned, windmill: Mapping[str, str] | None = None
    ) -> None:
        self.cluster, self.state, self.made = cluster, state, made
        self.slug = made.tenant.slug
        self._doomed = ""
        self.terminal = Terminal(
            {
                "PLATFORM_DATABASE_URL": cluster.admin_dsn,
                "PLATFORM_STATE_DIR": str(state),
                **(windmill or {}),
            }
        )
        self.admin_dsn = cluster.dsn(made.tenant.database_name)

    def say(self, *arguments: str) -> None:
        """Run a command that must work."""
        said = self.terminal.say(*arguments)
        assert said.code == 0, (arguments, said)

    def newest(self, table: str, prefix: str, where: str = "true") -> str:
        """The newest row of a table, by the name people use."""
        found = rows_of(self.admin_dsn, f"SELECT max(id) AS id FROM {table} WHERE {where}")[0]["id"]
        assert found is not None, f"no row in {table} where {where}"
        return f"{prefix}{found}"

    # --- things, each made anew ---------------------------------------------------------------------------

    def claim(self) -> str:
        """A claim that waits for somebody other than bruno, of a parent of its own.

        One parent is written to only so often: what one test asked for would make the next one wait.
        """
        phone = f"+569{next(_numbers):08d}"
        self.say("claim", "open", "--as", "bruno", "--phone", phone, "--amount", "45000", "-c", self.slug)
        return self.newest("payments.claim", "C")

    def receipt_claim(self) -> str:
        """A claim that a parent's picture opened."""
        with self._tx() as tx:
            name = f"wamid.office{next(_numbers)}"
            event = events.receive(tx, _delivery(name, b"{}", stale=True)).event_id
            sent = image_message(name, sender=Party(phone=f"+569{next(_numbers):08d}"))
            inbound.store_message(tx, sent, provider="ycloud", event=event, now=AT)
        self.work()
        return self.newest("payments.claim", "C")

    def approved_claim(self) -> str:
        """A claim that carla approved."""
        claim = self.claim()
        self.say("claim", "approve", claim, "--as", "carla", "--amount", "45000", "--method", "bank_app",
                 "--reference", f"TRX-{claim}", "-c", self.slug)  # fmt: skip
        return claim

    def obligation(self) -> str:
        """A debt with its reminders."""
        self.say("obligation", "add", "--as", "bruno", "--phone", PHONE, "--pupil", "Sofía", "--concept",
                 "la mensualidad", "--amount", "45000", "--due-on", "2031-12-05", "--reference",
                 f"ref/{next(_numbers)}", "-c", self.slug)  # fmt: skip
        return self.newest("payments.obligation", "O")

    def lesson(self, *, seen: int = 1) -> str:
        """A class that ended two hours ago: five students, a living reader, and so many of them seen."""
        reference = f"class-{next(_numbers)}"
        ends = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=2)
        starts = ends - timedelta(hours=1)
        zone = ZoneInfo("UTC" if starts.day == ends.day else "Etc/GMT+6")  # no class goes over midnight
        system = Actor("system", "tests")
        with self.app() as app, app.tx() as tx:
            now, policy = app.clock.now(), app.policy()
            wall = {"starts": starts.astimezone(zone).time(), "ends": ends.astimezone(zone).time()}
            facts = {"reference": reference, "course": reference, "feed": reference, "timezone": zone.key}
            new = NewSession.model_validate({**facts, **wall, "day": starts.astimezone(zone).date()})
            session_id = sessions.add_session(tx, new, actor=system, policy=policy, now=now)
            contact = contacts.find_or_create(tx, Party(phone=f"+569{next(_numbers):08d}"), now)
            for number in range(5):
                student = f"{reference}-{number}"
                one = NewStudent(reference=student, name="Sofía", contact_id=contact)
                sessions.add_student(tx, one, actor=system, now=now)
                sessions.enrol(
                    tx, NewEnrolment(student=student, course=reference, valid_from=starts), actor=system
                )
            for number in range(seen):
                reading = Reading(
                    source=reference, source_id=str(number), student=f"{reference}-{number}", at=starts
                )
                sessions.record_checkins(tx, [reading], now=now)
            for minute in range(0, 65, 5):
                at = starts + timedelta(minutes=minute)
                sessions.record_heartbeat(tx, Beat(source=reference, at=at, synced_until=at), now=now)
            results.compute_session(tx, session_id, policy=policy, now=now)
        return session_ref(session_id)

    def future_lesson(self) -> str:
        """A class that is still to come."""
        reference = f"class-{next(_numbers)}"
        self.say("session", "add", "--as", "bruno", "--reference", reference, "--course", reference,
                 "--reader", "door-9", "--day", "2031-03-03", "--starts", "23:00", "--ends", "00:30",
                 "-c", self.slug)  # fmt: skip
        return self.newest("attendance.session", "L")

    def pupil(self) -> str:
        """A student who attends Robótica since 2026."""
        reference = f"pupil-{next(_numbers)}"
        self.say("student", "add", "--as", "bruno", "--reference", reference, "--name", "Sofía",
                 "--phone", PHONE, "-c", self.slug)  # fmt: skip
        self.say("student", "enrol", reference, "--as", "bruno", "--course", "Robótica",
                 "--from", "2026-01-01", "-c", self.slug)  # fmt: skip
        return reference

    def student_sheet(self) -> str:
        """A sheet of two students, as Excel saves it."""
        number = next(_numbers)
        return self._sheet(f"""referencia;nombre;teléfono;curso;desde\r
sheet-{number}-1;Sofía;+56 9 0000 0011;Robótica;01-03-2026\r
sheet-{number}-2;Mateo;+56 9 0000 0012;;\r
""")

    def session_sheet(self) -> str:
        """A sheet of one class."""
        return self._sheet(f"""reference,course,reader,day,starts,ends
sheet-{next(_numbers)},Robótica,door-1,2031-03-03,15:00,16:00
""")

    def _sheet(self, text: str) -> str:
        path = self.state / f"sheet-{next(_numbers)}.csv"
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
        return str(path)

    def booking(self, **changed: Any) -> str:
        """A trial class for the day after tomorrow, complete."""
        starts_at = datetime.now(UTC) + timedelta(days=2)
        said = Calendar(number=next(_numbers), starts_at=starts_at, **changed).made()
        with self.app() as app, app.tx() as tx:
            reception.take_in(tx, "calendly", said, policy=app.policy(), now=app.clock.now())
        return self.newest("bookings.booking", "B")

    def incomplete_booking(self) -> str:
        """A trial class whose parent did not say the pupil's name."""
        return self.booking(answers={PHONE_QUESTION: PHONE})

    def empty_lesson(self) -> str:
        """A class nobody was seen in."""
        return self.lesson(seen=0)

    def unseen_pupil(self) -> str:
        """A student of the newest class who was not seen."""
        return f"{rows_of(self.admin_dsn, _NEWEST_COURSE)[0]['course']}-4"

    def other_policy(self) -> str:
        """A policy file that is not in force, for the customer of this office."""
        file = self.state / f"policy_{next(_numbers)}.toml"
        hours = f"review_sla_hours = {24 + next(_numbers)}"
        fitted = policy_text(self.slug).replace("review_sla_hours = 24", hours)
        file.write_text(fitted, encoding="utf-8")
        return str(file)

    def policy_in_force(self) -> str:
        """A policy file that is in force; of the same content each time, so that all of them are."""
        file = self.state / f"policy_{next(_numbers)}.toml"
        file.write_text(policy_text(self.slug), encoding="utf-8")
        self.say("policy", "apply", self.slug, "--as", "ana", "--file", str(file))
        return str(file)

    def restore_policy(self) -> None:
        """Put the repository's members into force again."""
        self.policy_in_force()

    def panel_key(self) -> None:
        """Give the panel a key."""
        self.say("panel", "key", self.slug, "--url", f"https://panel.example.org/api/r/{self.slug}/panel")

    def panel_link(self) -> str:
        """A link into the panel for bruno."""
        self.panel_key()
        self.say("panel", "link", self.slug, "--person", "bruno")
        return self.newest("panel.link", "K")

    def webhook_secret(self) -> str:
        """A file with the secret of an endpoint."""
        file = self.state / f"webhook_{next(_numbers)}.txt"
        file.write_text("whsec_platform_core_test\n", encoding="utf-8")
        return str(file)

    def doomed(self) -> str:
        """The one of those that was made last."""
        return self._doomed

    def doomed_customer(self) -> str:
        """Another customer, which nobody needs."""
        slug = self._doomed = f"doomed_{next(_numbers)}"
        self.say("tenant", "provision", slug, "--display-name", "Doomed", "--timezone", "America/Lima",
                 "--currency", "PEN")  # fmt: skip
        return slug

    def limit_connections(self, limit: int) -> None:
        """Change the login's limit behind the platform's back."""
        with psycopg.connect(self.cluster.admin_dsn, autocommit=True) as admin:
            login = sql.Identifier(self.made.tenant.login)
            admin.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(login, sql.Literal(limit)))

    def waiting_job(self) -> str:
        """A job that is due years from now."""
        with self._tx() as tx:
            late = datetime(2031, 1, 1, tzinfo=UTC)
            return f"J{queue.enqueue(tx, 'alert.raised', {}, run_at=late).job_id}"

    def dead_job(self) -> str:
        """A dead letter: nobody can handle what it carries."""
        with self._tx() as tx:
            job = queue.enqueue(tx, "alert.raised", {"kind": "not dotted"}).job_id
        self.work()
        return f"J{job}"

    def held_event(self) -> str:
        """An authentic delivery that came too late."""
        with self._tx() as tx:
            return f"E{events.receive(tx, _delivery(f'evt_{next(_numbers)}', b'{}', stale=True)).event_id}"

    def conflict(self) -> None:
        """Two bodies under one event id, and a refusal."""
        name = f"evt_{next(_numbers)}"
        with self._tx() as tx:
            events.receive(tx, _delivery(name, b'{"one":1}'))
            events.receive(tx, _delivery(name, b'{"two":2}'))
            events.count_refusal(tx, source="ycloud", endpoint="inbound", reason="signature_mismatch")

    def ambiguous_message(self) -> str:
        """A message nobody knows about whether it was sent."""
        self.claim()
        self.work()
        return self.newest("messaging.outbox", "S", "state = 'ambiguous'")

    def open_alert(self) -> str:
        """An alert nobody looks after."""
        with self._tx() as tx:
            detail = {"kind": "test.trouble", "severity": "P3", "dedupe": f"test:{next(_numbers)}"}
            queue.enqueue(tx, "alert.raised", detail)
        self.work()
        return self.newest("alerts.alert", "A", "state = 'open'")

    # --- how ----------------------------------------------------------------------------------------------

    def work(self) -> None:
        """Work the queue with a provider that never answers."""
        connector = dataclasses.replace(load_connector("ycloud"), open_client=lambda _account: _Forgetful())
        with open_app(self.slug, self.made.dsn, connector=connector, connector_config={}) as app:
            app.run_jobs(seconds=20)

    def app(self) -> App:
        """The customer's platform in this process."""
        return open_app(self.slug, self.made.dsn)

    @contextmanager
    def _tx(self) -> Iterator[Tx]:
        with self.app() as app, app.tx() as tx:
            yield tx


def open_office(
    cluster: Cluster, state: Path, slug: str = SLUG, *, windmill: Mapping[str, str] | None = None
) -> Office:
    """Provision the customer and put its policy into force. `windmill` are the variables that name one."""
    made = provision(
        cluster.admin_dsn,
        slug,
        display_name="Einstein Kids",
        timezone="America/Santiago",
        currency="CLP",
        secrets=FileSecretStore(state / "secrets"),
    )
    with open_app(slug, made.dsn) as app, app.tx() as tx:
        store_policy(tx, policy_under(slug), Actor("user", "ana"))
    return Office(cluster, state, made, windmill)


def _delivery(event_id: str, body: bytes, *, stale: bool = False) -> Delivery:
    return Delivery(
        source="ycloud", endpoint="inbound", event_id=event_id, event_type="test", body=body, headers=(),
        signed_at=AT, stale=stale,
    )  # fmt: skip
