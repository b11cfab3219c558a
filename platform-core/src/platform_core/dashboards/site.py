"""The panel: a path to a page, a form to what follows. No HTTP here; the edge has done what is HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from platform_core.attendance.contracts import parse_session_id
from platform_core.dashboards import (
    alert_list,
    claim_lists,
    claim_sheet,
    class_list,
    home,
    message_list,
    readings,
    run_list,
    usage,
)
from platform_core.dashboards.contracts import Moved, Page, Viewer
from platform_core.dashboards.deciding import Deciding, decide
from platform_core.dashboards.entrance import entrance_page, error_page, left_page
from platform_core.dashboards.frame import ROOMS, Frame
from platform_core.dashboards.voice import Voice
from platform_core.db import Tx
from platform_core.errors import NotFound, PermissionDenied
from platform_core.panel.rights import Right, may
from platform_core.payments.contracts import parse_claim_id
from platform_core.tenancy.policy import Policy
from platform_core.values import Money

__all__ = ["entrance_page", "error_page", "left_page", "post", "show"]

_BEFORE = re.compile(r"[A-Z]?([0-9]{1,18})", re.ASCII)
_RECEIPT = re.compile(r"M([0-9]{1,18})", re.ASCII)


def show(  # noqa: PLR0913 - the request, who makes it, and what an answer needs
    tx: Tx,
    viewer: Viewer,
    path: str,
    query: Mapping[str, str],
    *,
    policy: Policy,
    now: datetime,
    nonce: str,
    base: str,
) -> Page:
    """The page of a path, for a GET. Reads only.

    Raises: NotFound for a path or a thing that is not there, PermissionDenied for a page the role may not
    see, InvalidInput for a name that is none.
    """
    frame = _frame(tx, viewer, path.strip("/"), policy=policy, now=now, nonce=nonce, base=base)
    visit = _Visit(tx, frame, query, policy)
    room, _, name = frame.path.partition("/")
    if room == "claims" and name:
        return _claim(visit, parse_claim_id(name)) if "/" not in name else _nowhere()
    return _ROOMS[room](visit) if not name else _nowhere()


@dataclass(frozen=True, slots=True)
class _Visit:
    """One look at the panel."""

    tx: Tx
    frame: Frame
    query: Mapping[str, str]
    policy: Policy

    @property
    def voice(self) -> Voice:
        """How to speak to who looks."""
        return self.frame.voice

    @property
    def beyond(self) -> int | None:
        """Where the page before ended."""
        found = _BEFORE.fullmatch(self.query.get("before", ""))
        return int(found[1]) if found else None


def _home(visit: _Visit) -> Page:
    waiting = class_list.list_waiting(visit.tx, visit.voice, visit.policy)
    return home.page(visit.frame, home.read(visit.tx, visit.voice, classes_waiting=len(waiting)))


def _claims(visit: _Visit) -> Page:
    view = visit.query.get("state", "")
    view = view if view in readings.CLAIM_LISTS else "to_decide"
    return claim_lists.page(visit.frame, claim_lists.read(visit.tx, view, beyond=visit.beyond))


def _claim(visit: _Visit, claim_id: int) -> Page:
    asked = _RECEIPT.fullmatch(visit.query.get("receipt", ""))
    limit = Money(visit.policy.payments.second_approver_above_minor, visit.policy.customer.currency)
    message_id = int(asked[1]) if asked else None
    data = claim_sheet.read(visit.tx, visit.frame, claim_id, message_id=message_id, second_above=limit)
    return claim_sheet.page(visit.frame, data, done=visit.query.get("done", ""))


def _attendance(visit: _Visit) -> Page:
    data = class_list.read(visit.tx, visit.voice, visit.policy, beyond=visit.beyond)
    return class_list.page(visit.frame, data, done=visit.query.get("done", ""))


def _messages(visit: _Visit) -> Page:
    return message_list.page(visit.frame, message_list.read(visit.tx, visit.voice, beyond=visit.beyond))


def _runs(visit: _Visit) -> Page:
    return run_list.page(visit.frame, run_list.read(visit.tx, visit.voice, beyond=visit.beyond))


def _errors(visit: _Visit) -> Page:
    return alert_list.page(visit.frame, alert_list.read(visit.tx))


def _use(visit: _Visit) -> Page:
    return usage.page(visit.frame, usage.read(visit.tx, visit.voice))


_ROOMS: Mapping[str, Callable[[_Visit], Page]] = {
    "": _home,
    "claims": _claims,
    "attendance": _attendance,
    "messages": _messages,
    "runs": _runs,
    "errors": _errors,
    "use": _use,
}


def post(  # noqa: PLR0913 - as show
    tx: Tx,
    viewer: Viewer,
    path: str,
    form: Mapping[str, str],
    *,
    policy: Policy,
    now: datetime,
    nonce: str,
    base: str,
) -> Page | Moved:
    """What a form of the path does: a page (a question, a problem, a conflict) or where to go after it.

    The CSRF value was checked before. Idempotency: a form that was sent twice changes once and says so.
    Raises: NotFound, PermissionDenied, InvalidInput.
    """
    frame = _frame(tx, viewer, path.strip("/"), policy=policy, now=now, nonce=nonce, base=base)
    match frame.path.split("/"):
        case ["claims", name, "decide"]:
            _require(viewer, Right.DECIDE_CLAIMS)
            claim_id = parse_claim_id(name)
            return decide(Deciding(tx, frame.at(f"claims/{name}"), policy, claim_id, form))
        case ["attendance", name, "confirm"]:
            _require(viewer, Right.DECIDE_ATTENDANCE)
            return class_list.confirm(tx, frame.at("attendance"), parse_session_id(name), form, policy=policy)
        case _:
            raise _no_page()


def _frame(  # noqa: PLR0913 - as show
    tx: Tx, viewer: Viewer, path: str, *, policy: Policy, now: datetime, nonce: str, base: str
) -> Frame:
    room = path.partition("/")[0]
    _require(viewer, dict(ROOMS).get(room))
    customer = policy.customer
    voice = Voice(viewer.language, customer.country, customer.currency, ZoneInfo(customer.timezone), now)
    return Frame(
        viewer=viewer,
        voice=voice,
        customer_name=customer.display_name,
        nonce=nonce,
        base=base,
        path=path,
        as_of=readings.find_as_of(tx),
        to_decide=readings.count_claims(tx).to_decide,
    )


def _require(viewer: Viewer, right: Right | None) -> None:
    """Refuse what the role may not; the edge asked before, and a page never relies on it."""
    if right is None:
        raise _no_page()
    if not may(viewer.role, right):
        raise PermissionDenied(
            f"The {viewer.role} {viewer.member} may not {right}", next_step="Ask an owner for another link."
        )


def _nowhere() -> Page:
    raise _no_page()


def _no_page() -> NotFound:
    return NotFound("The panel has no such page", next_step="Go to the first page of the panel.")
