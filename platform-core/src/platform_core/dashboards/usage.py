"""Use: what the customer used month by month, beside the limits of its plan once there are any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from platform_core.dashboards import numbers, readings
from platform_core.dashboards.contracts import Page
from platform_core.dashboards.frame import Frame, block, draw, figure_row, note
from platform_core.dashboards.markup import Html, el
from platform_core.dashboards.readings import DayTally, Period
from platform_core.dashboards.voice import Voice
from platform_core.db import Tx

MONTHS = 12
COUNTED: Mapping[str, tuple[str, ...]] = {
    "outgoing": tuple(sorted(numbers.ARRIVED)),
    "incoming": (),
    "claim": (),
    "run": ("done",),
}
"""What is counted as use, and with which outcomes; none named means all of them."""


@dataclass(frozen=True, slots=True)
class Use:
    """Numbers of COUNTED, by the first day of each month, the newest last."""

    months: Sequence[date]
    counts: Mapping[str, Mapping[date, int]]


def read(tx: Tx, voice: Voice) -> Use:
    """The last MONTHS months, this one too."""
    months = months_until(voice.today)
    period = Period(months[0], voice.today)
    return Use(
        months,
        {
            noun: by_month(readings.tallies_by_month(tx, noun, period), outcomes)
            for noun, outcomes in COUNTED.items()
        },
    )


def months_until(today: date) -> list[date]:
    """The first days of the last MONTHS months."""
    found = [today.replace(day=1)]
    while len(found) < MONTHS:
        first = found[0]
        found.insert(0, date(first.year - (first.month == 1), (first.month - 2) % 12 + 1, 1))
    return found


def by_month(tallies: Sequence[DayTally], outcomes: Sequence[str]) -> dict[date, int]:
    """How many a month, of some outcomes or of all."""
    found: dict[date, int] = {}
    for one in tallies:
        if not outcomes or one.outcome in outcomes:
            found[one.day] = found.get(one.day, 0) + one.count
    return found


def page(frame: Frame, data: Use) -> Page:
    """Use as a page."""
    voice = frame.voice
    title = voice.say("use.title")
    this_month = data.months[-1]
    figures = tuple(
        (voice.say(f"use.{noun}"), voice.number(data.counts[noun].get(this_month, 0)), "") for noun in COUNTED
    )
    return draw(
        frame,
        title,
        el("div", el("h1", title), el("p", voice.say("use.lead"), class_="lead"), class_="top"),
        note(
            "good",
            el("strong", voice.say("use.no_limit_title")),
            el("span", voice.say("use.no_limit")),
            role=None,
        ),
        block(voice.say("use.this_month", month=voice.month(this_month)), figure_row(*figures), id_="month"),
        block(voice.say("use.by_month"), _table(voice, data), id_="months"),
    )


def _table(voice: Voice, data: Use) -> Html:
    head = [el("th", voice.say(f"use.{noun}"), scope="col", class_="n") for noun in COUNTED]
    rows = [
        el(
            "tr",
            el("th", voice.month(month), scope="row"),
            [el("td", voice.number(data.counts[noun].get(month, 0)), class_="n") for noun in COUNTED],
        )
        for month in reversed(data.months)
    ]
    shown = el(
        "table",
        el("caption", voice.say("use.by_month"), class_="hush"),
        el("thead", el("tr", el("th", voice.say("use.month"), scope="col"), head)),
        el("tbody", rows),
    )
    return el("div", shown, class_="scroll", tabindex="0", role="group", aria_label=voice.say("use.by_month"))
