"""Pages of the panel without a database: sample data of a day, of no day yet, and of the worst of days."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from PIL import Image, ImageDraw

from platform_core.attendance.lifecycle import Verdict
from platform_core.attendance.results import SessionDetail, SessionSummary
from platform_core.dashboards import (
    alert_list,
    claim_forms,
    claim_lists,
    claim_sheet,
    class_list,
    deciding,
    entrance,
    home,
    message_list,
    numbers,
    run_list,
    usage,
)
from platform_core.dashboards.claim_forms import Problem
from platform_core.dashboards.contracts import Language, Page, Theme, Viewer
from platform_core.dashboards.frame import Frame
from platform_core.dashboards.offers import Act
from platform_core.dashboards.readings import (
    AlertRow,
    ClaimCounts,
    ClaimRow,
    DayTally,
    MessageRow,
    Period,
    RunRow,
    SessionRow,
    Tally,
)
from platform_core.dashboards.voice import Voice
from platform_core.errors import NotFound, PanelClosed
from platform_core.jobs.contracts import QueueHealth
from platform_core.messaging.lifecycle import OutboxState
from platform_core.payments.lifecycle import ClaimState, ObligationState
from platform_core.payments.previews import Preview, Undrawable
from platform_core.payments.views import (
    Allocation,
    ClaimDetail,
    ClaimEvent,
    ClaimSummary,
    Decision,
    Flag,
    ObligationSummary,
    Receipt,
)
from platform_core.tenancy.members import Role
from platform_core.values import Money

NOW = datetime(2026, 3, 16, 15, 12, tzinfo=UTC)  # ten past noon in Santiago, a Monday
NONCE = "abc123"
BASE = "/api/r/einstein_kids/panel"

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\u202eevil\u202c مرحبا بالعالم",
    "María 👩‍👧‍👦🎓 José",
    '=HYPERLINK("http://evil.example","x")',
    "W" * 200,
    "</style></title></textarea>-->",
    "a\x00b\x1b[31m\ud800",
)
NAMES = (
    "Camila Rojas",
    "Andrés Muñoz Fuentes",
    "Valentina Soto",
    "Ignacio Pérez de Arce",
    "María José Contreras Villalobos",
    "Tomás Herrera",
)


def viewer(
    language: Language = "es", *, role: Role = Role.OWNER, member: str = "ana", theme: Theme = "auto"
) -> Viewer:
    """Somebody who looks."""
    return Viewer("einstein_kids", member, role, language, csrf="csrf-value", theme=theme, link="L7")


def frame(
    who: Viewer | None = None, *, path: str = "", as_of: datetime | None = NOW, to_decide: int = 0
) -> Frame:
    """A frame at NOW, four minutes after the last refresh unless said."""
    who = who or viewer()
    voice = Voice(who.language, "CL", "CLP", ZoneInfo("America/Santiago"), NOW)
    fresh = NOW - timedelta(minutes=4) if as_of is NOW else as_of
    return Frame(who, voice, "Einstein Kids", NONCE, BASE, path, fresh, to_decide)


@dataclass(frozen=True, slots=True)
class Sample:
    """How much there is, and what people are called."""

    names: Sequence[str] = NAMES
    many: bool = True
    words: str = "Hola, pagué la mensualidad de Sofía, gracias"

    def name(self, number: int) -> str:
        """One of the names."""
        return self.names[number % len(self.names)]


TYPICAL = Sample()
EMPTY = Sample(many=False)
WORST = Sample(names=HOSTILE, words=" ".join(HOSTILE))

PERIOD = Period.of_days(NOW.date(), numbers.PERIOD_DAYS)


def period_of() -> Period:
    """The last thirty days."""
    return PERIOD


def days_of(*outcomes: tuple[str, int]) -> list[DayTally]:
    """A month of numbers that go up and down like a school's: weekends are quiet."""
    found = []
    for index, day in enumerate(PERIOD.days):
        for outcome, size in outcomes:
            count = (size * (3 + index * 7 % 5)) // (40 if day.isoweekday() > 5 else 6)
            if count:
                found.append(DayTally(day, outcome, count, count * 45_000))
    return found


def tallies_of(days: Sequence[DayTally], label: str = "") -> list[Tally]:
    """The same, summed."""
    found: dict[str, tuple[int, int]] = {}
    for one in days:
        count, amount = found.get(one.outcome, (0, 0))
        found[one.outcome] = (count + one.count, amount + one.amount_minor)
    return [Tally(label, outcome, count, amount) for outcome, (count, amount) in found.items()]


