"""The queue against its model, as many histories as fit into a few seconds; `tests/soak` plays more."""

from __future__ import annotations

from platform_core.jobs.lifecycle import MOVES
from tests.core.jobs.machine import run_machine
from tests.support.databases import TenantDatabase


def test_any_order_of_verbs_keeps_every_job_in_one_place_and_every_rule(tenant_db: TenantDatabase) -> None:
    """Never lost, never in two hands, no cap passed, no order broken; and every move is made."""
    assert run_machine(tenant_db, examples=100, steps=60) == MOVES
