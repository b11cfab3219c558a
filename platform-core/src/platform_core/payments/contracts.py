"""What crosses the boundary of payments: how things are named to people, what is asked, what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StringConstraints,
    ValidationError,
)

from platform_core.errors import InvalidInput
from platform_core.payments.lifecycle import Action, ClaimState
from platform_core.values import CURRENCY_EXPONENTS, Money, parse_number

C = TypeVar("C", bound=BaseModel)

Method = Literal["bank_app", "statement", "cep", "cash", "other"]
"""How a member saw the money: the bank's app, a statement, Banxico's CEP, cash in hand, something else."""

DecisionId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,119}$")]
Sha256Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


def claim_ref(claim_id: int) -> str:
    """How a claim is named to people: `C12`."""
    return f"C{claim_id}"


def obligation_ref(obligation_id: int) -> str:
    """How an obligation is named to people: `O7`."""
    return f"O{obligation_id}"


def parse_claim_id(text: str) -> int:
    """The claim that `C12` names. Raises: InvalidInput."""
    return parse_number(text, "C", "a claim")


def parse_obligation_id(text: str) -> int:
    """The obligation that `O7` names. Raises: InvalidInput."""
    return parse_number(text, "O", "an obligation")


def to_spanish(money: Money) -> str:
    """The amount as parents read it: `$45.000 PYG`, `$1.234,50 USD`."""
    exponent = CURRENCY_EXPONENTS[money.currency]
    whole, fraction = divmod(abs(money.amount_minor), 10**exponent)
    sign = "-" if money.amount_minor < 0 else ""
    decimals = f",{fraction:0{exponent}d}" if exponent else ""
    grouped = f"{whole:,}".replace(",", ".")
    return f"{sign}${grouped}{decimals} {money.currency}"


class ClaimOpening(_Contract):
    """A claim to open without a message: a payment reported at the desk.

    `request_id` is any text unique to the act of reporting; the same one again opens nothing new.
    """

    request_id: DecisionId
    contact_id: StrictInt
    claimed: Money
    note: str = Field(default="", max_length=500)


class ClaimOpened(_Contract):
    """The claim of a request. `created` is false when the request had opened it before."""

    claim_id: int
    state: ClaimState
    version: int
    created: bool


class NewObligation(_Contract):
    """A debt to enter. `reference` is the customer's own and unique, such as `2026-03/matricula/118`."""

    reference: str = Field(min_length=1, max_length=80)
    contact_id: StrictInt
    pupil: str = Field(min_length=1, max_length=120)
    concept: str = Field(min_length=1, max_length=120)
    due_on: date
    amount: Money


class Verification(_Contract):
    """What a member checked, and where. `value_date` is the day of the bank movement."""

    method: Method
    bank_reference: str = Field(default="", max_length=60)
    rail: str = Field(default="", max_length=40)
    value_date: date | None = None
    note: str = Field(default="", max_length=500)


class AllocationRequest(_Contract):
    """So much of the verified amount to this obligation. `amount_minor` is in the verified currency."""

    obligation_id: StrictInt
    amount_minor: StrictInt = Field(gt=0)


class DecisionRequest(_Contract):
    """What a member decides about a claim they looked at.

    `decision_id` is the decider's own and unique: the same request again answers the stored result.
    `claim_version` is the version looked at. `evidence_sha256`, when given, is what was on the screen and
    must be the claim's evidence at that version. `allocations`, when given, say where the money goes; what
    they leave is credit. Without them the oldest debt is paid first.
    """

    decision_id: DecisionId
    claim_id: StrictInt
    claim_version: int = Field(gt=0)
    action: Action
    verified: Money | None = None
    verification: Verification | None = None
    evidence_sha256: tuple[Sha256Hex, ...] | None = None
    allocations: tuple[AllocationRequest, ...] | None = None
    duplicate_of: StrictInt | None = None
    reason: str = Field(default="", max_length=500)


class Allocated(_Contract):
    """What one obligation received (or gave back, below zero) and what of it remains."""

    obligation_id: int
    amount: Money
    remaining: Money


class ReminderCounts(_Contract):
    """What became of the contact's reminders."""

    suspended: int = 0
    resumed: int = 0
    cancelled: int = 0
    skipped: int = 0


class DecisionResult(_Contract):
    """What a decision did. `already` is true when it had been taken before and nothing was done now."""

    decision_id: str
    claim_id: int
    state: ClaimState
    version: int
    second_approver_needed: bool
    allocations: tuple[Allocated, ...] = ()
    credit: Money | None = None
    messages: tuple[int, ...] = ()
    reminders: ReminderCounts = ReminderCounts()
    decided_by: str
    decided_at: AwareDatetime
    already: bool = False

    @property
    def outcome(self) -> str:
        """One word for people and scripts: `approved`, or `already_approved` when repeated."""
        return f"already_{self.state}" if self.already else self.state.value


def parse_decision(fields: Mapping[str, object], *, currency: str) -> DecisionRequest:
    """Read a decision as scripts and the command line hand it over: flat, and text where nothing is said.

    Known fields: decision_id, claim (`C12`), version, action, amount (plain decimal of `currency`), method,
    rail, bank_reference, value_date (YYYY-MM-DD), note, reason (default: the note), duplicate_of (`C9`).
    Raises: InvalidInput naming the field.
    """
    unknown: list[str] = sorted(set(fields) - _FLAT_FIELDS)
    if unknown:
        raise InvalidInput(f"A decision has no field {unknown[0][:40]!r}")
    text = {name: str(value).strip() for name, value in fields.items() if value not in (None, "")}
    note = text.get("note", "")
    verification: dict[str, object] = {
        name: text[name] for name in ("method", "rail", "bank_reference", "value_date") if name in text
    }
    if verification and "method" not in verification:
        raise InvalidInput(
            "A bank reference, rail or date says little without how it was checked",
            next_step="Name the method: bank_app, statement, cep, cash or other.",
        )
    shape: dict[str, object] = {
        "decision_id": text.get("decision_id", ""),
        "claim_id": parse_claim_id(text.get("claim", "")),
        "claim_version": text.get("version", ""),
        "action": text.get("action", ""),
        "verified": Money.parse(text["amount"], currency) if "amount" in text else None,
        "verification": verification | {"note": note} if verification else None,
        "duplicate_of": parse_claim_id(text["duplicate_of"]) if "duplicate_of" in text else None,
        "reason": text.get("reason", note),
    }
    return read_contract(DecisionRequest, shape)


_FLAT_FIELDS = frozenset(
    {"decision_id", "claim", "version", "action", "amount", "method", "rail", "bank_reference", "value_date"}
    | {"note", "reason", "duplicate_of"}
)


def read_contract(kind: type[C], fields: Mapping[str, object]) -> C:
    """Build a contract from unchecked fields. Raises: InvalidInput naming the field that does not fit."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        # Without its cause: pydantic's own text quotes the input, which may hold anything.
        raise InvalidInput(f"The {kind.__name__} field {where} is not usable: {first['msg']}") from None
