"""A day of Einstein Kids, scene by scene, on a stage: what parents, YCloud, staff and cron do.

Each scene does something real and checks what came of it; `checks` then asks PostgreSQL and the stand-in what
is true in the end. The demo shows the day to a person; a journey runs it in the tests.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from platform_cli.local import checks, classes, reviews
from platform_cli.local.stage import Stage
from platform_cli.local.windmill.results import JobResult
from platform_cli.local.ycloud.payloads import Contact
from platform_cli.local.ycloud.scenarios import Delay
from platform_core.errors import PlatformError
from platform_core.messaging import contacts, outbound
from platform_core.messaging.contracts import Party
from platform_core.messaging.lifecycle import OutboxState
from platform_core.payments import obligations, views
from platform_core.payments.contracts import NewObligation, claim_ref
from platform_core.values import Actor, Money

PICTURES = Path(__file__).with_name("pictures")
SHORT_LEASE_S = 2
"""The demo's lease: what a killed runner held is free after this long. Production uses a minute."""

BURST = 200
_SENT_STATUSES = ("sent", "delivered", "read")
_OUTSIDE_TOLERANCE = timedelta(minutes=20)
_COMMAND_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Family:
    """One debt of one family, and how the day goes for it."""

    phone: str
    pupil: str
    concept: str
    amount_minor: int
    picture: str = ""
    mime_type: str = ""

    @property
    def sender(self) -> Contact:
        """The parent as WhatsApp knows them."""
        return Contact(phone=self.phone, name=f"Familia de {self.pupil}")


SOFIA = Family("+56900000011", "Sofía", "la mensualidad", 45_000, "comprobante_1.png", "image/png")
MATEO = Family("+56900000012", "Mateo", "el taller de ajedrez", 30_000, "comprobante_2.jpg", "image/jpeg")
ISIDORA = Family("+56900000013", "Isidora", "el semestre", 350_000, "comprobante_3.png", "image/png")
VICENTE = Family("+56900000014", "Vicente", "la mensualidad", 45_000)
FAMILIES = (SOFIA, MATEO, ISIDORA, VICENTE)
RECEIPTS = (SOFIA, MATEO, ISIDORA)
"""Those who send a receipt."""


class Unexpected(PlatformError):
    """Something in the day did not happen as it must."""

    code = "demo_difference"


class Teller(Protocol):
    """Where a day is told."""

    def scene(self, title: str) -> None:
        """A new part of the day begins."""
        ...

    def line(self, who: str, what: str, outcome: str) -> None:
        """Somebody did something, and this came of it."""
        ...

    def waiting(self, what: str) -> None:
        """Something takes a moment."""
        ...


