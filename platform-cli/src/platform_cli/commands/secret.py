"""`wmctl secret`: what git must not hold: customers', in this installation and in Windmill, and hosts'."""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from platform_cli import render
from platform_cli.customers import accounts
from platform_cli.customers.accounts import SecretNeed
from platform_cli.customers.asking import Prompt, read_secret
from platform_cli.customers.doors import lines_for_hosts, tell_door
from platform_cli.customers.endpoint_secrets import Endpoint, need_of, newest_alone, with_new
from platform_cli.customers.profile import Profile, read_written
from platform_cli.customers.relogin import replace_login
from platform_cli.customers.robot import ensure_secret
from platform_cli.customers.targeting import find_target
from platform_cli.customers.visiting import secret_state
from platform_cli.hosts import bundles, deploy_keys, door_token, runs
from platform_cli.hosts.connection import Connection, piped
from platform_cli.hosts.known import Host
from platform_cli.hosts.speaking import connected, follow, known_hosts, require_done, tell, who
from platform_cli.instances.access import find_access
from platform_cli.options import Account, AdminKey, AsJson, Customer, noun
from platform_cli.site import Site, open_site, operator
from platform_cli.sync.items import Scope
from platform_cli.sync.targets import Chosen
from platform_cli.sync.wire import all_of
from platform_core import audit
from platform_core.errors import InvalidInput, StateConflict
from platform_core.settings import Secret

app = noun("Secrets of customers and of hosts: set, list, check, replace while in use, bundle.")

DIFFERS = 1
SALT = "windmill-salt"
OF_CUSTOMERS = ("tenant-login", "ycloud", "calendly", "reader")
KINDS = (
    "windmill-database",
    "door-database",
    "backup-database",
    "database-superuser",
    "database-tls",
    "superadmin",
    "door-token",
    "deploy-key",
    *OF_CUSTOMERS,
    SALT,
)
_OF_HOSTS = re.compile(r"[A-Z][A-Z_]{2,60}", re.ASCII)
_NO_NEW_SALT = (
    "The salt cannot be replaced in place: servers and workers of the old and of the new one could not read "
    "each other's secrets, and Windmill has no words to write them anew under another"
)

