"""`wmctl customer`: make customers, bring them up to date, see whether they are well, end them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from platform_cli import render
from platform_cli.customers import creation, ending, updating
from platform_cli.customers.accounts import Places, list_needs
from platform_cli.customers.asking import Prompt, SecretSource, complete, read_secret_file
from platform_cli.customers.doors import lines_for_hosts
from platform_cli.customers.ending import Ending
from platform_cli.customers.erasure import erase as erase_customer
from platform_cli.customers.health import Finding, Mark, check_home, is_healthy
from platform_cli.customers.leftovers import list_leftovers
from platform_cli.customers.profile import CUSTOMER_FILE, Profile, parse_profile, read_written
from platform_cli.customers.shipping import look_at_items, ship
from platform_cli.customers.targeting import Addresses, called, find_places, find_target
from platform_cli.customers.visiting import check_abroad
from platform_cli.hosts.speaking import known_hosts
from platform_cli.options import AsJson, CustomerName, noun
from platform_cli.root import find_root
from platform_cli.site import Site, open_site
from platform_cli.sync.client import Client
from platform_cli.sync.events import Event, Happened
from platform_cli.sync.targets import Chosen
from platform_core.errors import InvalidInput
from platform_core.tenancy.registry import Tenant
from platform_core.values import parse_tenant_slug

app = noun("Customers as data: make one, update it from the template, check it, archive or erase it.")

_T = TypeVar("_T")
UNWELL = 1
CONFLICTS = 3

NewName = Annotated[str, typer.Argument(metavar="NAME", help="Its folder name, such as acme.")]
OnTarget = Annotated[
    str | None, typer.Option("--target", help="The Windmill meant; default: the target in use.")
]
Local = Annotated[bool, typer.Option("--local", help="This installation alone, no Windmill.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether to go on.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the audit trail.")]


@app.command("new")
def new(
    name: NewName,
    display_name: Annotated[str, typer.Option(help="The name people know.")] = "",
    country: Annotated[str, typer.Option(help="Its country's code, such as PE.")] = "",
    currency: Annotated[str, typer.Option(help="Default: the country's.")] = "",
    zone: Annotated[str, typer.Option(help="Time zone; default: the country's.")] = "",
    language: Annotated[str, typer.Option(help="es or en; default: the country's.")] = "",
    connectors: Annotated[
        str, typer.Option(help="Beside ycloud, which all have: calendly, reader; commas between.")
    ] = "",
    owner: Annotated[str, typer.Option(help="Handle of the member who owns it, such as ana.")] = "",
    sender_phone: Annotated[str, typer.Option(help="The WhatsApp number it writes from.")] = "",
    secrets_from: Annotated[
        Path | None, typer.Option(help='A TOML file of yours alone: ycloud_api_key = "…".')
    ] = None,
    public_url: Annotated[str, typer.Option(help="Where others reach our routes.")] = "",
    database_host: Annotated[str, typer.Option(help="Where workers reach PostgreSQL, host:port.")] = "",
    target: OnTarget = None,
    local: Local = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make a customer: folder, database, robot, rights, secrets, resources, deploy. Safe to run again.

    Example: wmctl customer new acme --display-name Acme --country PE --owner ana --sender-phone +51900000000
    """
    chosen, prompt = find_target(target, local=local), _prompt()
    hosts = known_hosts().read() if chosen is not None else {}
    said = {"display_name": display_name, "country": country, "currency": currency, "zone": zone}
    said |= {"language": language, "connectors": connectors, "owner": owner, "sender_phone": sender_phone}
    with open_site() as site:
        profile = _profile(site, name, said, prompt)
        _confirm(f"Make {profile.name} ({_summary(profile)})", chosen, yes=yes, prompt=prompt)
        given = {} if secrets_from is None else _given(secrets_from, profile)
        making = creation.Making(site, profile, SecretSource(given, prompt).ask)
        steps: list[dict[str, object]] = []

        def say(step: creation.Step, changed: bool) -> None:
            steps.append({"step": step.name, "changed": changed})
            render.taken(step.name, _SAYS[step.name][0 if changed else 1], changed=changed)

        places = asyncio.run(_make(making, chosen, Addresses(public_url, database_host), say))
        doors = lines_for_hosts(site, profile.name, hosts)
        left = list_leftovers(profile, site.secrets, places, doors)
    if as_json:
        where = called(chosen) if chosen else None
        render.document({"customer": profile.name, "target": where, "steps": steps, "left": left})
        return
    if chosen is None:
        render.warning(
            "Only what stands on this machine is made: no Windmill is meant. Run it again with one."
        )
    render.findings(
        "Left for you", [("warning", str(number), text, "") for number, text in enumerate(left, 1)]
    )


