"""Erase a customer: what starts by itself goes first, then everything, after it was exported.

The order makes a repeat safe: nothing is taken away before the export is on the disk and on record, and each
part that is gone already is passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from platform_cli.customers import robot
from platform_cli.customers.ending import Ending
from platform_cli.customers.export import Export, export_customer
from platform_cli.site import door_folder, operator
from platform_cli.sync.client import Client
from platform_cli.sync.items import Key, Kind, Scope
from platform_cli.sync.wire import all_of
from platform_core import audit
from platform_core.errors import StateConflict, WindmillDenied, WindmillNotFound
from platform_core.tenancy import life
from platform_core.tenancy.erasing import erase_tenant, is_erased, open_for_export

STATE_FOLDER = "f/wmctl/"
"""Where the workspace keeps what was deployed: `state` resources that begin with the customer's name."""
_EXPORTED = "customer.exported"


async def erase(ending: Ending, *, say: Callable[[str], None]) -> Export | None:
    """Export, then erase the database, the folder in Windmill, the secrets and the robot.

    The export comes back, or None when an earlier run made it. Raises: UnknownTenant; StateConflict when the
    database is gone and no export is on record; whatever a part raises, and then a repeat goes on.
    """
    export = await _export(ending)
    if export is not None:
        say(f"everything is exported to {export.path}")
    life.move_tenant(ending.site.admin_dsn, ending.name, "close", actor=operator(), reason=ending.reason)
    if ending.client is not None:
        gone = await _erase_items(ending.client, ending.scope)
        say(f"{gone} items are gone from Windmill")
    erase_tenant(ending.site.admin_dsn, ending.name, actor=operator(), reason=ending.reason)
    say("the database and its login are gone")
    if ending.client is not None:
        await _erase_robot(ending.client, ending.scope)
        say("the robot and the folder are gone")
    say(f"{_forget_secrets(ending)} secrets of this installation are gone")
    return export


async def _export(ending: Ending) -> Export | None:
    site = ending.site
    tenant = site.tenant(ending.name)
    with site.control() as tx:
        gone = is_erased(tx, tenant)
        known = audit.list_entries(tx, 1, action=_EXPORTED, target=("tenant", ending.name))
    if gone and not known:
        raise StateConflict(
            f"The database of {ending.name} is gone, and no export of it is on record",
            next_step="Restore it from a backup first, or take its remains away by hand.",
        )
    if gone:
        return None
    tarball = None if ending.client is None else await ending.client.tarball()
    if tenant.state == "active":  # whatever was written after the export would be lost
        life.move_tenant(site.admin_dsn, ending.name, "suspend", actor=operator(), reason=ending.reason)
    with open_for_export(site.admin_dsn, ending.name) as dsn:
        export = export_customer(site.state / "erased", ending.name, dsn=dsn, tarball=tarball)
    ending.record(_EXPORTED, path=str(export.path), sha256=export.sha256, size_bytes=export.size_bytes)
    return export


# --- Windmill -----------------------------------------------------------------------------------------------


async def _erase_items(client: Client, scope: Scope) -> int:
    """Everything of the folder, in the reverse order of its making; how many there were."""
    count = 0
    for kind in reversed(Kind):
        for key in await _keys(client, scope, kind):
            await _delete(client, key)
            count += 1
    return count


async def _keys(client: Client, scope: Scope, kind: Kind) -> list[Key]:
    lists = {
        Kind.HTTP_TRIGGER: client.http_triggers,
        Kind.SCHEDULE: client.schedules,
        Kind.RAW_APP: client.apps,
        Kind.FLOW: client.flows,
        Kind.SCRIPT: client.scripts,
        Kind.RESOURCE: client.resources,
        Kind.VARIABLE: client.variables,
    }
    if kind not in lists:
        return []
    rows = [row for row in await lists[kind](scope.prefix) if str(row["path"]).startswith(scope.prefix)]
    if kind is Kind.RESOURCE:
        state = await client.resources(f"{STATE_FOLDER}{scope.name}_")
        rows += [row for row in state if _is_state_of(scope, str(row["path"]))]
    return [Key(kind, str(row["path"])) for row in rows]


def _is_state_of(scope: Scope, path: str) -> bool:
    """Not that of a customer whose name begins with this one's."""
    rest = path.removeprefix(f"{STATE_FOLDER}{scope.name}_")
    return rest != path and (rest in ("base", "lock") or rest.removeprefix("deploy_").isdigit())


async def _delete(client: Client, key: Key) -> None:
    """For good: an archived script can still be started by its path."""
    with suppress(WindmillNotFound):
        if key.kind is Kind.SCRIPT:
            await client.request("POST", f"scripts/delete/p/{key.path}")
        else:
            await client.delete(key)


async def _erase_robot(client: Client, scope: Scope) -> None:
    """The user of the workspace and the account behind it, then the empty folder."""
    if await robot.find_robot(client, scope) is not None:
        await client.delete_user(scope.robot.removeprefix("u/"))
    with suppress(WindmillNotFound, WindmillDenied):  # the account may enter nothing any more
        if not await _is_elsewhere(client, scope):
            account = f"users/delete/{robot.email_of(scope)}"
            await client.write("DELETE", account, "remove the robot's account")
    with suppress(WindmillNotFound):
        await client.delete(Key(Kind.FOLDER, f"f/{scope.name}"))


async def _is_elsewhere(client: Client, scope: Scope) -> bool:
    """Whether another workspace of the server has the same robot: staging and production share accounts."""
    others = [str(row["id"]) for row in await client.workspaces() if row.get("id") != client.workspace]
    users = await all_of(
        *(client.rows(f"w/{other}/users/list", f"list the users of {other}", paged=False) for other in others)
    )
    return any(user.get("email") == robot.email_of(scope) for rows in users for user in rows)


# --- This installation --------------------------------------------------------------------------------------


def _forget_secrets(ending: Ending) -> int:
    """Every secret of the customer here, and what the always-on door knows of it."""
    site = ending.site
    names = site.secrets.list_names(f"tenant/{ending.name}")
    for name in names:
        site.secrets.forget(name)
    folder = door_folder(site.settings, site.state)
    (folder / f"{ending.name}.json").unlink(missing_ok=True)
    return len(names)
