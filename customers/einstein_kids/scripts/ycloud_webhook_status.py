"""YCloud calls this route with what became of every message Einstein Kids sent."""

from platform_core.windmill.http import receive_signed, signed_request

CUSTOMER = "einstein_kids"


def preprocessor(event: dict) -> dict:
    return {"delivery": signed_request(event)}


def main(delivery: dict) -> dict:
    return receive_signed(customer=CUSTOMER, source="ycloud", endpoint="status", delivery=delivery)
