"""`wmctl db`: schemas of the customers' databases, and the guard against runaway statements."""

from __future__ import annotations

from typing import Annotated

import typer

from platform_cli import render
from platform_cli.options import AsJson, noun
from platform_cli.site import Site, open_site
from platform_core.db import migrate as migrations
from platform_core.tenancy.cluster import migrate_tenant, prepare_cluster
from platform_core.tenancy.registry import Tenant, dsn_for
from platform_core.tenancy.watchdog import Ended, WatchdogLimits, watch

app = noun("Databases: migrate them, lock them down, end what runs too long.")


@app.command("status")
def status(as_json: AsJson = False) -> None:
    """Show which migrations each customer's database lacks.

    Example: wmctl db status
    """
    with open_site() as site:
        rows = [{"customer": tenant.slug, "pending": _pending(site, tenant)} for tenant in _active(site)]
    if as_json:
        render.document(rows)
        return
    render.table(
        "Databases", ("customer", "pending"), [(row["customer"], row["pending"] or "none") for row in rows]
    )


@app.command("migrate")
def migrate() -> None:
    """Bring the template and every active customer's database up to this code, one by one; safe to repeat.

    Example: wmctl db migrate
    """
    with open_site() as site:
        prepare_cluster(site.admin_dsn, progress=render.note)
        for tenant in _active(site):
            applied = migrate_tenant(site.admin_dsn, tenant, progress=_told_file)
            render.good(f"{tenant.slug}: {len(applied)} migrations applied.")


@app.command("watch")
def watch_(
    limit_s: Annotated[
        float, typer.Option(min=1, help="Longest statement of a customer's login, seconds.")
    ] = 60.0,
    for_s: Annotated[int, typer.Option(min=1, max=3600, help="How long to watch, seconds.")] = 55,
) -> None:
    """End statements of customers' logins that run too long; for cron, every minute.

    Example: wmctl db watch --limit-s 60 --for-s 55
    """
    with open_site() as site:
        count = watch(site.admin_dsn, WatchdogLimits(statement_s=limit_s), passes=for_s, on_ended=_told)
    render.good(f"{count} statements and sessions ended.")


def _told(ended: Ended) -> None:
    render.note(f"{ended.act} {ended.login} on {ended.database} after {ended.after_s:.0f} s")


def _told_file(progress: migrations.Progress) -> None:
    render.note(f"{progress.position} of {progress.total}: {progress.name}")


def _active(site: Site) -> list[Tenant]:
    return [tenant for tenant in site.tenants() if tenant.state == "active"]


def _pending(site: Site, tenant: Tenant) -> list[str]:
    dsn = dsn_for(site.admin_dsn, dbname=tenant.database_name)
    return [migration.name for migration in migrations.pending(dsn, "tenant")]
