"""YCloud calls this route for every WhatsApp message a parent sends to Einstein Kids."""

from platform_core.windmill.http import receive_signed, signed_request

CUSTOMER = "einstein_kids"


def preprocessor(event: dict) -> dict:
    return {"delivery": signed_request(event)}


def main(delivery: dict) -> dict:
    return receive_signed(customer=CUSTOMER, source="ycloud", endpoint="inbound", delivery=delivery)