@dataclass(slots=True)
class Day:
    """The day in progress: its stage, its teller, and what the scenes must remember of each other."""

    stage: Stage
    tell: Teller
    root: Path
    obligations: dict[str, int] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    duplicates: int = 0
    killed: int = 0

    def play(self) -> None:
        """Every scene in order. Raises: Unexpected at the first difference."""
        for scene in SCENES:
            scene(self)

    # --- What scenes do -----------------------------------------------------------------------------------

    def expect(self, *, that: bool, what: str) -> None:
        """Raises: Unexpected naming what did not happen."""
        if not that:
            raise Unexpected(f"The day went wrong: {what}")

    def deliver(
        self, who: str, what: str, event: Mapping[str, object], *, expected: int = 200, **how: object
    ) -> None:
        """YCloud posts an event to the customer's route; the HTTP answer must be the expected one."""
        for delivery in self.stage.ycloud.deliver(event, **how):  # type: ignore[arg-type]  # passed through
            self.expect(
                that=delivery.status == expected, what=f"{what}: HTTP {delivery.status}, not {expected}"
            )
            self.tell.line(who, what, f"HTTP {delivery.status}")

    def work(self, why: str) -> None:
        """Cron's minute comes: the runner empties the queue."""
        counts = _value(self.stage.tick(seconds=30, lease_s=SHORT_LEASE_S), "the job runner")
        told = ", ".join(f"{number} {name}" for name, number in counts.items() if number) or "nothing was due"
        self.tell.line("runner", why, told)

    def command(self, who: str, what: str, *arguments: str) -> None:
        """Somebody types a wmctl command, in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "platform_cli", *arguments, "--customer", self.stage.customer],
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        said = (done.stderr or done.stdout).strip().splitlines()
        self.expect(
            that=done.returncode == 0, what=f"`wmctl {' '.join(arguments[:3])}`: {' '.join(said)[-200:]}"
        )
        self.tell.line(who, what, said[-1] if said else "done")

    def message_states(self, purpose: str) -> list[OutboxState]:
        """The states of the messages of one purpose, newest first."""
        with self.stage.app() as app, app.tx() as tx:
            return [m.state for m in outbound.list_messages(tx, limit=500) if m.purpose == purpose]


def _value(result: JobResult, what: str) -> dict[str, int]:
    if not result.ok or not isinstance(result.value, dict):
        raise Unexpected(f"{what} failed: {result.error}")
    return result.value


# --- The scenes ---------------------------------------------------------------------------------------------


def morning(day: Day) -> None:
    """The office enters what families owe; the policy plans the reminders."""
    day.tell.scene("The office opens")
    policy, actor = day.stage.policy, Actor("user", "bruno")
    with day.stage.app() as app:
        for number, family in enumerate(FAMILIES, 1):
            with app.tx() as tx:
                now = app.clock.now()
                owed = NewObligation(
                    reference=f"demo/{number}",
                    contact_id=contacts.find_or_create(
                        tx, Party(phone=family.phone, name=family.sender.name), now
                    ),
                    pupil=family.pupil,
                    concept=family.concept,
                    due_on=date.fromordinal(now.date().toordinal() + 5),
                    amount=Money(family.amount_minor, policy.customer.currency),
                )
                added = obligations.add_obligation(tx, owed, actor=actor, policy=policy, now=now)
            day.obligations[family.pupil] = added.obligation_id
            day.tell.line(
                "office", f"{family.pupil} owes {owed.amount} for {family.concept}", f"O{added.obligation_id}"
            )


def parents_write(day: Day) -> None:
    """Text, receipt as a picture, and the same webhook three times."""
    day.tell.scene("Parents write")
    ycloud = day.stage.ycloud
    day.deliver(
        "Sofía's mother", "writes «Hola, ya transferí»", ycloud.text_event(SOFIA.sender, "Hola, ya transferí")
    )
    receipt = _receipt_event(day, SOFIA)
    day.deliver("Sofía's mother", "sends a picture of her receipt", receipt)
    day.deliver("YCloud", "delivers that webhook again, twice", receipt, copies=2)
    day.duplicates += 2


def strangers_try(day: Day) -> None:
    """A forged webhook, a stale one, and a known id with another body."""
    day.tell.scene("Strangers and accidents at the door")
    ycloud = day.stage.ycloud
    forged = ycloud.text_event(SOFIA.sender, "Aprueben mi pago")
    day.deliver(
        "stranger",
        "posts a webhook with a forged signature",
        forged,
        expected=401,
        secret=FORGED,
    )
    stale = ycloud.text_event(MATEO.sender, "Escribí esto hace veinte minutos")
    day.deliver(
        "YCloud",
        "delivers one that was signed 20 minutes ago",
        stale,
        signed_at=ycloud.clock.now() - _OUTSIDE_TOLERANCE,
    )
    known = ycloud.text_event(VICENTE.sender, "¿A qué hora abren?")
    day.deliver("Vicente's father", "asks when the academy opens", known)
    other = ycloud.text_event(VICENTE.sender, "Otro texto con el mismo id")
    day.deliver("YCloud", "delivers the same event id with another body", {**other, "id": known["id"]})


def receipts_become_claims(day: Day) -> None:
    """The runner fetches the pictures and opens claims; two more receipts come."""
    day.tell.scene("Receipts become claims")
    day.work("handles what came: fetches the picture, opens a claim, thanks")
    for family in (MATEO, ISIDORA):
        day.deliver(f"{family.pupil}'s mother", "sends a picture of her receipt", _receipt_event(day, family))
    day.work("handles both")
    with day.stage.app() as app, app.tx() as tx:
        for family in RECEIPTS:
            contact = contacts.find_or_create(tx, Party(phone=family.phone), app.clock.now())
            mine = [claim.id for claim in views.list_claims(tx) if claim.contact_id == contact]
            day.expect(that=len(mine) == 1, what=f"{family.pupil}'s receipt opens one claim, not {len(mine)}")
            day.claims[family.pupil] = claim_ref(mine[0])
    day.tell.line("platform", "claims wait for staff", ", ".join(f"{n} {c}" for n, c in day.claims.items()))
    day.tell.waiting("a flow asks about each of them")
    asking = reviews.wait_for(day.stage, _all_wait)
    day.expect(
        that=_all_wait(asking) and {one.claim for one in asking} == set(day.claims.values()),
        what=f"one flow waits for each claim, not {asking}",
    )
    day.tell.line("Windmill", "a flow asks staff about each claim, and waits", f"{len(asking)} flows wait")


def _all_wait(found: Sequence[reviews.Review]) -> bool:
    return len(found) == len(RECEIPTS) and all(one.is_waiting for one in found)


def reminders_come_due(day: Day) -> None:
    """The hour of two reminders: one family paid and waits for staff, the other owes."""
    day.tell.scene("The hour of the reminders")
    for family in (SOFIA, VICENTE):
        with day.stage.app() as app, app.tx() as tx:
            job = checks.find_reminder_job(tx, day.obligations[family.pupil])
        if job:
            day.command(
                "bruno",
                f"does not wait for the hour of {family.pupil}'s reminder",
                "job",
                "hurry",
                job,
                "--as",
                "bruno",
            )
        else:
            day.tell.line(
                "platform",
                f"{family.pupil}'s reminder is held back: a claim waits for staff",
                "nothing to send",
            )
    day.work("sends what is still owed")
    day.expect(that=len(day.message_states("reminder")) == 1, what="exactly one reminder goes out")
    day.tell.line("platform", "Vicente's family is reminded, Sofía's is not", "1 reminder")


def staff_decide(day: Day) -> None:
    """Approve, reject, and a large amount that needs two people; the first answer to a parent times out."""
    day.tell.scene("Staff decide")
    day.stage.ycloud.next_sends(Delay(ANSWER_BEYOND_TIMEOUT_S))
    seen = ("--amount", "45000", "--method", "bank_app", "--reference", "EJEMPLO-0001")
    day.command(
        "bruno",
        "saw 45000 in the bank's app",
        "claim",
        "approve",
        day.claims["Sofía"],
        "--as",
        "bruno",
        *seen,
    )
    day.work("tells the parent; YCloud does not answer in time")
    day.expect(
        that=day.message_states("claim.approved") == [OutboxState.AMBIGUOUS], what="the send is ambiguous"
    )
    day.tell.line("platform", "nobody knows whether that message was sent", "ambiguous: never sent again")
    _refuse_on_page(day)
    large = (
        "claim",
        "approve",
        day.claims["Isidora"],
        "--amount",
        "350000",
        "--method",
        "statement",
        "--reference",
        "EJEMPLO-0003",
    )
    day.command("bruno", "approves a large amount; a second person must agree", *large, "--as", "bruno")
    day.command("carla", "agrees", *large, "--as", "carla")
    day.work("tells the parents, and lets the other flows go")
    _flows_are_let_go(day)


def _refuse_on_page(day: Day) -> None:
    """Carla opens the page of the flow that asks about Mateo's claim, and answers there."""
    (asking,) = (one for one in reviews.list_reviews(day.stage) if one.claim == day.claims["Mateo"])
    refusal = {"staff": "carla", "action": "reject", "reason": "no aparece la transferencia"}
    status = reviews.answer_on_page(day.stage, asking, who="Carla", answer=refusal)
    day.expect(that=status == HTTPStatus.OK, what=f"the flow's page answers HTTP {status}")
    day.tell.line("carla", "finds no such transfer, and says so on the flow's own page", f"HTTP {status}")
    ended = reviews.wait_for(day.stage, lambda found: "rejected" in {one.outcome for one in found})
    outcomes = {one.claim: one.outcome for one in ended}
    day.expect(
        that=outcomes[asking.claim] == "rejected", what=f"the flow decides by the same verb, not {outcomes}"
    )
    day.tell.line("Windmill", "the flow went on and decided by the same verb", f"{asking.claim} rejected")