def claim_rows(sample: Sample, count: int, *, states: Sequence[ClaimState]) -> list[ClaimRow]:
    """Claims on a list."""
    return [
        ClaimRow(
            id=120 + number,
            state=states[number % len(states)],
            name=sample.name(number),
            origin="whatsapp",
            currency="CLP",
            claimed_minor=None if number % 3 == 1 else 45_000 + 1_500 * number,
            verified_minor=None,
            opened_at=NOW - timedelta(hours=26 - number * 2),
            state_at=NOW - timedelta(hours=25 - number),
            first_approver_id="bruno" if states[number % len(states)] is ClaimState.AWAITING_SECOND else None,
            flagged=number == 2,
        )
        for number in range(count if sample.many else 0)
    ]


def alert_rows(sample: Sample) -> list[AlertRow]:
    """Troubles of two kinds, and one that the words do not know yet."""
    kinds = (
        ("claim.overdue", "P3", "C118"),
        ("message.ambiguous", "P2", "outbox:31"),
        ("new.kind", "P3", "x"),
    )
    return [
        AlertRow(
            id=number,
            kind=kind,
            severity=severity,
            subject=subject if sample is not WORST else HOSTILE[number],
            occurrences=1 + 2 * number,
            first_at=NOW - timedelta(days=1),
            last_at=NOW - timedelta(hours=3 + number),
            acknowledged_by="bruno" if number == 1 else None,
        )
        for number, (kind, severity, subject) in enumerate(kinds[: 2 if sample is TYPICAL else 3])
        if sample.many
    ]


def run_rows(sample: Sample, count: int, outcome: str = "done") -> list[RunRow]:
    """Runs that ended."""
    kinds = ("outbox.queued", "message.received", "inbox.received", "reminder.due", "some.new_kind")
    return [
        RunRow(
            id=9_000 - number,
            kind=kinds[number % len(kinds)],
            outcome=outcome if number % 4 else ("cancelled" if outcome == "done" else outcome),
            attempt=1 + number % 2,
            created_at=NOW - timedelta(minutes=7 * number + 1),
            ended_at=NOW - timedelta(minutes=7 * number),
        )
        for number in range(count if sample.many else 0)
    ]


def message_rows(sample: Sample, count: int, states: Sequence[OutboxState]) -> list[MessageRow]:
    """Messages on a list."""
    purposes = ("claim.received", "claim.approved", "reminder", "attendance.absent", "brand.new")
    return [
        MessageRow(
            id=500 - number,
            purpose=purposes[number % len(purposes)],
            state=states[number % len(states)],
            name=sample.name(number),
            queued_at=NOW - timedelta(minutes=31 * number),
            error_code="",
            paused_code="balance" if number == 0 else "",
        )
        for number in range(count if sample.many else 0)
    ]


def session_rows(sample: Sample, count: int, verdicts: Sequence[Verdict | None]) -> list[SessionRow]:
    """Classes on a list."""
    courses = ("Robótica inicial", "Ajedrez", "Ciencia en casa") if sample is not WORST else HOSTILE
    found = []
    for number in range(count if sample.many else 0):
        verdict = verdicts[number % len(verdicts)]
        known = verdict is Verdict.COMPLETE
        starts = NOW - timedelta(hours=20 + 24 * number)
        found.append(
            SessionRow(
                id=40 + number,
                course=courses[number % len(courses)],
                starts_at=starts,
                ends_at=starts + timedelta(hours=1),
                state="cancelled" if number == 5 else "scheduled",
                version=1 if verdict else None,
                verdict=verdict,
                attended=9 - number % 3 if known else None,
                counted=10 if known else None,
            )
        )
    return found


@cache
def picture() -> Preview:
    """A receipt as a phone shows it."""
    image = Image.new("RGB", (420, 640), "#f4f5f7")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 420, 90), fill="#16335b")
    draw.text((24, 34), "Banco de Ejemplo", fill="white", font_size=24)
    draw.ellipse((178, 120, 242, 184), fill="#2e8b62")
    draw.line((194, 152, 206, 166, 228, 138), fill="white", width=6)
    draw.text((110, 204), "Transferencia enviada", fill="#222222", font_size=20)
    draw.text((140, 244), "$45.000", fill="#111111", font_size=38)
    for row, (name, value) in enumerate(
        (
            ("Para", "Einstein Kids SpA"),
            ("Banco", "Banco de Ejemplo"),
            ("Fecha", "16/03/2026 11:48"),
            ("Op.", "0048-2231"),
        )
    ):
        draw.text((28, 330 + row * 56), name, fill="#6a6f78", font_size=18)
        draw.text((150, 330 + row * 56), value, fill="#222222", font_size=18)
        draw.line((28, 370 + row * 56, 392, 370 + row * 56), fill="#d7dae0", width=1)
    held = io.BytesIO()
    image.save(held, "WEBP", quality=70)
    return Preview("image/webp", held.getvalue(), 420, 640, 1)


