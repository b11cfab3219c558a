"""Cron starts this every half hour: are the accounts well, and does Calendly still call?"""

from platform_core.windmill.accounts import check_connectors

CUSTOMER = "<<customer>>"


def main() -> dict:
    return check_connectors(CUSTOMER)
