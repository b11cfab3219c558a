"""`wmctl instance`: whether a Windmill is one that wmctl can rely on, and a bare one made ready."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from platform_cli import render
from platform_cli.instances import people, probes
from platform_cli.instances.access import Access, find_access, read_secret
from platform_cli.instances.probe import Outcome, Report
from platform_cli.instances.report import as_document, counts, write_page
from platform_cli.instances.server import Server
from platform_cli.instances.setup import ADMINS, Done, Step, Wanted, set_up
from platform_cli.options import AsJson, noun
from platform_cli.sync.items import TAGS
from platform_core.values import SystemClock

app = noun("A Windmill instance: check it before an upgrade, make a bare one ready, let people in.")

DIFFERS = 3
TargetName = Annotated[str, typer.Option("--target", "-t", help="A target of `wmctl target list`.")]
Url = Annotated[str, typer.Option(help="The server's address, instead of a target.")]
Email = Annotated[str, typer.Argument(metavar="EMAIL", help="Their address, such as ana@acme.cl.")]
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

        async with access.server() as server:
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

    async with access.server() as server:
        return await set_up(server, wanted, check=check, told=told)


@app.command("admit")
def admit(
    email: Email,
    token_to: Annotated[Path, typer.Option(help="The file to write their token into, for them alone.")],
    target: TargetName = "",
    url: Url = "",
    token_from: TokenFrom = "",
    workspace: Annotated[list[str] | None, typer.Option(help="Where; by default in all there are.")] = None,
    days: Annotated[
        int, typer.Option(min=1, max=people.MAX_DAYS, help="How long their token holds, days.")
    ] = 90,
    password_from: Annotated[
        str, typer.Option(help="A file with the password of an account to make, for Windmill's pages.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Let somebody in as an administrator of the workspaces, with a token of their own; safe to repeat.

    Needs a superadmin's token. Their token of before ends, so it is also how one is made anew.

    Example: wmctl instance admit ana@acme.cl -t root --token-to ana.token
    """
    access = find_access(target, url, token_from, ADMINS)
    password = read_secret(password_from, "The password") if password_from else None
    ends_at = SystemClock().now() + timedelta(days=days)

    def work(server: Server) -> Awaitable[people.Admitted]:
        place = workspace or ()
        return people.admit(server, email, token_to, workspaces=place, ends_at=ends_at, password=password)

    found = _run(_with(access, work))
    if as_json:
        render.document(found)
        return
    for name, done in found.workspaces.items():
        render.taken(name, "an administrator there", changed=done is Done.CHANGED)
    if found.account is not None:
        render.taken("account", "opens with that password", changed=found.account is Done.CHANGED)
    render.good(f"{found.email} is let in; the token in {token_to} holds until {found.ends_at:%Y-%m-%d}.")


@app.command("dismiss")
def dismiss(
    email: Email,
    target: TargetName = "",
    url: Url = "",
    token_from: TokenFrom = "",
    doors_too: Annotated[
        bool, typer.Option("--doors-too", help="Also end tokens that they made for a host's door.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take somebody out of every workspace, and end their tokens and their account; what they deployed stays.

    Needs a superadmin's token. A token of theirs that was just used holds for two minutes more.

    Example: wmctl instance dismiss ana@acme.cl --target root
    """
    access = find_access(target, url, token_from, ADMINS)
    clock = SystemClock()
    found = _run(_with(access, lambda server: people.dismiss(server, email, clock, doors_too=doors_too)))
    if as_json:
        render.document(found)
        return
    was = f"was in {' and '.join(found.workspaces)}" if found.workspaces else "was in no workspace"
    render.good(f"{found.email} {was}, and is out. Tokens that ended: {found.tokens}.")
    render.note(f"A token that was just used, Windmill takes for {people.KNOWN_FOR_S} s more.")
    for door in found.doors:
        render.warning(f"If the door of {door} wakes nobody: `wmctl secret rotate door-token --host {door}`.")


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


async def _with(access: Access, work: Callable[[Server], Awaitable[T]]) -> T:
    async with access.server() as server:
        return await work(server)
