"""`wmctl job`: the queue."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from platform_cli import render
from platform_cli.options import As, AsJson, Customer, Limit, noun
from platform_cli.site import member, open_site
from platform_core.app import cancel_work
from platform_core.jobs import orders, queue
from platform_core.jobs.lifecycle import JobState
from platform_core.values import parse_number

app = noun("Jobs: what is queued, running, done or dead.")

JobName = Annotated[str, typer.Argument(metavar="JOB", help="Such as J5.")]


@app.command("list")
def list_(
    customer: Customer = None,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind, such as outbox.queued.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show the newest jobs, wherever they are.

    Example: wmctl job list --state dead
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = queue.list_jobs(tx, state=state, kind=kind, limit=limit)
        health = queue.read_health(tx)
    if as_json:
        render.document({"jobs": found, "health": health})
        return
    render.table(
        "Jobs",
        ("job", "kind", "state", "attempt", "run at", "ended", "note"),
        [(f"J{j.id}", j.kind, j.state, j.attempt, j.run_at, j.ended_at, j.reason) for j in found],
        summary=f"{health.due} due, {health.waiting} waiting, {health.running} running, {health.dead} dead.",
    )


@app.command("show")
def show(job: JobName, customer: Customer = None, as_json: AsJson = False) -> None:
    """Show one job with every error it had.

    Example: wmctl job show J5
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = queue.get_job(tx, parse_number(job, "J", "a job"))
    if as_json:
        render.document(found)
        return
    facts = {field: value for field, value in asdict(found).items() if field != "errors"}
    render.record(f"J{found.id} {found.kind}", facts)
    render.table("Errors", ("attempt", "at", "error"), [(e.attempt, e.at, e.error) for e in found.errors])


@app.command("health")
def health(customer: Customer = None, as_json: AsJson = False) -> None:
    """Show the queue in numbers.

    Example: wmctl job health --json
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = queue.read_health(tx)
    if as_json:
        render.document(found)
        return
    render.record("Queue", asdict(found))


@app.command("run")
def run(
    customer: Customer = None,
    seconds: Annotated[int, typer.Option(min=1, max=3600, help="Time box, seconds.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Work the queue until nothing is due or the time is up. Jobs that send need the account's resource.

    Example: wmctl job run --seconds 30
    """
    with open_site() as site, site.app(customer) as platform:
        counts = asdict(platform.run_jobs(seconds=seconds))
    if as_json:
        render.document(counts)
        return
    render.good(", ".join(f"{count} {name}" for name, count in counts.items() if count) or "Nothing was due.")


@app.command("cancel")
def cancel(
    as_: As,
    customer: Customer = None,
    entity: Annotated[str | None, typer.Option(help="Such as obligation:7.")] = None,
    key: Annotated[str | None, typer.Option(help="The key of one job.")] = None,
) -> None:
    """Stop what is queued for one thing, reminders of a debt included; what runs is told and never retried.

    Example: wmctl job cancel --entity obligation:7 --as bruno
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        counts = cancel_work(
            tx, member(as_), now=platform.clock.now(), key=key or None, entity=entity or None
        )
    render.good(f"{counts.queued} queued jobs cancelled, {counts.running} running ones told.")


@app.command("redrive")
def redrive(job: JobName, as_: As, customer: Customer = None) -> None:
    """Give a dead letter its attempts again.

    Example: wmctl job redrive J5 --as bruno
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        orders.redrive(tx, member(as_), parse_number(job, "J", "a job"))
    render.good(f"{job} is queued again.")


@app.command("hurry")
def hurry(job: JobName, as_: As, customer: Customer = None) -> None:
    """Make a waiting job due now, such as a reminder that shall not wait for its hour.

    Example: wmctl job hurry J5 --as bruno
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        orders.hurry(tx, member(as_), parse_number(job, "J", "a job"))
    render.good(f"{job} is due now.")