def _flows_are_let_go(day: Day) -> None:
    """What was decided with wmctl leaves no flow waiting for an answer."""
    day.tell.waiting("the flows of what was decided elsewhere end")
    ended = reviews.wait_for(day.stage, lambda found: all(one.outcome for one in found))
    outcomes = sorted(one.outcome for one in ended)
    day.expect(that=outcomes == sorted(reviews.ENDED), what=f"every flow ends, not {outcomes}")
    let_go = outcomes.count("decided_elsewhere")
    day.tell.line("Windmill", "flows whose claims were decided with wmctl are let go", f"{let_go} let go")


def provider_reports(day: Day) -> None:
    """200 delivery reports, out of order, while the runner is killed in the middle."""
    day.tell.scene("200 delivery reports at once, out of order")
    ycloud = day.stage.ycloud
    accepted = sorted(ycloud.account.messages)
    start = ycloud.clock.now()
    events = [
        ycloud.report_event(accepted[n % len(accepted)], status, at=start + timedelta(milliseconds=rank))
        for n in range(BURST)
        for rank, status in [(n // len(accepted) % 3, _SENT_STATUSES[n // len(accepted) % 3])]
    ]
    random.Random(7).shuffle(events)  # noqa: S311 - an order, not a secret
    day.tell.waiting(f"YCloud delivers {BURST} reports, eight at a time")
    answers = [delivery.status for delivery in ycloud.deliver_all(events)]
    day.expect(
        that=answers == [200] * BURST,
        what=f"every report is answered 200, not {sorted(set(answers), key=str)}",
    )
    day.tell.line("YCloud", f"delivers {BURST} reports", f"{BURST} × HTTP 200")
    _kill_a_runner(day)
    day.tell.waiting(f"the dead runner's lease ends after {SHORT_LEASE_S} s")
    time.sleep(SHORT_LEASE_S + 0.2)
    day.work("goes on where the dead one stopped")
    purposes = ("claim.approved", "claim.rejected", "reminder", "attendance.absent", "attendance.apology")
    states = [m for purpose in purposes for m in day.message_states(purpose)]
    day.expect(
        that=set(states) == {OutboxState.READ}, what="every message is read, the ambiguous one included"
    )
    day.tell.line("platform", "the report settled the message nobody was sure of", "read")


def _kill_a_runner(day: Day) -> None:
    """Start cron's script and kill its process with SIGKILL in the middle of the burst."""
    results: list[JobResult] = []
    runner = threading.Thread(target=lambda: results.append(day.stage.tick(lease_s=SHORT_LEASE_S)))
    already = len(day.stage.started)
    with day.stage.app() as app:
        with app.tx() as tx:
            before = checks.handled_count(tx)
        runner.start()
        handled = 0
        while runner.is_alive() and handled < BURST // 4:
            time.sleep(0.002)
            with app.tx() as tx:
                handled = checks.handled_count(tx) - before
    if len(day.stage.started) > already and runner.is_alive():
        os.kill(day.stage.started[-1].pid, signal.SIGKILL)
    runner.join()
    day.expect(that=bool(results) and not results[0].ok, what="the runner dies before it is done")
    day.killed += 1
    day.tell.line("operator", "kills the runner with SIGKILL", f"{handled} of {BURST} reports were handled")


ANSWER_BEYOND_TIMEOUT_S = 2.5
FORGED = f"whsec_{'0' * 32}"
"""A forger's guess at the endpoint's secret."""

SCENES: Sequence[Callable[[Day], None]] = (
    morning,
    parents_write,
    strangers_try,
    receipts_become_claims,
    reminders_come_due,
    staff_decide,
    classes.a_class_ends,
    provider_reports,
)

ENDING = checks.Ending(
    # 2 texts of the morning and Vicente's question, 3 receipts, a reader's batch, 200 reports; 1 stale
    # one waits for a person
    events={"handled": 6 + BURST, "held": 1},
    conflicts=1,
    refusals=2,
    messages=5,
    deliveries=BURST,
    outbox={
        "claim.received": 3,
        "claim.approved": 2,
        "claim.rejected": 1,
        "reminder": 1,
        "attendance.absent": 1,
        "attendance.apology": 1,
    },
    claims={"Sofía": "approved", "Mateo": "rejected", "Isidora": "approved"},
    obligations={
        "Sofía": ("paid", "cancelled cancelled cancelled"),
        "Mateo": ("open", "scheduled scheduled scheduled"),
        "Isidora": ("paid", "cancelled cancelled cancelled"),
        "Vicente": ("open", "queued scheduled scheduled"),
    },
    pictures=3,
    classes=classes.ENDING,
    decisions={
        "Sofía": "bruno approved",
        "Mateo": "carla rejected",
        "Isidora": "bruno awaiting_second, carla approved",
    },
    reviews=Counter(reviews.ENDED),
    waits=reviews.WAITS,
)


def _receipt_event(day: Day, family: Family) -> dict[str, object]:
    picture = (PICTURES / family.picture).read_bytes()
    return day.stage.ycloud.image_event(
        family.sender, picture, family.mime_type, caption=f"pago {family.pupil}"
    )
