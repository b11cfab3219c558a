"""Words and figures: the same keys in both languages, and numbers as people write them."""

from __future__ import annotations

import ast
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_core.app import HANDLERS
from platform_core.attendance.lifecycle import Verdict
from platform_core.dashboards import claim_forms, claim_sheet, figures
from platform_core.dashboards.contracts import Language
from platform_core.dashboards.figures import NBSP, numerals_of, read_amount, to_money, to_number, to_percent
from platform_core.dashboards.offers import Act
from platform_core.dashboards.voice import LANGUAGES, Voice, load_words, placeholders_of, plural_of
from platform_core.errors import ConfigurationError, InvalidMoney
from platform_core.messaging.lifecycle import OutboxState
from platform_core.payments.lifecycle import ClaimState
from platform_core.tenancy.members import Role
from platform_core.tenancy.policy import PURPOSES
from platform_core.values import CURRENCY_EXPONENTS, Money

CORE = Path("platform-core/src/platform_core")
NOW = datetime(2026, 3, 16, 15, 12, tzinfo=UTC)
ES, EN = numerals_of("es", "CL"), numerals_of("en", "CL")


def voice(language: Language = "es", zone: str = "America/Santiago", now: datetime = NOW) -> Voice:
    """Somebody in Chile."""
    return Voice(language, "CL", "CLP", ZoneInfo(zone), now)


# --- words ------------------------------------------------------------------------------------------------


def test_both_languages_have_words_for_the_same_things_with_the_same_gaps() -> None:
    """No key is left untranslated, and no translation loses what fills it."""
    spanish, english = load_words("es"), load_words("en")

    assert sorted(spanish) == sorted(english)
    for key, entry in spanish.items():
        other = english[key]
        forms = (entry, other) if isinstance(entry, str) else (entry["other"], dict(other)["other"])  # type: ignore[arg-type]  # both have forms
        assert isinstance(entry, str) == isinstance(other, str), key
        assert placeholders_of(str(forms[0])) == placeholders_of(str(forms[1])), key


def test_every_form_of_a_plural_is_there_and_fills_the_same_gaps() -> None:
    """One and other always; many is Spanish for a million of something, and falls back to other."""
    for language in LANGUAGES:
        for key, entry in load_words(language).items():
            if not isinstance(entry, str):
                assert {"one", "other"} <= set(entry), key
                assert len({placeholders_of(form) for form in entry.values()}) == 1, key


def test_no_words_are_empty_or_hold_markup() -> None:
    """They are text; what looks like markup would be shown as it is written."""
    for language in LANGUAGES:
        for key, entry in load_words(language).items():
            for form in [entry] if isinstance(entry, str) else entry.values():
                assert form.strip(), key
                assert not re.search(r"<[a-z/]|&[a-z]+;", form), key


def test_every_key_that_the_code_says_has_words() -> None:
    """Read from the code: a key written there, or every one that a pattern there can become."""
    words, asked = load_words("es"), set()
    for path in sorted((CORE / "dashboards").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("say", "count")
                and node.args
                and isinstance(node.args[0], ast.Constant)
                and isinstance(node.args[0].value, str)
                and "." in node.args[0].value
            ):
                asked.add(node.args[0].value)

    assert len(asked) > 100
    assert sorted(asked - set(words)) == []


def test_every_value_that_chooses_words_has_them() -> None:
    """States, acts, roles, purposes and the rest: what is new there needs words here."""
    chosen = {
        *(f"claim_state.{state}" for state in ClaimState),
        *(f"message_state.{state}" for state in OutboxState),
        *(f"verdict.{verdict}" for verdict in Verdict),
        *(f"role.{role}" for role in Role),
        *(f"act.{act}{end}" for act in Act for end in ("", "_lead", "_go")),
        *(f"confirm.{act}{end}" for act in Act for end in ("", "_follows", "_go")),
        *(f"method.{method}" for method in claim_forms.METHODS),
        *(f"done.{done}" for done in claim_sheet.DONE),
        *(f"purpose.{purpose.replace('.', '_')}" for purpose in PURPOSES),
        *(f"run.{kind.replace('.', '_')}" for kind in HANDLERS),
        *(
            f"flag.{kind}"
            for kind in ("same_movement", "same_bytes", "reference_other_amount", "close_in_time")
        ),
        *(f"alert.{kind.replace('.', '_')}.{part}" for kind in alert_kinds() for part in ("title", "do")),
    }

    assert sorted(chosen - set(load_words("es"))) == []


