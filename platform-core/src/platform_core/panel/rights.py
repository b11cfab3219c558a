"""What each role may see and do in the panel: one table, and nothing decides beside it.

A verb that moves money asks `tenancy.members` again; this table says what is shown and which forms are taken.
A viewer sees how things stand, with names and amounts, and not what families sent: pictures of receipts show
their bank accounts, messages their words. What the customer pays the agency for is the owner's to see.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from platform_core.tenancy.members import Role


class Right(StrEnum):
    """One thing to see or do in the panel."""

    SEE_HOME = "see.home"
    SEE_CLAIMS = "see.claims"
    SEE_RECEIPTS = "see.receipts"
    SEE_ATTENDANCE = "see.attendance"
    SEE_MESSAGES = "see.messages"
    SEE_RUNS = "see.runs"
    SEE_ERRORS = "see.errors"
    SEE_USE = "see.use"
    DECIDE_CLAIMS = "decide.claims"
    DECIDE_ATTENDANCE = "decide.attendance"
    SET_LOOKS = "set.looks"
    """The language and whether light or dark, for one's own visit."""


PANEL_RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.OWNER: frozenset(Right),
    Role.OPS: frozenset(Right) - {Right.SEE_USE},
    Role.VIEWER: frozenset({Right.SEE_HOME, Right.SEE_CLAIMS, Right.SEE_ATTENDANCE, Right.SET_LOOKS}),
    Role.SUPPORT: frozenset(),  # the agency's own staff have wmctl, and are no member of a customer
}

_PAGES: Mapping[str, Right] = {
    "": Right.SEE_HOME,
    "claims": Right.SEE_CLAIMS,
    "attendance": Right.SEE_ATTENDANCE,
    "messages": Right.SEE_MESSAGES,
    "runs": Right.SEE_RUNS,
    "errors": Right.SEE_ERRORS,
    "use": Right.SEE_USE,
}
_FORMS: Mapping[str, Right] = {
    "claims": Right.DECIDE_CLAIMS,
    "attendance": Right.DECIDE_ATTENDANCE,
    "language": Right.SET_LOOKS,
    "theme": Right.SET_LOOKS,
}

_RANKS: Mapping[Role, int] = {Role.SUPPORT: 0, Role.VIEWER: 1, Role.OPS: 2, Role.OWNER: 3}


def may(role: Role, right: Right) -> bool:
    """Whether the role has the right."""
    return right in PANEL_RIGHTS[role]


def find_right(method: str, path: str) -> Right | None:
    """What a request needs, by its method (`get`, `post`) and the first word of its path.

    None when the panel has no such page or form: then nobody may.
    """
    table = _PAGES if method == "get" else _FORMS if method == "post" else {}
    return table.get(path.partition("/")[0])


def lesser(first: Role, second: Role) -> Role:
    """The role that permits less: a link never gives more than it says, nor more than its holder has."""
    return min(first, second, key=_RANKS.__getitem__)
