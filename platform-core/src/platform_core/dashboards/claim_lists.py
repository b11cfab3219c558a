"""Claims on lists: those that staff must decide, those that wait for a family, those that are settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from platform_core.dashboards import readings
from platform_core.dashboards.contracts import Page
from platform_core.dashboards.frame import Frame, draw, empty, pager, since, tag
from platform_core.dashboards.markup import Html, el, theirs
from platform_core.dashboards.readings import CLAIM_LISTS, COUNT_BOUND, PAGE_ROWS, ClaimCounts, ClaimRow
from platform_core.dashboards.voice import Voice
from platform_core.db import Tx
from platform_core.payments.contracts import claim_ref
from platform_core.payments.lifecycle import ClaimState

_S = ClaimState

TONES: dict[ClaimState, str] = {
    _S.RECEIVED: "quiet",
    _S.EVIDENCE_FAILED: "bad",
    _S.PENDING_REVIEW: "wait",
    _S.NEEDS_INFO: "quiet",
    _S.AWAITING_SECOND: "wait",
    _S.APPROVED: "good",
    _S.RECONCILED: "good",
    _S.REJECTED: "bad",
    _S.DUPLICATE: "quiet",
    _S.WITHDRAWN: "quiet",
    _S.EXPIRED: "quiet",
    _S.REVERSED: "bad",
}
"""How each state looks; its words stand beside."""


@dataclass(frozen=True, slots=True)
class ClaimList:
    """One page of one of CLAIM_LISTS. `more` is where the next page begins."""

    view: str
    rows: Sequence[ClaimRow]
    counts: ClaimCounts
    is_first: bool = True
    more: int | None = None


def read(tx: Tx, view: str, *, beyond: int | None) -> ClaimList:
    """One page of a list."""
    found = readings.list_claims(tx, view, beyond=beyond)
    rows = found[:PAGE_ROWS]
    more = rows[-1].id if len(found) > PAGE_ROWS else None
    return ClaimList(view, rows, readings.count_claims(tx), is_first=beyond is None, more=more)


def page(frame: Frame, data: ClaimList) -> Page:
    """The list as a page."""
    voice = frame.voice
    title = voice.say("claims.title")
    tabs = el(
        "nav",
        [
            el(
                "a",
                _tab_words(voice, view, data.counts),
                href=frame.to(f"claims?state={view}"),
                aria_current="page" if view == data.view else None,
            )
            for view in CLAIM_LISTS
        ],
        class_="tabs",
        aria_label=voice.say("claims.tabs"),
    )
    shown = rows(frame, data.rows) if data.rows else empty(frame, f"claims.empty_{data.view}")
    following = f"claims?state={data.view}&before=C{data.more}" if data.more is not None else None
    first = None if data.is_first else f"claims?state={data.view}"
    return draw(
        frame,
        title,
        el(
            "div",
            el("h1", title),
            el("p", voice.say(f"claims.lead_{data.view}"), class_="lead"),
            class_="top",
        ),
        el("div", tabs, shown, pager(frame, first, following), class_="block"),
    )


def rows(frame: Frame, claims: Sequence[ClaimRow]) -> Html:
    """Claims one under the other, each a link to its sheet."""
    return el("ul", [el("li", _row(frame, claim)) for claim in claims], class_="rows")


def _row(frame: Frame, claim: ClaimRow) -> Html:
    voice = frame.voice
    amount = claim.amount
    return el(
        "a",
        el(
            "span",
            theirs(claim.name, longest=80) if claim.name else voice.say("claims.no_name"),
            class_="who",
        ),
        el("span", voice.money(amount), class_="sum")
        if amount
        else el("span", voice.say("claims.no_amount"), class_="sum unsaid"),
        el(
            "span",
            tag(TONES[claim.state], voice.say(f"claim_state.{claim.state}")),
            tag("bad", voice.say("claims.flagged")) if claim.flagged else None,
            el("span", claim_ref(claim.id)),
            class_="about",
        ),
        el("span", since(voice, claim.opened_at), class_="when"),
        class_="row",
        href=frame.to(f"claims/{claim_ref(claim.id)}"),
    )


def _tab_words(voice: Voice, view: str, counts: ClaimCounts) -> str:
    number = {"to_decide": counts.to_decide, "asked": counts.asked}.get(view)
    words = voice.say(f"claims.tab_{view}")
    if not number:
        return words
    shown = f"{voice.number(COUNT_BOUND)}+" if number >= COUNT_BOUND else voice.number(number)
    return f"{words} ({shown})"
