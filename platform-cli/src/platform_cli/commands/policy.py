"""`wmctl policy`: what a customer decided, as the database runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from platform_cli import render
from platform_cli.options import As, AsJson, Customer, CustomerName, noun
from platform_cli.site import member, open_site
from platform_core.tenancy.policy import current_policy, load_policy, store_policy

app = noun("Policies: limits, texts, templates, members.")


@app.command("apply")
def apply(
    customer: CustomerName,
    as_: As,
    file: Annotated[Path | None, typer.Option(help="Default: customers/CUSTOMER/config/policy.toml.")] = None,
) -> None:
    """Store the policy file as the newest version; the same content again changes nothing.

    Example: wmctl policy apply acme --as ana
    """
    with open_site() as site:
        slug = site.tenant(customer).slug  # before it becomes part of a path
        policy = load_policy(file or site.root / "customers" / slug / "config" / "policy.toml")
        with site.app(customer) as platform, platform.tx() as tx:
            version = store_policy(tx, policy, member(as_))
    render.good(f"{customer} runs policy version {version}.")


@app.command("show")
def show(customer: Customer = None, as_json: AsJson = False) -> None:
    """Show the policy that runs.

    Example: wmctl policy show --customer acme --json
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        policy = current_policy(tx)
    content = policy.model_dump(mode="json")
    if as_json:
        render.document(content)
        return
    for section, facts in content.items():
        render.record(section, facts if isinstance(facts, dict) else {section: facts})