_SAYS = {
    "folder": ("written from the template", "there already"),
    "database": ("made, with its login and its policy", "there already"),
    "secrets": ("kept in this installation", "all here that can be"),
    "robot": ("added to the workspace", "there already"),
    "rights": ("given on its folder", "given already"),
    "variables": ("set, encrypted by Windmill", "set already"),
    "resources": ("set", "set already"),
    "deploy": ("done", "nothing to deploy"),
}
"""What each step says: done now, and true before."""


async def _make(
    making: creation.Making,
    chosen: Chosen | None,
    said: Addresses,
    say: Callable[[creation.Step, bool], None],
) -> Places | None:
    """The steps; where things are comes back, for what is left to a person."""
    if chosen is None:
        await creation.create(making, say=say)
        return None
    site, profile = making.site, making.profile
    async with chosen.client() as client:

        async def places() -> Places:
            return await find_places(client, site, profile, said)

        async def deploy() -> bool:
            return await ship(client, chosen.target, making.folder, _tell)

        abroad = creation.Abroad(client, called(chosen), places, deploy)
        await creation.create(creation.Making(site, profile, making.ask, abroad), say=say)
        return await places()


@app.command("update")
def update(
    name: CustomerName,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    markers: Annotated[
        bool, typer.Option("--markers", help="Write conflicts into the files, between <<<<<<< and >>>>>>>.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Merge the newest template into a customer's folder; its own edits stand. Exit 3 when some conflict.

    Example: wmctl customer update acme --dry-run
    """
    found = updating.plan_update(find_root(Path.cwd()), parse_tenant_slug(name))
    stopped = bool(found.conflicts) and not markers
    if not dry_run and not stopped:
        updating.apply_update(found, markers=markers)
    if as_json:
        render.document(
            {
                "customer": name,
                "from_version": found.before,
                "to_version": found.after,
                "written": not dry_run and not stopped and found.before != found.after,
                "files": [
                    {"path": one.path, "act": one.act, "lines": one.lines, "says": one.says}
                    for one in found.changes
                ],
            }
        )
        return CONFLICTS if stopped else 0
    _show_update(name, found)
    if stopped:
        render.warning("Nothing is written while files conflict: edit them, or run again with --markers.")
    elif found.before == found.after:
        render.good(f"{name} has version {found.after} of the template, the newest.")
    elif not dry_run:
        render.good(f"{name} has version {found.after} of the template now; look with git diff, then deploy.")
    return CONFLICTS if stopped else 0


def _show_update(name: str, found: updating.Update) -> None:
    if found.changes:
        title = f"{name}, from version {found.before} to {found.after} of the template"
        rows = [(one.act, one.path, ", ".join(map(str, one.lines)), one.says) for one in found.changes]
        render.table(title, ("change", "file", "lines in conflict", "why"), rows)


@app.command("check")
def check(
    customer: CustomerName, target: OnTarget = None, local: Local = False, as_json: AsJson = False
) -> int:
    """Say whether a customer is well: database, accounts, robot, secrets, items, routes. Exit 1 if not.

    Example: wmctl customer check acme
    """
    chosen = find_target(target, local=local)
    with open_site() as site:
        profile = _written(site, customer)
        found = [*check_home(site, profile)]
        if chosen is None:
            found.append(Finding("windmill", Mark.SKIPPED, "no Windmill is meant", "Name one with --target."))
        else:
            found += asyncio.run(_visit(site, profile, chosen))
    healthy = is_healthy(tuple(found))
    if as_json:
        render.document({"customer": profile.name, "healthy": healthy, "findings": found})
    else:
        if chosen is not None:
            render.badge(chosen.target.badge)
        rows = [(one.mark.value, one.about, one.says, one.next_step) for one in found]
        render.findings(f"{profile.display_name} ({profile.name})", rows)
    return 0 if healthy else UNWELL


async def _visit(site: Site, profile: Profile, chosen: Chosen) -> list[Finding]:
    folder = site.root / "customers" / profile.name
    async with chosen.client() as client:
        places = await find_places(client, site, profile)

        async def items() -> Finding:
            return await look_at_items(client, chosen.target, folder)

        return [one async for one in check_abroad(client, profile, site.secrets, places, items)]


# --- The end ------------------------------------------------------------------------------------------------


@app.command("archive")
def archive(
    customer: CustomerName, reason: Reason, target: OnTarget = None, local: Local = False, yes: Yes = False
) -> None:
    """Switch off what starts by itself and close the database; all data stays. `restore` brings it back.

    Example: wmctl customer archive acme --reason "season is over"
    """
    tenant, switched = _end(
        customer, reason, target, local=local, yes=yes, verb="Archive", act=ending.archive
    )
    render.good(f"{customer} is {tenant}; {len(switched)} schedules and routes were switched off.")


@app.command("restore")
def restore(
    customer: CustomerName, reason: Reason, target: OnTarget = None, local: Local = False, yes: Yes = False
) -> None:
    """Bring an archived customer back: its database opens, and what archiving switched off is on again.

    Example: wmctl customer restore acme --reason "new season"
    """
    tenant, switched = _end(
        customer, reason, target, local=local, yes=yes, verb="Restore", act=ending.restore
    )
    render.good(f"{customer} is {tenant}; {len(switched)} schedules and routes are on again.")


@app.command("erase")
def erase(
    customer: CustomerName,
    reason: Reason,
    confirm: Annotated[str, typer.Option(help="The customer's name again; without it you are asked.")] = "",
    target: OnTarget = None,
    local: Local = False,
) -> None:
    """Export a customer to a file, then erase its database, Windmill items, secrets and robot. For ever.

    Example: wmctl customer erase acme --reason "they asked for it"
    """
    _require_reason(customer, reason)
    chosen, prompt, hosts = find_target(target, local=local), _prompt(), known_hosts().read()
    with open_site() as site:
        tenant = site.tenant(customer)
        if chosen is not None:
            render.badge(chosen.target.badge)
        typed = confirm or (
            prompt(f"This cannot be undone. Type {tenant.slug} to erase it", False) if prompt else ""
        )
        if typed.strip() != tenant.slug:
            raise InvalidInput(
                f"{tenant.slug} was not erased: its name was not typed",
                next_step=f"Type it when asked, or say --confirm {tenant.slug}.",
            )

        async def act(client: Client | None) -> str:
            found = Ending(site, tenant.slug, reason, client, called(chosen) if chosen else "")
            export = await erase_customer(found, say=render.note)
            return "" if export is None else str(export.path)

        path = asyncio.run(_with_client(chosen, act))
        doors = lines_for_hosts(site, tenant.slug, hosts)
    if path:
        render.raw(path)
    render.good(f"{tenant.slug} is erased. Its folder customers/{tenant.slug} is yours to remove from git.")
    for line in doors:
        render.note(f"A host's door has its secrets until you say: {line} --remove")


def _end(
    name: str,
    reason: str,
    target: str | None,
    *,
    local: bool,
    yes: bool,
    verb: str,
    act: Callable[[Ending], Awaitable[tuple[Tenant, list[str]]]],
) -> tuple[str, list[str]]:
    """Archive or restore; the customer's state, and what was switched."""
    _require_reason(name, reason)
    chosen = find_target(target, local=local)
    with open_site() as site:
        slug = site.tenant(name).slug
        _confirm(f"{verb} {slug}", chosen, yes=yes, prompt=_prompt())

        async def run(client: Client | None) -> tuple[Tenant, list[str]]:
            return await act(Ending(site, slug, reason, client, called(chosen) if chosen else ""))

        tenant, switched = asyncio.run(_with_client(chosen, run))
    return tenant.state, switched


# --- What they share ----------------------------------------------------------------------------------------


async def _with_client(chosen: Chosen | None, act: Callable[[Client | None], Awaitable[_T]]) -> _T:
    if chosen is None:
        return await act(None)
    async with chosen.client() as client:
        return await act(client)


def _prompt() -> Prompt | None:
    if not sys.stdin.isatty():
        return None
    return lambda text, hidden: str(
        typer.prompt(text, default="", show_default=False, hide_input=hidden, err=True)
    )


def _confirm(what: str, chosen: Chosen | None, *, yes: bool, prompt: Prompt | None) -> None:
    """Show where, then ask; a script says --yes."""
    if chosen is not None:
        render.badge(chosen.target.badge)
    if yes:
        return
    if prompt is None:
        raise InvalidInput(f"{what}? This is no terminal, so nobody can be asked", next_step="Say --yes.")
    if not typer.confirm(f"{what}?", err=True):
        raise typer.Abort


def _profile(site: Site, name: str, said: dict[str, str], prompt: Prompt | None) -> Profile:
    """As the folder says when there is one, and as was said now; what is missing is asked."""
    folder = site.root / "customers" / parse_tenant_slug(name)
    if not (folder / CUSTOMER_FILE).exists():
        return parse_profile(name, complete(said, prompt))
    written = read_written(folder).profile
    known = {field: getattr(written, field) for field in said}
    return parse_profile(name, {**known, **{field: value for field, value in said.items() if value}})


def _written(site: Site, name: str) -> Profile:
    slug = site.tenant(name).slug  # before it becomes part of a path
    return read_written(site.root / "customers" / slug).profile


def _given(file: Path, profile: Profile) -> dict[str, str]:
    return read_secret_file(file, {need.name: need for need in list_needs(profile)})


def _summary(profile: Profile) -> str:
    facts = (profile.display_name, profile.country, profile.currency, profile.zone, profile.language)
    return ", ".join((*facts, " + ".join(profile.connectors)))


def _require_reason(name: str, reason: str) -> None:
    if not reason.strip():
        raise InvalidInput(
            f"The customer {name[:40]} cannot be moved without a reason",
            next_step="Write it in one sentence.",
        )


def _tell(event: Event) -> None:
    if event.happened in (Happened.FAILED, Happened.PUTTING_BACK, Happened.LEFT, Happened.NOTED):
        render.warning(f"{event.key or ''} {event.says}".strip())
