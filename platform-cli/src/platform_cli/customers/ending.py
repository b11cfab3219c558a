"""The end of a customer: archived, which can be undone, or erased, which leaves an export and nothing else.

Archiving switches off what starts by itself (schedules and routes) and closes the database to its scripts.
What was on is in the platform's trail before anything is switched, so that bringing the customer back
switches on exactly that, also when archiving was interrupted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import cast

from platform_cli.site import Site, operator
from platform_cli.sync.client import Client
from platform_cli.sync.items import Json, Key, Kind, Scope
from platform_core import audit
from platform_core.tenancy import life
from platform_core.tenancy.registry import Tenant
from platform_core.values import TenantSlug

_SWITCHED = "customer.switched_off"
_BACK = "customer.restored"
_PER_ENTRY = 100
_MOST_ENTRIES = 1000
_ROUTE_FIELDS = (
    *("path", "summary", "description", "labels", "script_path", "is_flow"),
    *("route_path", "workspaced_route", "http_method", "request_type", "raw_string", "wrap_body"),
    *("authentication_method", "authentication_resource_path", "is_static_website", "static_asset_config"),
)
"""What an update of a route has to say; what it leaves out is lost."""


@dataclass(frozen=True, slots=True)
class Ending:
    """A customer at its end. Without `client` only this installation is touched."""

    site: Site
    name: TenantSlug
    reason: str
    client: Client | None = None
    target: str = ""

    @property
    def scope(self) -> Scope:
        """The customer's part of a workspace."""
        return Scope(self.name)

    def record(self, action: str, **detail: object) -> None:
        """An entry of the platform's own trail."""
        with self.site.control() as tx:
            audit.record(
                tx,
                action,
                operator(),
                ("tenant", self.name),
                detail={"reason": self.reason, "target": self.target, **detail},
            )


# --- Archive and back ---------------------------------------------------------------------------------------


async def archive(ending: Ending) -> tuple[Tenant, list[str]]:
    """Switch off everything that starts by itself and close the database. What was switched off comes back.

    Idempotency: what is off stays off, and is not remembered as having been on.
    Raises: UnknownTenant, StateConflict for a closed customer, WindmillError.
    """
    off: list[str] = []
    if ending.client is not None:
        on = [key async for key in _switched_on(ending.client, ending.scope)]
        for number in range(0, len(on), _PER_ENTRY):
            part = [str(key) for key in on[number : number + _PER_ENTRY]]
            ending.record(_SWITCHED, items=part)
        for key in on:
            await _switch(ending.client, ending.scope, key, on=False)
        off = [str(key) for key in on]
    tenant = life.move_tenant(
        ending.site.admin_dsn, ending.name, "suspend", actor=operator(), reason=ending.reason
    )
    return tenant, off


async def restore(ending: Ending) -> tuple[Tenant, list[str]]:
    """Open an archived customer's database, and switch on what archiving switched off, and no more.

    Idempotency: a second time finds nothing left to switch.
    """
    tenant = life.move_tenant(
        ending.site.admin_dsn, ending.name, "resume", actor=operator(), reason=ending.reason
    )
    if ending.client is None:
        return tenant, []
    there = {key async for key in _all_switches(ending.client, ending.scope)}
    keys = [key for key in dict.fromkeys(_remembered(ending)) if key in there]
    for key in keys:
        await _switch(ending.client, ending.scope, key, on=True)
    if keys:
        ending.record(_BACK, items=[str(key) for key in keys][:_PER_ENTRY])
    return tenant, [str(key) for key in keys]


def _remembered(ending: Ending) -> Iterator[Key]:
    """What this target had on, since it was brought back the last time."""
    with ending.site.control() as tx:
        entries = audit.list_entries(tx, _MOST_ENTRIES, target=("tenant", ending.name))
    for entry in entries:
        if entry.detail.get("target") != ending.target:
            continue
        if entry.action == _BACK:
            return
        if entry.action == _SWITCHED:
            for text in cast("list[str]", entry.detail.get("items") or []):
                kind, _, path = text.partition(" ")
                yield Key(Kind(kind), path)


async def _all_switches(client: Client, scope: Scope) -> AsyncIterator[Key]:
    for row in await client.schedules(scope.prefix):
        yield Key(Kind.SCHEDULE, str(row["path"]))
    for row in await client.http_triggers(scope.prefix):
        yield Key(Kind.HTTP_TRIGGER, str(row["path"]))


async def _switched_on(client: Client, scope: Scope) -> AsyncIterator[Key]:
    for row in await client.schedules(scope.prefix):
        if row.get("enabled") is True:
            yield Key(Kind.SCHEDULE, str(row["path"]))
    for row in await client.http_triggers(scope.prefix):
        if row.get("mode") == "enabled":
            yield Key(Kind.HTTP_TRIGGER, str(row["path"]))


async def _switch(client: Client, scope: Scope, key: Key, *, on: bool) -> None:
    """Turn one on or off; it goes on running as the robot.

    The switch of a route gives it to whoever presses it, so a route is updated whole instead.
    """
    if key.kind is Kind.SCHEDULE:
        await client.set_enabled(key.path, enabled=on)
        return
    found = await client.get(key)
    body: dict[str, Json] = {name: found[name] for name in _ROUTE_FIELDS if name in found}
    body |= {
        "mode": "enabled" if on else "disabled",
        "permissioned_as": scope.robot,
        "preserve_permissioned_as": True,
    }
    await client.update(key, body)
