"""Attendance: classes that wait for a person, how many came, and the question whether really nobody did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from platform_core.attendance import results
from platform_core.attendance.contracts import ConfirmationRequest, session_ref
from platform_core.attendance.lifecycle import SessionState, Verdict
from platform_core.dashboards import numbers, readings, refresh
from platform_core.dashboards.contracts import Moved, Page
from platform_core.dashboards.frame import (
    Frame,
    block,
    draw,
    empty,
    figure_row,
    form,
    hidden,
    note,
    pager,
    sign,
    tag,
    when,
)
from platform_core.dashboards.markup import Html, el, theirs
from platform_core.dashboards.numbers import PERIOD_DAYS
from platform_core.dashboards.readings import PAGE_ROWS, DayTally, Period, SessionRow, Tally
from platform_core.dashboards.voice import Voice
from platform_core.db import Tx
from platform_core.errors import InvalidInput, NotApplicable, Refused, StateConflict
from platform_core.panel.rights import Right
from platform_core.payments.contracts import read_contract
from platform_core.tenancy.policy import Policy

TONES: dict[Verdict, str] = {
    Verdict.COMPLETE: "good",
    Verdict.UNDETERMINED: "bad",
    Verdict.SUSPICIOUS_EMPTY: "wait",
    Verdict.EMPTY_ROSTER: "quiet",
    Verdict.ALL_EXCUSED: "quiet",
}
DONE = frozenset({"confirmed", "already_confirmed"})


@dataclass(frozen=True, slots=True)
class Classes:
    """What the page shows; tallies are of PERIOD_DAYS. `is_used` is false for who has no attendance."""

    is_used: bool
    period: Period
    waiting: Sequence[SessionRow]
    now: Sequence[Tally]
    days: Sequence[DayTally]
    rows: Sequence[SessionRow]
    is_first: bool = True
    more: int | None = None


def list_waiting(tx: Tx, voice: Voice, policy: Policy) -> list[SessionRow]:
    """Classes whose result waits for a person who may still change it."""
    if policy.attendance is None:
        return []
    after = voice.now - timedelta(hours=policy.attendance.correction_window_hours)
    return readings.list_waiting_sessions(tx, after=after)


def read(tx: Tx, voice: Voice, policy: Policy, *, beyond: int | None) -> Classes:
    """What the page shows, as it stands."""
    period = Period.of_days(voice.today, PERIOD_DAYS)
    found = readings.list_sessions(tx, now=voice.now, beyond=beyond)
    rows = found[:PAGE_ROWS]
    return Classes(
        is_used=policy.attendance is not None,
        period=period,
        waiting=list_waiting(tx, voice, policy),
        now=readings.sum_tallies(tx, "session", period),
        days=readings.tallies_by_day(tx, "session", period, label="student"),
        rows=rows,
        is_first=beyond is None,
        more=rows[-1].id if len(found) > PAGE_ROWS else None,
    )


def page(frame: Frame, data: Classes, *, done: str = "") -> Page:
    """Attendance as a page."""
    voice = frame.voice
    title = voice.say("classes.title")
    heading = el("div", el("h1", title), el("p", voice.say("classes.lead"), class_="lead"), class_="top")
    if not data.is_used:
        return draw(frame, title, heading, empty(frame, "classes.unused", "quiet"))
    banner = note("good", el("strong", voice.say(f"done.{done}"))) if done in DONE else None
    waiting = _waiting(frame, data.waiting) if data.waiting else empty(frame, "classes.empty_waiting")
    following = f"attendance?before=L{data.more}" if data.more is not None else None
    listed = (
        el("ul", [el("li", _row(voice, one)) for one in data.rows], class_="rows")
        if data.rows
        else empty(frame, "classes.empty", "quiet")
    )
    return draw(
        frame,
        title,
        banner,
        heading,
        block(voice.say("classes.waiting"), waiting, id_="waiting"),
        _figures(voice, data),
        block(
            voice.say("classes.last"),
            listed,
            pager(frame, None if data.is_first else "attendance", following),
            id_="last",
        ),
    )


def _figures(voice: Voice, data: Classes) -> Html:
    students = [one for one in data.now if one.label == "student"]
    classes = [one for one in data.now if one.label == "class"]
    came = numbers.count_of(students, "attended")
    unclear = numbers.count_of(classes, Verdict.UNDETERMINED.value, Verdict.SUSPICIOUS_EMPTY.value)
    figures = (
        (voice.say("figure.attendance"), voice.percent(came, numbers.count_of(students)), ""),
        (voice.say("figure.classes"), voice.number(numbers.count_of(classes)), ""),
        (voice.say("figure.missed"), voice.number(numbers.count_of(students, "missed")), ""),
        (voice.say("figure.unclear"), voice.number(unclear), ""),
    )
    chart = numbers.day_chart(voice, "students", data.days, data.period, (("attended", 1), ("missed", 2)))
    return block(voice.say("home.period", n=PERIOD_DAYS), figure_row(*figures), chart, id_="period")


def _row(voice: Voice, one: SessionRow) -> Html:
    known = one.attended is not None and one.counted is not None
    share = f"{voice.number(one.attended or 0)}/{voice.number(one.counted or 0)}" if known else ""
    return el(
        "div",
        el("span", theirs(one.course), class_="who"),
        el("span", share, class_="sum"),
        el("span", _state(voice, one), el("span", session_ref(one.id)), class_="about"),
        el("span", when(voice, one.starts_at), class_="when"),
        class_="row",
    )


def _state(voice: Voice, one: SessionRow) -> Html:
    if one.state == SessionState.CANCELLED:
        return tag("quiet", voice.say("verdict.cancelled"))
    if one.verdict is None:
        return tag("quiet", voice.say("verdict.none"))
    return tag(TONES[one.verdict], voice.say(f"verdict.{one.verdict}"))


def _waiting(frame: Frame, rows: Sequence[SessionRow]) -> Html:
    voice = frame.voice
    return el(
        "ul",
        [
            el(
                "li",
                _row(voice, one),
                el("p", voice.say(f"classes.do_{one.verdict}"), class_="hint"),
                _ask(frame, one) if one.verdict is Verdict.SUSPICIOUS_EMPTY else None,
                class_="block",
            )
            for one in rows
        ],
        class_="rows",
    )


def _ask(frame: Frame, one: SessionRow) -> Html | None:
    if not frame.may(Right.DECIDE_ATTENDANCE):
        return None
    words = el("span", f" {session_ref(one.id)}", class_="hush")
    button = el("button", frame.voice.say("classes.confirm"), words, class_="plain")
    return form(
        frame, f"attendance/{session_ref(one.id)}/confirm", hidden("version", str(one.version)), button
    )


# --- Confirming that nobody came --------------------------------------------------------------------------


def confirm(
    tx: Tx, frame: Frame, session_id: int, fields: Mapping[str, str], *, policy: Policy
) -> Page | Moved:
    """Take the form: a page that asks again, or the confirmation itself when it was asked before.

    Idempotency: a confirmed class stays as it is. Raises: SessionInvalid, PermissionDenied, InvalidInput.
    """
    detail = results.get_session(tx, session_id)
    version = fields.get("version", "")
    if not (version.isascii() and version.isdecimal()):
        raise InvalidInput("The form names no version", next_step="Open the page again.")
    if fields.get("confirm") != "1":
        waits = detail.summary.verdict == Verdict.SUSPICIOUS_EMPTY and detail.summary.version == int(version)
        return _question(frame, detail, version) if waits else _too_late(frame, detail)
    request = read_contract(
        ConfirmationRequest,
        {"session_id": session_id, "version": int(version), "note": fields.get("note", "")[:500]},
    )
    try:
        with tx.transaction():
            stored = results.confirm_empty(
                tx, request, actor=frame.viewer.actor, policy=policy, now=frame.voice.now
            )
    except (StateConflict, NotApplicable):
        return _too_late(frame, detail)
    except Refused as refused:
        if "permission" in refused.facts:
            raise
        return _too_late(frame, detail)
    refresh.request_refresh_after(tx, f"{session_ref(session_id)}:{stored.version}")
    return Moved(f"attendance?done={'confirmed' if stored.created else 'already_confirmed'}")


def _question(frame: Frame, detail: results.SessionDetail, version: str) -> Page:
    voice, summary = frame.voice, detail.summary
    title = voice.say("classes.question")
    return draw(
        frame,
        title,
        el(
            "div",
            el("p", theirs(summary.course), " · ", when(voice, summary.starts_at), class_="eyebrow"),
            el("h1", title),
            el("p", voice.count("classes.question_follows", len(detail.students)), class_="lead"),
            class_="top",
        ),
        form(
            frame,
            f"attendance/{session_ref(summary.id)}/confirm",
            hidden("version", version),
            hidden("confirm", "1"),
            el(
                "div",
                el("button", voice.say("classes.question_go"), class_="grave"),
                el("a", voice.say("confirm.back"), class_="button plain", href=frame.to("attendance")),
                class_="choice",
            ),
        ),
    )


def _too_late(frame: Frame, detail: results.SessionDetail) -> Page:
    voice = frame.voice
    title = voice.say("classes.moved_on")
    return draw(
        frame,
        title,
        el(
            "div",
            sign("wait"),
            el("h1", title),
            el("p", voice.say("classes.moved_on_text", name=session_ref(detail.summary.id)), class_="lead"),
            class_="verdict",
        ),
        el(
            "div",
            el("a", voice.say("classes.back"), class_="button", href=frame.to("attendance")),
            class_="choice",
        ),
        status=409,
    )
