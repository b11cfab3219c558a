"""Calendly calls this route for every trial class that is booked, moved, cancelled or missed."""

from platform_core.windmill.http import receive_signed

CUSTOMER = "<<customer>>"


def preprocessor(event: dict) -> dict:
    return {"answer": receive_signed(customer=CUSTOMER, source="calendly", endpoint="bookings", event=event)}


def main(answer: dict) -> dict:
    return answer  # Windmill keeps what main is given; so that is the answer, and not what a parent wrote