def heaviest_picture() -> Preview:
    """As many bytes as a picture may have."""
    return Preview("image/webp", b"\x01" * 40_960, 900, 1600, 3)


def sheet_of(
    state: ClaimState = ClaimState.PENDING_REVIEW,
    sample: Sample = TYPICAL,
    *,
    drawn: Preview | Undrawable | None = None,
) -> claim_sheet.ClaimSheet:
    """Everything about a claim in a state; `drawn` is its picture, an ordinary one unless said."""
    summary, receipts = _summary_of(state, sample), _receipts_of(sample)
    history, decisions = _past_of(summary, sample)
    flags = (Flag("same_bytes", 98, OPENED), Flag("close_in_time", 97, OPENED)) if sample is WORST else ()
    allocations = (Allocation(7, 45_000, "CLP", "d1", summary.state_at),) if summary.approver_id else ()
    return claim_sheet.ClaimSheet(
        detail=ClaimDetail(summary, history, receipts, flags, decisions, allocations, ()),
        debts=[_debt_of(sample, number) for number in range(2 if sample.many else 0)],
        shown=receipts[0],
        picture=picture() if drawn is None else drawn if isinstance(drawn, Preview) else None,
        undrawable=drawn if isinstance(drawn, Undrawable) else None,
        words=[sample.words],
        second_above=Money(300_000, "CLP"),
    )


OPENED = NOW - timedelta(hours=3)
_DECIDED = frozenset({ClaimState.APPROVED, ClaimState.RECONCILED, ClaimState.REVERSED})


def _summary_of(state: ClaimState, sample: Sample) -> ClaimSummary:
    decided, first = state in _DECIDED, state is ClaimState.AWAITING_SECOND
    return ClaimSummary(
        id=123,
        state=state,
        version=3 if decided or first else 2,
        origin="whatsapp",
        contact_id=7,
        contact_name=sample.name(0),
        currency="CLP",
        claimed_minor=None,
        verified_minor=45_000 if decided or first else None,
        reason=sample.words if state in (ClaimState.REJECTED, ClaimState.NEEDS_INFO) else "",
        first_approver_id="bruno" if first else None,
        approver_id="carla" if decided else None,
        supersedes=98,
        duplicate_of=119 if state is ClaimState.DUPLICATE else None,
        opened_at=OPENED,
        state_at=NOW - timedelta(hours=1),
        flags=1 if sample is WORST else 0,
    )


def _past_of(summary: ClaimSummary, sample: Sample) -> tuple[tuple[ClaimEvent, ...], tuple[Decision, ...]]:
    opened = (
        ClaimEvent(1, None, "received", "contact", "7", "", None, "", OPENED),
        ClaimEvent(2, "received", "pending_review", "system", "payments", "", None, "", OPENED),
    )
    if summary.state in (ClaimState.RECEIVED, ClaimState.PENDING_REVIEW):
        return opened, ()
    by, at = summary.first_approver_id or "carla", summary.state_at
    moved = ClaimEvent(3, "pending_review", summary.state, "user", by, "ops", "d1", summary.reason, at)
    decision = Decision(
        id="d1",
        claim_version=2,
        action="approve",
        outcome=summary.state,
        actor_id=by,
        actor_role="ops",
        verified_minor=45_000,
        currency="CLP",
        method="bank_app",
        rail="transfer",
        bank_reference=sample.name(4)[:60],
        value_date=None,
        note="",
        reason="",
        decided_at=at,
    )
    return (*opened, moved), (decision,)


def _receipts_of(sample: Sample) -> tuple[Receipt, ...]:
    return tuple(
        Receipt(
            message_id=31 + number,
            state="captured",
            sha256="ab" * 32,
            mime_type="image/jpeg",
            size_bytes=184_000,
            filename="comprobante.jpg" if sample is TYPICAL else sample.name(number + 1)[:60],
            failure="",
            seen_at=OPENED,
            captured_at=OPENED,
        )
        for number in range(2 if sample is WORST else 1)
    )


