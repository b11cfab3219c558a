"""The review flow asks staff about one claim; what could resume the flow is kept with the claim."""

from platform_core.windmill.flow_steps import ask_review

CUSTOMER = "<<customer>>"


def main(claim: str) -> dict:
    return ask_review(CUSTOMER, claim=claim)