def alert_kinds() -> set[str]:
    """Every kind that the code raises an alert of, as it is written there."""
    kinds = set()
    for path in CORE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id not in ("raise_alert", "_alert"):
                    continue
                kinds |= {
                    arg.value
                    for arg in node.args
                    if isinstance(arg, ast.Constant)
                    and isinstance(arg.value, str)
                    and re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", arg.value)
                }
    return kinds


def test_kinds_are_found_where_they_are_raised() -> None:
    """Or the test above would ask for nothing."""
    assert {"claim.overdue", "message.paused", "attendance.suspicious"} <= alert_kinds()


def test_a_key_without_words_is_an_error_that_names_it() -> None:
    """Never a blank on the page."""
    with pytest.raises(ConfigurationError, match=r"no words for 'no\.such_key'"):
        voice().say("no.such_key")
    with pytest.raises(ConfigurationError, match="has forms"):
        voice().say("status.alerts")
    with pytest.raises(ConfigurationError, match="has no forms"):
        voice().count("room.home", 2)


@pytest.mark.parametrize(
    ("language", "number", "form"),
    [
        ("es", 0, "other"), ("es", 1, "one"), ("es", 2, "other"), ("es", 1_000_000, "many"),
        ("es", 1_000_001, "other"),
        ("en", 0, "other"), ("en", 1, "one"), ("en", 1_000_000, "other"),
    ],
)  # fmt: skip
def test_numbers_choose_their_form_as_the_language_does(language: Language, number: int, form: str) -> None:
    """By the rules of CLDR for whole numbers."""
    assert plural_of(language, number) == form


def test_a_sentence_about_a_number_agrees_with_it() -> None:
    """In both languages."""
    said = [[voice(language).count("status.alerts", n) for n in (1, 2, 1200)] for language in LANGUAGES]

    assert said == [["1 aviso.", "2 avisos.", "1.200 avisos."], ["1 alert.", "2 alerts.", "1,200 alerts."]]


# --- numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("country", "language", "money", "said"),
    [
        ("CL", "es", Money(45_000, "CLP"), "$45.000"),
        ("CL", "en", Money(45_000, "CLP"), f"CLP{NBSP}45,000"),
        ("CL", "es", Money(-45_000, "CLP"), "−$45.000"),
        ("ES", "es", Money(123_456, "EUR"), f"1234,56{NBSP}€"),
        ("ES", "es", Money(12_345_678, "EUR"), f"123.456,78{NBSP}€"),
        ("AR", "es", Money(123_456, "EUR"), f"1.234,56{NBSP}€"),
        ("ES", "en", Money(123_456, "EUR"), "€1,234.56"),
        ("MX", "es", Money(123_450, "MXN"), "$1,234.50"),
        ("PE", "es", Money(4_500, "PEN"), f"S/{NBSP}45.00"),
        ("PY", "es", Money(45_000, "PYG"), f"Gs.{NBSP}45.000"),
        ("CL", "es", Money(381_234, "CLF"), f"CLF{NBSP}38,1234"),
        ("CL", "es", Money(0, "CLP"), "$0"),
    ],
)
def test_money_is_written_as_its_country_and_language_do(
    country: str, language: Language, money: Money, said: str
) -> None:
    """Pesos of Chile have no decimals; the euro stands behind in Spanish and before in English."""
    assert to_money(money, numerals_of(language, country)) == said


@given(
    st.sampled_from(sorted(CURRENCY_EXPONENTS)),
    st.integers(min_value=0, max_value=10**14),
    st.sampled_from(["AR", "CL", "CO", "CR", "ES", "MX", "PE", "PY", "UY"]),
    st.sampled_from(LANGUAGES),
)
def test_an_amount_copied_from_the_page_is_read_as_the_same_amount(
    currency: str, minor: int, country: str, language: Language
) -> None:
    """In every currency, country and language: what is shown and what is typed are one rule."""
    money, numerals = Money(minor, currency), numerals_of(language, country)

    assert read_amount(to_money(money, numerals), currency, numerals) == money


