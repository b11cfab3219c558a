"""`wmctl member`: who acts for a customer. The policy file is changed and put into force in one step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from platform_cli import policy_file, render
from platform_cli.options import As, AsJson, Customer, CustomerName, noun
from platform_cli.site import member, open_site
from platform_core.db import Tx
from platform_core.errors import InvalidInput, StateConflict
from platform_core.tenancy import members
from platform_core.tenancy.members import HANDLE, Role
from platform_core.tenancy.policy import current_policy, load_policy, store_policy
from platform_core.values import Actor

app = noun("Members: who acts for a customer, and in which role.")

_ROLES = (Role.OWNER, Role.OPS, Role.VIEWER)
Person = Annotated[str, typer.Argument(metavar="PERSON", help="Their handle, such as elena.")]
PolicyFile = Annotated[
    Path | None, typer.Option("--file", help="Default: customers/CUSTOMER/config/policy.toml.")
]


@app.command("list")
def list_(customer: Customer = None, as_json: AsJson = False) -> None:
    """Show who acts for the customer now.

    Example: wmctl member list --customer acme
    """
    with open_site() as site, site.app(customer) as platform, platform.tx() as tx:
        found = members.list_members(tx)
    if as_json:
        render.document(found)
        return
    render.table(
        "Members",
        ("person", "role", "since", "policy"),
        [(one.handle, one.role, one.added_at, one.policy_version) for one in found],
    )


@app.command("add")
def add(
    customer: CustomerName,
    person: Person,
    as_: As,
    role: Annotated[str, typer.Option(help="owner, ops or viewer.")] = "viewer",
    file: PolicyFile = None,
) -> None:
    """Add a person, or give them another role: in the policy file, and in force.

    Example: wmctl member add acme elena --role ops --as ana
    """
    chosen = next((one for one in _ROLES if one == role), None)
    if chosen is None:
        raise InvalidInput(f"{role[:20]!r} is no role", next_step="Choose owner, ops or viewer.")
    if not HANDLE.fullmatch(person):
        raise InvalidInput(
            "That is not a handle",  # whatever it is, a telephone number perhaps
            next_step="Use 1 to 40 of a-z, 0-9, dot, _ and -, starting with a letter.",
        )
    version = _change(customer, file, member(as_), lambda text: policy_file.with_member(text, person, chosen))
    render.good(f"{person} is {chosen} of {customer} from policy version {version}.")


@app.command("revoke")
def revoke(customer: CustomerName, person: Person, as_: As, file: PolicyFile = None) -> None:
    """Remove a person; their links into the panel end at once. The last owner stays.

    Example: wmctl member revoke acme diego --as ana
    """
    version = _change(customer, file, member(as_), lambda text: policy_file.without_member(text, person))
    render.good(f"{person} acts for {customer} no more, from policy version {version}; their links are dead.")


def _change(customer: str, file: Path | None, actor: Actor, edit: Callable[[str], str]) -> int:
    """Edit the file and put it into force, both or neither; the version comes back."""
    with open_site() as site:
        slug = site.tenant(customer).slug  # before it becomes part of a path
        path = file or site.root / "customers" / slug / "config" / "policy.toml"
        before = policy_file.read_text(path)
        with site.app(customer) as platform, platform.tx() as tx:
            members.require(tx, actor, members.Permission.MEMBER_CHANGE)
            _require_in_force(tx, path)
            after = edit(before)
            policy_file.replace_text(path, after)
            try:
                return store_policy(tx, load_policy(path), actor)
            except BaseException:
                policy_file.replace_text(path, before)
                raise


def _require_in_force(tx: Tx, path: Path) -> None:
    """Refuse to carry somebody's unapplied edits along with a change of one person."""
    if load_policy(path) != current_policy(tx):
        raise StateConflict(
            f"{path} says something else than the policy in force",
            next_step="Run `wmctl policy apply` first, or undo what was edited there.",
        )
