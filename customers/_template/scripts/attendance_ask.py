"""The attendance flow asks staff about a session that still waits for them."""

from platform_core.windmill.flow_steps import ask_about_session

CUSTOMER = "<<customer>>"


def main(session: str, severity: str) -> dict:
    return ask_about_session(CUSTOMER, session=session, severity=severity)
