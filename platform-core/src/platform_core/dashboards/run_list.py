"""Runs: what the machinery did by itself, how long it took, and what it could not do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from platform_core.dashboards import numbers, readings
from platform_core.dashboards.contracts import Page
from platform_core.dashboards.frame import Frame, block, draw, empty, figure_row, pager, since, tag
from platform_core.dashboards.histogram import percentile_ms
from platform_core.dashboards.markup import Html, el
from platform_core.dashboards.numbers import PERIOD_DAYS, SPEED_DAYS
from platform_core.dashboards.readings import PAGE_ROWS, DayTally, Period, RunRow, Tally
from platform_core.dashboards.voice import Voice
from platform_core.db import Tx
from platform_core.jobs import queue
from platform_core.jobs.contracts import QueueHealth

_MANY = 10_000  # where the queue's own counts stop
TONES = {"done": "good", "cancelled": "quiet", "failed": "bad"}


@dataclass(frozen=True, slots=True)
class Runs:
    """What the page of runs shows; tallies are of PERIOD_DAYS, speed of SPEED_DAYS."""

    period: Period
    health: QueueHealth
    now: Sequence[Tally]
    before: Sequence[Tally]
    days: Sequence[DayTally]
    speed: Mapping[str, Mapping[int, int]]
    failures: Sequence[RunRow]
    rows: Sequence[RunRow]
    is_first: bool = True
    more: int | None = None


def read(tx: Tx, voice: Voice, *, beyond: int | None) -> Runs:
    """What the page shows, as it stands."""
    period = Period.of_days(voice.today, PERIOD_DAYS)
    found = readings.list_runs(tx, now=voice.now, beyond=beyond)
    rows = found[:PAGE_ROWS]
    return Runs(
        period=period,
        health=queue.read_health(tx),
        now=readings.sum_tallies(tx, "run", period),
        before=readings.sum_tallies(tx, "run", period.before),
        days=readings.tallies_by_day(tx, "run", period),
        speed=readings.latencies(tx, Period.of_days(voice.today, SPEED_DAYS)),
        failures=readings.list_failures(tx),
        rows=rows,
        is_first=beyond is None,
        more=rows[-1].id if len(found) > PAGE_ROWS else None,
    )


def page(frame: Frame, data: Runs) -> Page:
    """The runs as a page."""
    voice = frame.voice
    title = voice.say("runs.title")
    waiting = (
        voice.say("runs.waiting"),
        _bounded(voice, data.health.due + data.health.running),
        voice.say("runs.later", n=_bounded(voice, data.health.waiting)),
    )
    figures = [
        *numbers.run_figures(voice, data.now, data.before),
        waiting,
        numbers.speed_figure(voice, data.speed),
    ]
    following = f"runs?before=J{data.more}" if data.more is not None else None
    failed = (
        block(
            voice.say("runs.failed"),
            el("p", voice.say("runs.failed_lead"), class_="lead"),
            table(frame, data.failures),
            id_="failed",
        )
        if data.failures
        else None
    )
    listed = table(frame, data.rows) if data.rows else empty(frame, "runs.empty", "quiet")
    return draw(
        frame,
        title,
        el("div", el("h1", title), el("p", voice.say("runs.lead"), class_="lead"), class_="top"),
        block(
            voice.say("home.period", n=PERIOD_DAYS),
            figure_row(*figures),
            numbers.run_chart(voice, data.days, data.period),
            id_="period",
        ),
        failed,
        _speed(voice, data),
        block(
            voice.say("runs.last"),
            listed,
            pager(frame, None if data.is_first else "runs", following),
            id_="last",
        ),
    )


def table(frame: Frame, runs: Sequence[RunRow]) -> Html:
    """Runs one under the other."""
    voice = frame.voice
    return el("ul", [el("li", _row(voice, run)) for run in runs], class_="rows")


def _row(voice: Voice, run: RunRow) -> Html:
    again = voice.count("runs.attempts", run.attempt) if run.attempt > 1 else None
    return el(
        "div",
        el("span", voice.say_kind("run", run.kind), class_="who"),
        el("span", since(voice, run.ended_at), class_="when"),
        el(
            "span",
            tag(TONES.get(run.outcome, "quiet"), voice.say(f"outcome.{run.outcome}")),
            el("span", again) if again else None,
            el("span", f"J{run.id}"),
            class_="about",
        ),
        class_="row",
    )


def _speed(voice: Voice, data: Runs) -> Html | None:
    if not data.speed:
        return None
    head = [el("th", voice.say(f"speed.{name}"), scope="col", class_="n") for name in ("runs", "p50", "p95")]
    rows = [
        el(
            "tr",
            el("th", voice.say_kind("run", kind), scope="row"),
            el("td", voice.number(sum(histogram.values())), class_="n"),
            el("td", voice.duration(percentile_ms(histogram, 50)), class_="n"),
            el("td", voice.duration(percentile_ms(histogram, 95)), class_="n"),
        )
        for kind, histogram in sorted(data.speed.items())
    ]
    shown = el(
        "table",
        el("caption", voice.say("speed.title"), class_="hush"),
        el("thead", el("tr", el("th", voice.say("speed.kind"), scope="col"), head)),
        el("tbody", rows),
    )
    return block(
        voice.say("speed.title"),
        el("p", voice.say("speed.lead", n=SPEED_DAYS), class_="lead"),
        el("div", shown, class_="scroll"),
        id_="speed",
    )


def _bounded(voice: Voice, number: int) -> str:
    return f"{voice.number(_MANY)}+" if number >= _MANY else voice.number(number)
