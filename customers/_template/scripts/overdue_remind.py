"""The overdue flow plans one more reminder of one debt; asked twice, it is planned once."""

from platform_core.windmill.flow_steps import remind_overdue

CUSTOMER = "<<customer>>"


def main(debt: str, after_days: int = 12, every_days: int = 7, times: int = 3, at: str = "10:00") -> dict:
    plan = {"after_days": after_days, "every_days": every_days, "times": times, "at": at}
    return remind_overdue(CUSTOMER, debt=debt, **plan)
