from __future__ import annotations

from platform_core.inbox import events
from platform_core.inbox.lifecycle import FINAL, MOVES, EventState
from tests.support.databases import TenantDatabase
from tests.support.states import moves_done, moves_of, states_in_check


def test_the_database_allows_exactly_the_states_of_the_lifecycle(tenant_db: TenantDatabase) -> None:
    """The CHECK and the enum are one list."""
    with tenant_db.admin() as admin:
        assert states_in_check(admin, "event_state") == {state.value for state in EventState}


def test_each_statement_moves_what_its_header_says_and_together_they_are_the_moves() -> None:
    """Header, WHERE guard and lifecycle agree."""
    announced = moves_of(events.Q)

    assert {name: moves_done(events.Q[name]) for name in announced} == announced
    assert set().union(*announced.values()) == {(before.value, after.value) for before, after in MOVES}


def test_nothing_leaves_a_final_state() -> None:
    """Final means final, and every other state has a way out."""
    leaving = {before for before, _ in MOVES}

    assert leaving == set(EventState) - FINAL
