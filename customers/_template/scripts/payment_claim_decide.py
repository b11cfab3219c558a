"""Staff approve, reject, reverse or ask about a claim; the panel and wmctl call the same verb."""

from platform_core.windmill.steps import decide_claim

CUSTOMER = "<<customer>>"


def main(
    decision_id: str, claim: str, version: int, action: str, staff: str, amount: str = "", method: str = "",
    bank_reference: str = "", rail: str = "", value_date: str = "", reason: str = "", note: str = "",
    duplicate_of: str = "",
) -> dict:  # fmt: skip
    return decide_claim(
        CUSTOMER, decision_id=decision_id, claim=claim, version=version, action=action, staff=staff,
        amount=amount, method=method, bank_reference=bank_reference, rail=rail, value_date=value_date,
        reason=reason, note=note, duplicate_of=duplicate_of,
    )  # fmt: skip
