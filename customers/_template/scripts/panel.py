"""The staff panel: every page and every form of it."""

from platform_core.windmill.panel import serve_panel

CUSTOMER = "<<customer>>"


def preprocessor(event: dict) -> dict:
    return {"answer": serve_panel(customer=CUSTOMER, event=event)}


def main(answer: dict) -> dict:
    return answer  # Windmill keeps what main is given; so that is the page, and not a person's cookie or form
