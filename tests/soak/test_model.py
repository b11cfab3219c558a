"""The queue against its model, at length."""

from __future__ import annotations

import pytest

from platform_core.jobs.lifecycle import MOVES
from tests.core.jobs.machine import run_machine
from tests.support.databases import TenantDatabase


@pytest.mark.timeout(1800)
def test_thousands_of_histories_keep_every_job_in_one_place_and_every_rule(
    tenant_db: TenantDatabase, *, is_short: bool
) -> None:
    """Longer ones than in the everyday test, others each time, and far more of them."""
    moves = run_machine(tenant_db, 60 if is_short else 2500, 120, by_chance=True)

    assert moves <= MOVES if is_short else moves == MOVES
