"""Who acts for a customer, and what each role may do.

Members come from the policy in force; nothing else adds, changes or removes one. A role is looked up when it
matters: what a caller claims to be in `Actor.role` is never believed.

A denial must outlive the transaction it stopped. `require` writes it in that transaction, which keeps it when
the caller goes on, and raises; the exception normally rolls that entry back, so whoever opens the transaction
wraps it in `denials_recorded`, which then writes the denial again in a transaction of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from platform_core import audit
from platform_core.db import Tx, load_queries, open_connection
from platform_core.db.connect import translated
from platform_core.errors import PermissionDenied, Refused
from platform_core.values import Actor

Q = load_queries(__file__)

MAX_MEMBERS = 200
HANDLE = re.compile(r"[a-z][a-z0-9_.-]{0,39}", re.ASCII)
_ACTOR_ID = re.compile(r"(?!.*[0-9]{7})[a-z][a-z0-9_.:-]{0,79}", re.ASCII)


class Role(StrEnum):
    """What a member is. `support` is the agency's own staff: never a member, never decides about money."""

    OWNER = "owner"
    OPS = "ops"
    VIEWER = "viewer"
    SUPPORT = "support"


class Permission(StrEnum):
    """What can be permitted."""

    CLAIM_DECIDE = "claim.decide"
    CLAIM_REVERSE = "claim.reverse"
    ATTENDANCE_DECIDE = "attendance.decide"
    JOB_REDRIVE = "job.redrive"
    ALERT_ACKNOWLEDGE = "alert.acknowledge"
    POLICY_CHANGE = "policy.change"
    MEMBER_CHANGE = "member.change"
    AUDIT_READ = "audit.read"
    PANEL_LINK = "panel.link"
    VIEW = "view"


# A policy holds the limits its own people work under, so only an owner changes it.
PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.OWNER: frozenset(Permission),
    Role.OPS: frozenset(
        {
            Permission.CLAIM_DECIDE,
            Permission.CLAIM_REVERSE,
            Permission.ATTENDANCE_DECIDE,
            Permission.JOB_REDRIVE,
            Permission.ALERT_ACKNOWLEDGE,
            Permission.AUDIT_READ,
            Permission.VIEW,
        }
    ),
    Role.VIEWER: frozenset({Permission.VIEW}),
    Role.SUPPORT: frozenset(
        {
            Permission.JOB_REDRIVE,
            Permission.ALERT_ACKNOWLEDGE,
            Permission.AUDIT_READ,
            Permission.PANEL_LINK,
            Permission.VIEW,
        }
    ),
}


@dataclass(frozen=True, slots=True)
class Member:
    """One person as the policy in force names them. `policy_version` is the one that last set the role."""

    handle: str
    role: Role
    policy_version: int
    added_at: datetime


def list_members(tx: Tx) -> list[Member]:
    """Everybody who acts for the customer now, by handle."""
    rows = tx.execute(Q["member_list"], {"limit": MAX_MEMBERS}).fetchall()
    return [Member(handle, Role(role), version, added_at) for handle, role, version, added_at in rows]


def find_role(tx: Tx, actor: Actor) -> Role | None:
    """The role an actor has here and now; None for contacts, jobs and strangers: nothing permitted."""
    match actor.type:
        case "user" if HANDLE.fullmatch(actor.id):
            row = tx.execute(Q["member_find_role"], {"handle": actor.id}).fetchone()
            return Role(row[0]) if row else None
        case "support":
            return Role.SUPPORT
        case _:
            return None


def require(tx: Tx, actor: Actor, permission: Permission) -> Actor:
    """Refuse unless the actor's role permits it; the actor comes back under the role found.

    Raises: PermissionDenied (403), recorded in the trail as the module says.
    """
    role = find_role(tx, actor)
    known = replace(actor, id=_printable(actor.id), role=role.value if role else "")
    if role is not None and permission in PERMISSIONS[role]:
        return known
    denied = PermissionDenied(
        _refusal(known, permission),
        next_step=f"Ask one of: {', '.join(_permitted(permission))}.",
        actor=known,
        permission=permission,
    )
    _record(tx, denied)
    raise denied


