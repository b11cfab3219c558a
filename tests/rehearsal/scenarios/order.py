"""What is rehearsed, in the order of a host's life. Each scenario proves what it says, or raises."""

from __future__ import annotations

from collections.abc import Callable

from tests.rehearsal.scenarios import (
    around,
    authority,
    back,
    bad,
    database,
    jobs,
    loss,
    refused,
    rotation,
    up,
    work,
)
from tests.rehearsal.scenarios.play import Play

ALL: tuple[Callable[[Play], None], ...] = (
    up.bare_host_to_https,
    up.strangers_are_kept_out,
    up.firewall_holds,
    up.bootstrap_again,
    up.dry_run,
    up.upgrade,
    up.same_again,
    jobs.hostile_job,
    jobs.greedy_job,
    jobs.long_job,
    bad.bad_release,
    bad.silent_release,
    bad.crash_looping_release,
    bad.bad_workers,
    bad.wrong_secret,
    around.registry_down,
    around.wrong_host_key,
    around.lost_connection,
    around.two_at_once,
    around.killed_host,
    refused.values_that_are_wrong,
    refused.tools_that_are_wrong,
    refused.files_that_are_wrong,
    refused.port_taken,
    database.killed_database,
    database.full_disk,
    authority.authority_down,
    rotation.rotations,
    loss.one_customer,
    loss.drill,
    work.first_customer,
    back.rollback,
    back.rollback_over_schema,
    around.reboot,
    loss.total_loss,
)
NEED_WINDMILL = (
    jobs.hostile_job,
    jobs.greedy_job,
    jobs.long_job,
    rotation.rotations,
    loss.drill,
    work.first_customer,
)
"""What a stand-in cannot play: it runs no jobs."""

QUICK = (up.bare_host_to_https, up.dry_run, up.upgrade, back.rollback)
"""What a hosted runner plays for each change."""
