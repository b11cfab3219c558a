"""One claim: the picture beside what was checked, what was decided and by whom, and what may be done now."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from platform_core.dashboards import claim_forms
from platform_core.dashboards.claim_lists import TONES
from platform_core.dashboards.contracts import Page
from platform_core.dashboards.frame import Frame, block, draw, note, pairs, tag, when
from platform_core.dashboards.markup import Html, el, join, theirs
from platform_core.dashboards.offers import Standing, decide_offers
from platform_core.dashboards.readings import Q
from platform_core.db import Tx
from platform_core.panel.rights import Right
from platform_core.payments import previews, views
from platform_core.payments.contracts import claim_ref, obligation_ref
from platform_core.payments.lifecycle import ClaimState, ObligationState
from platform_core.payments.previews import Preview, Undrawable
from platform_core.payments.views import ClaimDetail, Decision, ObligationSummary, Receipt
from platform_core.values import CURRENCY_EXPONENTS, Money

_DEBTS_SHOWN = 8
_NAMED_ACTORS = frozenset({"user", "support"})

DONE = frozenset(
    {*(state.value for state in ClaimState), *(f"already_{s.value}" for s in ClaimState), "resumed"}
)
"""What a decision may say of itself when the page is shown after it."""


@dataclass(frozen=True, slots=True)
class ClaimSheet:
    """Everything about one claim. `shown` is the receipt whose picture is here; `words` came with receipts.

    `problem` and `typed` are there when a form came back: what was wrong with which field, and what it held.
    """

    detail: ClaimDetail
    debts: Sequence[ObligationSummary] = ()
    shown: Receipt | None = None
    picture: Preview | None = None
    undrawable: Undrawable | None = None
    words: Sequence[str] = ()
    second_above: Money | None = None
    problem: claim_forms.Problem | None = None
    typed: Mapping[str, str] = field(default_factory=dict)

    @property
    def standing(self) -> Standing:
        """What of it decides who may do what."""
        summary, opened = self.detail.summary, self.detail.history[0]
        creator = opened.actor_id if opened.actor_type == "user" else ""
        return Standing(summary.state, creator, summary.first_approver_id, summary.approver_id)


def read(tx: Tx, frame: Frame, claim_id: int, *, message_id: int | None, second_above: Money) -> ClaimSheet:
    """Everything about one claim that who looks may see. Raises: NotFound."""
    detail = views.get_claim(tx, claim_id)
    debts = views.list_obligations(
        tx, contact_id=detail.summary.contact_id, state=ObligationState.OPEN, limit=_DEBTS_SHOWN
    )
    if not frame.may(Right.SEE_RECEIPTS):
        return ClaimSheet(detail, debts, second_above=second_above)
    shown = choose_receipt(detail.receipts, message_id)
    ids = [receipt.message_id for receipt in detail.receipts]
    return ClaimSheet(
        detail,
        debts,
        shown,
        picture=previews.find_preview(tx, shown.message_id) if shown else None,
        undrawable=previews.find_failure(tx, shown.message_id) if shown else None,
        words=[row[0] for row in tx.execute(Q["message_list_words"], {"messages": ids})],
        second_above=second_above,
    )


def choose_receipt(receipts: Sequence[Receipt], message_id: int | None) -> Receipt | None:
    """The receipt asked for when it is one of these, else the newest that was stored, else the newest."""
    asked = [receipt for receipt in receipts if receipt.message_id == message_id]
    stored = [receipt for receipt in receipts if receipt.sha256 is not None]
    found = asked or stored[-1:] or list(receipts[-1:])
    return found[0] if found else None


def page(frame: Frame, data: ClaimSheet, *, done: str = "", status: int = 200) -> Page:
    """The claim as a page."""
    voice, summary = frame.voice, data.detail.summary
    name = theirs(summary.contact_name) if summary.contact_name else voice.say("claims.no_name")
    amount = summary.verified or summary.claimed
    heading = el(
        "div",
        el(
            "p",
            el("a", voice.say("claims.title"), href=frame.to("claims")),
            f" · {claim_ref(summary.id)}",
            class_="eyebrow",
        ),
        el("h1", name, [" ", el("em", voice.money(amount))] if amount else None),
        el(
            "p",
            tag(TONES[summary.state], voice.say(f"claim_state.{summary.state}")),
            " · ",
            voice.say("claim.since", moment=voice.moment(summary.state_at)),
            class_="quiet",
        ),
        class_="top",
    )
    left = [_proof(frame, data)] if frame.may(Right.SEE_RECEIPTS) and data.detail.receipts else []
    right = el("div", _checked(frame, data), _acts(frame, data), _history(frame, data), class_="stack")
    return draw(
        frame,
        voice.say("claim.title", claim=claim_ref(summary.id)),
        _banner(frame, data, done),
        heading,
        el("div", left, right, class_="pair") if left else right,
        status=status,
    )


def _banner(frame: Frame, data: ClaimSheet, done: str) -> Html | None:
    voice = frame.voice
    if data.problem is not None:
        text = voice.say(data.problem.key, **data.problem.values)
        return note("bad", el("strong", voice.say("problem.title")), el("span", text), role="alert")
    if done not in DONE:
        return None
    tone = "wait" if done.startswith("already_") else "good"
    follow = voice.say(f"undo.{done}") if voice.knows(f"undo.{done}") else None
    return note(tone, el("strong", voice.say(f"done.{done}")), el("span", follow) if follow else None)


# --- The evidence -----------------------------------------------------------------------------------------


def _proof(frame: Frame, data: ClaimSheet) -> Html:
    voice, receipt, summary = frame.voice, data.shown, data.detail.summary
    if receipt is None:
        raise AssertionError("a claim with receipts shows one of them")
    parts = [voice.say("proof.sent", moment=voice.moment(receipt.seen_at))]
    if receipt.size_bytes:
        parts.append(voice.say("proof.size", n=voice.number(max(1, receipt.size_bytes // 1024))))
    if data.picture is not None and data.picture.pages > 1:
        parts.append(voice.say("proof.page", pages=data.picture.pages))
    others = [
        el("a", voice.say("proof.other", n=number), href=_receipt_link(frame, summary.id, one.message_id))
        for number, one in enumerate(data.detail.receipts, 1)
        if one is not receipt
    ]
    caption = el(
        "figcaption",
        el("p", " · ".join(parts)),
        el("p", theirs(receipt.filename, longest=60)) if receipt.filename else None,
        el("p", [join(other, " ") for other in others]) if others else None,
    )
    words = [el("p", theirs(text, longest=300), class_="words") for text in data.words if text.strip()]
    return el("figure", _picture(frame, data, receipt), caption, words, class_="proof")


def _receipt_link(frame: Frame, claim_id: int, message_id: int) -> str:
    return frame.to(f"claims/{claim_ref(claim_id)}?receipt=M{message_id}")


def _picture(frame: Frame, data: ClaimSheet, receipt: Receipt) -> Html:
    voice, picture = frame.voice, data.picture
    if picture is not None:
        return el(
            "img",
            src=f"data:{picture.mime_type};base64,{base64.b64encode(picture.content).decode()}",
            width=picture.width,
            height=picture.height,
            alt=voice.say("proof.alt", moment=voice.moment(receipt.seen_at)),
        )
    if receipt.state == "failed":
        title, text = "proof.failed", voice.say("proof.failed_text")
    elif data.undrawable is not None:
        title, text = "proof.undrawable", previews.explain(data.undrawable, voice.language)
    elif receipt.state == "fetching":
        title, text = "proof.fetching", voice.say("proof.wait")
    else:
        title, text = "proof.drawing", voice.say("proof.wait")
    return el("div", el("strong", voice.say(title)), el("span", text), class_="gap")


# --- What was checked -------------------------------------------------------------------------------------


def _checked(frame: Frame, data: ClaimSheet) -> Html:
    voice, summary = frame.voice, data.detail.summary
    claimed, verified = summary.claimed, summary.verified
    shown = pairs(
        (voice.say("checked.origin"), voice.say(f"origin.{summary.origin}")),
        (voice.say("checked.claimed"), voice.money(claimed) if claimed else voice.say("checked.unsaid")),
        (voice.say("checked.verified"), voice.money(verified) if verified else None),
        (
            voice.say("checked.first"),
            theirs(summary.first_approver_id) if summary.first_approver_id else None,
        ),
        (voice.say("checked.approver"), theirs(summary.approver_id) if summary.approver_id else None),
        (voice.say("checked.reason"), theirs(summary.reason, longest=500) if summary.reason else None),
        (voice.say("checked.signs"), _signs(frame, data)),
        (voice.say("checked.other"), _claim_link(frame, summary.duplicate_of)),
        (voice.say("checked.former"), _claim_link(frame, summary.supersedes)),
        (voice.say("checked.debts"), _debts(frame, data)),
        (voice.say("checked.paid"), _allocated(frame, data)),
    )
    return block(voice.say("checked.title"), shown, id_="checked")


def _signs(frame: Frame, data: ClaimSheet) -> Html:
    voice = frame.voice
    if not data.detail.flags:
        return tag("good", voice.say("checked.no_signs"))
    return el(
        "ul",
        [
            el("li", tag("bad", voice.say(f"flag.{flag.kind}")), " ", _claim_link(frame, flag.other_claim_id))
            for flag in data.detail.flags[:5]
        ],
    )


def _claim_link(frame: Frame, claim_id: int | None) -> Html | None:
    if claim_id is None:
        return None
    return el("a", claim_ref(claim_id), href=frame.to(f"claims/{claim_ref(claim_id)}"))


def _debts(frame: Frame, data: ClaimSheet) -> Html | str:
    voice = frame.voice
    if not data.debts:
        return voice.say("checked.no_debts")
    return el(
        "ul",
        [
            el(
                "li",
                el("strong", voice.money(debt.remaining)),
                " ",
                theirs(f"{debt.concept}, {debt.pupil}", longest=100),
                " ",
                el("span", voice.say("checked.due", day=voice.day(debt.due_on)), class_="quiet"),
            )
            for debt in data.debts
        ],
    )


def _allocated(frame: Frame, data: ClaimSheet) -> Html | None:
    voice = frame.voice
    found = [
        el(
            "li",
            voice.money(Money(one.amount_minor, one.currency)),
            f" → {obligation_ref(one.obligation_id)}",
        )
        for one in data.detail.allocations
        if one.currency in CURRENCY_EXPONENTS
    ]
    found += [
        el("li", voice.money(Money(one.amount_minor, one.currency)), f" → {voice.say('checked.credit')}")
        for one in data.detail.credits
        if one.currency in CURRENCY_EXPONENTS
    ]
    return el("ul", found) if found else None


# --- What may be done, and what was -----------------------------------------------------------------------


def _acts(frame: Frame, data: ClaimSheet) -> Html | None:
    voice = frame.voice
    offers = decide_offers(data.standing, member=frame.viewer.member, role=frame.viewer.role)
    if not offers:
        final = el("p", voice.say("acts.none"), class_="lead")
        return block(voice.say("acts.title"), final, id_="acts") if frame.may(Right.DECIDE_CLAIMS) else None
    subject = claim_forms.Subject(
        claim_id=data.detail.summary.id,
        version=data.detail.summary.version,
        state=data.detail.summary.state,
        currency=data.detail.summary.currency,
        expected=data.detail.summary.verified or data.detail.summary.claimed,
        evidence=tuple(sorted(one.sha256 for one in data.detail.receipts if one.sha256)),
        flagged=tuple(sorted({flag.other_claim_id for flag in data.detail.flags})),
        first_approver=data.detail.summary.first_approver_id or "",
        approver=data.detail.summary.approver_id or "",
    )
    shown = claim_forms.draw_offers(
        frame, subject, offers, second_above=data.second_above, problem=data.problem, typed=data.typed
    )
    return block(voice.say("acts.title"), shown, id_="acts")


def _history(frame: Frame, data: ClaimSheet) -> Html:
    voice = frame.voice
    decisions = {decision.id: decision for decision in data.detail.decisions}
    told = [
        el(
            "li",
            el("strong", voice.say(f"claim_state.{ClaimState(event.to_state)}")),
            el(
                "p",
                when(voice, event.at),
                " · ",
                _actor(frame, event.actor_type, event.actor_id),
                class_="quiet",
            ),
            _decision(frame, decisions.get(event.decision_id or "")),
            el("p", theirs(event.note, longest=500), class_="words") if event.note else None,
        )
        for event in reversed(data.detail.history)
    ]
    return block(voice.say("history.title"), el("ol", told, class_="past"), id_="history")


def _actor(frame: Frame, kind: str, actor_id: str) -> Html | str:
    if kind in _NAMED_ACTORS:
        return theirs(actor_id)
    return frame.voice.say("actor.contact" if kind == "contact" else "actor.platform")


def _decision(frame: Frame, decision: Decision | None) -> Html | None:
    if decision is None or decision.method is None:
        return None
    voice = frame.voice
    parts: list[Html | str] = [voice.say(f"method.{decision.method}")]
    if decision.verified_minor is not None and decision.currency in CURRENCY_EXPONENTS:
        parts.append(voice.money(Money(decision.verified_minor, decision.currency)))
    if decision.bank_reference:
        parts.append(theirs(decision.bank_reference, longest=60))
    return el("p", [join(" · " if index else "", part) for index, part in enumerate(parts)])
