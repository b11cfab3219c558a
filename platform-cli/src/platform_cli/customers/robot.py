"""A customer's side of a Windmill workspace: its robot, its folder with rights, its secrets and resources.

Each function brings one thing to what it should be and says whether it had to change something, so that all
of them may be repeated. Secrets are compared by ciphertext: nothing here reads one back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from platform_cli.customers.accounts import SecretNeed, Wanted
from platform_cli.sync.client import Client, Row
from platform_cli.sync.items import Json, Key, Kind, Scope
from platform_core.errors import StateConflict, WindmillNotFound

READ, WRITE = False, True
"""A right on a folder, as Windmill writes it."""


def email_of(scope: Scope) -> str:
    """The robot's address. The domain is one that no mail ever reaches."""
    return f"robot-{scope.name}@robots.invalid"


async def find_robot(client: Client, scope: Scope) -> Row | None:
    """The robot as the workspace has it."""
    return next((user for user in await client.users() if user.get("email") == email_of(scope)), None)


async def ensure_robot(client: Client, scope: Scope) -> bool:
    """Make the robot an operator of the workspace, under the name that schedules and routes give.

    Raises: StateConflict when Windmill gave it another name, or somebody made it an administrator.
    """
    found = await find_robot(client, scope)
    changed = found is None
    if found is None:
        await client.add_user(email_of(scope), operator=True)
        found = await find_robot(client, scope) or {}
    name = scope.robot.removeprefix("u/")
    if found.get("username") != name:
        raise StateConflict(
            f"Windmill calls the robot of {scope.name} {str(found.get('username'))[:60]!r} and not {name!r}",
            next_step=f"Rename that user to {name} in the workspace's settings, then run this again.",
        )
    if found.get("is_admin") is True:
        raise StateConflict(
            f"The robot {name} is an administrator: it would reach every customer",
            next_step="Take that right from it in the workspace's settings, then run this again.",
        )
    if found.get("disabled") is True or found.get("operator") is not True:
        await client.request("POST", f"users/update/{name}", {"disabled": False, "operator": True})
        changed = True
    return changed


async def ensure_folder(client: Client, scope: Scope) -> bool:
    """Make the folder, and let the robot read it and nobody else's; other rights stay as they are.

    Windmill adds whoever makes a folder to its owners; a new one is made to be as config/folder.meta.yaml has
    it, whoever made it.
    """
    key = Key(Kind.FOLDER, f"f/{scope.name}")
    try:
        found = await client.get(key)
    except WindmillNotFound:
        await client.create(key, {"name": scope.name, "extra_perms": {scope.robot: READ}})
        await client.update(key, {"owners": [], "extra_perms": {scope.robot: READ}})
        return True
    rights = cast("dict[str, Json]", found.get("extra_perms") or {})
    owners = cast("list[Json]", found.get("owners") or [])
    if rights.get(scope.robot) is READ and scope.robot not in owners:
        return False
    body: dict[str, Json] = {
        "owners": [owner for owner in owners if owner != scope.robot],
        "extra_perms": {**rights, scope.robot: READ},
    }
    await client.update(key, body)
    return True


async def find_ciphertext(client: Client, path: str) -> str | None:
    """What the workspace keeps for a secret variable, encrypted; None when there is no such variable."""
    try:
        found = await client.request(
            "GET", f"variables/get/{path}?decrypt_secret=false&include_encrypted=true"
        )
    except WindmillNotFound:
        return None
    if not isinstance(found, dict) or found.get("is_secret") is not True:
        raise StateConflict(
            f"The variable {path} is not a secret one: everybody who reads the folder reads it",
            next_step="Delete it in Windmill, change what it held at the provider, then run this again.",
        )
    value = found.get("value")
    return value if isinstance(value, str) else ""


async def ensure_secret(client: Client, scope: Scope, need: SecretNeed, value: str) -> bool:
    """Make the secret variable hold this value. Raises: StateConflict when it is an open variable."""
    path = f"{scope.prefix}{need.name}"
    found = await find_ciphertext(client, path)
    encrypted = await client.encrypt(value)
    if found == encrypted:
        return False
    key = Key(Kind.VARIABLE, path)
    if found is None:
        body: dict[str, Json] = {
            "path": path,
            "value": encrypted,
            "is_secret": True,
            "description": need.says,
        }
        await client.create(key, body, already_encrypted=True)
    else:
        await client.update(key, {"value": encrypted}, already_encrypted=True)
    return True


async def ensure_resource(client: Client, wanted: Wanted) -> bool:
    """Make the resource hold these references and addresses."""
    key = Key(Kind.RESOURCE, wanted.path)
    try:
        found = await client.get(key)
    except WindmillNotFound:
        await client.create(
            key,
            {
                "path": wanted.path,
                "value": dict(wanted.value),
                "resource_type": wanted.resource_type,
                "description": "",
            },
        )
        return True
    if found.get("value") == dict(wanted.value):
        return False
    await client.update(key, {"value": dict(wanted.value)})
    return True


async def find_value(client: Client, path: str) -> Mapping[str, Json]:
    """What a resource holds, references as they are written; empty when there is none."""
    try:
        found = await client.resource_value(path)
    except WindmillNotFound:
        return {}
    return found if isinstance(found, dict) else {}