@pytest.mark.parametrize(
    "text", ["45000", "45.000", "$45.000", " $ 45.000 ", "CLP 45.000", "45.000 CLP", "$45000"]
)
def test_people_write_the_same_amount_in_their_ways(text: str) -> None:
    """With the sign or the code or neither, grouped or not."""
    assert read_amount(text, "CLP", ES) == Money(45_000, "CLP")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "45,000",
        "45.00",
        "4.5000",
        "45.000.00",
        "1e5",
        "-45000",
        "45 mil",
        "٤٥",
        "45,5",
        "$",
        "0x10",
        "45..000",
    ],
)
def test_what_could_mean_two_amounts_or_none_is_refused_with_an_example(text: str) -> None:
    """45,000 is forty-five to some and forty-five thousand to others: nobody guesses."""
    with pytest.raises(InvalidMoney) as refused:
        read_amount(text, "CLP", ES)

    assert refused.value.facts["example"] == "$45.000"


@pytest.mark.parametrize(("text", "minor"), [("1,234.50", 123_450), ("1234.50", 123_450), ("45", 4_500)])
def test_where_a_dot_stands_before_the_decimals_it_is_read_so(text: str, minor: int) -> None:
    """In Mexico, and in English."""
    assert read_amount(text, "MXN", numerals_of("es", "MX")) == Money(minor, "MXN")


def test_an_amount_beyond_any_payment_is_refused() -> None:
    """By Money itself, without an example: the shape was right."""
    with pytest.raises(InvalidMoney) as refused:
        read_amount("9" * 15 + "9", "CLP", ES)
    with pytest.raises(InvalidMoney):
        read_amount("999.999.999.999.999.999", "CLP", ES)

    assert "example" in refused.value.facts


def test_a_share_is_never_rounded_to_all_or_nothing() -> None:
    """999 of 1000 is not a hundred per cent of anything."""
    shares = [(0, 5), (1, 1000), (1, 2), (999, 1000), (5, 5), (0, 0)]
    said = [to_percent(part, whole, ES) for part, whole in shares]

    assert said == [f"0{NBSP}%", f"1{NBSP}%", f"50{NBSP}%", f"99{NBSP}%", f"100{NBSP}%", "–"]
    assert to_percent(1, 2, EN) == "50%"


def test_numbers_are_grouped_as_the_language_does() -> None:
    """And negative ones have a real minus sign."""
    assert [to_number(n, ES) for n in (999, 1000, -1234567)] == ["999", "1.000", "−1.234.567"]
    assert [to_number(n, EN, decimals=1) for n in (999, 1000)] == ["999.0", "1,000.0"]


# --- days and times ---------------------------------------------------------------------------------------


def test_times_are_of_the_customers_zone_and_days_have_a_year_only_when_it_is_another() -> None:
    """Midnight in Santiago is three in the morning in UTC."""
    late = datetime(2026, 3, 17, 2, 30, tzinfo=UTC)

    assert [voice(language).moment(late) for language in LANGUAGES] == [
        "hoy a las 23:30",
        f"today at 11:30{NBSP}PM",
    ]
    assert voice("es", "Europe/Madrid").moment(late) == "17 de marzo, 03:30"
    assert voice("en").day(date(2025, 12, 31)) == "December 31, 2025"
    assert voice("es").day(date(2026, 3, 16), weekday=True) == "lunes, 16 de marzo"


def test_the_hour_that_happens_twice_is_told_by_the_clocks_on_the_wall() -> None:
    """Both are 23:30 in Santiago on 2026-04-04."""
    instants = [datetime(2026, 4, 5, hour, 30, tzinfo=UTC) for hour in (2, 3)]

    assert [voice(now=instants[1]).clock(at) for at in instants] == ["23:30", "23:30"]


def test_how_long_ago_is_said_roughly() -> None:
    """In the unit that people would use."""
    steps = {
        timedelta(seconds=20): "a moment ago",
        timedelta(minutes=1): "1 minute ago",
        timedelta(minutes=59): "59 minutes ago",
        timedelta(hours=1, minutes=30): "1 hour ago",
        timedelta(hours=47): "47 hours ago",
        timedelta(days=3): "3 days ago",
        -timedelta(minutes=2): "a moment ago",
    }

    assert {step: voice("en").ago(NOW - step) for step in steps} == steps


def test_durations_have_the_unit_that_fits() -> None:
    """And nothing measured is a dash."""
    found = [voice().duration(ms) for ms in (3.2, 950, 2_300, 45_000, 90_000, 5_400_000, 90_000_000, None)]

    assert found == ["3 ms", "950 ms", "2,3 s", "45 s", "2 min", "1,5 h", "1,0 d", "–"]


def test_signs_stand_for_currencies_that_exist() -> None:
    """A typing error there would be a currency nobody has."""
    assert set(figures._SIGNS) <= set(CURRENCY_EXPONENTS)  # noqa: SLF001 - the table itself is judged
