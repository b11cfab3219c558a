"""A flow found a number that a person should know."""

from platform_core.windmill.steps import alert_staff

CUSTOMER = "einstein_kids"


def main(kind: str, severity: str, count: int) -> dict:
    return alert_staff(CUSTOMER, kind=kind, severity=severity, count=count)
