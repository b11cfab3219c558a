"""The forms of a claim: what is filled in, what is read back, and the question before it happens.

Every form carries a decision id made when it was drawn and the version that was looked at, so a form posted
twice decides once, and one that is out of date decides nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from platform_core.dashboards.contracts import Page
from platform_core.dashboards.figures import read_amount
from platform_core.dashboards.frame import Frame, draw, form, hidden, pairs
from platform_core.dashboards.markup import Child, Html, el, theirs
from platform_core.dashboards.offers import Act, Offer
from platform_core.dashboards.voice import Voice
from platform_core.errors import InvalidInput, InvalidMoney
from platform_core.payments.contracts import (
    DecisionRequest,
    Verification,
    claim_ref,
    parse_claim_id,
    read_contract,
)
from platform_core.payments.lifecycle import ClaimState
from platform_core.values import Money

METHODS = ("bank_app", "statement", "cep", "cash", "other")
_GRAVE = frozenset({Act.REJECT, Act.REVERSE, Act.WITHDRAW})
_CHECKED = (Act.APPROVE, Act.RECONCILE)
_REASONED = (Act.REJECT, Act.NEEDS_INFO, Act.REVERSE, Act.WITHDRAW, Act.DUPLICATE)
_REASON_NEEDED = (Act.REJECT, Act.NEEDS_INFO, Act.REVERSE)
_LONGEST_REFERENCE, _LONGEST_REASON = 60, 500
FIELDS: tuple[str, ...] = (
    *("decision_id", "version", "evidence", "action"),
    *("amount", "method", "bank_reference", "duplicate_of", "reason"),
)
"""What a form holds, in the order in which it is handed on."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The claim that a form is about, as it was when the form was drawn."""

    claim_id: int
    version: int
    state: ClaimState
    currency: str
    expected: Money | None = None
    evidence: tuple[str, ...] = ()
    flagged: tuple[int, ...] = ()
    first_approver: str = ""
    approver: str = ""

    @property
    def ref(self) -> str:
        """How people name it."""
        return claim_ref(self.claim_id)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with which field of which form, as the key of its words and what fills them."""

    act: Act
    where: str
    key: str
    values: Mapping[str, str | int] = field(default_factory=dict)


def new_decision_id() -> str:
    """An id that no other form has."""
    return f"panel:{secrets.token_hex(12)}"


# --- Drawing ----------------------------------------------------------------------------------------------


def draw_offers(
    frame: Frame,
    subject: Subject,
    offers: Sequence[Offer],
    *,
    second_above: Money | None,
    problem: Problem | None = None,
    typed: Mapping[str, str],
) -> Html:
    """Each act as a form behind its name; the first one is open, or the one that came back."""
    first = problem.act if problem else offers[0].act
    drawn = [
        el(
            "details",
            el("summary", frame.voice.say(f"act.{offer.act}")),
            _barred(frame, subject, offer)
            if offer.barred
            else _form(frame, subject, offer.act, second_above, problem, typed),
            open=offer.act is first,
        )
        for offer in offers
    ]
    return el("div", drawn, class_="acts")


def _barred(frame: Frame, subject: Subject, offer: Offer) -> Html:
    member = subject.first_approver if offer.barred == "approved_first" else subject.approver
    return el(
        "p", frame.voice.say(f"barred.{offer.barred}", member=member or frame.viewer.member), class_="lead"
    )


def _form(
    frame: Frame,
    subject: Subject,
    act: Act,
    second_above: Money | None,
    problem: Problem | None,
    typed: Mapping[str, str],
) -> Html:
    voice = frame.voice
    inputs = _Inputs(voice, act, problem, typed if typed.get("action") == act else {})
    parts: list[Child] = [el("p", voice.say(f"act.{act}_lead"), class_="hint")]
    if act in _CHECKED:
        parts += _checked_fields(inputs, subject, act, second_above)
    if act is Act.DUPLICATE:
        suggestion = claim_ref(subject.flagged[0]) if len(subject.flagged) == 1 else ""
        parts.append(inputs.text("duplicate_of", suggestion, longest=20))
    if act in _REASONED:
        parts.append(inputs.area("reason", needed=act in _REASON_NEEDED))
    look = "grave" if act in _GRAVE else None
    return form(
        frame,
        f"claims/{subject.ref}/decide",
        hidden("decision_id", new_decision_id()),
        hidden("version", str(subject.version)),
        hidden("evidence", " ".join(subject.evidence)),
        hidden("action", act),
        *parts,
        el("div", el("button", voice.say(f"act.{act}_go"), class_=look), class_="choice"),
    )


def _checked_fields(inputs: _Inputs, subject: Subject, act: Act, second_above: Money | None) -> list[Child]:
    voice = inputs.voice
    found: list[Child] = []
    if act is Act.APPROVE:
        expected = voice.money(subject.expected) if subject.expected else ""
        found.append(inputs.text("amount", expected, mode="decimal", longest=40))
        if second_above is not None and subject.state is ClaimState.PENDING_REVIEW:
            found.append(
                el("p", voice.say("act.second_above", amount=voice.money(second_above)), class_="hint")
            )
    found.append(inputs.choice("method", METHODS))
    found.append(inputs.text("bank_reference", "", longest=_LONGEST_REFERENCE))
    return found


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Draws the fields of one form, with what was typed and what is wrong."""

    voice: Voice
    act: Act
    problem: Problem | None
    typed: Mapping[str, str]

    def text(self, name: str, value: str, *, mode: str | None = None, longest: int) -> Html:
        """A line to write on."""
        typed = self.typed.get(name, value)
        box = el(
            "input", value=typed, inputmode=mode, maxlength=longest, autocomplete="off", **self._common(name)
        )
        return self._field(name, box)

    def area(self, name: str, *, needed: bool) -> Html:
        """Room for a sentence."""
        box = el("textarea", self.typed.get(name, ""), maxlength=_LONGEST_REASON, **self._common(name))
        return self._field(name, box, hint=f"field.{name}_{'needed' if needed else 'optional'}")

    def choice(self, name: str, values: Sequence[str]) -> Html:
        """One of several."""
        chosen = self.typed.get(name, values[0])
        options = [
            el("option", self.voice.say(f"{name}.{value}"), value=value, selected=value == chosen)
            for value in values
        ]
        return self._field(name, el("select", options, **self._common(name)))

    def _common(self, name: str) -> dict[str, str | bool | None]:
        described = f"{self._id(name)}-w" if self._is_wrong(name) else f"{self._id(name)}-h"
        return {
            "id": self._id(name),
            "name": name,
            "aria_describedby": described,
            "aria_invalid": "true" if self._is_wrong(name) else None,
            "autofocus": self._is_wrong(name),
        }

    def _field(self, name: str, box: Html, *, hint: str = "") -> Html:
        below = el(
            "span", self.voice.say(hint or f"field.{name}_hint"), class_="hint", id=f"{self._id(name)}-h"
        )
        if self.problem is not None and self._is_wrong(name):
            said = self.voice.say(self.problem.key, **self.problem.values)
            below = el("span", said, class_="wrong", id=f"{self._id(name)}-w")
        return el(
            "div",
            el("label", self.voice.say(f"field.{name}"), for_=self._id(name)),
            box,
            below,
            class_="field",
        )

    def _id(self, name: str) -> str:
        return f"{self.act}-{name}"

    def _is_wrong(self, name: str) -> bool:
        return self.problem is not None and (self.problem.act, self.problem.where) == (self.act, name)


