"""How verified money is put to debts. Pure; integers only.

For any debts and any verified amount, what is put to debts plus the credit is exactly the verified amount,
and no debt takes more than remains of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from platform_core.errors import InvalidInput, Refused
from platform_core.payments.contracts import AllocationRequest, obligation_ref
from platform_core.values import Money


@dataclass(frozen=True, slots=True)
class Debt:
    """What remains of one open obligation."""

    obligation_id: int
    due_on: date
    remaining: Money


@dataclass(frozen=True, slots=True)
class Part:
    """So much to one obligation, in the verified currency's minor unit."""

    obligation_id: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Split:
    """Where verified money goes. `credit_minor` is what no debt took."""

    parts: tuple[Part, ...]
    credit_minor: int


def decide_split(
    verified: Money, debts: Sequence[Debt], requested: Sequence[AllocationRequest] | None = None
) -> Split:
    """Oldest due first, or exactly as requested; the rest is credit.

    Raises: Refused when the money is of another currency than every debt, or a request does not fit them;
    InvalidInput when a request names a debt twice.
    """
    payable = [debt for debt in debts if debt.remaining.currency == verified.currency]
    if debts and not payable:
        raise Refused(
            f"The verified amount is in {verified.currency} and what is owed is in "
            f"{', '.join(sorted({debt.remaining.currency for debt in debts}))}",
            next_step="Ask the contact with needs_info, or correct the currency.",
        )
    if requested is not None:
        return _as_requested(verified, payable, requested)
    left = verified.amount_minor
    parts: list[Part] = []
    for debt in sorted(payable, key=lambda debt: (debt.due_on, debt.obligation_id)):
        taken = min(left, debt.remaining.amount_minor)
        if taken > 0:
            parts.append(Part(debt.obligation_id, taken))
            left -= taken
    return Split(tuple(parts), left)


def _as_requested(verified: Money, payable: Sequence[Debt], requested: Sequence[AllocationRequest]) -> Split:
    remaining = {debt.obligation_id: debt.remaining for debt in payable}
    seen: set[int] = set()
    for wish in requested:
        name = obligation_ref(wish.obligation_id)
        if wish.obligation_id in seen:
            raise InvalidInput(f"{name} is there twice", next_step="Name each obligation once.")
        seen.add(wish.obligation_id)
        open_amount = remaining.get(wish.obligation_id)
        if open_amount is None:
            raise Refused(
                f"{name} is not an open {verified.currency} obligation of this contact",
                next_step="Look at `wmctl obligation list` and name an open one.",
            )
        if wish.amount_minor > open_amount.amount_minor:
            wanted = Money(wish.amount_minor, verified.currency)
            raise Refused(
                f"{name} needs {open_amount}, and {wanted} is allocated to it",
                next_step="Allocate at most what remains; the rest becomes credit.",
            )
    total = sum(wish.amount_minor for wish in requested)
    if total > verified.amount_minor:
        raise Refused(
            f"The allocations add up to {Money(total, verified.currency)}, more than the verified {verified}",
            next_step="Allocate at most the verified amount.",
        )
    parts = tuple(Part(wish.obligation_id, wish.amount_minor) for wish in requested)
    return Split(parts, verified.amount_minor - total)
