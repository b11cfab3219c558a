"""YCloud calls this route with what became of every message we sent."""

from platform_core.windmill.http import receive_signed

CUSTOMER = "<<customer>>"


def preprocessor(event: dict) -> dict:
    return {"answer": receive_signed(customer=CUSTOMER, source="ycloud", endpoint="status", event=event)}


def main(answer: dict) -> dict:
    return answer  # Windmill keeps what main is given; so that is the answer, and not a parent's message
