"""`wmctl secret`: what git must not hold, in this installation and encrypted in Windmill."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from platform_cli import render
from platform_cli.customers import accounts
from platform_cli.customers.accounts import SecretNeed
from platform_cli.customers.asking import Prompt, read_secret
from platform_cli.customers.doors import tell_door
from platform_cli.customers.profile import Profile, read_written
from platform_cli.customers.robot import ensure_secret
from platform_cli.customers.targeting import find_target
from platform_cli.customers.visiting import secret_state
from platform_cli.options import AsJson, CustomerName, noun
from platform_cli.site import Site, open_site, operator
from platform_cli.sync.items import Scope
from platform_cli.sync.targets import Chosen
from platform_cli.sync.wire import all_of
from platform_core import audit

app = noun("Secrets of customers: set them, see which there are, compare them with Windmill.")

DIFFERS = 1

OnTarget = Annotated[
    str | None, typer.Option("--target", help="The Windmill meant; default: the target in use.")
]
Local = Annotated[bool, typer.Option("--local", help="This installation alone, no Windmill.")]


@app.command("set")
def set_(
    customer: CustomerName,
    name: Annotated[str, typer.Argument(metavar="SECRET", help="Such as ycloud_api_key.")],
    from_: Annotated[
        str, typer.Option("--from", help="A file with it, or - for stdin; without it you are asked.")
    ] = "",
    target: OnTarget = None,
    local: Local = False,
) -> None:
    """Set a secret here and in Windmill; for those that may be two while they change, one a line.

    Example: wmctl secret set acme ycloud_inbound_secrets --from -
    """
    chosen = find_target(target, local=local)
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
    places = ["this installation", *(["the door"] if told else [])]
    places += [chosen.target.badge.text] if chosen is not None and need.is_secret else []
    render.good(f"{need.name} of {profile.name} is set in {', '.join(places)}.")


@app.command("list")
def list_(customer: CustomerName, as_json: AsJson = False) -> None:
    """Show which secrets a customer needs and which are here; never a value.

    Example: wmctl secret list acme
    """
    with open_site() as site:
        profile = _profile(site, customer)
        rows = [
            {
                "name": need.name,
                "origin": need.origin,
                "state": "missing" if accounts.kept_value(site.secrets, profile, need) is None else "here",
                "says": need.says,
            }
            for need in accounts.list_needs(profile)
        ]
    if as_json:
        render.document(rows)
        return
    render.table(
        f"Secrets of {profile.name}",
        ("secret", "state", "comes from", "what it is"),
        [(row["name"], row["state"], row["origin"], row["says"]) for row in rows],
    )


@app.command("check")
def check(customer: CustomerName, target: OnTarget = None, as_json: AsJson = False) -> int:
    """Compare what is wanted here with Windmill, by ciphertext; nothing is decrypted. Exit 1 if they differ.

    Example: wmctl secret check acme --target prod
    """
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


async def _send(chosen: Chosen, profile: Profile, need: SecretNeed, value: str) -> None:
    async with chosen.client() as client:
        await ensure_secret(client, Scope(profile.name), need, value)


async def _states(chosen: Chosen, site: Site, profile: Profile, needs: list[SecretNeed]) -> list[str]:
    scope = Scope(profile.name)
    async with chosen.client() as client:
        return await all_of(*(secret_state(client, scope, profile, site.secrets, need) for need in needs))


def _state_here(site: Site, profile: Profile, need: SecretNeed) -> str:
    return "missing" if accounts.kept_value(site.secrets, profile, need) is None else "here"


def _profile(site: Site, customer: str) -> Profile:
    slug = site.tenant(customer).slug  # before it becomes part of a path
    return read_written(site.root / "customers" / slug).profile


def _prompt() -> Prompt | None:
    if not sys.stdin.isatty():
        return None
    return lambda text, hidden: str(typer.prompt(text, hide_input=hidden, err=True))
