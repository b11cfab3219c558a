"""A decision from the panel: the form is read, asked about once more, and handed to the verb that decides.

What a form may meet is a page, not an accident: posted twice, too late because somebody else decided, about a
claim that moved on, by who may not. Whatever is refused has changed nothing: it ran inside a savepoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from platform_core.dashboards import claim_forms, claim_sheet, refresh
from platform_core.dashboards.claim_forms import Problem, Subject
from platform_core.dashboards.contracts import Moved, Page
from platform_core.dashboards.frame import Frame, draw, pairs, sign, when
from platform_core.dashboards.markup import el, theirs
from platform_core.dashboards.offers import Act, decide_offers
from platform_core.db import Tx
from platform_core.errors import (
    IdempotencyConflict,
    InvalidInput,
    NotFound,
    PermissionDenied,
    PlatformError,
    Refused,
    StateConflict,
)
from platform_core.payments import claims
from platform_core.payments.contracts import DecisionRequest, claim_ref
from platform_core.payments.lifecycle import ClaimState
from platform_core.tenancy.policy import Policy
from platform_core.values import Money


@dataclass(frozen=True, slots=True)
class Deciding:
    """One post about one claim, and what it is decided with."""

    tx: Tx
    frame: Frame
    policy: Policy
    claim_id: int
    fields: Mapping[str, str]

    def sheet(self) -> claim_sheet.ClaimSheet:
        """The claim as it stands. Raises: NotFound."""
        limit = Money(self.policy.payments.second_approver_above_minor, self.policy.customer.currency)
        return claim_sheet.read(self.tx, self.frame, self.claim_id, message_id=None, second_above=limit)


def decide(deciding: Deciding) -> Page | Moved:
    """Take the post: a page that asks again, or the decision itself when it was asked before.

    Idempotency: the decision id of the form; the same form again says that nothing changed.
    Raises: NotFound, PermissionDenied when the role permits no decision, InvalidInput for a form of nobody's.
    """
    act = _read_act(deciding.fields)
    data = deciding.sheet()
    subject = _subject_of(data)
    if act is Act.RESUME:
        return _resume(deciding, data, subject)
    request = claim_forms.read_request(deciding.fields, act, subject, deciding.frame.voice)
    if isinstance(request, Problem):
        return _with_problem(deciding, data, request)
    if deciding.fields.get("confirm") != "1":
        offers = decide_offers(
            data.standing, member=deciding.frame.viewer.member, role=deciding.frame.viewer.role
        )
        if request.claim_version != subject.version or act not in {
            one.act for one in offers if not one.barred
        }:
            return conflict(deciding.frame, data)
        return claim_forms.confirmation(
            deciding.frame, subject, act, data.detail.summary.contact_name, deciding.fields, request
        )
    return _take(deciding, act, request)


def _take(deciding: Deciding, act: Act, request: DecisionRequest) -> Page | Moved:
    tx, frame = deciding.tx, deciding.frame
    try:
        with tx.transaction():
            result = claims.decide(
                tx, request, actor=frame.viewer.actor, policy=deciding.policy, now=frame.voice.now
            )
    except (StateConflict, IdempotencyConflict):
        return conflict(frame, deciding.sheet())
    except PermissionDenied as denied:
        if "permission" in denied.facts:
            raise  # it is on record only when it leaves the transaction
        return _with_problem(deciding, deciding.sheet(), Problem(act, "", "problem.another_member"))
    except (Refused, InvalidInput, NotFound) as refused:
        return _with_problem(deciding, deciding.sheet(), Problem(act, *_words_for(act, refused)))
    if not result.already:
        refresh.request_refresh_after(tx, result.decision_id)
    return Moved(f"claims/{claim_ref(result.claim_id)}?done={result.outcome}")


def _resume(deciding: Deciding, data: claim_sheet.ClaimSheet, subject: Subject) -> Page | Moved:
    tx, frame, act = deciding.tx, deciding.frame, Act.RESUME
    if deciding.fields.get("version") != str(subject.version) or subject.state is not ClaimState.NEEDS_INFO:
        return conflict(frame, data)
    if deciding.fields.get("confirm") != "1":
        return claim_forms.confirmation(
            frame, subject, act, data.detail.summary.contact_name, deciding.fields, None
        )
    claims.resume_review(
        tx, deciding.claim_id, actor=frame.viewer.actor, policy=deciding.policy, now=frame.voice.now
    )
    return Moved(f"claims/{subject.ref}?done=resumed")


def _read_act(fields: Mapping[str, str]) -> Act:
    try:
        return Act(fields.get("action", ""))
    except ValueError:
        raise InvalidInput(
            "The form does not say what to do", next_step="Open the claim again and use its buttons."
        ) from None


def _subject_of(data: claim_sheet.ClaimSheet) -> Subject:
    summary = data.detail.summary
    return Subject(
        claim_id=summary.id,
        version=summary.version,
        state=summary.state,
        currency=summary.currency,
        expected=summary.verified or summary.claimed,
        first_approver=summary.first_approver_id or "",
    )


def _with_problem(deciding: Deciding, data: claim_sheet.ClaimSheet, problem: Problem) -> Page:
    shown = replace(data, problem=problem, typed=dict(deciding.fields))
    return claim_sheet.page(deciding.frame, shown, status=422)


def _words_for(act: Act, refused: PlatformError) -> tuple[str, str]:
    """The field and the words for what only the verb could know."""
    if act is Act.DUPLICATE:
        return "duplicate_of", "problem.duplicate_of"
    if act is Act.RECONCILE:
        return "bank_reference", "problem.reference"
    if isinstance(refused, NotFound):
        return "", "problem.gone"
    return "", "problem.refused"


def conflict(frame: Frame, data: claim_sheet.ClaimSheet) -> Page:
    """Somebody was there before: who, when, what, and that nothing was done now."""
    voice, summary, last = frame.voice, data.detail.summary, data.detail.history[-1]
    named = last.actor_type in ("user", "support")
    own = named and last.actor_id == frame.viewer.member
    who = theirs(last.actor_id) if named else voice.say(f"actor.{_kind(last.actor_type)}")
    title = voice.say("conflict.title_own" if own else "conflict.title")
    return draw(
        frame,
        title,
        el(
            "div",
            sign("wait"),
            el("h1", title),
            el("p", voice.say("conflict.lead"), class_="lead"),
            class_="verdict",
        ),
        pairs(
            (voice.say("conflict.claim"), claim_ref(summary.id)),
            (voice.say("conflict.now"), voice.say(f"claim_state.{summary.state}")),
            (voice.say("conflict.by"), who),
            (voice.say("conflict.at"), when(voice, last.at)),
            (voice.say("checked.reason"), theirs(last.note, longest=500) if last.note else None),
        ),
        el(
            "div",
            el(
                "a",
                voice.say("conflict.look"),
                class_="button",
                href=frame.to(f"claims/{claim_ref(summary.id)}"),
            ),
            el("a", voice.say("conflict.others"), class_="button plain", href=frame.to("claims")),
            class_="choice",
        ),
        status=409,
    )


def _kind(actor_type: str) -> str:
    return "contact" if actor_type == "contact" else "platform"
