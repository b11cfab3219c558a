"""Numbers, money and amounts as people of a country write them. Pure.

What is shown and what may be typed follow one and the same rule, so an amount copied from the page means on
the way back what it meant on the way out. What could be read in two ways is refused, never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from platform_core.dashboards.contracts import Language
from platform_core.errors import InvalidMoney
from platform_core.values import CURRENCY_EXPONENTS, Money

NBSP = "\N{NO-BREAK SPACE}"

_COMMA_COUNTRIES = frozenset({"AR", "BO", "BR", "CL", "CO", "CR", "EC", "ES", "PY", "UY", "VE"})
"""Where Spanish (and Portuguese) writes a comma before the decimals; the others write a dot."""

# Before the amount, with the space that belongs to it; the euro stands behind it in Spanish.
_SIGNS: dict[str, str] = {
    "ARS": f"${NBSP}", "BOB": f"Bs{NBSP}", "BRL": f"R${NBSP}", "CLP": "$", "COP": f"${NBSP}", "CRC": "₡",
    "DOP": "RD$", "GTQ": "Q", "HNL": "L", "MXN": "$", "NIO": "C$", "PAB": f"B/.{NBSP}", "PEN": f"S/{NBSP}",
    "PYG": f"Gs.{NBSP}", "UYU": f"${NBSP}", "VES": f"Bs.{NBSP}",
}  # fmt: skip
_ENGLISH_SIGNS: dict[str, str] = {"USD": "$", "EUR": "€"}
_GROUP_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Numerals:
    """How a language in a country writes numbers. `grouped_from` digits before the decimals are grouped."""

    group: str
    decimal: str
    language: Language
    grouped_from: int = 4


def numerals_of(language: Language, country: str) -> Numerals:
    """The numerals of a language as a country (ISO code, such as CL) writes it."""
    if language == "en":
        return Numerals(",", ".", language)
    if country in _COMMA_COUNTRIES:
        return Numerals(".", ",", language, 5 if country == "ES" else 4)
    return Numerals(",", ".", language)


def to_number(value: int | Decimal, numerals: Numerals, *, decimals: int = 0) -> str:
    """A number with so many decimals, rounded half up."""
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
    sign, plain = ("−" if rounded < 0 else ""), f"{abs(rounded):f}"
    whole, _, fraction = plain.partition(".")
    if len(whole) >= numerals.grouped_from:
        whole = f"{int(whole):,}".replace(",", numerals.group)
    return f"{sign}{whole}{numerals.decimal}{fraction}" if fraction else f"{sign}{whole}"


def to_money(money: Money, numerals: Numerals) -> str:
    """An amount with its currency: `Gs. 45.000`, `PYG 45,000` in English, `1.234,56 €`, `€1,234.56`."""
    exponent = CURRENCY_EXPONENTS[money.currency]
    number = to_number(Decimal(money.amount_minor).scaleb(-exponent), numerals, decimals=exponent)
    if numerals.language == "en":
        sign = _ENGLISH_SIGNS.get(money.currency, f"{money.currency}{NBSP}")
    elif money.currency == "EUR":
        return f"{number}{NBSP}€"
    else:
        sign = _SIGNS.get(money.currency, f"{money.currency}{NBSP}")
    return f"−{sign}{number[1:]}" if number.startswith("−") else f"{sign}{number}"


def to_percent(part: int, whole: int, numerals: Numerals) -> str:
    """A share of something, in whole per cent; what is not all is never shown as all, nor as nothing."""
    if whole == 0:
        return "–"
    percent = int(Decimal(100 * part / Decimal(whole)).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    if 0 < part < whole:
        percent = min(99, max(1, percent))
    return f"{percent}%" if numerals.language == "en" else f"{percent}{NBSP}%"


def read_amount(text: str, currency: str, numerals: Numerals) -> Money:
    """An amount as somebody typed it: `45000`, `45.000`, `$ 45.000`, `1.234,50`; signs and spaces are theirs.

    Raises: InvalidMoney when it is none, when it has other decimals than the currency, or when it could mean
    two amounts.
    """
    bare = _without_sign(text, currency)
    group, decimal = re.escape(numerals.group), re.escape(numerals.decimal)
    exponent = CURRENCY_EXPONENTS[currency]
    fraction = rf"(?:{decimal}(?P<fraction>[0-9]{{{exponent}}}))?" if exponent else ""
    shape = rf"(?P<whole>[0-9]{{1,15}}|[0-9]{{1,3}}(?:{group}[0-9]{{3}})+){fraction}"
    found = re.fullmatch(shape, bare, re.ASCII)
    example = to_money(Money(45_000 * 10**exponent, currency), numerals)
    if found is None:
        raise InvalidMoney(
            f"{text.strip()[:30]!r} is not an amount of {currency} as it is written here",
            next_step=f"Write it like {example}.",
            example=example,
        )
    whole = found["whole"].replace(numerals.group, "")
    cents = found["fraction"] if exponent else None
    return Money.parse(f"{whole}.{cents}" if cents else whole, currency)


def _without_sign(text: str, currency: str) -> str:
    bare = re.sub(r"\s", "", text).upper()
    sign = (_SIGNS | _ENGLISH_SIGNS).get(currency, currency).strip().upper()
    for before in (currency, sign, "$" if sign.endswith("$") else sign):
        bare = bare.removeprefix(before)
    return bare.removesuffix(currency).removesuffix("€" if currency == "EUR" else currency)
