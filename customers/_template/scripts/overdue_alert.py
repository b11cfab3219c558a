"""The overdue flow found more debts than messages can mend."""

from platform_core.windmill.flow_steps import tell_of_overdue

CUSTOMER = "<<customer>>"


def main(count: int) -> dict:
    return tell_of_overdue(CUSTOMER, count=count)
