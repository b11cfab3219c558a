from __future__ import annotations

from typing import get_args

from platform_core.messaging import outbound
from platform_core.messaging.contracts import ReportStatus
from platform_core.messaging.lifecycle import FINAL, MOVES, OutboxState
from tests.support.databases import TenantDatabase
from tests.support.states import moves_done, moves_of, states_in_check


def test_the_database_allows_exactly_the_states_of_the_lifecycle(tenant_db: TenantDatabase) -> None:
    """The CHECK and the enum are one list, and so are the provider's statuses."""
    with tenant_db.admin() as admin:
        assert states_in_check(admin, "outbox_state") == {state.value for state in OutboxState}
        assert states_in_check(admin, "delivery_report_status") == set(get_args(ReportStatus))


def test_each_statement_moves_what_its_header_says_and_together_they_are_the_moves() -> None:
    """Header, WHERE guard and lifecycle agree."""
    announced = moves_of(outbound.Q)

    assert {name: moves_done(outbound.Q[name]) for name in announced} == announced
    assert set().union(*announced.values()) == {(before.value, after.value) for before, after in MOVES}


def test_nothing_leaves_a_final_state() -> None:
    """Final means final, and every other state has a way out."""
    leaving = {before for before, _ in MOVES}

    assert leaving == set(OutboxState) - FINAL
