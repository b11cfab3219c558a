"""Cron starts this every half hour: are the accounts of Einstein Kids well, and does Calendly still call us?"""

from platform_core.windmill.steps import check_connectors

CUSTOMER = "einstein_kids"


def main() -> dict:
    return check_connectors(CUSTOMER)
