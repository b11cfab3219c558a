from __future__ import annotations

from datetime import date

import pytest

from platform_core.errors import InvalidInput, InvalidMoney
from platform_core.payments.contracts import (
    DecisionRequest,
    NewObligation,
    Verification,
    claim_ref,
    obligation_ref,
    parse_claim_id,
    parse_decision,
    parse_obligation_id,
    read_contract,
    to_spanish,
)
from platform_core.values import Money


def test_what_people_see_reads_back() -> None:
    """`C12` and `O7`, also in lower case and with spaces around."""
    assert parse_claim_id(claim_ref(12)) == parse_claim_id(" c12 ") == 12
    assert parse_obligation_id(obligation_ref(7)) == 7


@pytest.mark.parametrize(
    "text", ["", "12", "O12", "C", "C0", "C-1", "C1.0", "C１２", "C1 2", "C" + "9" * 30, "CC1"]
)
def test_what_is_no_claims_number_is_refused(text: str) -> None:
    """With the form it should have."""
    with pytest.raises(InvalidInput, match="is not the number of a claim") as refused:
        parse_claim_id(text)

    assert refused.value.next_step == "Write C and digits, such as C12."


@pytest.mark.parametrize(
    ("text", "currency", "minor", "spanish"),
    [
        ("45000", "CLP", 45_000, "$45.000 CLP"),
        ("0", "CLP", 0, "$0 CLP"),
        ("1234.5", "USD", 123_450, "$1.234,50 USD"),
        ("0.05", "USD", 5, "$0,05 USD"),
        ("1.2345", "CLF", 12_345, "$1,2345 CLF"),
        ("1000000", "PYG", 1_000_000, "$1.000.000 PYG"),
        ("-45000", "CLP", -45_000, "-$45.000 CLP"),
    ],
)
def test_an_amount_has_its_currencys_decimals(text: str, currency: str, minor: int, spanish: str) -> None:
    """CLP and PYG have none, USD two, CLF four."""
    money = Money.parse(text, currency)

    assert (money, to_spanish(money)) == (Money(minor, currency), spanish)


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("45000.5", "CLP"),
        ("1.005", "USD"),
        ("1.23456", "CLF"),
        ("45.000,00", "CLP"),
        ("1e3", "CLP"),
        ("", "USD"),
    ],
)
def test_an_amount_with_other_decimals_is_refused(text: str, currency: str) -> None:
    """Never rounded, never zero."""
    with pytest.raises(InvalidMoney):
        Money.parse(text, currency)


FLAT: dict[str, object] = {"decision_id": "d-1", "claim": "C12", "version": 2, "action": "approve"}


def test_a_decision_is_read_from_flat_text() -> None:
    """As a script or the command line hands it over; empty text says nothing."""
    fields = FLAT | {
        "amount": "45000",
        "method": "bank_app",
        "bank_reference": "TRX-1",
        "value_date": "2026-03-02",
        "note": "visto",
        "rail": "",
        "duplicate_of": "",
    }

    assert parse_decision(fields, currency="CLP") == DecisionRequest.model_validate(
        {
            "decision_id": "d-1",
            "claim_id": 12,
            "claim_version": 2,
            "action": "approve",
            "verified": Money(45_000, "CLP"),
            "verification": Verification(
                method="bank_app", bank_reference="TRX-1", value_date=date(2026, 3, 2), note="visto"
            ),
            "reason": "visto",
        }
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"claim": "12"}, "is not the number of a claim"),
        ({"version": "x"}, "claim_version"),
        ({"version": 0}, "claim_version"),
        ({"action": "celebrate"}, "action"),
        ({"decision_id": ""}, "decision_id"),
        ({"decision_id": "a b"}, "decision_id"),
        ({"method": "rumour"}, "verification.method"),
        ({"bank_reference": "TRX-1"}, "says little without how it was checked"),
        ({"method": "cash", "value_date": "yesterday"}, "verification.value_date"),
        ({"amount": "lots"}, "is not an amount"),
        ({"note": "x" * 501}, "reason"),
        ({"surprise": "x"}, "has no field 'surprise'"),
    ],
)
def test_a_decision_that_cannot_be_read_names_the_field(change: dict[str, object], message: str) -> None:
    """And never quotes what was in it."""
    with pytest.raises(InvalidInput, match=message):
        parse_decision(FLAT | change, currency="CLP")


def test_an_unusable_field_is_named_and_not_quoted() -> None:
    """What was typed may be a person's name or number."""
    with pytest.raises(InvalidInput) as refused:
        read_contract(
            NewObligation,
            {
                "reference": "r",
                "contact_id": "+56900000001",
                "pupil": "Sofía",
                "concept": "x",
                "due_on": "no",
            },
        )

    assert "NewObligation field contact_id" in refused.value.message
    assert "56900000001" not in refused.value.one_line()
