"""The first page: does it work, what must be decided, and how the last thirty days went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from platform_core.dashboards import alert_list, claim_lists, numbers, readings, run_list
from platform_core.dashboards.charts import change
from platform_core.dashboards.contracts import Page
from platform_core.dashboards.frame import Frame, block, draw, empty, figure_row, pairs, sign
from platform_core.dashboards.markup import Html, el
from platform_core.dashboards.numbers import PERIOD_DAYS, SPEED_DAYS
from platform_core.dashboards.readings import (
    COUNT_BOUND,
    AlertRow,
    ClaimCounts,
    ClaimRow,
    DayTally,
    Period,
    RunRow,
    Tally,
)
from platform_core.dashboards.voice import Voice
from platform_core.db import Tx
from platform_core.panel.rights import Right
from platform_core.values import CURRENCY_EXPONENTS, Money

_CLAIMS_SHOWN = 4
_ALERTS_SHOWN = 3
_RUNS_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Home:
    """What the first page shows. `runs`, `claims` and the like are tallies of the period."""

    period: Period
    as_of: datetime | None
    counts: ClaimCounts
    waiting: Sequence[ClaimRow]
    alerts: Sequence[AlertRow]
    classes_waiting: int
    runs: Sequence[Tally]
    runs_before: Sequence[Tally]
    run_days: Sequence[DayTally]
    speed: Mapping[str, Mapping[int, int]]
    claims: Sequence[Tally]
    reminders: Sequence[Tally]
    payments: Sequence[Tally]
    payments_before: Sequence[Tally]
    payment_days: Sequence[DayTally]
    messages: Sequence[Tally]
    last_runs: Sequence[RunRow]


@dataclass(frozen=True, slots=True)
class Status:
    """The answer to the first question: its tone, and the key of its sentence."""

    tone: str
    key: str


def decide_status(*, alerts: Sequence[AlertRow], as_of: datetime | None, is_stale: bool) -> Status:
    """Whether everything works. The gravest thing speaks."""
    if any(alert.severity == "P1" for alert in alerts):
        return Status("bad", "urgent")
    if as_of is None:
        return Status("good", "new")
    if is_stale:
        return Status("wait", "stale")
    return Status("good", "fine")


def read(tx: Tx, voice: Voice, *, classes_waiting: int) -> Home:
    """What the first page shows, as it stands."""
    period = Period.of_days(voice.today, PERIOD_DAYS)
    return Home(
        period=period,
        as_of=readings.find_as_of(tx),
        counts=readings.count_claims(tx),
        waiting=readings.list_claims(tx, "to_decide", beyond=None, limit=_CLAIMS_SHOWN),
        alerts=readings.list_alerts(tx),
        classes_waiting=classes_waiting,
        runs=readings.sum_tallies(tx, "run", period),
        runs_before=readings.sum_tallies(tx, "run", period.before),
        run_days=readings.tallies_by_day(tx, "run", period),
        speed=readings.latencies(tx, Period.of_days(voice.today, SPEED_DAYS)),
        claims=readings.sum_tallies(tx, "claim", period),
        reminders=readings.sum_tallies(tx, "reminder", period),
        payments=readings.sum_tallies(tx, "payment", period),
        payments_before=readings.sum_tallies(tx, "payment", period.before),
        payment_days=readings.tallies_by_day(tx, "payment", period),
        messages=readings.sum_tallies(tx, "outgoing", period),
        last_runs=readings.list_runs(tx, now=voice.now, limit=_RUNS_SHOWN),
    )


def page(frame: Frame, data: Home) -> Page:
    """The first page, in the order in which people ask."""
    return draw(
        frame,
        frame.voice.say("room.home"),
        _verdict(frame, data),
        _now(frame, data),
        _figures(frame, data),
        _use(frame, data) if frame.may(Right.SEE_USE) else None,
        _last_runs(frame, data) if frame.may(Right.SEE_RUNS) else None,
    )


def _verdict(frame: Frame, data: Home) -> Html:
    voice = frame.voice
    status = decide_status(alerts=data.alerts, as_of=data.as_of, is_stale=frame.is_stale)
    said = [voice.count("status.alerts", len(data.alerts))] if data.alerts else []
    hello = voice.day(voice.today, weekday=True)
    return el(
        "div",
        el("p", hello[:1].upper() + hello[1:], class_="eyebrow"),
        sign(status.tone),
        el("h1", voice.say(f"status.{status.key}"), [" ", el("em", " ".join(said))] if said else None),
        el("p", _what_to_do(frame, data), class_="lead"),
        class_="verdict",
    )


def _what_to_do(frame: Frame, data: Home) -> str:
    voice, said = frame.voice, []
    if data.counts.to_decide >= COUNT_BOUND:
        said.append(voice.say("status.very_many", n=COUNT_BOUND))
    elif data.counts.to_decide:
        said.append(voice.count("status.to_decide", data.counts.to_decide))
    if data.classes_waiting:
        said.append(voice.count("status.classes", data.classes_waiting))
    return " ".join(said) or voice.say("status.nothing")


def _now(frame: Frame, data: Home) -> Html:
    alerts = _alerts(frame, data) if frame.may(Right.SEE_ERRORS) else None
    to_decide = _to_decide(frame, data)
    return el("div", to_decide, alerts, class_="split") if alerts else to_decide


def _to_decide(frame: Frame, data: Home) -> Html:
    voice = frame.voice
    if not data.waiting:
        return block(voice.say("home.to_decide"), empty(frame, "claims.empty_to_decide"), id_="to-decide")
    link = el("a", voice.say("home.all_claims"), href=frame.to("claims"), class_="link")
    return block(
        voice.say("home.to_decide"), claim_lists.rows(frame, data.waiting), beside=link, id_="to-decide"
    )


def _figures(frame: Frame, data: Home) -> Html:
    voice = frame.voice
    receipts, reminders = numbers.share_of_receipts(data.claims), numbers.share_of_reminders(data.reminders)
    figures = [
        numbers.share_figure(voice, "receipts", receipts),
        numbers.share_figure(voice, "reminders", reminders),
    ]
    charts = [numbers.day_chart(voice, "payments", data.payment_days, data.period, (("", 1),))]
    if frame.may(Right.SEE_RUNS):
        figures = [*numbers.run_figures(voice, data.runs, data.runs_before)[1:], *figures]
        figures.append(numbers.speed_figure(voice, data.speed))
        charts.insert(0, numbers.run_chart(voice, data.run_days, data.period))
    else:
        figures += _money_figures(frame, data)
    return block(
        voice.say("home.period", n=PERIOD_DAYS),
        figure_row(*figures[:4]),
        el("div", charts, class_="pair even"),
        id_="period",
    )


def _money_figures(frame: Frame, data: Home) -> list[numbers.Figure]:
    voice = frame.voice
    return [
        (
            voice.say("figure.payments"),
            voice.number(numbers.count_of(data.payments)),
            change(voice, numbers.count_of(data.payments), numbers.count_of(data.payments_before)),
        )
    ]


def _alerts(frame: Frame, data: Home) -> Html | None:
    if not data.alerts:
        return None
    voice = frame.voice
    link = el("a", voice.say("home.all_alerts"), href=frame.to("errors"), class_="link")
    rows = alert_list.rows(frame, data.alerts[:_ALERTS_SHOWN])
    return block(voice.say("home.alerts"), rows, beside=link, id_="alerts")


def _use(frame: Frame, data: Home) -> Html:
    voice = frame.voice
    paid = [
        voice.money(Money(one.amount_minor, one.label))
        for one in data.payments
        if one.count and one.label in CURRENCY_EXPONENTS
    ]
    shown = pairs(
        (voice.say("use.messages"), voice.number(numbers.count_of(data.messages, *numbers.ARRIVED))),
        (voice.say("use.receipts"), voice.number(numbers.count_of(data.claims))),
        (voice.say("use.payments"), voice.number(numbers.count_of(data.payments))),
        (voice.say("use.money"), ", ".join(paid)),
    )
    link = el("a", voice.say("home.all_use"), href=frame.to("use"), class_="link")
    return block(voice.say("home.use"), shown, beside=link, id_="use")


def _last_runs(frame: Frame, data: Home) -> Html | None:
    if not data.last_runs:
        return None
    voice = frame.voice
    link = el("a", voice.say("home.all_runs"), href=frame.to("runs"), class_="link")
    return block(voice.say("home.last_runs"), run_list.table(frame, data.last_runs), beside=link, id_="last")
