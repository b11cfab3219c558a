"""A customer as its Windmill has it: robot, rights, secrets, resources, schedules, routes. Only looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import httpx

from platform_cli.customers import accounts, robot
from platform_cli.customers.accounts import Origin, Places
from platform_cli.customers.health import Finding, Mark
from platform_cli.customers.profile import Profile
from platform_cli.sync.client import Client, Row
from platform_cli.sync.items import Json, Key, Kind, Scope
from platform_cli.sync.wire import all_of
from platform_core.errors import PlatformError
from platform_core.tenancy.logins import SecretStore

PROBE_TIMEOUT_S = 30.0
_UNSIGNED = 401


async def check_abroad(
    client: Client,
    profile: Profile,
    store: SecretStore,
    places: Places,
    plan: Callable[[], Awaitable[Finding]],
) -> AsyncIterator[Finding]:
    """Every thing that has to hold in Windmill; `plan` says what differs between the folder and it."""
    scope = Scope(profile.name)
    looks: tuple[tuple[str, Callable[[], Awaitable[list[Finding]]]], ...] = (
        ("robot", lambda: _robot(client, scope)),
        ("rights", lambda: _rights(client, scope)),
        ("secrets", lambda: _secrets(client, scope, profile, store)),
        ("resources", lambda: _resources(client, profile, store, places)),
        ("items", lambda: _only(plan)),
        ("schedules", lambda: _schedules(client, scope)),
        ("routes", lambda: _routes(client, scope, profile)),
    )
    for about, look in looks:
        try:
            found = await look()
        except PlatformError as error:
            found = [Finding(about, Mark.BROKEN, error.message, error.next_step)]
        for finding in found:
            yield finding


async def _only(plan: Callable[[], Awaitable[Finding]]) -> list[Finding]:
    return [await plan()]


def _again(profile_name: str) -> str:
    return f"Run `wmctl customer new {profile_name}` again; it puts right what is not."


async def _robot(client: Client, scope: Scope) -> list[Finding]:
    found = await robot.find_robot(client, scope)
    name = scope.robot.removeprefix("u/")
    if found is None or found.get("disabled") is True or found.get("username") != name:
        says = "there is none" if found is None else "it is disabled or has another name"
        return [Finding("robot", Mark.BROKEN, says, _again(scope.name))]
    if found.get("is_admin") is True or found.get("operator") is not True:
        return [Finding("robot", Mark.BROKEN, f"{name} may more than a robot should", _again(scope.name))]
    return [Finding("robot", Mark.OK, f"{name} is an operator")]


async def _rights(client: Client, scope: Scope) -> list[Finding]:
    """Its own folder, to read; and nobody else's."""
    folders = await client.folders()
    own: Row = next((one for one in folders if one.get("name") == scope.name), {})
    others = sorted(
        str(one["name"])
        for one in folders
        if one.get("name") != scope.name
        and scope.robot in cast("dict[str, Json]", one.get("extra_perms") or {})
    )
    rights = cast("dict[str, Json]", own.get("extra_perms") or {})
    if others:
        step = "Take the right away in the folder's settings."
        return [Finding("rights", Mark.BROKEN, f"the robot reaches {', '.join(others)} too", step)]
    if rights.get(scope.robot) is not robot.READ:
        return [Finding("rights", Mark.BROKEN, "the robot may not read, or may write", _again(scope.name))]
    return [Finding("rights", Mark.OK, f"the robot reads f/{scope.name} and no more")]


async def _secrets(client: Client, scope: Scope, profile: Profile, store: SecretStore) -> list[Finding]:
    needs = [need for need in accounts.list_needs(profile) if need.is_secret]
    states = await all_of(*(secret_state(client, scope, profile, store, need) for need in needs))
    named = {
        state: [need.name for need, found in zip(needs, states, strict=True) if found == state]
        for state in ("missing", "differs", "unknown here")
    }
    said = "; ".join(f"{', '.join(names)}: {state}" for state, names in named.items() if names)
    if not said:
        return [Finding("secrets", Mark.OK, f"{len(needs)} are as they should be")]
    waiting = {need.name for need in needs if need.origin is Origin.LATER}
    broken = set(named["missing"]) - waiting or named["differs"]
    mark = Mark.BROKEN if broken else Mark.WARNING
    return [Finding("secrets", mark, said, f"Set them with `wmctl secret set {scope.name} NAME`.")]


