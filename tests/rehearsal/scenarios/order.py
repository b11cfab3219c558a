"""What is rehearsed, in the order of a host's life. Each scenario proves what it says, or raises."""

from __future__ import annotations

from collections.abc import Callable

from tests.rehearsal.scenarios import (
    around,
    authority,
    back,
    bad,
    colleague,
    customers,
    database,
    guide,
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
    guide.first_customer,
    work.job_and_its_database,
    up.strangers_are_kept_out,
    up.firewall_holds,
    up.bootstrap_again,
    up.dry_run,
    up.upgrade,
    up.by_wmctl,
    up.same_again,
    jobs.hostile_job,
    jobs.greedy_job,
    jobs.long_job,
    bad.bad_release,
    bad.silent_release,
    bad.crash_looping_release,
    bad.bad_workers,
    bad.failed_migration,
    bad.wrong_secret,
    around.registry_down,
    around.cut_pull,
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
    customers.customer_rotations,
    colleague.colleague,
    rotation.rotations,
    loss.one_customer,
    loss.spoilt_copy,
    loss.drill,
    back.rollback,
    back.rollback_over_schema,
    around.reboot,
    guide.nothing_lost,
    loss.total_loss,
)
NEED_WINDMILL = (
    jobs.hostile_job,
    jobs.greedy_job,
    jobs.long_job,
    rotation.rotations,
    customers.customer_rotations,
    colleague.colleague,
    loss.drill,
    guide.first_customer,
    guide.nothing_lost,
    work.job_and_its_database,
)
"""What a stand-in cannot play: it runs no jobs."""

QUICK = (up.bare_host_to_https, up.dry_run, up.upgrade, back.rollback)
"""What a hosted runner plays for each change."""
