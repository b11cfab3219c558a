"""The attendance flow looks at one session as it is now."""

from platform_core.windmill.flow_steps import look_at_session

CUSTOMER = "<<customer>>"


def main(session: str) -> dict:
    return look_at_session(CUSTOMER, session=session)
