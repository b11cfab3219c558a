from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_core.errors import InvalidInput, Refused
from platform_core.payments.allocation import Debt, Part, Split, decide_split
from platform_core.payments.contracts import AllocationRequest
from platform_core.values import Money

MARCH = date(2026, 3, 10)


def debt(obligation_id: int, amount_minor: int, *, days: int = 0, currency: str = "CLP") -> Debt:
    """A debt due some days after the tenth of March."""
    return Debt(obligation_id, MARCH + timedelta(days=days), Money(amount_minor, currency))


def wish(obligation_id: int, amount_minor: int) -> AllocationRequest:
    """So much to that debt."""
    return AllocationRequest(obligation_id=obligation_id, amount_minor=amount_minor)


@pytest.mark.parametrize(
    ("verified", "debts", "expected"),
    [
        (45_000, [debt(1, 45_000)], Split((Part(1, 45_000),), 0)),
        (20_000, [debt(1, 45_000)], Split((Part(1, 20_000),), 0)),
        (50_000, [debt(1, 45_000)], Split((Part(1, 45_000),), 5_000)),
        (50_000, [], Split((), 50_000)),
        (60_000, [debt(1, 45_000, days=30), debt(2, 45_000)], Split((Part(2, 45_000), Part(1, 15_000)), 0)),
        (10, [debt(2, 5), debt(1, 5)], Split((Part(1, 5), Part(2, 5)), 0)),
        (10, [debt(1, 5), debt(2, 5, currency="CLF")], Split((Part(1, 5),), 5)),
    ],
    ids=[
        "exact",
        "partial",
        "over",
        "no debt",
        "oldest due first",
        "same day by number",
        "one currency only",
    ],
)
def test_money_goes_to_the_oldest_debt_first(verified: int, debts: list[Debt], expected: Split) -> None:
    """What no debt takes is credit."""
    assert decide_split(Money(verified, "CLP"), debts) == expected


def test_money_goes_where_it_is_asked_to_go_and_the_rest_is_credit() -> None:
    """An explicit wish is followed to the unit, also when older debts stay open."""
    debts = [debt(1, 45_000), debt(2, 45_000, days=30)]

    assert decide_split(Money(50_000, "CLP"), debts, [wish(2, 30_000)]) == Split((Part(2, 30_000),), 20_000)
    assert decide_split(Money(50_000, "CLP"), debts, []) == Split((), 50_000)


@pytest.mark.parametrize(
    ("wishes", "error", "message"),
    [
        ([wish(1, 45_001)], Refused, "O1 needs CLP 45000"),
        ([wish(3, 1)], Refused, "O3 is not an open CLP obligation"),
        ([wish(9, 1)], Refused, "O9 is not an open CLP obligation"),
        ([wish(1, 1), wish(1, 1)], InvalidInput, "O1 is there twice"),
        ([wish(1, 45_000), wish(2, 5_001)], Refused, "add up to CLP 50001, more than the verified CLP 50000"),
    ],
)
def test_a_wish_that_does_not_fit_is_refused(
    wishes: list[AllocationRequest], error: type[Exception], message: str
) -> None:
    """More than remains, another currency, another person's debt, twice, more than was verified."""
    debts = [debt(1, 45_000), debt(2, 45_000), debt(3, 45_000, currency="USD")]

    with pytest.raises(error, match=message):
        decide_split(Money(50_000, "CLP"), debts, wishes)


def test_money_of_another_currency_than_every_debt_is_refused() -> None:
    """Nobody guesses a rate; staff ask."""
    with pytest.raises(Refused, match="in CLP and what is owed is in CLF") as refused:
        decide_split(Money(50_000, "CLP"), [debt(1, 1, currency="CLF")])

    assert "needs_info" in refused.value.next_step


debts_strategy = st.lists(st.tuples(st.integers(1, 10**9), st.integers(-400, 400)), max_size=12).map(
    lambda rows: [debt(number, minor, days=days) for number, (minor, days) in enumerate(rows, 1)]
)


@given(verified=st.integers(1, 10**10), debts=debts_strategy)
def test_what_is_allocated_and_the_credit_are_the_verified_amount(verified: int, debts: list[Debt]) -> None:
    """For any debts: nothing is lost, no debt is overpaid, credit only comes when every debt is covered."""
    split = decide_split(Money(verified, "CLP"), debts)

    remaining = {one.obligation_id: one.remaining.amount_minor for one in debts}
    assert sum(part.amount_minor for part in split.parts) + split.credit_minor == verified
    assert all(0 < part.amount_minor <= remaining[part.obligation_id] for part in split.parts)
    assert len({part.obligation_id for part in split.parts}) == len(split.parts)
    if split.credit_minor:
        assert {part.obligation_id: part.amount_minor for part in split.parts} == remaining


@given(data=st.data(), verified=st.integers(1, 10**10), debts=debts_strategy)
def test_a_wish_is_followed_exactly_or_refused(data: st.DataObject, verified: int, debts: list[Debt]) -> None:
    """Whatever is asked, the sum holds or nothing happens."""
    wishes = [
        wish(one.obligation_id, data.draw(st.integers(1, 2 * one.remaining.amount_minor))) for one in debts
    ]
    try:
        split = decide_split(Money(verified, "CLP"), debts, wishes)
    except Refused:
        fits = all(
            one.amount_minor <= owed.remaining.amount_minor for one, owed in zip(wishes, debts, strict=True)
        )
        assert not fits or sum(one.amount_minor for one in wishes) > verified or not debts
        return

    assert [(part.obligation_id, part.amount_minor) for part in split.parts] == [
        (one.obligation_id, one.amount_minor) for one in wishes
    ]
    assert sum(part.amount_minor for part in split.parts) + split.credit_minor == verified
