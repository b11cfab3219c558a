"""kill -9 at any moment loses nothing and doubles nothing: fifty short days with processes killed at random.

Every script of the customer runs in a process of its own; while a day is played, about half of them are
killed at a random moment of their life. The world around them does what it does in production: YCloud
delivers again what was not accepted, cron comes again, staff repeat the same decision, and a person closes
the sends whose outcome nobody can know.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path

import pytest

from platform_cli.local import checks
from platform_cli.local.day import MATEO, PICTURES, SOFIA, Family
from platform_cli.local.stage import Stage, set_stage
from platform_cli.local.windmill.runtime import JobStarted
from platform_core import audit
from platform_core.audit.chain import Verified
from platform_core.jobs import queue
from platform_core.messaging import contacts, outbound
from platform_core.messaging.contracts import Party
from platform_core.messaging.lifecycle import OutboxState
from platform_core.payments import ledger, obligations, views
from platform_core.payments.contracts import NewObligation
from platform_core.values import Actor, Money
from tests.support.databases import Databases

ROUNDS = 50
EVERY = 5
"""Of the rounds, each so manieth is played in `make test`, and all of them in `make kills`."""
LEASE_S = 1
KILLED_SHARE = 0.5
LATEST_KILL_S = 0.25
PATIENCE_S = 60.0
STAFF = Actor("user", "bruno")


class Killer:
    """Kills a share of the processes it hears of, each at a random moment, while it is switched on."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - chance, not a secret
        self._timers: list[threading.Timer] = []
        self.on = False
        self.killed = 0

    def hear(self, started: JobStarted) -> None:
        """A process began; perhaps it dies soon."""
        if not self.on or self._random.random() > KILLED_SHARE:
            return
        timer = threading.Timer(self._random.uniform(0, LATEST_KILL_S), self._kill, (started.pid,))
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _kill(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.killed += 1

    @contextmanager
    def killing(self) -> Iterator[None]:
        """Kill while the block runs."""
        self.on = True
        try:
            yield
        finally:
            self.on = False
            for timer in self._timers:
                timer.join()


def owe(stage: Stage, family: Family, number: int) -> None:
    """The office enters a family's debt."""
    with stage.app() as app, app.tx() as tx:
        now = app.clock.now()
        new = NewObligation(
            reference=f"chaos/{number}",
            contact_id=contacts.find_or_create(tx, Party(phone=family.phone, name=family.pupil), now),
            pupil=family.pupil,
            concept=family.concept,
            due_on=date.fromordinal(now.date().toordinal() + 5),
            amount=Money(family.amount_minor, "CLP"),
        )
        obligations.add_obligation(tx, new, actor=STAFF, policy=stage.policy, now=now)


def work_until_quiet(stage: Stage) -> None:
    """Cron comes again and again until nothing is due, held or suspected."""
    give_up_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_at:
        stage.tick(seconds=20, lease_s=LEASE_S)
        with stage.app() as app, app.tx() as tx:
            health = queue.read_health(tx)
        if not (health.due or health.running or health.suspect or health.leases):
            return
        time.sleep(0.2)
    raise AssertionError(f"the queue never became quiet: {health}")


def decide(stage: Stage, **decision: object) -> None:
    """Staff press the button until it says that it was done; the decision id stays the same."""
    for _ in range(40):
        result = stage.run("payment_claim_decide", staff="bruno", **decision)
        if result.ok:
            return
    raise AssertionError(f"the decision was never taken: {result.error}")


def claim_of(stage: Stage, family: Family) -> tuple[str, int]:
    """The one claim of a family, and its version."""
    with stage.app() as app, app.tx() as tx:
        contact = contacts.find_or_create(tx, Party(phone=family.phone), app.clock.now())
        (mine,) = [claim for claim in views.list_claims(tx) if claim.contact_id == contact]
    return f"C{mine.id}", mine.version


def send_receipts(stage: Stage) -> None:
    """Two parents send a picture; YCloud delivers each until it is accepted, one of them twice."""
    for family, copies in ((SOFIA, 1), (MATEO, 2)):
        picture = (PICTURES / family.picture).read_bytes()
        event = stage.ycloud.image_event(family.sender, picture, family.mime_type)
        stage.ycloud.deliver(event, copies=copies)
    assert stage.ycloud.settle(PATIENCE_S)


def report_everything(stage: Stage, shuffle: random.Random) -> None:
    """YCloud reports what it accepted, in any order, until each report is accepted."""
    start = stage.ycloud.clock.now()
    events = [
        stage.ycloud.report_event(message, status, at=start + timedelta(milliseconds=rank))
        for message in sorted(stage.ycloud.account.messages)
        for rank, status in enumerate(("sent", "delivered", "read"))
    ]
    shuffle.shuffle(events)
    stage.ycloud.deliver_all(events)
    assert stage.ycloud.settle(PATIENCE_S)


def close_what_nobody_knows(stage: Stage) -> int:
    """A person looks each ambiguous send up at the provider and says what is there."""
    with stage.app() as app, app.tx() as tx:
        unknown = outbound.list_messages(tx, state=OutboxState.AMBIGUOUS)
        for message in unknown:
            assert not stage.ycloud.messages_with(message.external_id), "a report should have settled it"
            outbound.resolve_ambiguous(tx, message.id, STAFF, "not_sent", now=app.clock.now())
    return len(unknown)


def play(stage: Stage, killer: Killer, seed: int) -> None:
    """The short day, killed all along; then a quiet hour in which a person closes what is left."""
    order = random.Random(seed)  # noqa: S311 - an order, not a secret
    with killer.killing():
        send_receipts(stage)
        work_until_quiet(stage)
        claim, version = claim_of(stage, SOFIA)
        decide(
            stage,
            decision_id="d1",
            claim=claim,
            version=version,
            action="approve",
            amount="45000",
            method="bank_app",
        )
        claim, version = claim_of(stage, MATEO)
        decide(stage, decision_id="d2", claim=claim, version=version, action="reject", note="no aparece")
        work_until_quiet(stage)
        report_everything(stage, order)
        work_until_quiet(stage)
    if close_what_nobody_knows(stage):
        work_until_quiet(stage)
        report_everything(stage, order)
        work_until_quiet(stage)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The rounds of this run."""
    if "seed" in metafunc.fixturenames:
        step = 1 if metafunc.config.getoption("--thorough") else EVERY
        metafunc.parametrize("seed", range(0, ROUNDS, step))


def test_a_day_killed_at_random_ends_like_any_other(
    seed: int, databases: Databases, repository: Path
) -> None:
    """One claim per receipt, each decision and each message once, books and trail whole."""
    customers = repository / "customers"
    killer = Killer(seed)
    with (
        databases.tenant("einstein_kids") as made,
        set_stage(customers, "einstein_kids", made.dsn, on_start=killer.hear) as stage,
    ):
        for number, family in enumerate((SOFIA, MATEO)):
            owe(stage, family, number)
        play(stage, killer, seed)

        with stage.app() as app, app.tx() as tx:
            claims = {pupil: state for pupil, _, state in tx.execute(checks.Q["claim_list"])}
            debts = {pupil: state for pupil, state, _ in tx.execute(checks.Q["obligation_list"])}
            messages = outbound.list_messages(tx)
            events = dict(tx.execute(checks.Q["event_count"]).fetchall())
            dead, differences, trail = queue.list_dead(tx), ledger.find_differences(tx), audit.verify(tx)
            decided = [
                entry.action for entry in audit.list_entries(tx, 200) if entry.action.startswith("claim.")
            ]
    sent = Counter(
        str(message["externalId"]).partition(".")[0] for message in stage.ycloud.account.messages.values()
    )

    assert claims == {"Sofía": "approved", "Mateo": "rejected"}
    assert debts == {"Sofía": "paid", "Mateo": "open"}
    assert Counter(m.purpose for m in messages) == {
        "claim.received": 2,
        "claim.approved": 1,
        "claim.rejected": 1,
    }
    assert {m.state for m in messages} == {OutboxState.READ}
    assert sorted(sent.values()) == [1, 1, 1, 1]
    assert set(events) == {"handled"}
    assert dead == []
    assert differences == []
    assert isinstance(trail, Verified)
    assert Counter(decided)["claim.approved"] == 1
    assert Counter(decided)["claim.rejected"] == 1