OnTarget = Annotated[
    str | None, typer.Option("--target", help="The Windmill meant; default: the target in use.")
]
Local = Annotated[bool, typer.Option("--local", help="This installation alone, no Windmill.")]
Whose = Annotated[
    str | None, typer.Argument(metavar="[CUSTOMER]", help="The customer's folder name, or say --host.")
]
OfHost = Annotated[str | None, typer.Option("--host", "-H", help="The secrets of this host instead.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="The bundle, such as prod.tar.age.")]


@app.command("set")
def set_(
    customer: Whose = None,
    name: Annotated[
        str | None,
        typer.Argument(metavar="SECRET", help="Such as ycloud_api_key; of a host, BACKUP_RECIPIENTS."),
    ] = None,
    from_: Annotated[
        str, typer.Option("--from", help="A file with it, or - for stdin; without it you are asked.")
    ] = "",
    host: OfHost = None,
    account: Account = "root",
    admin_key: AdminKey = None,
    target: OnTarget = None,
    local: Local = False,
) -> None:
    """Set a secret here and in Windmill; for those that may be two while they change, one a line.

    Of a host: what a person gives it, such as BACKUP_RECIPIENTS; services have it from the next deploy on.

    Example: wmctl secret set acme ycloud_inbound_secrets --from -
    """
    if name is None:
        customer, name = None, customer  # one word is the secret
    if name is None:
        raise InvalidInput("Which secret is set?", next_step="Say CUSTOMER SECRET, or SECRET and --host.")
    if host is not None:
        _set_on_host(connected(_host(customer, host), account, admin_key), name, from_)
        return
    chosen, hosts = find_target(target, local=local), known_hosts().read()
    with open_site() as site:
        profile = _profile(site, customer)
        need = accounts.find_need(profile, name)
        value = need.check(read_secret(from_, _prompt(), f"{need.name}, the {need.says}"))
        accounts.keep_value(site.secrets, profile, need, value)
        told = tell_door(site, profile, need, value)
        if chosen is not None and need.is_secret:
            asyncio.run(_send(chosen, profile, need, value))
        with site.control() as tx:
            detail = {"secret": need.name, "target": chosen.target.name if chosen else ""}
            audit.record(tx, "customer.secret_set", operator(), ("tenant", profile.name), detail=detail)
        lines = lines_for_hosts(site, profile.name, hosts) if told else []
    places = ["this installation", *(["its door"] if told else [])]
    places += [chosen.target.badge.text] if chosen is not None and need.is_secret else []
    render.good(f"{need.name} of {profile.name} is set in {', '.join(places)}.")
    _note_hosts(lines)


@app.command("list")
def list_(customer: Whose = None, host: OfHost = None, as_json: AsJson = False) -> None:
    """Show which secrets a customer needs or a host has, which are here, and their ages; never a value.

    Example: wmctl secret list acme
    """
    if host is not None:
        tell(connected(_host(customer, host)).ask("secrets", "list", *(("--json",) if as_json else ())))
        return
    with open_site() as site:
        profile = _profile(site, customer)
        rows = [
            {
                "name": need.name,
                "origin": need.origin,
                "state": _state_here(site, profile, need),
                "age_days": _age_days(site, profile, need),
                "says": need.says,
            }
            for need in accounts.list_needs(profile)
        ]
    if as_json:
        render.document(rows)
        return
    render.table(
        f"Secrets of {profile.name}",
        ("secret", "state", "days old", "comes from", "what it is"),
        [(row["name"], row["state"], _shown(row["age_days"]), row["origin"], row["says"]) for row in rows],
    )


@app.command("check")
def check(
    customer: Whose = None, host: OfHost = None, target: OnTarget = None, as_json: AsJson = False
) -> int:
    """Compare what is wanted here with Windmill, by ciphertext; or ask a host. Exit 1 if something is wrong.

    Of a host: what is missing, overdue, open to others, unused, or newer than the newest bundle.

    Example: wmctl secret check acme --target prod
    """
    if host is not None:
        if as_json:
            raise InvalidInput(
                "A host's check is text", next_step="See `wmctl secret list --host NAME --json`."
            )
        tell(connected(_host(customer, host)).ask("secrets", "check"))
        return 0
    chosen = find_target(target, local=False)
    with open_site() as site:
        profile = _profile(site, customer)
        needs = [need for need in accounts.list_needs(profile) if need.is_secret]
        states = (
            [_state_here(site, profile, need) for need in needs]
            if chosen is None
            else asyncio.run(_states(chosen, site, profile, needs))
        )
    rows = [{"name": need.name, "state": state} for need, state in zip(needs, states, strict=True)]
    if as_json:
        render.document(rows)
    else:
        if chosen is not None:
            render.badge(chosen.target.badge)
        table = [(row["name"], row["state"]) for row in rows]
        render.table(f"Secrets of {profile.name}", ("secret", "state"), table)
    return 0 if set(states) <= {"ok", "here"} else DIFFERS


@app.command("rotate")
def rotate(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of {', '.join(KINDS)}.")],
    customer: Customer = None,
    host: Annotated[str | None, typer.Option("--host", "-H", help="Which host, for all other kinds.")] = None,
    endpoint: Annotated[str, typer.Option(help="Of ycloud: inbound or status.")] = "inbound",
    from_: Annotated[
        str, typer.Option("--from", help="A file with the new secret of ycloud or door-token, - for stdin.")
    ] = "",
    end: Annotated[bool, typer.Option("--end", help="Of ycloud: only the newest secret holds now.")] = False,
    target: OnTarget = None,
    local: Local = False,
    patience_s: Annotated[
        int, typer.Option(min=0, max=3600, help="Of tenant-login: how long jobs with the old one may take.")
    ] = 60,
    account: Account = "root",
    admin_key: AdminKey = None,
    identity: Annotated[
        Path | None, typer.Option(help="Of deploy-key: the key to replace. Default: the host's own.")
    ] = None,
) -> None:
    """Replace a secret while it is in use, without a failed request; again ends what was cut.

    Example: wmctl secret rotate windmill-database --host prod
    """
    if kind not in KINDS:
        raise InvalidInput(f"{kind[:40]!r} is no kind of secret", next_step=f"One of {', '.join(KINDS)}.")
    if kind == SALT:
        raise StateConflict(_NO_NEW_SALT, next_step="docs/guides/secrets.md says what a leak of it needs.")
    if kind in OF_CUSTOMERS:
        with open_site() as site:
            profile = _profile(site, customer)
            chosen = find_target(target, local=local)
            if kind == "tenant-login":
                asyncio.run(_relogin(site, profile, chosen, patience_s))
            else:
                _endpoint(site, profile, chosen, Endpoint(kind, endpoint), from_, end=end)
        return
    found = _host(customer, host)
    if kind == "deploy-key":
        root = connected(found, account, admin_key)
        deploy_keys.rotate(root, deploy_keys.KeyFiles(identity or Path(found.identity)), render.note)
        render.good(f"Another key may deploy to {found.name}; the old one opens nothing.")
    elif kind == "door-token":
        asyncio.run(_door_token(found, target, from_))
    else:
        follow(connected(found), runs.begin(connected(found), "rotate", who(), kind))


@app.command("bundle")
def bundle(file: File, host: OfHost = None) -> None:
    """Let a host put all its secrets into one encrypted file, and keep that here.

    Example: wmctl secret bundle prod.tar.age --host prod
    """
    chosen = known_hosts().choose(host)
    kept = bundles.fetch(connected(chosen), file)
    render.good(f"{file} holds the secrets of {chosen.name}, {kept} bytes. Keep it apart from the copies.")


@app.command("unbundle")
def unbundle(
    file: File,
    identity: Annotated[Path, typer.Option(help="The private key of age that opens it.")],
    host: OfHost = None,
    account: Account = "root",
    admin_key: AdminKey = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only open it here, and name what is in it.")
    ] = False,
) -> None:
    """Give a new host the secrets of a lost one; a host that has some of its own refuses.

    Example: wmctl secret unbundle prod.tar.age --identity ~/age.identity --host new --admin-key ~/.ssh/id
    """
    names = bundles.look(file, identity)  # before any host is asked
    if dry_run:
        render.raw("\n".join(names))
        return
    root = connected(known_hosts().choose(host), account, admin_key)
    tell(bundles.put_back(root, file, identity))


def _set_on_host(root: Connection, name: str, from_: str) -> None:
    if not _OF_HOSTS.fullmatch(name):
        raise InvalidInput(
            f"{name[:40]!r} is no secret of a host",
            next_step="Its names are those of `wmctl secret list --host`.",
        )
    value = read_secret(from_, _prompt(), f"{name} of {root.host.name}")
    with piped(value.encode()) as given:
        require_done(root.ask("secrets", "put", name, "--by", who(), given=given))
    render.good(f"{name} is kept on {root.host.name}. What reads it has it from the next deploy on.")


# --- What the commands share --------------------------------------------------------------------------------


async def _relogin(site: Site, profile: Profile, chosen: Chosen | None, patience_s: int) -> None:
    if chosen is None:
        await replace_login(site, profile, None, render.note, patience_s=patience_s)
    else:
        async with chosen.client() as client:
            await replace_login(site, profile, client, render.note, patience_s=patience_s)
    render.good(f"{profile.name} has another database login.")


def _endpoint(
    site: Site, profile: Profile, chosen: Chosen | None, where: Endpoint, from_: str, *, end: bool
) -> None:
    need, hosts = need_of(profile, where), known_hosts().read()
    if end:
        value = newest_alone(site.secrets, profile, need)
    else:
        given = read_secret(from_, _prompt(), f"The new secret of {need.name}")
        value = with_new(site.secrets, profile, need, given)
    accounts.keep_value(site.secrets, profile, need, value)
    tell_door(site, profile, need, value)
    if chosen is not None:
        asyncio.run(_send(chosen, profile, need, value))
    with site.control() as tx:
        detail = {"secret": need.name, "target": chosen.target.name if chosen else "", "end": end}
        audit.record(tx, "customer.secret_rotated", operator(), ("tenant", profile.name), detail=detail)
    if end:
        render.good(f"Only the newest secret of {need.name} holds now.")
    else:
        render.good(f"The old and the new secret of {need.name} hold.")
    _note_hosts(lines_for_hosts(site, profile.name, hosts))
    if not end:
        again = f"wmctl secret rotate {where.source} --customer {profile.name} --endpoint {where.name} --end"
        render.note(f"When the provider signs with the new one: {again}")


def _note_hosts(lines: list[str]) -> None:
    """Each host's door goes on with what it was given last, until somebody gives it this."""
    for line in lines:
        render.note(f"The host's door does not know it yet: {line}")


async def _door_token(host: Host, target: str | None, from_: str) -> None:
    """By a token that was given, or one made in the Windmill meant; the old ones of that name end there."""
    connection = connected(host)
    if from_:
        token = Secret(read_secret(from_, None, "").strip())
        _rotate_token(connection, token)
        render.note("The token before still holds in Windmill: delete it there.")
        return
    access = find_access(target or "", "", "", "")
    status = connection.ask("status", "--json")
    if status.code:
        tell(status)
    door_token.require_workspace(host.name, status, access.workspace, access.name)
    async with access.server() as server:
        token = await door_token.make_token(server, host.name)
        _rotate_token(connection, token)
        ended = await door_token.end_other_tokens(server, host.name, token)
    render.good(f"The door of {host.name} has another token; {ended} older ended in {access.name}.")


def _rotate_token(connection: Connection, token: Secret) -> None:
    with piped(token.reveal().encode()) as given:
        require_done(connection.ask("secrets", "take", "DOOR_WINDMILL_TOKEN", given=given))
    follow(connection, runs.begin(connection, "rotate", who(), "door-token"))


def _host(customer: str | None, host: str | None) -> Host:
    if customer:
        raise InvalidInput(
            f"That is a secret of a host, and {customer[:40]!r} is a customer", next_step="Say --host."
        )
    return known_hosts().choose(host)


async def _send(chosen: Chosen, profile: Profile, need: SecretNeed, value: str) -> None:
    async with chosen.client() as client:
        await ensure_secret(client, Scope(profile.name), need, value)


async def _states(chosen: Chosen, site: Site, profile: Profile, needs: list[SecretNeed]) -> list[str]:
    scope = Scope(profile.name)
    async with chosen.client() as client:
        return await all_of(*(secret_state(client, scope, profile, site.secrets, need) for need in needs))


def _state_here(site: Site, profile: Profile, need: SecretNeed) -> str:
    return "missing" if accounts.kept_value(site.secrets, profile, need) is None else "here"


def _age_days(site: Site, profile: Profile, need: SecretNeed) -> int | None:
    """Since it was last written here; None where there is none."""
    if _state_here(site, profile, need) == "missing":
        return None
    at = site.secrets.kept_at(accounts.store_name(profile, need))
    return None if at is None else max((datetime.now(UTC) - at).days, 0)


def _shown(days: object) -> str:
    return "" if days is None else str(days)


def _profile(site: Site, customer: str | None) -> Profile:
    slug = site.tenant(customer).slug  # before it becomes part of a path
    return read_written(site.root / "customers" / slug).profile


def _prompt() -> Prompt | None:
    if not sys.stdin.isatty():
        return None
    return lambda text, hidden: str(typer.prompt(text, hide_input=hidden, err=True))
