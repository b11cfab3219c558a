"""`wmctl instance`: whether a Windmill is one that wmctl can rely on, and a bare one made ready."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from platform_cli import render
from platform_cli.instances import probes
from platform_cli.instances.access import Access, find_access, read_secret
from platform_cli.instances.probe import Outcome, Report
from platform_cli.instances.report import as_document, counts, write_page
from platform_cli.instances.server import Server
from platform_cli.instances.setup import ADMINS, Done, Step, Wanted, set_up
from platform_cli.options import AsJson, noun
from platform_cli.sync.items import TAGS

app = noun("A Windmill instance: check it before an upgrade, make a bare one ready.")

DIFFERS = 3
TargetName = Annotated[str, typer.Option("--target", "-t", help="A target of `wmctl target list`.")]
Url = Annotated[str, typer.Option(help="The server's address, instead of a target.")]
TokenFrom = Annotated[str, typer.Option(help="A file with the token, or - for stdin; else you are asked.")]
T = TypeVar("T")


@app.command("check")
def check(
    target: TargetName = "",
    url: Url = "",
    token_from: TokenFrom = "",
    workspace: Annotated[str, typer.Option(help="Where to make the scratch folder, with --url.")] = "staging",
    everything: Annotated[bool, typer.Option("--all", help="Show the facts that hold, too.")] = False,
    report: Annotated[Path | None, typer.Option(help="A Markdown page to write the result into.")] = None,
    as_json: AsJson = False,
) -> int:
    """Look at every fact of a server that wmctl relies on; the thing to run before an upgrade.

    Works in a folder f/wmctl_probe_... that it makes and removes, also when it is interrupted; touches
    nothing else. Exit 3 when something differs from what wmctl relies on; findings alone exit 0.

    Example: wmctl instance check --target staging
    """
    found = _run(_check(find_access(target, url, token_from, workspace)))
    if report is not None:
        write_page(found, report)
    if as_json:
        render.document(as_document(found))
    else:
        _show(found, everything=everything)
    return DIFFERS if found.differing else 0


async def _check(access: Access) -> Report:
    with render.progress(f"Looking at {access.name} …") as line:

        def told(outcome: Outcome, done: int, total: int) -> None:
            line.at(done, total, outcome.probe.name)

        async with Server(access.url, access.token, access.workspace) as server:
            return await probes.run(server, told=told)


def _show(report: Report, *, everything: bool) -> None:
    if everything:
        rows = [(one.probe.name, one.verdict.value, one.probe.relies) for one in report.outcomes]
        render.table("Facts", ("fact", "here", "relied on"), rows)
    else:
        areas = [(area, ok, bad or None, none or None) for area, ok, bad, none in counts(report)]
        render.table(f"Windmill {report.server_version}", ("area", "hold", "differ", "not looked at"), areas)
    for title, outcomes in (
        ("Differs from what wmctl relies on", report.differing),
        ("Findings about this instance", report.findings),
    ):
        if outcomes:
            told = [
                (one.probe.name, f"{one.probe.relies}: {one.probe.why}", one.probe.expected, one.seen)
                for one in outcomes
            ]
            render.differences(title, told)
    for one in report.unlooked:
        render.note(f"{one.probe.name} was not looked at: {one.seen}")
    if report.left:
        render.broken(f"Could not be removed again: {', '.join(report.left)}.")
    if report.differing:
        render.broken(f"{len(report.differing)} of {len(report.outcomes)} facts differ; do not deploy there.")
    else:
        render.good(f"Nothing of {len(report.outcomes)} facts differs, in {report.took_s:.0f} s.")


@app.command("init")
def init(
    base_url: Annotated[
        str, typer.Option(help="The address people reach it at, such as https://wm.acme.cl.")
    ],
    url: Annotated[str, typer.Option(help="Where wmctl reaches the server; by default --base-url.")] = "",
    token_from: TokenFrom = "",
    workspace: Annotated[
        list[str] | None, typer.Option(help="A workspace it must have; by default staging and production.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="A worker tag it must know; by default ops and webhook.")
    ] = None,
    retention_days: Annotated[int, typer.Option(min=1, max=30, help="How long jobs are kept, days.")] = 30,
    seed_password_from: Annotated[
        str,
        typer.Option(help="A file with a new password of admin@windmill.dev, or -; else it is closed."),
    ] = "",
    check_only: Annotated[
        bool, typer.Option("--check", help="Write nothing; say what would change.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Bring a bare Windmill to the state the platform needs; safe to repeat.

    Needs a superadmin's token, such as SUPERADMIN_SECRET. With --check, exit 3 when something would change.

    Example: wmctl instance init --base-url https://wm.acme.cl --token-from superadmin.txt --check
    """
    wanted = Wanted(
        base_url,
        workspaces=tuple(workspace or ("staging", "production")),
        retention_days=retention_days,
        tags=tuple(tag or TAGS),
        seed_password=read_secret(seed_password_from, "The new password") if seed_password_from else None,
    )
    access = find_access("", url or base_url, token_from, ADMINS)
    steps = _run(_init(access, wanted, check=check_only, quiet=as_json))
    if as_json:
        render.document(steps)
    would = [step for step in steps if step.done is Done.WOULD_CHANGE]
    changed = [step for step in steps if step.done is Done.CHANGED]
    if would:
        render.note(f"{len(would)} of {len(steps)} steps would change something.")
    else:
        render.good(f"{len(steps)} steps, {len(changed)} changed.")
    return DIFFERS if would else 0


async def _init(access: Access, wanted: Wanted, *, check: bool, quiet: bool) -> list[Step]:
    def told(step: Step) -> None:
        if not quiet:
            render.setting(step.done.value, step.name, step.before, step.wanted)

    async with Server(access.url, access.token, access.workspace) as server:
        return await set_up(server, wanted, check=check, told=told)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run it; a signal to end is a cancellation, so that what must be removed is."""

    async def cancellable() -> T:
        task = asyncio.ensure_future(work)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None

    return asyncio.run(cancellable())