def _debt_of(sample: Sample, number: int) -> ObligationSummary:
    return ObligationSummary(
        id=7 + number,
        reference=f"2026-03/{number}",
        contact_id=7,
        pupil=sample.name(number + 2)[:120],
        concept="Mensualidad marzo",
        due_on=NOW.date() + timedelta(days=5),
        amount_minor=45_000,
        paid_minor=0,
        currency="CLP",
        state=ObligationState.OPEN,
    )


# --- Every page -------------------------------------------------------------------------------------------


def home_of(sample: Sample) -> home.Home:
    """The first page's data."""
    runs = days_of(("done", 160), ("failed", 3)) if sample.many else []
    payments = days_of(("", 12)) if sample.many else []
    claims = [*tallies_of(days_of(("approved", 12), ("rejected", 2), ("pending_review", 2)), "whatsapp")]
    return home.Home(
        period=PERIOD,
        as_of=NOW if sample.many else None,
        counts=ClaimCounts(7, 3) if sample.many else ClaimCounts(0, 0),
        waiting=claim_rows(sample, 4, states=(ClaimState.PENDING_REVIEW, ClaimState.AWAITING_SECOND)),
        alerts=alert_rows(sample),
        classes_waiting=1 if sample.many else 0,
        runs=tallies_of(runs),
        runs_before=[Tally("", "done", 1_400, 0)] if sample.many else [],
        run_days=runs,
        speed={"outbox.queued": {40: 30, 44: 500, 47: 120, 55: 20}} if sample.many else {},
        claims=claims if sample.many else [],
        reminders=[Tally("", "paid", 61, 0), Tally("", "open", 24, 0)] if sample.many else [],
        payments=tallies_of(payments, "CLP"),
        payments_before=[Tally("CLP", "", 150, 6_000_000)] if sample.many else [],
        payment_days=payments,
        messages=tallies_of(days_of(("delivered", 30), ("read", 60), ("failed", 1))) if sample.many else [],
        last_runs=run_rows(sample, 6),
    )


def runs_of(sample: Sample) -> run_list.Runs:
    """The data of the page of runs."""
    shown = home_of(sample)
    health = QueueHealth(2, 45, 1, 0, 1, 3.0, 1, 0) if sample.many else QueueHealth(0, 0, 0, 0, 0, 0.0, 0, 0)
    more = 8_981 if sample.many else None
    return run_list.Runs(
        PERIOD, health, shown.runs, shown.runs_before, shown.run_days, shown.speed,
        run_rows(sample, 2, "failed"), run_rows(sample, 20), more=more,
    )  # fmt: skip


def messages_of(sample: Sample) -> message_list.Messages:
    """The data of the page of messages."""
    days = days_of(("delivered", 30), ("read", 60), ("failed", 2), ("queued", 3)) if sample.many else []
    return message_list.Messages(
        PERIOD,
        [Tally("image", "", 210, 0), Tally("text", "", 480, 0)] if sample.many else [],
        tallies_of(days),
        [Tally("", "read", 2_000, 0)] if sample.many else [],
        days,
        message_rows(sample, 20, tuple(OutboxState)),
        more=480 if sample.many else None,
    )


def classes_of(sample: Sample) -> class_list.Classes:
    """The data of the page of attendance."""
    days = days_of(("attended", 30), ("missed", 4)) if sample.many else []
    waiting = (Verdict.SUSPICIOUS_EMPTY, Verdict.UNDETERMINED)
    return class_list.Classes(
        is_used=True,
        period=PERIOD,
        waiting=session_rows(sample, 2, waiting),
        now=[*tallies_of(days, "student"), *([Tally("class", "complete", 44, 0)] if sample.many else [])],
        days=days,
        rows=session_rows(sample, 12, (*Verdict, None)),
    )


def use_of(sample: Sample) -> usage.Use:
    """The data of the page of use."""
    months = usage.months_until(NOW.date())
    counts = {
        noun: {month: (number + 3) * size for number, month in enumerate(months)} if sample.many else {}
        for noun, size in (("outgoing", 310), ("incoming", 240), ("claim", 31), ("run", 1_207))
    }
    return usage.Use(months, counts)


