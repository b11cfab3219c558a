"""Cron starts this every minute: it works the customer's queue until it is empty or time is up."""

from platform_core.windmill.steps import run_jobs

CUSTOMER = "<<customer>>"


def main(seconds: int = 50, lease_s: int = 60) -> dict:
    return run_jobs(CUSTOMER, seconds=seconds, lease_s=lease_s)
