"""Is a customer healthy, end to end? One finding for each thing that has to hold; looking changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from platform_cli.customers import accounts
from platform_cli.customers.profile import Profile, read_written
from platform_cli.customers.template import read_template
from platform_cli.site import Site
from platform_core.db.migrate import pending
from platform_core.errors import PlatformError
from platform_core.jobs.queue import read_health
from platform_core.observability.alerts import list_alerts
from platform_core.tenancy.policy import current_policy, load_policy
from platform_core.tenancy.registry import dsn_for

LATE_S = 300.0
"""A job that is due for longer says that nobody works the queue."""


class Mark(StrEnum):
    """How one thing is."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"
    SKIPPED = "skipped"
    """It could not be looked at here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what, how it is, what was seen, and what to do about it."""

    about: str
    mark: Mark
    says: str
    next_step: str = ""


def is_healthy(findings: tuple[Finding, ...]) -> bool:
    """Whether nothing is broken. A warning is for the day, not for the night."""
    return all(finding.mark is not Mark.BROKEN for finding in findings)


def looked(about: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of one look; a look that fails is a finding too, and the next one is taken."""
    try:
        yield from look()
    except PlatformError as error:
        yield Finding(about, Mark.BROKEN, error.message, error.next_step)


def check_home(site: Site, profile: Profile) -> Iterator[Finding]:
    """What can be seen without Windmill: folder, database, policy, queue, alerts, accounts."""
    yield from looked("folder", lambda: _folder(site, profile))
    yield from looked("database", lambda: _database(site, profile))
    yield from looked("policy", lambda: _policy(site, profile))
    yield from looked("queue", lambda: _queue(site, profile))
    yield from looked("alerts", lambda: _alerts(site, profile))
    for connector in profile.connectors:
        yield from looked(f"account {connector}", partial(_account, site, profile, connector))


def _folder(site: Site, profile: Profile) -> Iterator[Finding]:
    written = read_written(site.root / "customers" / profile.name)
    newest = read_template(site.root).version
    if written.template_version < newest:
        says = f"it is of version {written.template_version} of the template, the newest is {newest}"
        yield Finding("folder", Mark.WARNING, says, f"Run `wmctl customer update {profile.name}`.")
    else:
        yield Finding("folder", Mark.OK, f"version {written.template_version} of the template")


def _database(site: Site, profile: Profile) -> Iterator[Finding]:
    tenant = site.tenant(profile.name)
    with site.app(profile.name) as app, app.tx() as tx:  # the customer's own login, as its scripts
        read_health(tx)
    lacking = pending(dsn_for(site.admin_dsn, dbname=tenant.database_name), "tenant")
    if lacking:
        says = f"it lacks {len(lacking)} migrations, the first {lacking[0].name}"
        yield Finding("database", Mark.BROKEN, says, "Run `wmctl db migrate`.")
    else:
        yield Finding("database", Mark.OK, f"answers; its schema is {tenant.schema_version}")


def _policy(site: Site, profile: Profile) -> Iterator[Finding]:
    wanted = load_policy(site.root / "customers" / profile.name / "config" / "policy.toml")
    with site.app(profile.name) as app, app.tx() as tx:
        found = current_policy(tx)
    if found.model_dump() != wanted.model_dump():
        says = "the one in force is not the one in the folder"
        yield Finding("policy", Mark.WARNING, says, f"Run `wmctl policy apply {profile.name}`.")
    else:
        yield Finding("policy", Mark.OK, "the folder's is in force")


def _queue(site: Site, profile: Profile) -> Iterator[Finding]:
    with site.app(profile.name) as app, app.tx() as tx:
        health = read_health(tx)
    says = f"{health.due} due, {health.running} running, {health.dead} dead"
    if health.oldest_due_s > LATE_S:
        late = f"{says}; the oldest is due for {health.oldest_due_s / 60:.0f} min"
        yield Finding("queue", Mark.BROKEN, late, "See that the schedule job_runner is on and runs.")
    elif health.dead:
        yield Finding(
            "queue", Mark.WARNING, says, f"See `wmctl job list --state dead --customer {profile.name}`."
        )
    else:
        yield Finding("queue", Mark.OK, says)


def _alerts(site: Site, profile: Profile) -> Iterator[Finding]:
    with site.app(profile.name) as app, app.tx() as tx:
        found = list_alerts(tx, limit=1000)
    gravest = ", ".join(f"{alert.severity} {alert.kind} ({alert.subject})" for alert in found[:3])
    if not found:
        yield Finding("alerts", Mark.OK, "none is open")
    else:
        mark = Mark.BROKEN if any(alert.severity == "P1" for alert in found) else Mark.WARNING
        step = f"See `wmctl alert list --customer {profile.name}`."
        yield Finding("alerts", mark, f"{len(found)} are open: {gravest}", step)


def _account(site: Site, profile: Profile, connector: str) -> Iterator[Finding]:
    about = f"account {connector}"
    if connector not in accounts.WITH_ACCOUNT:
        yield Finding(about, Mark.OK, "it needs none")
        return
    status, evidence = accounts.check_account(site.secrets, profile, connector)
    match status:
        case "ok":
            yield Finding(about, Mark.OK, evidence or "it answers")
        case "degraded":
            yield Finding(about, Mark.WARNING, evidence)
        case "missing":
            step = f"See `wmctl secret list {profile.name}`."
            yield Finding(about, Mark.BROKEN, evidence, step)
        case _:
            yield Finding(about, Mark.BROKEN, f"{status}: {evidence}", "Correct it with `wmctl secret set`.")