@contextmanager
def denials_recorded(connection: Tx) -> Iterator[None]:
    """Keep every denial raised inside, although its transaction is rolled back.

    Goes around the transaction: `with denials_recorded(connection), connection.transaction(): ...`. When the
    denial cannot be written that failure is raised, with the denial as its context.
    """
    try:
        yield
    except PermissionDenied as denied:
        if "permission" in denied.facts:
            with connection.transaction():
                _record(connection, denied)
        raise


@contextmanager
def open_transaction(dsn: str, *, application: str) -> Iterator[Tx]:
    """One transaction on a connection of its own, for one verb.

    Failures a person can act on are platform errors; a denied permission stays on record although the
    transaction it stopped is rolled back.
    """
    with (
        translated(dsn),
        open_connection(dsn, application=application) as connection,
        denials_recorded(connection),
        connection.transaction(),
    ):
        yield connection


def named(handle: str) -> str:
    """A handle as a refusal may repeat it: what is none may be anything, a telephone number too."""
    return repr(handle) if HANDLE.fullmatch(handle) else "That"


def set_members(tx: Tx, wanted: Mapping[str, Role], *, policy_version: int, actor: Actor) -> None:
    """Make the members what a policy says, one audit entry per person who changes.

    Idempotency: members who already are what is wanted are left alone.
    Raises: Refused when nobody would be owner.
    """
    if Role.OWNER not in wanted.values():
        raise Refused(
            "The last owner cannot be removed",
            next_step="Name another owner in [members] in the same change.",
        )
    present = {member.handle: member.role for member in list_members(tx)}
    for handle, role in sorted(wanted.items()):
        if present.get(handle) is not role:
            tx.execute(
                Q["member_put"], {"handle": handle, "role": role.value, "policy_version": policy_version}
            )
            _record_change(tx, actor, handle, before=present.get(handle), after=role)
    for handle in sorted(present.keys() - wanted.keys()):
        tx.execute(Q["member_remove"], {"handle": handle, "policy_version": policy_version})
        _record_change(tx, actor, handle, before=present[handle], after=None)


def _record_change(tx: Tx, actor: Actor, handle: str, *, before: Role | None, after: Role | None) -> None:
    action = "member.role_changed"
    if before is None:
        action = "member.added"
    elif after is None:
        action = "member.removed"
    audit.record(tx, action, actor, ("member", handle), detail={"before": before, "after": after})


def _record(tx: Tx, denied: PermissionDenied) -> None:
    actor, permission = denied.facts["actor"], denied.facts["permission"]
    if not isinstance(actor, Actor) or not isinstance(permission, Permission):
        raise TypeError("only a denial made by require can be recorded")
    audit.record(tx, "permission.denied", actor, ("permission", permission.value), result="denied")


def _refusal(actor: Actor, permission: Permission) -> str:
    who = f"The {actor.role} {actor.id}" if actor.role else f"{actor.id}, who is not a member here,"
    return f"{who} may not {_WORDS[permission]}"


def _permitted(permission: Permission) -> list[str]:
    return [
        role.value for role in PERMISSIONS if permission in PERMISSIONS[role] and role is not Role.SUPPORT
    ]


def _printable(identifier: str) -> str:
    # Anything may arrive as an id, a phone number too, and what is refused is kept for years.
    return identifier if _ACTOR_ID.fullmatch(identifier) else "somebody"


_WORDS: Mapping[Permission, str] = {
    Permission.CLAIM_DECIDE: "decide payment claims",
    Permission.CLAIM_REVERSE: "reverse a decision",
    Permission.ATTENDANCE_DECIDE: "decide about attendance",
    Permission.JOB_REDRIVE: "run failed jobs again",
    Permission.ALERT_ACKNOWLEDGE: "acknowledge or resolve alerts",
    Permission.POLICY_CHANGE: "change the policy",
    Permission.MEMBER_CHANGE: "change members or their roles",
    Permission.AUDIT_READ: "read the audit trail",
    Permission.PANEL_LINK: "make or revoke links into the panel",
    Permission.VIEW: "look at this customer",
}
