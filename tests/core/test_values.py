"""The small values: money never rounds, names never mean something else."""

from __future__ import annotations

import re
from datetime import UTC
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_core.errors import InvalidInput, InvalidMoney
from platform_core.values import (
    CURRENCY_EXPONENTS,
    MAX_AMOUNT_MINOR,
    Actor,
    Money,
    SystemClock,
    parse_number,
    parse_tenant_slug,
)

CURRENCIES = st.sampled_from(sorted(CURRENCY_EXPONENTS))
AMOUNTS = st.integers(-MAX_AMOUNT_MINOR, MAX_AMOUNT_MINOR)


@given(AMOUNTS, CURRENCIES)
def test_money_reads_what_money_writes(amount_minor: int, currency: str) -> None:
    """Whatever is shown can be typed again and means the same."""
    money = Money(amount_minor, currency)
    shown = str(money).removeprefix(f"{currency} ")

    if len(shown.lstrip("-").split(".")[0]) <= 15:
        assert Money.parse(shown, currency) == money


@given(st.integers(0, 10**9), st.integers(0, 10**6 - 1), st.integers(0, 6), CURRENCIES)
def test_money_is_exact_or_refused(whole: int, fraction: int, digits: int, currency: str) -> None:
    """Never rounded: what has more decimals than the currency is no amount."""
    text = f"{whole}.{fraction:06d}"[: len(str(whole)) + 1 + digits].rstrip(".")
    exponent = CURRENCY_EXPONENTS[currency]
    exact = Decimal(text).scaleb(exponent)

    if exact == exact.to_integral_value():
        assert Money.parse(text, currency).amount_minor == int(exact)
    else:
        with pytest.raises(InvalidMoney, match=f"more decimals than {currency} allows"):
            Money.parse(text, currency)


@pytest.mark.parametrize(
    ("text", "currency", "amount_minor"),
    [
        ("45000", "CLP", 45_000),
        (" 45000 ", "CLP", 45_000),
        ("45000.00", "CLP", 45_000),
        ("120.50", "PEN", 12_050),
        ("120.5", "PEN", 12_050),
        ("0.01", "USD", 1),
        ("-3", "ARS", -300),
        ("1.2345", "CLF", 12_345),
        ("007", "CLP", 7),
        ("10", "PYG", 10),
    ],
)
def test_money_knows_how_many_decimals_a_currency_has(text: str, currency: str, amount_minor: int) -> None:
    """Pesos of Chile have none, a Unidad de Fomento has four."""
    assert Money.parse(text, currency).amount_minor == amount_minor


@pytest.mark.parametrize(
    "text",
    ["", " ", "1,5", "45.000,50", "1e3", "0x10", "٣", "１２", "1.", ".5", "--1", "+1", "1 000", "$5", "NaN",
     "Infinity", "9" * 16, "1" + "0" * 400, "1.0000000", "1\n2", "1\0"],
)  # fmt: skip
def test_what_is_no_plain_decimal_is_no_amount(text: str) -> None:
    """Grouping, signs, letters and other scripts' digits are never guessed at."""
    with pytest.raises(InvalidMoney):
        Money.parse(text, "CLP")


@pytest.mark.parametrize("currency", ["", "clp", "XXX", "BTC", "CL", "CLPP", "CLP ", "€"])
def test_an_unknown_currency_is_refused_with_the_known_ones(currency: str) -> None:
    """For a value and for a text."""
    with pytest.raises(InvalidMoney) as made:
        Money(1, currency)
    with pytest.raises(InvalidMoney) as parsed:
        Money.parse("1", currency)

    assert made.value.one_line() == parsed.value.one_line()
    assert "CLP" in made.value.next_step


@pytest.mark.parametrize("amount_minor", [MAX_AMOUNT_MINOR + 1, -MAX_AMOUNT_MINOR - 1, 10**30])
def test_an_amount_no_payment_has_is_refused(amount_minor: int) -> None:
    """Sums stay inside PostgreSQL's bigint."""
    with pytest.raises(InvalidMoney, match="larger than any payment"):
        Money(amount_minor, "CLP")


@given(st.text(max_size=40), CURRENCIES)
def test_any_text_is_an_amount_or_an_error_of_the_tree(text: str, currency: str) -> None:
    """Nothing else comes out."""
    try:
        money = Money.parse(text, currency)
    except InvalidMoney:
        return
    assert re.fullmatch(r"-?[0-9.]+", text.strip())
    assert abs(money.amount_minor) <= MAX_AMOUNT_MINOR


# --- Names ------------------------------------------------------------------------------------------------


@given(st.integers(1, 2**63 - 1), st.sampled_from("JEM"))
def test_a_number_is_read_as_it_is_written(number: int, prefix: str) -> None:
    """In either case, with white space around."""
    assert parse_number(f"{prefix}{number}", prefix, "a thing") == number
    assert parse_number(f" {prefix.lower()}{number}\n", prefix, "a thing") == number


@pytest.mark.parametrize(
    "text",
    ["", "J", "5", "J0", "J-1", "J05", "J5J", "JJ5", "J 5", "J1.0", "J1e3", f"J{2**63}", "J" + "9" * 20, "J٣",
     "C5", "J5; DROP TABLE jobs", "J5\nJ6"],
)  # fmt: skip
def test_what_is_no_number_is_refused_with_the_right_form(text: str) -> None:
    """The next step shows one."""
    with pytest.raises(InvalidInput) as raised:
        parse_number(text, "J", "a job")

    assert "is not the number of a job. Write J and digits, such as J12." in raised.value.one_line()
    assert len(raised.value.one_line()) < 160


@pytest.mark.parametrize("name", ["ab", "einstein_kids", "a1", "a" * 40, "a_"])
def test_a_customers_name_is_a_folders_name(name: str) -> None:
    """It is part of paths, routes and resources."""
    assert parse_tenant_slug(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "A",
        "1a",
        "_a",
        "a-b",
        "a b",
        "a.b",
        "a/b",
        "..",
        "../x",
        "a" * 41,
        "ñandu",
        "ab\n",
        "ab\0",
        "a٣",
        "AB",
    ],
)
def test_any_other_name_is_refused(name: str) -> None:
    """Nothing that leaves the folder, and nothing two systems would write differently."""
    with pytest.raises(InvalidInput, match="is not a customer name"):
        parse_tenant_slug(name)


@given(st.text(max_size=60))
def test_no_text_becomes_a_name_by_accident(text: str) -> None:
    """What passes is plain ASCII and can be put into a path."""
    try:
        slug = parse_tenant_slug(text)
    except InvalidInput:
        return
    assert re.fullmatch(r"[a-z][a-z0-9_]{1,39}", slug)


# --- Actors and clocks ------------------------------------------------------------------------------------


def test_an_actor_is_kept_with_its_role_and_with_who_worked_the_machine() -> None:
    """`via` is only there when somebody did."""
    assert Actor("user", "ana", "owner").as_json() == {"type": "user", "id": "ana", "role": "owner"}
    assert Actor("user", "ana", via="os:root").as_json()["via"] == "os:root"


def test_the_clock_is_aware_and_in_utc() -> None:
    """A naive time would mean another instant on another machine."""
    assert SystemClock().now().tzinfo is UTC
