"""The Windmill that a command about a customer means, and where things are for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from platform_cli.customers import accounts, robot
from platform_cli.customers.accounts import Places
from platform_cli.customers.profile import Profile
from platform_cli.local.stage import database_resource
from platform_cli.site import Site
from platform_cli.sync.client import Client
from platform_cli.sync.items import Json
from platform_cli.sync.targets import FROM_ENVIRONMENT, Chosen, Targets
from platform_core.errors import InvalidInput
from platform_core.settings import load_target_variables

_PANEL_TAIL = "/api/r/{}/panel"


def find_target(name: str | None, *, local: bool) -> Chosen | None:
    """The target meant, or None for this installation alone: with `local`, or when no Windmill is known.

    Raises: InvalidInput when both are asked for; ConfigurationError, NotFound, SecretRejected.
    """
    if local and name is not None:
        raise InvalidInput("--local and --target contradict each other", next_step="Say one of them.")
    if local:
        return None
    variables = load_target_variables()
    targets = Targets(variables)
    nothing_known = (
        name is None and variables.url is None and variables.target is None and not targets.read().targets
    )
    return None if nothing_known else targets.choose(name)


def called(chosen: Chosen) -> str:
    """What a target is called in plans and in the trail; one of the environment by its workspace."""
    name = chosen.target.name
    return f"{name}:{chosen.target.workspace}" if name == FROM_ENVIRONMENT else name


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a person said of addresses: `public_url` as others reach us, `database_host` as workers do."""

    public_url: str = ""
    database_host: str = ""


async def find_places(client: Client, site: Site, profile: Profile, said: Addresses = Addresses()) -> Places:
    """Where things are: as said now, else as the workspace has it from before, else as this machine sees it.

    Raises: InvalidInput for an address that is none.
    """
    tenant = site.tenant(profile.name)
    facts = {
        name: value
        for name, value in database_resource(site.tenant_dsn(tenant)).items()
        if name != "password" and isinstance(value, str | int)
    }
    before = await robot.find_value(client, f"f/{profile.name}/database")
    database: dict[str, Json] = {**facts, **_reached(said.database_host, before, site)}
    panel = await robot.find_value(client, f"f/{profile.name}/{accounts.PANEL}")
    return Places(database, said.public_url or _public(panel, profile) or client.url)


def _reached(host: str, before: Mapping[str, Json], site: Site) -> dict[str, Json]:
    if host:
        name, _, port = host.partition(":")
        if not name or (port and not port.isdigit()):
            raise InvalidInput(
                f"{host[:80]!r} is no host of a database", next_step="Write host, or host:port."
            )
        return {"host": name, **({"port": int(port)} if port else {})}
    if site.settings.database_url is None:  # the embedded server takes another port at each start
        return {}
    return {name: before[name] for name in ("host", "port") if name in before}


def _public(panel: Mapping[str, Json], profile: Profile) -> str:
    url = panel.get("url")
    return url.removesuffix(_PANEL_TAIL.format(profile.name)) if isinstance(url, str) else ""
