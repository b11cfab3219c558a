"""`wmctl job`: the queue."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from platform_cli import render
from platform_cli.options import As, AsJson, Customer, Limit, noun
from platform_cli.posts import Posts, stopping_on_signals
from platform_cli.site import member, open_site
from platform_core.app import cancel_work
from platform_core.jobs import orders, queue, storage
from platform_core.jobs.lifecycle import JobState
from platform_core.jobs.rounds import Rounds
from platform_core.observability.logs import configure
from platform_core.observability.otlp import SpanFile
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
    """Show the queue in numbers, and what it costs PostgreSQL.

    Example: wmctl job health --json
    """
    with open_site() as site:
        with site.app(customer) as platform, platform.tx() as tx:
            found = queue.read_health(tx)
        with site.database(customer) as admin:
            stored = storage.read_storage(admin)
    if as_json:
        render.document({"queue": found, "storage": stored})
        return
    render.record("Queue", asdict(found))
    render.record("Storage", asdict(stored))


@app.command("run")
def run(
    customer: Customer = None,
    seconds: Annotated[int, typer.Option(min=1, max=3600, help="Time box, seconds.")] = 50,
    wait: Annotated[bool, typer.Option("--wait", help="Listen for new jobs until the time is up.")] = False,
    spans: Annotated[
        Path | None, typer.Option(help="Append a span of each run to this file, as OTLP/JSON lines.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Work the queue until nothing is due or the time is up. Jobs that send need the account's resource.

    Example: wmctl job run --seconds 30
    """
    with open_site() as site, site.app(customer) as platform, ExitStack() as stack:
        record = stack.enter_context(SpanFile(spans, tenant=platform.tenant)).record if spans else None
        counts = asdict(platform.run_jobs(seconds=seconds, wait=wait, record_spans=record))
    if as_json:
        render.document(counts)
        return
    render.good(", ".join(f"{count} {name}" for name, count in counts.items() if count) or "Nothing was due.")


@app.command("serve")
def serve(
    customer: Annotated[
        list[str] | None,
        typer.Option("--customer", "-c", help="Only this customer; may be given several times."),
    ] = None,
    hands: Annotated[int, typer.Option(min=1, max=64, help="How many customers are worked at once.")] = 4,
    seconds: Annotated[int, typer.Option(min=0, help="End after so many seconds; 0 never.")] = 0,
) -> None:
    """Work the queues of all active customers in turns until it is stopped: the runner as a service.

    Ends in order on SIGTERM and Ctrl-C: running jobs end, unstarted ones go back.

    Example: wmctl job serve --hands 8
    """
    with open_site() as site, ExitStack() as stack:
        configure("jobs", level=site.settings.log_level, key=site.settings.log_key)
        rounds = Rounds(Posts(site, customer or (), stack), hands=hands)
        render.note("Serving; Ctrl-C ends in order.")
        with stopping_on_signals(rounds.stop, after_s=seconds):
            rounds.serve()
    render.good("Stopped in order.")


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