# --- Reading back -----------------------------------------------------------------------------------------


def read_request(
    fields: Mapping[str, str], act: Act, subject: Subject, voice: Voice
) -> DecisionRequest | Problem:
    """The decision that a form says, or what is wrong with it.

    Raises: InvalidInput for a form that no page of ours holds.
    """
    if act.action is None:
        raise InvalidInput(f"{act} is no decision")
    verified: Money | None = None
    if act is Act.APPROVE:
        read = _read_amount(fields, act, subject, voice)
        if isinstance(read, Problem):
            return read
        verified = read
    problem = _find_problem(fields, act)
    if problem is not None:
        return problem
    other = fields.get("duplicate_of", "").strip()
    shape: dict[str, object] = {
        "decision_id": fields.get("decision_id", ""),
        "claim_id": subject.claim_id,
        "claim_version": fields.get("version", ""),
        "action": act.action,
        "verified": verified,
        "verification": _read_verification(fields) if act in _CHECKED else None,
        "evidence_sha256": tuple(fields.get("evidence", "").split()),
        "duplicate_of": parse_claim_id(other) if act is Act.DUPLICATE else None,
        "reason": fields.get("reason", "").strip() if act in _REASONED else "",
    }
    return read_contract(DecisionRequest, shape)


def _read_amount(fields: Mapping[str, str], act: Act, subject: Subject, voice: Voice) -> Money | Problem:
    text = fields.get("amount", "").strip()
    if not text:
        return Problem(act, "amount", "problem.no_amount")
    try:
        money = read_amount(text, subject.currency, voice.numerals)
    except InvalidMoney as error:
        example = str(error.facts.get("example", ""))
        return Problem(act, "amount", "problem.amount", {"example": example}) if example else _too_much(act)
    if money.amount_minor == 0:
        return Problem(act, "amount", "problem.no_amount")
    first_said = subject.expected if subject.state is ClaimState.AWAITING_SECOND else None
    if first_said is not None and money != first_said:
        values = {"member": subject.first_approver, "amount": voice.money(first_said)}
        return Problem(act, "amount", "problem.other_amount", values)
    return money


