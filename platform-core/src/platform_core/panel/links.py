"""Links into the panel: made for one member, listed, revoked."""

from __future__ import annotations

from datetime import datetime, timedelta

from platform_core import audit
from platform_core.db import Tx, load_queries
from platform_core.errors import InvalidInput, NotFound, Refused
from platform_core.panel.contracts import Link, NewLink, link_ref
from platform_core.panel.lifecycle import LinkState
from platform_core.panel.rights import lesser
from platform_core.panel.tokens import Keyring, LinkClaims, sign_link
from platform_core.tenancy.members import Permission, Role, find_role, named, require
from platform_core.values import Actor

Q = load_queries(__file__)

MAX_HOURS = 168
DEFAULT_HOURS = 12
DEFAULT_ENTRIES = 5
MAX_ENTRIES = 50
MAX_LISTED = 1000
ENTRANCE = "enter"
"""The page a link leads to, under the panel's address; its form is posted to the same word."""


def create_link(  # noqa: PLR0913 - what a link is bound to, each once
    tx: Tx,
    member: str,
    *,
    role: Role | None,
    hours: int,
    by: Actor,
    keyring: Keyring,
    now: datetime,
    entries: int = DEFAULT_ENTRIES,
) -> NewLink:
    """Make a link for a member; `role` is the most it permits, by default what the member is now.

    `hours` is how long it lives and `entries` how often it lets in. Its address comes back once and is stored
    nowhere. Idempotency: none, each call makes another link.
    Raises: PermissionDenied, NotFound when there is no such member, Refused when the member's role is less
    than the link's would be, InvalidInput.
    """
    by = require(tx, by, Permission.PANEL_LINK)
    _require_between("hours", hours, MAX_HOURS)
    _require_between("entries", entries, MAX_ENTRIES)
    has = find_role(tx, Actor("user", member))
    if has is None:
        raise NotFound(
            f"{named(member)} is not a member here",
            next_step="See `wmctl member list`; add them with `wmctl member add`.",
        )
    gives = role or has
    if lesser(gives, has) is not gives:
        raise Refused(
            f"{member} is {has}: a link as {gives} would give no more than that",
            next_step=f"Leave the role out, or choose {has} or less.",
        )
    expires_at = (now + timedelta(hours=hours)).replace(microsecond=0)
    facts = {
        "member": member,
        "role": gives.value,
        "created_at": now,
        "created_by": by.id,
        "expires_at": expires_at,
        "max_entries": entries,
    }
    row = tx.execute(Q["link_insert"], facts).fetchone()
    if row is None:
        raise AssertionError("an insert returns its row")
    link_id = int(row[0])
    detail = {"member": member, "role": gives, "hours": hours, "entries": entries}
    audit.record(tx, "panel.link_made", by, ("panel_link", link_ref(link_id)), detail=detail)
    token = sign_link(keyring, LinkClaims(link_id, member, gives, expires_at))
    return NewLink(link_id, member, gives, expires_at, entries, f"{keyring.url}/{ENTRANCE}/{token}")


def list_links(tx: Tx, *, now: datetime, ended_too: bool = False, limit: int = 50) -> list[Link]:
    """Links that still let somebody in, or all of them; the newest first."""
    rows = tx.execute(
        Q["link_list"], {"now": now, "ended_too": ended_too, "limit": max(1, min(limit, MAX_LISTED))}
    ).fetchall()
    return [
        Link(
            id=row[0],
            member=row[1],
            role=Role(row[2]),
            state=LinkState(row[3]),
            created_at=row[4],
            created_by=row[5],
            expires_at=row[6],
            entries=row[7],
            max_entries=row[8],
            last_entered_at=row[9],
            revoked_at=row[10],
            revoked_by=row[11],
            uses=row[12],
            refusals=row[13],
        )
        for row in rows
    ]


def revoke_link(tx: Tx, link_id: int, by: Actor, *, now: datetime) -> bool:
    """Withdraw a link; who is inside by it is outside at their next request.

    Idempotency: False, and nothing recorded, when it was revoked before.
    Raises: PermissionDenied, NotFound.
    """
    by = require(tx, by, Permission.PANEL_LINK)
    if tx.execute(Q["link_revoke"], {"link_id": link_id, "now": now, "by": by.id}).fetchone() is None:
        if tx.execute(Q["link_exists"], {"link_id": link_id}).fetchone() is None:
            raise NotFound(f"There is no link {link_ref(link_id)}", next_step="See `wmctl panel list --all`.")
        return False
    audit.record(tx, "panel.link_revoked", by, ("panel_link", link_ref(link_id)))
    return True


def record_key(tx: Tx, key_name: str, by: Actor) -> None:
    """Put on record that the panel signs with another key. Raises: PermissionDenied."""
    by = require(tx, by, Permission.PANEL_LINK)
    audit.record(tx, "panel.key_added", by, ("panel_key", key_name))


def _require_between(name: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise InvalidInput(f"{value} {name} is not possible", next_step=f"Write a number from 1 to {most}.")
