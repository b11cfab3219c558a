"""The failure module of every flow: a person hears which flow failed and at which step."""

from platform_core.windmill.flow_steps import report_failed_flow

CUSTOMER = "einstein_kids"


def main() -> dict:
    return report_failed_flow(CUSTOMER)
