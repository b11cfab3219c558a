"""The review flow was answered, let go or left waiting; only an answer decides, by the verb of the panel."""

from platform_core.windmill.flow_steps import answer_review

CUSTOMER = "<<customer>>"


def main(claim: str, version: int, answer: str) -> dict:
    return answer_review(CUSTOMER, claim=claim, version=version, answer=answer)