def _too_much(act: Act) -> Problem:
    return Problem(act, "amount", "problem.too_much")


def _find_problem(fields: Mapping[str, str], act: Act) -> Problem | None:
    """The first thing that is wrong, in the order in which the fields stand."""
    reason, reference = fields.get("reason", "").strip(), fields.get("bank_reference", "").strip()
    unnamed = not any(letter.isalnum() for letter in reference)
    wrong = (
        ("method", "problem.method", act in _CHECKED and fields.get("method") not in METHODS),
        ("bank_reference", "problem.reference", act is Act.RECONCILE and unnamed),
        ("bank_reference", "problem.too_long", len(reference) > _LONGEST_REFERENCE),
        ("reason", "problem.reason", act in _REASON_NEEDED and not reason),
        ("reason", "problem.too_long", len(reason) > _LONGEST_REASON),
        ("duplicate_of", "problem.duplicate_of", act is Act.DUPLICATE and not _names_claim(fields)),
    )
    room = {"bank_reference": _LONGEST_REFERENCE, "reason": _LONGEST_REASON}
    for name, key, is_wrong in wrong:
        if is_wrong:
            return Problem(act, name, key, {"n": room[name]} if key == "problem.too_long" else {})
    return None


def _names_claim(fields: Mapping[str, str]) -> bool:
    try:
        parse_claim_id(fields.get("duplicate_of", "").strip())
    except InvalidInput:
        return False
    return True


def _read_verification(fields: Mapping[str, str]) -> Verification:
    shape = {"method": fields.get("method", ""), "bank_reference": fields.get("bank_reference", "").strip()}
    return read_contract(Verification, shape)


# --- Asking again -----------------------------------------------------------------------------------------


def confirmation(frame: Frame, subject: Subject, act: Act, name: str, fields: Mapping[str, str],
                 request: DecisionRequest | None) -> Page:  # fmt: skip
    """The question before it happens: what will be done, to whom, and what follows from it."""
    voice = frame.voice
    amount = request.verified if request is not None else None
    kept = [hidden(key, fields[key]) for key in FIELDS if fields.get(key)]
    shown = pairs(
        (voice.say("field.amount"), voice.money(amount) if amount else None),
        (voice.say("field.method"), _method(voice, request)),
        (voice.say("field.bank_reference"), _reference(request)),
        (
            voice.say("field.duplicate_of"),
            claim_ref(request.duplicate_of) if request and request.duplicate_of else None,
        ),
        (
            voice.say("field.reason"),
            theirs(request.reason, longest=500) if request and request.reason else None,
        ),
    )
    title = voice.say(f"confirm.{act}")
    return draw(
        frame,
        title,
        el(
            "div",
            el("p", el("a", subject.ref, href=frame.to(f"claims/{subject.ref}")), class_="eyebrow"),
            el("h1", title, [" ", el("em", theirs(name))] if name else None),
            el("p", voice.say(f"confirm.{act}_follows"), class_="lead"),
            class_="top",
        ),
        shown,
        form(
            frame,
            f"claims/{subject.ref}/decide",
            kept,
            hidden("confirm", "1"),
            el(
                "div",
                el("button", voice.say(f"confirm.{act}_go"), class_="grave" if act in _GRAVE else None),
                el(
                    "a",
                    voice.say("confirm.back"),
                    class_="button plain",
                    href=frame.to(f"claims/{subject.ref}"),
                ),
                class_="choice",
            ),
        ),
    )


def _method(voice: Voice, request: DecisionRequest | None) -> str | None:
    if request is None or request.verification is None:
        return None
    return voice.say(f"method.{request.verification.method}")


def _reference(request: DecisionRequest | None) -> Html | None:
    if request is None or request.verification is None or not request.verification.bank_reference:
        return None
    return theirs(request.verification.bank_reference, longest=60)
