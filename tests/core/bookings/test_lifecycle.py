"""States of a booking: the code, the schema and the statements say one thing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from platform_core.bookings.bookings import OPEN, Q
from platform_core.bookings.lifecycle import (
    BEGINNINGS,
    DECIDED,
    FINAL,
    MOVES,
    BookingState,
    Facts,
    decide_state,
)
from tests.support.databases import TenantDatabase
from tests.support.states import moves_done, moves_of, states_in_check

AT = datetime(2026, 3, 2, tzinfo=UTC)


def test_the_database_allows_exactly_what_the_lifecycle_says(tenant_db: TenantDatabase) -> None:
    """The CHECK and the enum are one list."""
    with tenant_db.admin() as admin:
        assert states_in_check(admin, "booking_state") == set(BookingState)


def test_each_statement_moves_what_its_header_says() -> None:
    """Header and WHERE guard agree, and together they are the moves."""
    announced = moves_of(Q)

    assert {name: moves_done(Q[name]) for name in announced} == announced
    assert set().union(*announced.values()) == {(before.value, after.value) for before, after in MOVES}


def test_nothing_leads_out_of_a_final_state_but_a_contradiction_of_the_calendar() -> None:
    """It may say cancelled first and name a successor later."""
    out_of_final = {(before, after) for before, after in MOVES if before in FINAL}

    assert out_of_final == {(BookingState.CANCELED, BookingState.RESCHEDULED)}
    assert set(BookingState) == OPEN | FINAL
    assert set(BookingState) == DECIDED | BEGINNINGS


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (Facts(), BookingState.BOOKED),
        (Facts(no_show=True), BookingState.NO_SHOW),
        (Facts(canceled_at=AT), BookingState.CANCELED),
        (Facts(canceled_at=AT, no_show=True), BookingState.CANCELED),
        (Facts(rescheduled_to="x"), BookingState.RESCHEDULED),
        (Facts(canceled_at=AT, rescheduled_to="x"), BookingState.RESCHEDULED),
        (Facts(canceled_at=AT, rescheduled_to="x", no_show=True), BookingState.RESCHEDULED),
    ],
)
def test_the_facts_decide_whatever_their_order(facts: Facts, state: BookingState) -> None:
    """Another booking in its place outweighs a cancellation, and that a mark."""
    assert decide_state(facts) is state
