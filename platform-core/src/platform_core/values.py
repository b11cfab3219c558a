"""Small frozen values every package may use: money, actors, clocks, job outcomes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Literal, NewType, Protocol

from platform_core.errors import InvalidInput, InvalidMoney

TenantSlug = NewType("TenantSlug", str)

# ISO 4217 exponents of the currencies customers use; a currency not listed is refused, never guessed.
CURRENCY_EXPONENTS: dict[str, int] = {
    "ARS": 2, "BOB": 2, "BRL": 2, "CLF": 4, "CLP": 0, "COP": 2, "CRC": 2, "DOP": 2, "EUR": 2, "GTQ": 2,
    "HNL": 2, "MXN": 2, "NIO": 2, "PAB": 2, "PEN": 2, "PYG": 0, "USD": 2, "UYU": 2, "UYW": 4, "VES": 2,
}  # fmt: skip

MAX_AMOUNT_MINOR = 10**15  # far above any tuition; keeps sums inside bigint

_SLUG = re.compile(r"[a-z][a-z0-9_]{1,39}", re.ASCII)


def parse_tenant_slug(text: str) -> TenantSlug:
    """The customer's folder name: 2 to 40 of a-z, 0-9 and _, starting with a letter.

    Raises: InvalidInput.
    """
    if not _SLUG.fullmatch(text):
        raise InvalidInput(
            f"{text[:60]!r} is not a customer name",
            next_step="Use 2 to 40 lower-case letters, digits or _, starting with a letter.",
        )
    return TenantSlug(text)


_MAX_NUMBER = 2**63 - 1


def parse_number(text: str, prefix: str, thing: str) -> int:
    """The row that a name such as `C12` means; `thing` is what people call it (`a claim`).

    Raises: InvalidInput.
    """
    found = re.fullmatch(rf"{prefix}([1-9][0-9]{{0,18}})", text.strip().upper(), re.ASCII)
    if found is None or int(found[1]) > _MAX_NUMBER:
        raise InvalidInput(
            f"{text[:40]!r} is not the number of {thing}",
            next_step=f"Write {prefix} and digits, such as {prefix}12.",
        )
    return int(found[1])


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in a currency. `amount_minor` is in the currency's minor unit (centavo; guaraní for PYG)."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        """Refuse an unknown currency and an amount no customer can mean."""
        if self.currency not in CURRENCY_EXPONENTS:
            raise InvalidMoney(
                f"{self.currency[:8]!r} is not a known currency",
                next_step=f"Use one of {', '.join(CURRENCY_EXPONENTS)}.",
            )
        if abs(self.amount_minor) > MAX_AMOUNT_MINOR:
            raise InvalidMoney("The amount is larger than any payment", next_step="Check the digits.")

    @classmethod
    def parse(cls, text: str, currency: str) -> Money:
        """Read a plain decimal such as `45000` or `120.50` (dot as decimal separator, no grouping).

        Raises: InvalidMoney when it is not one, or has more decimals than the currency.
        """
        exponent = CURRENCY_EXPONENTS.get(currency)
        if exponent is None:
            cls(0, currency)
            raise AssertionError(currency)
        if not re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,6})?", text.strip(), re.ASCII):
            raise InvalidMoney(
                f"{text[:30]!r} is not an amount",
                next_step="Write digits with a dot, such as 45000 or 120.50.",
            )
        try:
            scaled = Decimal(text.strip()).scaleb(exponent)
        except InvalidOperation as error:
            raise InvalidMoney(f"{text[:30]!r} is not an amount") from error
        if scaled != scaled.to_integral_value():
            raise InvalidMoney(
                f"{text!r} has more decimals than {currency} allows ({exponent})", next_step="Round it first."
            )
        return cls(int(scaled), currency)

    def __str__(self) -> str:
        """`PEN 45.00`-like plain text: currency, then digits with a dot before the decimals."""
        exponent = CURRENCY_EXPONENTS[self.currency]
        return f"{self.currency} {Decimal(self.amount_minor).scaleb(-exponent):f}"


ActorType = Literal["user", "contact", "system", "support"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. `id` is stable and never a phone number; `role` is the role acted under.

    `via` is who worked the machine for them, when that is somebody else: the engineer at a terminal, the
    identity a Windmill job ran under. It is kept in the trail and permits nothing.
    """

    type: ActorType
    id: str
    role: str = ""
    via: str = ""

    def as_json(self) -> dict[str, str]:
        """The shape the audit trail keeps."""
        shape = {"type": self.type, "id": self.id, "role": self.role}
        return {**shape, "via": self.via} if self.via else shape


class Clock(Protocol):
    """Where `now` comes from, so that tests move it."""

    def now(self) -> datetime:
        """The current instant, aware, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The current instant, aware, UTC."""
        return datetime.now(UTC)


# --- What a job's handler answers: a closed vocabulary, matched totally by the runner --------------------


@dataclass(frozen=True, slots=True)
class Done:
    """The job did what it is for. `note` is kept in history."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """It failed in a way that may pass. Counts an attempt; `after` is a floor under the backoff."""

    reason: str
    after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Snooze:
    """Not yet. Costs no attempt."""

    reason: str
    after: timedelta = field(default_factory=lambda: timedelta(minutes=1))


@dataclass(frozen=True, slots=True)
class Dead:
    """It can never succeed; a person looks at it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What it was for is gone; nothing to do."""

    reason: str


Outcome = Done | Retry | Snooze | Dead | Cancelled
