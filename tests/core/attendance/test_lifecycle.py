from __future__ import annotations

from enum import StrEnum

import pytest

from platform_core.attendance.lifecycle import (
    FOLLOW_UP_MOVES,
    MOVES,
    Cause,
    FollowUpState,
    Quarantine,
    Reason,
    SessionState,
    Status,
    Verdict,
)
from platform_core.attendance.sessions import Q
from platform_core.tenancy.attendance import COUNTED_STATUSES
from tests.support.databases import TenantDatabase
from tests.support.states import moves_done, moves_of, states_in_check


def test_the_database_allows_exactly_what_the_lifecycle_says(tenant_db: TenantDatabase) -> None:
    """Each CHECK and its enum are one list."""
    checks: dict[str, type[StrEnum]] = {
        "session_state": SessionState,
        "follow_up_state": FollowUpState,
        "result_cause": Cause,
        "result_verdict": Verdict,
        "result_student_status": Status,
        "result_student_reason": Reason,
        "result_quarantine_reason": Quarantine,
    }
    with tenant_db.admin() as admin:
        found = {name: states_in_check(admin, name) for name in checks}
        correctable = states_in_check(admin, "correction_status")

    assert found == {name: {item.value for item in kind} for name, kind in checks.items()}
    assert correctable == set(COUNTED_STATUSES) == set(Status) - {Status.UNDETERMINED}


@pytest.mark.parametrize(("prefix", "expected"), [("session", MOVES), ("follow_up", FOLLOW_UP_MOVES)])
def test_each_statement_moves_what_its_header_says(
    prefix: str, expected: frozenset[tuple[StrEnum, StrEnum]]
) -> None:
    """Header and WHERE guard agree, and together they are the moves."""
    announced = {name: pairs for name, pairs in moves_of(Q).items() if name.startswith(prefix)}

    assert {name: moves_done(Q[name]) for name in announced} == announced
    assert set().union(*announced.values()) == {(before.value, after.value) for before, after in expected}
