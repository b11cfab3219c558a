"""What must be true at the end of the day, and what PostgreSQL and the stand-in say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from platform_cli.local import classes, reviews
from platform_cli.local.stage import Stage
from platform_core import audit
from platform_core.audit.chain import Verified
from platform_core.db import Queries, Tx
from platform_core.jobs import queue
from platform_core.payments import ledger

Q = Queries(Path(__file__).with_name("checks.sql"))


@dataclass(frozen=True, slots=True)
class Check:
    """One statement about the end of the day."""

    says: str
    expected: object
    found: object

    @property
    def holds(self) -> bool:
        """Whether it is as it must be."""
        return self.expected == self.found


@dataclass(frozen=True, slots=True)
class Ending:
    """What the day must have come to."""

    events: Mapping[str, int]
    conflicts: int
    refusals: int
    messages: int
    deliveries: int
    outbox: Mapping[str, int]
    claims: Mapping[str, str]
    obligations: Mapping[str, tuple[str, str]]
    pictures: int
    classes: Mapping[str, tuple[str, str]]
    decisions: Mapping[str, str]
    reviews: Mapping[str, int]
    waits: Mapping[str, int]


def check_customer(stage: Stage, ending: Ending) -> list[Check]:
    """Ask the customer's database, through its own login, and the stand-in."""
    ended = reviews.outcomes(stage)
    with stage.app() as app, app.tx() as tx:
        conflicts, refusals = _row(tx, "door_count")
        messages, _, deliveries = _row(tx, "message_count")
        outbox = tx.execute(Q["outbox_list"]).fetchall()
        health = queue.read_health(tx)
        claims = {pupil: state for pupil, _, state in tx.execute(Q["claim_list"])}
        debts = {pupil: (state, reminders) for pupil, state, reminders in tx.execute(Q["obligation_list"])}
        checks = [
            Check("events by state", dict(ending.events), dict(tx.execute(Q["event_count"]).fetchall())),
            Check("same id, other body: kept", ending.conflicts, conflicts),
            Check("forged deliveries: counted, not stored", ending.refusals, int(refusals)),
            Check("messages of parents", ending.messages, messages),
            Check("delivery reports taken in", ending.deliveries, int(deliveries)),
            Check("messages to parents", dict(ending.outbox), Counter(purpose for purpose, *_ in outbox)),
            Check("all of them read", {"read"}, {state for _, state, _ in outbox}),
            Check("each sent once", {1}, {len(stage.ycloud.messages_with(sent)) for *_, sent in outbox}),
            Check("sent by nobody else", len(outbox), len(stage.ycloud.account.messages)),
            Check("claims", dict(ending.claims), claims),
            Check("each claim decided once", dict(ending.decisions), dict(_pairs(tx, "decision_list"))),
            Check("flows that asked staff, all ended", dict(ending.reviews), dict(ended)),
            Check("none of their waits is open", dict(ending.waits), dict(_pairs(tx, "wait_count"))),
            Check("debts and reminders", dict(ending.obligations), debts),
            Check("classes and who was there", dict(ending.classes), classes.told_of(tx)),
            Check("pictures, each kept once", ending.pictures, _row(tx, "media_count")[0]),
            Check("books balance", [], ledger.find_differences(tx)),
            Check("jobs left over or dead", (0, 0, 0), (health.due, health.running, health.dead)),
        ]
        return [*checks, *_check_trail(tx)]


def _check_trail(tx: Tx) -> list[Check]:
    head = audit.read_head(tx)
    verdicts = (audit.verify(tx), audit.verify_independently(audit.read_entries(tx, until=head), head))
    return [
        Check(
            f"audit chain of {head.seq} entries, proven twice",
            (True, True),
            tuple(isinstance(verdict, Verified) for verdict in verdicts),
        )
    ]


def check_isolation(intruder_dsn: str, database: str) -> Check:
    """Another customer's login at this customer's database."""
    try:
        psycopg.connect(intruder_dsn, dbname=database, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        found = "refused" if "permission denied for database" in str(error) else str(error)
    else:
        found = "let in"
    return Check("another customer's login at this database", "refused", found)


def _row(tx: Tx, name: str) -> tuple[int, ...]:
    row = tx.execute(Q[name]).fetchone()
    if row is None:
        raise AssertionError(f"{name} always answers a row")
    return tuple(row)


def _pairs(tx: Tx, name: str) -> list[tuple[str, object]]:
    return [(key, value) for key, value in tx.execute(Q[name])]


def handled_count(tx: Tx) -> int:
    """How many events were handled so far."""
    return _row(tx, "handled_count")[0]


def find_reminder_job(tx: Tx, obligation_id: int) -> str | None:
    """The waiting job of a debt's next reminder, such as `J5`; None when it is held back."""
    row = tx.execute(Q["reminder_job_find"], {"obligation": obligation_id}).fetchone()
    return None if row is None else f"J{row[0]}"
