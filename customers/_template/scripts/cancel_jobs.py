"""Staff stop everything still queued for one thing, such as the entity `obligation:7`."""

from platform_core.windmill.steps import cancel_jobs

CUSTOMER = "<<customer>>"


def main(staff: str, entity: str = "", key: str = "") -> dict:
    return cancel_jobs(CUSTOMER, staff=staff, entity=entity, key=key)
