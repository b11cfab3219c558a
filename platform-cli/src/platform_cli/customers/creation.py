"""From a name to a customer that works, in steps. Each looks first, so a run after any failure goes on.

folder       customers/NAME, rendered from the template
database     the customer's database, login and policy
secrets      in this installation's store: asked for, or made
robot        the user in whose name the customer's jobs run
rights       the folder f/NAME, which the robot may read
variables    the secrets, encrypted by Windmill
resources    what the scripts read, referring to the variables
deploy       the folder's items
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from platform_cli.customers import accounts, robot
from platform_cli.customers.accounts import Origin, Places, SecretNeed
from platform_cli.customers.doors import tell_door
from platform_cli.customers.placing import place_folder
from platform_cli.customers.profile import Profile, differing, read_written
from platform_cli.customers.template import read_template, render
from platform_cli.panel_keys import set_address
from platform_cli.site import Site, operator
from platform_cli.sync.client import Client
from platform_cli.sync.items import Scope
from platform_core import audit
from platform_core.db import Tx
from platform_core.errors import ConfigurationError, IdempotencyConflict, StateConflict
from platform_core.panel import links
from platform_core.panel.tokens import name_of
from platform_core.tenancy.cluster import prepare_cluster
from platform_core.tenancy.policy import current_policy, load_policy, store_policy
from platform_core.tenancy.provision import provision

Ask = Callable[[SecretNeed], "str | None"]
"""Where an asked value comes from: a prompt or a secret file. None leaves it for later."""


@dataclass(frozen=True, slots=True)
class Abroad:
    """The Windmill that a customer is made in. `target` is what people call it.

    `places` says where things are for it; `deploy` brings the folder's items there, true when it wrote any.
    """

    client: Client
    target: str
    places: Callable[[], Awaitable[Places]]
    deploy: Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Making:
    """One customer being made. Without `abroad` only the steps on this machine are taken."""

    site: Site
    profile: Profile
    ask: Ask = field(repr=False)
    abroad: Abroad | None = None

    @property
    def folder(self) -> Path:
        """The customer's folder in the checkout."""
        return self.site.root / "customers" / self.profile.name

    @property
    def scope(self) -> Scope:
        """The customer's part of a workspace."""
        return Scope(self.profile.name)


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `action` is what the trail calls it; `take` says whether it had to change something."""

    name: str
    action: str
    take: Callable[[Making], Awaitable[bool]]


async def create(making: Making, *, say: Callable[[Step, bool], None]) -> None:
    """Take every step that is not taken yet; `say` hears of each, with whether it changed something.

    What changed is recorded in the platform's trail. Idempotency: a second run changes nothing.
    Raises: whatever the step that failed raises; the steps before it stand.
    """
    prepare_cluster(making.site.admin_dsn)
    for step in STEPS if making.abroad is not None else STEPS[:AT_HOME]:
        changed = await step.take(making)
        if changed:
            _record(making, step)
        say(step, changed)


def _record(making: Making, step: Step) -> None:
    detail: dict[str, object] = {} if making.abroad is None else {"target": making.abroad.target}
    with making.site.control() as tx:
        audit.record(tx, step.action, operator(), ("tenant", making.profile.name), detail=detail)


# --- At home ------------------------------------------------------------------------------------------------


async def _folder(making: Making) -> bool:
    """Refuses a folder that was made with other values, or by somebody else."""
    if making.folder.exists():
        found = read_written(making.folder).profile
        if other := differing(found, making.profile):
            raise IdempotencyConflict(
                f"customers/{making.profile.name} is there with another {', '.join(other)}",
                next_step="Leave out what the folder says already, or choose another name.",
            )
        return False
    place_folder(making.folder, render(read_template(making.site.root), making.profile))
    return True


async def _database(making: Making) -> bool:
    profile, site = making.profile, making.site
    policy = load_policy(making.folder / "config" / "policy.toml")  # before anything is made for a bad one
    made = provision(
        site.admin_dsn,
        profile.name,
        display_name=profile.display_name,
        timezone=profile.zone,
        currency=profile.currency,
        secrets=site.secrets,
    )
    with site.app(profile.name) as app, app.tx() as tx:
        if _has_policy(tx):
            return made.created
        store_policy(tx, policy, operator())
    return True


def _has_policy(tx: Tx) -> bool:
    """A policy in force is left alone: changing it is `wmctl policy apply`."""
    try:
        current_policy(tx)
    except ConfigurationError:
        return False
    return True


# --- Secrets ------------------------------------------------------------------------------------------------


async def _secrets(making: Making) -> bool:
    """Ask for what somebody has, make what nobody types; what is here already is not asked for again."""
    site, profile = making.site, making.profile
    changed = False
    for need in accounts.list_needs(profile):
        if need.origin is Origin.KEPT or accounts.kept_value(site.secrets, profile, need) is not None:
            continue
        value = need.make() if need.make is not None else making.ask(need)
        if value is not None:
            accounts.keep_value(site.secrets, profile, need, value)
            tell_door(site, profile, need, value)
            changed = True
    return changed


async def _variables(making: Making) -> bool:
    """Every secret that is here goes to Windmill; one that is only known later does not hold the rest up."""
    abroad, store = _abroad(making), making.site.secrets
    panel = _panel_key(making, await _abroad(making).places())
    changed = [
        await robot.ensure_secret(abroad.client, making.scope, need, value)
        for need in accounts.list_needs(making.profile)
        if need.is_secret and (value := accounts.kept_value(store, making.profile, need)) is not None
    ]
    return panel or any(changed)


def _panel_key(making: Making, places: Places) -> bool:
    """The panel's address, and a key when it has none; a new key is on record in the customer's own trail."""
    site, tenant = making.site, making.site.tenant(making.profile.name)
    before = site.account(tenant, accounts.PANEL)
    keyring = set_address(site, tenant, places.route(making.profile, accounts.PANEL))
    if before is None:
        with site.app(tenant.slug) as app, app.tx() as tx:
            links.record_key(tx, name_of(keyring.keys[0]), operator())
    return site.account(tenant, accounts.PANEL) != before


# --- In Windmill --------------------------------------------------------------------------------------------


def _abroad(making: Making) -> Abroad:
    if making.abroad is None:
        raise StateConflict("This step needs a Windmill", next_step="Name one with --target.")
    return making.abroad


async def _robot(making: Making) -> bool:
    return await robot.ensure_robot(_abroad(making).client, making.scope)


async def _rights(making: Making) -> bool:
    return await robot.ensure_folder(_abroad(making).client, making.scope)


async def _resources(making: Making) -> bool:
    abroad, places = _abroad(making), await _abroad(making).places()
    wanted = accounts.list_resources(making.profile, making.site.secrets, places)
    return any([await robot.ensure_resource(abroad.client, one) for one in wanted])


async def _deploy(making: Making) -> bool:
    return await _abroad(making).deploy()


STEPS = (
    Step("folder", "customer.folder_written", _folder),
    Step("database", "customer.database_made", _database),
    Step("secrets", "customer.secrets_kept", _secrets),
    Step("robot", "customer.robot_added", _robot),
    Step("rights", "customer.rights_given", _rights),
    Step("variables", "customer.variables_set", _variables),
    Step("resources", "customer.resources_set", _resources),
    Step("deploy", "customer.deployed", _deploy),
)
AT_HOME = 3
"""So many of the steps need no Windmill."""
