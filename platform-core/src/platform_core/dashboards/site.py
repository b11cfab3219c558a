"""The panel: a path to a page, a form to what follows. No HTTP here; the edge has done what is HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    match frame.path.split("/"):
        case [""]:
            waiting = class_list.list_waiting(tx, frame.voice, policy)
            return home.page(frame, home.read(tx, frame.voice, classes_waiting=len(waiting)))
        case ["claims"]:
            view = query.get("state", "")
            view = view if view in readings.CLAIM_LISTS else "to_decide"
            return claim_lists.page(frame, claim_lists.read(tx, view, beyond=_beyond(query)))
        case ["claims", name]:
            return _claim(tx, frame, parse_claim_id(name), query, policy)
        case ["attendance"]:
            data = class_list.read(tx, frame.voice, policy, beyond=_beyond(query))
            return class_list.page(frame, data, done=query.get("done", ""))
        case ["messages"]:
            return message_list.page(frame, message_list.read(tx, frame.voice, beyond=_beyond(query)))
        case ["runs"]:
            return run_list.page(frame, run_list.read(tx, frame.voice, beyond=_beyond(query)))
        case ["errors"]:
            return alert_list.page(frame, alert_list.read(tx))
        case ["use"]:
            return usage.page(frame, usage.read(tx, frame.voice))
        case _:
            raise _no_page()


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


def _claim(tx: Tx, frame: Frame, claim_id: int, query: Mapping[str, str], policy: Policy) -> Page:
    asked = _RECEIPT.fullmatch(query.get("receipt", ""))
    limit = Money(policy.payments.second_approver_above_minor, policy.customer.currency)
    data = claim_sheet.read(
        tx, frame, claim_id, message_id=int(asked[1]) if asked else None, second_above=limit
    )
    return claim_sheet.page(frame, data, done=query.get("done", ""))


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


def _beyond(query: Mapping[str, str]) -> int | None:
    found = _BEFORE.fullmatch(query.get("before", ""))
    return int(found[1]) if found else None


def _no_page() -> NotFound:
    return NotFound("The panel has no such page", next_step="Go to the first page of the panel.")
