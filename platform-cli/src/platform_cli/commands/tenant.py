"""`wmctl tenant`: the customers of this installation."""

from __future__ import annotations

from typing import Annotated

import typer

from platform_cli import render
from platform_cli.options import AsJson, CustomerName, noun
from platform_cli.site import open_site, operator
from platform_core.errors import InvalidInput
from platform_core.tenancy import life
from platform_core.tenancy.cluster import prepare_cluster
from platform_core.tenancy.drift import find_drift
from platform_core.tenancy.provision import provision

app = noun("Customers: list them, make one, close one.")

DRIFTED = 4

Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the audit trail.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show every customer.

    Example: wmctl tenant list
    """
    with open_site() as site:
        tenants = site.tenants()
    if as_json:
        render.document(tenants)
        return
    render.table(
        "Customers",
        ("customer", "name", "state", "zone", "currency", "schema"),
        [(t.slug, t.display_name, t.state, t.timezone, t.currency, t.schema_version) for t in tenants],
    )


@app.command("provision")
def provision_(
    customer: CustomerName,
    display_name: Annotated[str, typer.Option(help="The name people know.")],
    timezone: Annotated[str, typer.Option(help="IANA zone, such as America/Lima.")],
    currency: Annotated[str, typer.Option(help="ISO code, such as PEN.")],
) -> None:
    """Make a customer's database and login, or repair them; safe to repeat.

    Example: wmctl tenant provision acme --display-name "Acme" --timezone America/Lima --currency PEN
    """
    with open_site() as site:
        prepare_cluster(site.admin_dsn)
        done = provision(
            site.admin_dsn,
            customer,
            display_name=display_name,
            timezone=timezone,
            currency=currency,
            secrets=site.secrets,
        )
    render.good(
        f"{done.tenant.slug} is {'ready' if done.created else 'already_active; its login was checked'}."
    )


@app.command("suspend")
def suspend(customer: CustomerName, reason: Reason) -> None:
    """Close a customer's database to its scripts; nothing is deleted.

    Example: wmctl tenant suspend acme --reason "unpaid since June"
    """
    _move(customer, "suspend", reason)


@app.command("resume")
def resume(customer: CustomerName, reason: Reason) -> None:
    """Open a suspended customer's database again.

    Example: wmctl tenant resume acme --reason "paid"
    """
    _move(customer, "resume", reason)


@app.command("close")
def close(customer: CustomerName, reason: Reason) -> None:
    """End a customer: its database takes no connections any more; its data stays until somebody erases it.

    Example: wmctl tenant close acme --reason "contract ended"
    """
    _move(customer, "close", reason)


@app.command("drift")
def drift(as_json: AsJson = False) -> int:
    """Show what changed behind our back: passwords, limits, memberships, opened databases. Exit 4 when any.

    Example: wmctl tenant drift
    """
    with open_site() as site, site.control() as tx:
        found = find_drift(tx)
    if as_json:
        render.document(found)
    else:
        rows = [(one.kind, one.subject, one.detail) for one in found]
        render.table("Drift", ("kind", "login or database", "detail"), rows)
    return DRIFTED if found else 0


def _move(customer: str, move: life.Move, reason: str) -> None:
    if not reason.strip():
        raise InvalidInput(
            f"The customer {customer[:40]} cannot be moved without a reason",
            next_step="Write it in one sentence.",
        )
    with open_site() as site:
        tenant = life.move_tenant(site.admin_dsn, customer, move, actor=operator(), reason=reason)
    render.good(f"{tenant.slug} is {tenant.state}.")
