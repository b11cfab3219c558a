"""A customer's database login replaced while its scripts run, in Windmill as in this installation.

A resource with a login and a reference to its password is written at one instant, the variable that the
reference names at another. So the new password gets a variable of its own first, and the resource goes to the
new login and to that variable in one write; when the usual variable has the new password too, it goes back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from platform_cli.customers import accounts, robot
from platform_cli.customers.accounts import DATABASE_PASSWORD, Wanted
from platform_cli.customers.profile import Profile
from platform_cli.customers.targeting import find_places
from platform_cli.site import Site, operator
from platform_cli.sync.client import Client
from platform_cli.sync.items import Key, Kind, Scope
from platform_core.errors import WindmillNotFound
from platform_core.tenancy.second_login import (
    SecondLogin,
    begin_second_login,
    coming_password_name,
    end_first_login,
    let_second_serve,
)

PATIENCE_S = 60
PAUSE_S = 1.0
COMING = f"{DATABASE_PASSWORD}_next"


async def replace_login(
    site: Site, profile: Profile, client: Client | None, tell: Callable[[str], None], *, patience_s: int
) -> None:
    """Do it step by step; a repeat ends what was cut. Without a `client` only this installation knows it.

    `patience_s` is how long sessions of the old login are waited for. Raises: StateConflict when it is still
    used then, and both stay good; what Windmill and the database raise.
    """
    second = begin_second_login(site.admin_dsn, profile.name, secrets=site.secrets)
    tell("a second login is there; both are good")
    if client is not None:
        await _lead_there(site, profile, client, second)
        tell("Windmill's resource names the second login")
    let_second_serve(site.admin_dsn, second, secrets=site.secrets)
    if client is not None:
        await _lead_back(site, profile, client, second)
    looks = _looks(patience_s)
    gone = end_first_login(site.admin_dsn, profile.name, actor=operator(), wait=lambda: next(looks))
    site.secrets.forget(coming_password_name(second.tenant.slug))
    tell(f"{len(gone)} old login is gone" if gone else "no old login is left")


async def _lead_there(site: Site, profile: Profile, client: Client, second: SecondLogin) -> None:
    """The new password in a variable of its own, then the resource in one write."""
    scope = Scope(profile.name)
    need = replace(accounts.find_need(profile, DATABASE_PASSWORD), name=COMING)
    await robot.ensure_secret(client, scope, need, second.password)
    wanted = await _database(site, profile, client)
    value = {**wanted.value, "user": second.login, "password": f"$var:{scope.prefix}{COMING}"}
    await robot.ensure_resource(client, replace(wanted, value=value))


async def _lead_back(site: Site, profile: Profile, client: Client, second: SecondLogin) -> None:
    """The usual variable, the resource as it always is, and no variable beside it."""
    scope = Scope(profile.name)
    need = accounts.find_need(profile, DATABASE_PASSWORD)
    await robot.ensure_secret(client, scope, need, second.password)
    await robot.ensure_resource(client, await _database(site, profile, client))
    try:
        await client.delete(Key(Kind.VARIABLE, f"{scope.prefix}{COMING}"))
    except WindmillNotFound:
        return


async def _database(site: Site, profile: Profile, client: Client) -> Wanted:
    places = await find_places(client, site, profile)
    path = f"f/{profile.name}/database"
    return next(one for one in accounts.list_resources(profile, site.secrets, places) if one.path == path)


def _looks(patience_s: int) -> Iterator[bool]:
    until_s = time.monotonic() + patience_s
    while time.monotonic() < until_s:
        time.sleep(PAUSE_S)
        yield True
    yield False
