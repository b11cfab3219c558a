"""Cron starts this every five minutes: the panel's numbers of the days that changed are counted again."""

from platform_core.windmill.steps import refresh_dashboard

CUSTOMER = "<<customer>>"


def main() -> dict:
    return refresh_dashboard(CUSTOMER)
