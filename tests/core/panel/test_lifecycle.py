from __future__ import annotations

from platform_core.panel import links
from platform_core.panel.lifecycle import LINK_MOVES, SESSION_MOVES, LinkState, SessionState
from tests.support.databases import TenantDatabase
from tests.support.states import moves_done, moves_of, states_in_check


def test_the_database_allows_exactly_the_states_of_the_lifecycle(tenant_db: TenantDatabase) -> None:
    """The CHECKs and the enums are one list each."""
    with tenant_db.admin() as admin:
        assert states_in_check(admin, "link_state") == {state.value for state in LinkState}
        assert states_in_check(admin, "panel_session_state") == {state.value for state in SessionState}


def test_each_statement_moves_what_its_header_says_and_together_they_are_the_moves() -> None:
    """Header, WHERE guard and lifecycle agree."""
    announced = moves_of(links.Q)

    assert {name: moves_done(links.Q[name]) for name in announced} == announced
    assert set().union(*announced.values()) == {
        (before.value, after.value) for before, after in (*LINK_MOVES, *SESSION_MOVES)
    }
