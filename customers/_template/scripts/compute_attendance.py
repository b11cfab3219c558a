"""Cron starts this every quarter of an hour: who was in class, also where a reader delivered late."""

from platform_core.windmill.steps import compute_attendance

CUSTOMER = "<<customer>>"


def main() -> dict:
    return compute_attendance(CUSTOMER)
