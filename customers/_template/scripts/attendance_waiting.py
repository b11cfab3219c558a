"""The attendance flow asks which sessions still wait for a person."""

from platform_core.windmill.flow_steps import list_waiting_sessions

CUSTOMER = "<<customer>>"


def main(older_than_hours: int = 3) -> dict:
    return list_waiting_sessions(CUSTOMER, older_than_hours=older_than_hours)
