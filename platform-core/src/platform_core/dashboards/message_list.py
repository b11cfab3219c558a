"""Messages to families: why each was sent and what became of it. Never its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from platform_core.dashboards import numbers, readings
from platform_core.dashboards.charts import change
from platform_core.dashboards.contracts import Page
from platform_core.dashboards.frame import Frame, block, draw, empty, figure_row, pager, since, tag
from platform_core.dashboards.markup import Html, el, theirs
from platform_core.dashboards.numbers import PERIOD_DAYS
from platform_core.dashboards.readings import PAGE_ROWS, DayTally, MessageRow, Period, Tally
from platform_core.dashboards.voice import Voice
from platform_core.db import Tx
from platform_core.messaging.lifecycle import OutboxState

_S = OutboxState

TONES: dict[OutboxState, str] = {
    _S.QUEUED: "wait",
    _S.SENDING: "wait",
    _S.ACCEPTED: "good",
    _S.DELIVERED: "good",
    _S.READ: "good",
    _S.FAILED: "bad",
    _S.AMBIGUOUS: "bad",
    _S.SUPPRESSED: "quiet",
    _S.CANCELLED: "quiet",
}


@dataclass(frozen=True, slots=True)
class Messages:
    """What the page shows; tallies are of PERIOD_DAYS."""

    period: Period
    incoming: Sequence[Tally]
    outgoing: Sequence[Tally]
    outgoing_before: Sequence[Tally]
    days: Sequence[DayTally]
    rows: Sequence[MessageRow]
    is_first: bool = True
    more: int | None = None


def read(tx: Tx, voice: Voice, *, beyond: int | None) -> Messages:
    """What the page shows, as it stands."""
    period = Period.of_days(voice.today, PERIOD_DAYS)
    found = readings.list_messages(tx, beyond=beyond)
    shown = found[:PAGE_ROWS]
    return Messages(
        period=period,
        incoming=readings.sum_tallies(tx, "incoming", period),
        outgoing=readings.sum_tallies(tx, "outgoing", period),
        outgoing_before=readings.sum_tallies(tx, "outgoing", period.before),
        days=readings.tallies_by_day(tx, "outgoing", period),
        rows=shown,
        is_first=beyond is None,
        more=shown[-1].id if len(found) > PAGE_ROWS else None,
    )


def page(frame: Frame, data: Messages) -> Page:
    """The messages as a page."""
    voice = frame.voice
    title = voice.say("messages.title")
    arrived = numbers.count_of(data.outgoing, *numbers.ARRIVED)
    read_ = numbers.count_of(data.outgoing, _S.READ.value)
    failed = numbers.count_of(data.outgoing, _S.FAILED.value, _S.AMBIGUOUS.value)
    before = numbers.count_of(data.outgoing_before, *numbers.ARRIVED)
    figures = (
        (voice.say("figure.sent"), voice.number(arrived), change(voice, arrived, before)),
        (voice.say("figure.read"), voice.percent(read_, arrived), ""),
        (voice.say("figure.lost"), voice.number(failed), ""),
        (voice.say("figure.incoming"), voice.number(numbers.count_of(data.incoming)), ""),
    )
    chart = numbers.day_chart(
        voice,
        "messages",
        numbers.grouped_messages(data.days),
        data.period,
        (("arrived", 1), ("waiting", 2), ("failed", 3)),
    )
    following = f"messages?before=S{data.more}" if data.more is not None else None
    listed = rows(frame, data.rows) if data.rows else empty(frame, "messages.empty", "quiet")
    return draw(
        frame,
        title,
        el("div", el("h1", title), el("p", voice.say("messages.lead"), class_="lead"), class_="top"),
        block(voice.say("home.period", n=PERIOD_DAYS), figure_row(*figures), chart, id_="period"),
        block(
            voice.say("messages.last"),
            listed,
            pager(frame, None if data.is_first else "messages", following),
            id_="last",
        ),
    )


def rows(frame: Frame, messages: Sequence[MessageRow]) -> Html:
    """Messages one under the other."""
    return el("ul", [el("li", _row(frame.voice, message)) for message in messages], class_="rows")


def _row(voice: Voice, message: MessageRow) -> Html:
    paused = voice.say("messages.paused") if message.state is _S.QUEUED and message.paused_code else None
    return el(
        "div",
        el(
            "span",
            theirs(message.name, longest=80) if message.name else voice.say("claims.no_name"),
            class_="who",
        ),
        el("span", since(voice, message.queued_at), class_="when"),
        el(
            "span",
            el("span", voice.say_kind("purpose", message.purpose)),
            tag(TONES[message.state], voice.say(f"message_state.{message.state}")),
            tag("bad", paused) if paused else None,
            el("span", f"S{message.id}"),
            class_="about",
        ),
        class_="row",
    )
