"""`wmctl panel`: who may enter a customer's staff panel."""

from __future__ import annotations

from typing import Annotated

import typer

from platform_cli import render
from platform_cli.options import AsJson, Customer, CustomerName, Limit, noun
from platform_cli.panel_keys import add_key, get_keyring
from platform_cli.site import Site, open_site, operator
from platform_core.errors import InvalidInput
from platform_core.panel import links
from platform_core.panel.contracts import NewLink, link_ref, parse_link_ref
from platform_core.panel.lifecycle import LinkState
from platform_core.panel.tokens import name_of
from platform_core.tenancy.members import Role

app = noun("The staff panel: links into it, and the keys that sign them.")

_ROLES = (Role.OWNER, Role.OPS, Role.VIEWER)


@app.command("key")
def key(
    customer: CustomerName,
    url: Annotated[
        str | None, typer.Option(help="The panel's address, such as https://panel.example.org/acme.")
    ] = None,
) -> None:
    """Give the panel a new signing key; the one before stays good until the next.

    Example: wmctl panel key acme --url https://panel.example.org/api/r/acme/panel
    """
    with open_site() as site:
        tenant = site.tenant(customer)
        with site.app(customer) as platform, platform.tx() as tx:
            keyring = add_key(site, tenant, url)
            links.record_key(tx, name_of(keyring.keys[0]), operator())
    render.good(f"The panel of {customer} at {keyring.url} signs with the key {name_of(keyring.keys[0])}.")
    render.note(f"Set the resource f/{customer}/panel in Windmill to the secret tenant/{customer}/panel.")


@app.command("link")
def link(
    customer: CustomerName,
    person: Annotated[str, typer.Option(help="Handle of the member it is for.")],
    role: Annotated[str | None, typer.Option(help="The most it permits; by default what they are.")] = None,
    hours: Annotated[int, typer.Option(min=1, max=links.MAX_HOURS, help="How long it lives.")] = (
        links.DEFAULT_HOURS
    ),
    entries: Annotated[int, typer.Option(min=1, max=links.MAX_ENTRIES, help="How often it lets in.")] = (
        links.DEFAULT_ENTRIES
    ),
    as_json: AsJson = False,
) -> None:
    """Make a link into the panel for one member. It is shown once: send it to them and to nobody else.

    Example: wmctl panel link acme --person bruno --hours 12
    """
    chosen = next((one for one in _ROLES if one == role), None)
    if role is not None and chosen is None:
        raise InvalidInput(f"{role[:20]!r} is no role", next_step="Choose owner, ops or viewer.")
    with open_site() as site:
        made = make_link(site, customer, person, role=chosen, hours=hours, entries=entries)
    if as_json:
        render.document(made)
        return
    render.raw(made.url)
    render.good(
        f"{link_ref(made.link_id)} lets {made.member} in as {made.role}, {made.max_entries} times until "
        f"{made.expires_at:%Y-%m-%d %H:%M}Z."
    )


def make_link(
    site: Site,
    customer: str,
    person: str,
    *,
    role: Role | None = None,
    hours: int = links.DEFAULT_HOURS,
    entries: int = links.DEFAULT_ENTRIES,
) -> NewLink:
    """A link made by the engineer at this terminal. Raises: as `links.create_link`."""
    keyring = get_keyring(site, site.tenant(customer))
    with site.app(customer) as platform, platform.tx() as tx:
        return links.create_link(
            tx,
            person,
            role=role,
            hours=hours,
            entries=entries,
            by=operator(),
            keyring=keyring,
            now=platform.clock.now(),
        )


@app.command("list")
def list_(
    customer: Customer = None,
    all_: Annotated[bool, typer.Option("--all", help="Also those that ended.")] = False,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show links that still let somebody in, how often they did, and what was looked at or refused.

    Example: wmctl panel list --customer acme --all
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = links.list_links(tx, now=platform.clock.now(), ended_too=all_, limit=limit)
    if as_json:
        render.document(found)
        return
    render.table(
        "Links into the panel",
        ("link", "person", "role", "state", "until", "entered", "last", "looks", "refused", "made by"),
        [
            (
                link_ref(one.id),
                one.member,
                one.role,
                one.state if one.state is LinkState.REVOKED else "live",
                one.expires_at,
                f"{one.entries} of {one.max_entries}",
                one.last_entered_at,
                one.uses,
                one.refusals,
                one.created_by,
            )
            for one in found
        ],
    )


@app.command("revoke")
def revoke(
    link: Annotated[str, typer.Argument(help="Such as K3.")],
    customer: Customer = None,
) -> None:
    """Withdraw a link; whoever is inside by it is outside at their next request.

    Example: wmctl panel revoke K3
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        number = parse_link_ref(link)
        ended = links.revoke_link(tx, number, operator(), now=platform.clock.now())
    render.good(f"{link_ref(number)} is revoked." if ended else f"{link_ref(number)} was revoked before.")
