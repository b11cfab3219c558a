"""The overdue flow asks which debts are to be reminded of again."""

from platform_core.windmill.flow_steps import list_overdue

CUSTOMER = "<<customer>>"


def main(
    after_days: int = 12, every_days: int = 7, times: int = 3, at: str = "10:00", limit: int = 200
) -> dict:
    plan = {"after_days": after_days, "every_days": every_days, "times": times, "at": at}
    return list_overdue(CUSTOMER, limit=limit, **plan)