def question_of(sample: Sample, who: Viewer) -> Page:
    """The question before an approval."""
    data = sheet_of(sample=sample)
    summary = data.detail.summary
    subject = claim_forms.Subject(summary.id, summary.version, summary.state, summary.currency)
    fields = {
        "decision_id": "panel:1",
        "version": "2",
        "action": "approve",
        "method": "bank_app",
        "amount": "$45.000" if who.language == "es" else "45,000",
        "bank_reference": sample.name(4)[:60],
    }
    seen = frame(who, path="claims/C123")
    request = claim_forms.read_request(fields, Act.APPROVE, subject, seen.voice)
    assert not isinstance(request, Problem), request
    return claim_forms.confirmation(seen, subject, Act.APPROVE, summary.contact_name, fields, request)


def class_question_of(sample: Sample, who: Viewer) -> Page:
    """The question whether really nobody came."""
    summary = SessionSummary(
        44, "rob/1", sample.name(0), "America/Santiago", NOW - timedelta(hours=20), NOW - timedelta(hours=19),
        "scheduled", 5, 1, "suspicious_empty", None, None,
    )  # fmt: skip
    detail = SessionDetail(summary, [], [], [])
    return class_list._question(frame(who, path="attendance"), detail, "1")  # noqa: SLF001 - drawn as the form leads to it


def sample_pages(
    sample: Sample = TYPICAL, language: Language = "es", *, role: Role = Role.OWNER, theme: Theme = "auto"
) -> Mapping[str, Page]:
    """Every page of the panel by a name that says what it is, drawn from one sample for one person."""
    who = viewer(language, role=role, theme=theme)
    shown = 7 if sample.many else 0

    def at(path: str) -> Frame:
        return frame(who, path=path, to_decide=shown, as_of=NOW if sample.many else None)

    states = tuple(ClaimState)
    stale = replace(at(""), as_of=NOW - timedelta(hours=5))
    wrong = replace(
        sheet_of(sample=sample),
        problem=Problem(Act.APPROVE, "amount", "problem.amount", {"example": "$45.000"}),
        typed={"action": "approve", "amount": sample.name(0)},
    )
    pages: dict[str, Callable[[], Page]] = {
        "home": lambda: home.page(at(""), home_of(sample)),
        "home-stale": lambda: home.page(stale, home_of(sample)),
        "claims": lambda: claim_lists.page(
            at("claims"),
            claim_lists.ClaimList(
                "to_decide", claim_rows(sample, 20, states=states), ClaimCounts(7, 3), more=139
            ),
        ),
        "claims-settled": lambda: claim_lists.page(
            at("claims"), claim_lists.ClaimList("settled", [], ClaimCounts(0, 0), is_first=False)
        ),
        "claim": lambda: claim_sheet.page(at("claims/C123"), sheet_of(sample=sample)),
        "claim-done": lambda: claim_sheet.page(
            at("claims/C123"), sheet_of(ClaimState.APPROVED, sample), done="approved"
        ),
        "claim-second": lambda: claim_sheet.page(
            at("claims/C123"), sheet_of(ClaimState.AWAITING_SECOND, sample)
        ),
        "claim-problem": lambda: claim_sheet.page(at("claims/C123"), wrong, status=422),
        "claim-undrawable": lambda: claim_sheet.page(
            at("claims/C123"), sheet_of(sample=sample, drawn=Undrawable.TOO_COSTLY)
        ),
        "question": lambda: question_of(sample, who),
        "conflict": lambda: deciding.conflict(at("claims/C123"), sheet_of(ClaimState.APPROVED, sample)),
        "attendance": lambda: class_list.page(at("attendance"), classes_of(sample)),
        "attendance-question": lambda: class_question_of(sample, who),
        "messages": lambda: message_list.page(at("messages"), messages_of(sample)),
        "runs": lambda: run_list.page(at("runs"), runs_of(sample)),
        "errors": lambda: alert_list.page(
            at("errors"),
            alert_list.Troubles(
                alert_rows(sample),
                message_rows(sample, 3, (OutboxState.FAILED, OutboxState.AMBIGUOUS)),
                run_rows(sample, 2, "failed"),
            ),
        ),
        "use": lambda: usage.page(at("use"), use_of(sample)),
        "entrance": lambda: entrance.entrance_page("Einstein Kids", "token-value", language, NONCE, BASE),
        "left": lambda: entrance.left_page(language, NONCE, BASE),
        "closed": lambda: entrance.error_page(PanelClosed(), language, NONCE, BASE),
        "not-found": lambda: entrance.error_page(NotFound("C9 is not here"), language, NONCE, BASE),
    }
    return {name: drawn() for name, drawn in pages.items()}
