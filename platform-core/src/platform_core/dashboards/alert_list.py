"""What needs a person: each trouble in plain words, with what to do and who does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from platform_core.dashboards import message_list, readings, run_list
from platform_core.dashboards.contracts import Page
from platform_core.dashboards.frame import Frame, block, draw, empty, since, tag
from platform_core.dashboards.markup import Html, el, theirs
from platform_core.dashboards.readings import AlertRow, MessageRow, RunRow
from platform_core.db import Tx
from platform_core.panel.rights import Right
from platform_core.payments.contracts import claim_ref

TONES = {"P1": "bad", "P2": "wait", "P3": "quiet"}
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Troubles:
    """What the page shows: alerts, messages that did not arrive, runs that failed."""

    alerts: Sequence[AlertRow]
    messages: Sequence[MessageRow]
    failures: Sequence[RunRow]


def read(tx: Tx) -> Troubles:
    """What needs a person, as it stands."""
    return Troubles(
        alerts=readings.list_alerts(tx),
        messages=readings.list_messages(tx, troubled=True, limit=_SHOWN),
        failures=readings.list_failures(tx, limit=_SHOWN),
    )


def page(frame: Frame, data: Troubles) -> Page:
    """The troubles as a page."""
    voice = frame.voice
    title = voice.say("alerts.title")
    found = rows(frame, data.alerts) if data.alerts else empty(frame, "alerts.empty")
    return draw(
        frame,
        title,
        el("div", el("h1", title), el("p", voice.say("alerts.lead"), class_="lead"), class_="top"),
        block(voice.say("alerts.open"), found, id_="open"),
        _messages(frame, data),
        _failures(frame, data),
    )


def rows(frame: Frame, alerts: Sequence[AlertRow]) -> Html:
    """Alerts one under the other: what happened, and what to do."""
    return el("ul", [el("li", _row(frame, alert)) for alert in alerts], class_="rows")


def _row(frame: Frame, alert: AlertRow) -> Html:
    voice = frame.voice
    key = alert.kind.replace(".", "_")
    known = voice.knows(f"alert.{key}.title")
    title = voice.say(f"alert.{key}.title") if known else voice.say("alert.other.title", kind=alert.kind)
    action = voice.say(f"alert.{key}.do" if known else "alert.other.do")
    often = voice.count("alerts.times", alert.occurrences) if alert.occurrences > 1 else None
    whose = voice.say("alerts.looked_after", member=alert.acknowledged_by) if alert.acknowledged_by else None
    return el(
        "div",
        el("span", title, class_="who"),
        el("span", since(voice, alert.last_at), class_="when"),
        el("p", action),
        el("span"),
        el(
            "span",
            tag(TONES.get(alert.severity, "quiet"), voice.say(f"severity.{alert.severity}")),
            _subject(frame, alert.subject),
            el("span", often) if often else None,
            el("span", whose) if whose else None,
            class_="about",
        ),
        class_="row",
    )


def _subject(frame: Frame, subject: str) -> Html:
    """What it is about; a claim leads to its sheet."""
    number = subject[1:]
    if subject[:1] == "C" and number.isascii() and number.isdecimal() and frame.may(Right.SEE_CLAIMS):
        return el("a", subject, href=frame.to(f"claims/{claim_ref(int(number))}"))
    return el("span", theirs(f"S{subject[7:]}" if subject.startswith("outbox:") else subject, longest=60))


def _messages(frame: Frame, data: Troubles) -> Html | None:
    if not data.messages:
        return None
    voice = frame.voice
    return block(
        voice.say("alerts.messages"),
        el("p", voice.say("alerts.messages_lead"), class_="lead"),
        message_list.rows(frame, data.messages),
        id_="messages",
    )


def _failures(frame: Frame, data: Troubles) -> Html | None:
    if not data.failures:
        return None
    voice = frame.voice
    return block(
        voice.say("runs.failed"),
        el("p", voice.say("runs.failed_lead"), class_="lead"),
        run_list.table(frame, data.failures),
        id_="failed",
    )
