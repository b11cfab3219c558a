"""Staff open a claim for a payment a parent reported at the desk, without a WhatsApp receipt."""

from platform_core.windmill.steps import create_claim

CUSTOMER = "einstein_kids"


def main(
    request_id: str,
    staff: str,
    phone: str,
    amount: str,
    currency: str = "CLP",
    note: str = "",
) -> dict:
    return create_claim(
        CUSTOMER, request_id=request_id, staff=staff, phone=phone, amount=amount, currency=currency, note=note
    )