async def secret_state(
    client: Client, scope: Scope, profile: Profile, store: SecretStore, need: accounts.SecretNeed
) -> str:
    """`ok`, `differs`, `missing` in Windmill, or `unknown here` when this installation has no value for it.

    Nothing is decrypted: what is wanted is encrypted as the workspace does it, and the two are compared.
    """
    found = await robot.find_ciphertext(client, f"{scope.prefix}{need.name}")
    if found is None:
        return "missing"
    wanted = accounts.kept_value(store, profile, need)
    if wanted is None:
        return "unknown here"
    return "ok" if await client.encrypt(wanted) == found else "differs"


async def _resources(client: Client, profile: Profile, store: SecretStore, places: Places) -> list[Finding]:
    wanted = accounts.list_resources(profile, store, places)
    values = await all_of(*(robot.find_value(client, one.path) for one in wanted))
    wrong = [one.path for one, found in zip(wanted, values, strict=True) if dict(found) != dict(one.value)]
    if wrong:
        says = f"not as they should be: {', '.join(wrong)}"
        return [Finding("resources", Mark.BROKEN, says, _again(profile.name))]
    return [Finding("resources", Mark.OK, f"{len(wanted)} are as they should be")]


# --- What runs ----------------------------------------------------------------------------------------------


async def _schedules(client: Client, scope: Scope) -> list[Finding]:
    schedules = await client.schedules(scope.prefix)
    if not schedules:
        return [Finding("schedules", Mark.BROKEN, "there is none", f"Run `wmctl deploy {scope.name}`.")]
    return list(await all_of(*(_schedule(client, scope, str(one["path"])) for one in schedules)))


async def _schedule(client: Client, scope: Scope, path: str) -> Finding:
    about = f"schedule {path.removeprefix(scope.prefix)}"
    found = await client.get(Key(Kind.SCHEDULE, path))
    if found.get("permissioned_as") != scope.robot:
        says = f"it runs as {found.get('permissioned_as')} and not as {scope.robot}"
        return Finding(about, Mark.BROKEN, says, f"Run `wmctl deploy {scope.name}`.")
    if found.get("enabled") is not True:
        why = f": {str(found['error'])[:200]}" if found.get("error") else ""
        return Finding(about, Mark.WARNING, f"it is off{why}", "Switch it on in Windmill when it should run.")
    tail = f"jobs/completed/list?per_page=1&schedule_path={path}"
    runs = await client.request("GET", tail)
    last = runs[0] if isinstance(runs, list) and runs and isinstance(runs[0], dict) else None
    if last is None:
        return Finding(about, Mark.WARNING, "it is on and has not run yet")
    at = str(last.get("started_at"))[:16].replace("T", " ")
    if last.get("success") is not True:
        return Finding(about, Mark.BROKEN, f"its last run failed, {at}Z", f"Look at job {last.get('id')}.")
    return Finding(about, Mark.OK, f"its last run was well, {at}Z")


async def _routes(client: Client, scope: Scope, profile: Profile) -> list[Finding]:
    """Post something unsigned to every endpoint: it must be refused, and nothing of it is stored."""
    triggers = {str(one.get("route_path")): one for one in await client.http_triggers(scope.prefix)}
    routes = [
        f"{profile.name}/{connector}/{endpoint}"
        for connector in profile.connectors
        for endpoint in accounts.ENDPOINTS[connector]
    ]
    return list(await all_of(*(_route(client, scope, route, triggers.get(route)) for route in routes)))


async def _route(client: Client, scope: Scope, route: str, trigger: Row | None) -> Finding:
    about = f"route {route}"
    deploy = f"Run `wmctl deploy {scope.name}`."
    if trigger is None:
        return Finding(about, Mark.BROKEN, "there is none", deploy)
    if trigger.get("permissioned_as") != scope.robot:
        says = f"it runs as {trigger.get('permissioned_as')} and not as {scope.robot}"
        return Finding(about, Mark.BROKEN, says, deploy)
    if trigger.get("mode") != "enabled":
        return Finding(about, Mark.WARNING, f"it is {trigger.get('mode')}", "Switch it on in Windmill.")
    status = await _knock(f"{client.url}/api/r/{route}")
    if status == _UNSIGNED:
        return Finding(about, Mark.OK, "it serves, and refuses what nobody signed")
    if status is None:
        return Finding(about, Mark.BROKEN, "nobody answers there", "See that the server is up.")
    says = f"it answers {status} to what nobody signed, and not 401"
    return Finding(about, Mark.BROKEN, says, "See its last job, and `wmctl secret check`.")


async def _knock(url: str) -> int | None:
    try:
        # No proxy between, and the authorities that every other request of wmctl trusts.
        trust = httpx.create_ssl_context(trust_env=True)
        async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_S, trust_env=False, verify=trust) as http:
            answer = await http.post(url, content=b"{}", headers={"Content-Type": "text/plain"})
    except httpx.HTTPError:
        return None
    return answer.status_code
