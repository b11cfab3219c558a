"""The whole table of what each role may see and do in the panel, cell by cell."""

from __future__ import annotations

from itertools import pairwise

import pytest

from platform_core.panel.rights import PANEL_RIGHTS, Right, find_right, lesser, may
from platform_core.tenancy.members import PERMISSIONS, Permission, Role

TABLE = """
                   owner  ops  viewer  support
see.home           yes    yes  yes     no
see.claims         yes    yes  yes     no
see.receipts       yes    yes  no      no
see.attendance     yes    yes  yes     no
see.messages       yes    yes  no      no
see.runs           yes    yes  no      no
see.errors         yes    yes  no      no
see.use            yes    no   no      no
decide.claims      yes    yes  no      no
decide.attendance  yes    yes  no      no
set.looks          yes    yes  yes     no
"""
CELLS = [
    (Right(right), Role(role), answer == "yes")
    for right, *answers in [line.split() for line in TABLE.strip().splitlines()[1:]]
    for role, answer in zip(("owner", "ops", "viewer", "support"), answers, strict=True)
]


@pytest.mark.parametrize(("right", "role", "allowed"), CELLS)
def test_each_cell_of_the_table_holds(right: Right, role: Role, allowed: bool) -> None:
    """What is written here is what the code says."""
    assert may(role, right) is allowed


def test_the_table_has_every_right_and_every_role() -> None:
    """A new one without a decided answer fails here."""
    assert {(right, role) for right, role, _ in CELLS} == {(right, role) for right in Right for role in Role}
    assert set(PANEL_RIGHTS) == set(Role)


def test_who_may_decide_in_the_panel_may_decide_anywhere() -> None:
    """The panel offers no form whose verb would refuse the role."""
    needed = {
        Right.DECIDE_CLAIMS: {Permission.CLAIM_DECIDE, Permission.CLAIM_REVERSE},
        Right.DECIDE_ATTENDANCE: {Permission.ATTENDANCE_DECIDE},
    }

    assert {
        (role, right): needed[right] <= PERMISSIONS[role]
        for role in Role
        for right in needed
        if may(role, right)
    } == {(role, right): True for role in (Role.OWNER, Role.OPS) for right in needed}


REQUESTS = {
    ("get", ""): Right.SEE_HOME,
    ("get", "claims"): Right.SEE_CLAIMS,
    ("get", "claims/C12"): Right.SEE_CLAIMS,
    ("get", "attendance"): Right.SEE_ATTENDANCE,
    ("get", "attendance/L4"): Right.SEE_ATTENDANCE,
    ("get", "messages"): Right.SEE_MESSAGES,
    ("get", "runs"): Right.SEE_RUNS,
    ("get", "errors"): Right.SEE_ERRORS,
    ("get", "use"): Right.SEE_USE,
    ("post", "claims/C12/decide"): Right.DECIDE_CLAIMS,
    ("post", "attendance/L4/confirm"): Right.DECIDE_ATTENDANCE,
    ("post", "language"): Right.SET_LOOKS,
    ("post", "theme"): Right.SET_LOOKS,
    ("get", "nothing"): None,
    ("get", "claims2"): None,
    ("get", "language"): None,
    ("post", ""): None,
    ("post", "runs"): None,
    ("post", "messages/3/send"): None,
    ("put", "claims"): None,
    ("", ""): None,
}


def test_each_page_and_form_asks_for_its_right_and_what_is_neither_for_none_anybody_has() -> None:
    """By method and first word; an address nobody thought of is nobody's."""
    assert {request: find_right(*request) for request in REQUESTS} == REQUESTS


def test_the_lesser_of_two_roles_is_the_one_that_permits_less() -> None:
    """Whatever the order in which they are asked."""
    ladder = [Role.SUPPORT, Role.VIEWER, Role.OPS, Role.OWNER]

    assert {(a, b): lesser(a, b) for a in Role for b in Role} == {
        (a, b): min(a, b, key=ladder.index) for a in Role for b in Role
    }
    assert all(PANEL_RIGHTS[low] <= PANEL_RIGHTS[high] for low, high in pairwise(ladder))
