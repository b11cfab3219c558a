"""People and robots: accounts, members of a workspace, groups, tokens."""

from __future__ import annotations

import re
from typing import Any

from platform_cli.local.windmill import answers
from platform_cli.local.windmill.answers import HttpAnswer, RequestRefused
from platform_cli.local.windmill.workspace.instance import SUPERADMIN, Instance, Workspace
from platform_cli.local.windmill.workspace.rows import Row, filled
from platform_cli.local.windmill.workspace.visits import (
    Body,
    Caller,
    Visit,
    as_json,
    missing,
    needs_admin,
    refused,
    said,
)

_LISTED = ("workspace_id", "email", "username", "is_admin", "created_at", "operator", "disabled")
_NOT_IN_NAME = re.compile(r"[^a-z0-9_]")


def caller_of(instance: Instance, workspace: Workspace | None, token: str) -> Caller | None:
    """Whose token this is, as a member of a workspace; None for a token nobody has."""
    held = instance.tokens.get(token)
    if held is None:
        return None
    email = held["email"]
    account = instance.users.get(email, {})
    superadmin = bool(account.get("super_admin"))
    member = next((row for row in workspace.members if row["email"] == email), None) if workspace else None
    if member is None:
        if workspace is not None and not superadmin:
            return None
        name = username_of(email)
        return Caller(
            email, name, superadmin, is_operator=False, groups=frozenset(), is_superadmin=superadmin
        )
    if member["disabled"]:
        return None
    groups = {"all", *(row["name"] for row in _groups(workspace) if member["username"] in row["members"])}
    return Caller(
        email,
        member["username"],
        member["is_admin"] or superadmin,
        member["operator"],
        frozenset(groups),
        is_superadmin=superadmin,
        token=token,
    )


def _groups(workspace: Workspace | None) -> list[Row]:
    return list(workspace.groups) if workspace else []


def username_of(email: str) -> str:
    """The name the server makes of an address: what stands before the @, letters and digits alone."""
    return _NOT_IN_NAME.sub("", email.partition("@")[0].lower())


def join(instance: Instance, workspace: Workspace, email: str, *, admin: bool, operator: bool) -> str:
    """Make somebody a member; gives their name."""
    name = username_of(email)
    workspace.members.put(
        name,
        {
            "workspace_id": workspace.id,
            "email": email,
            "username": name,
            "is_admin": admin,
            "created_at": instance.now_text(),
            "operator": operator,
            "disabled": False,
        },
    )
    return name


def _shown(row: Row) -> Row:
    return filled(row, _LISTED) | {"role": None, "is_service_account": False}


def list_(visit: Visit) -> HttpAnswer:
    """All members, the last to come first."""
    return as_json([_shown(row) for row in reversed(list(visit.workspace.members))])


def whoami(visit: Visit) -> HttpAnswer:
    """The caller, and which folders they may read, write, own."""
    caller = visit.caller
    member = visit.workspace.members.find(caller.username)
    readable, writable, owned = _folders(visit)
    return as_json(
        {
            "workspace_id": visit.workspace.id,
            "email": caller.email,
            "username": caller.username,
            "is_admin": caller.is_admin,
            "is_super_admin": caller.is_superadmin and caller.email != SUPERADMIN,
            "created_at": member["created_at"] if member else visit.instance.now_text(),
            "groups": sorted(caller.groups) or ["all"],
            "operator": caller.is_operator,
            "disabled": False,
            "role": None,
            "folders_read": readable,
            "folders": writable,
            "folders_owners": owned,
            "name": None,
            "is_service_account": False,
        }
    )


def _folders(visit: Visit) -> tuple[list[str], list[str], list[str]]:
    if visit.caller.email == SUPERADMIN:
        return [], [], []
    mine = visit.caller.grantees
    rows = sorted(visit.workspace.folders, key=lambda row: str(row["name"]))
    readable = [row["name"] for row in rows if mine & set(row["extra_perms"])]
    writable = [row["name"] for row in rows if any(row["extra_perms"].get(grantee) for grantee in mine)]
    return readable, writable, [row["name"] for row in rows if mine & set(row["owners"])]


def get(visit: Visit) -> HttpAnswer:
    """One member."""
    row = visit.workspace.members.find(visit.path)
    if row is None:
        raise missing(f"User not found at name {visit.path} (users.rs:1219)")
    return as_json(_shown(row))


def exists(visit: Visit) -> HttpAnswer:
    """Whether a name is taken."""
    return as_json(visit.body("username").get("username") in visit.workspace.members)


def add(visit: Visit) -> HttpAnswer:
    """Make somebody a member; their name is made from their address."""
    needs_admin(visit)
    body = visit.body("email", "is_admin", "operator")
    email = body.get("email")
    if any(row["email"] == email for row in visit.workspace.members):
        raise refused(f"user with email {email} already exists in workspace {visit.workspace.id}")
    if body.get("username") is not None:
        raise refused("username is not allowed when username creation is automated")
    admin, operator = body.get("is_admin", False), body.get("operator", False)
    join(visit.instance, visit.workspace, email, admin=admin, operator=operator)
    return said(f"user with email {email} added", 201)


def update(visit: Visit) -> HttpAnswer:
    """Change what a member is."""
    needs_admin(visit)
    body = visit.body()
    if visit.path not in visit.workspace.members:
        why = "no rows returned by a query that expected to return at least one row"
        raise RequestRefused(answers.plain(400, f"SqlErr: {why} @users.rs:1245:22"))
    changed = filled(body.values(), (), ("is_admin", "operator", "disabled"))
    visit.workspace.members.change(visit.path, **changed)
    return said(f"username {visit.path} updated")


def delete(visit: Visit) -> HttpAnswer:
    """Take somebody out of the workspace."""
    needs_admin(visit)
    if not visit.workspace.members.remove(visit.path):
        raise missing(f"User not found at name {visit.path} (users.rs:1859)")
    return said(f"username {visit.path} deleted")


# --- Groups -----------------------------------------------------------------------------------------------


def list_groups(visit: Visit) -> HttpAnswer:
    """All groups."""
    rows = sorted(visit.workspace.groups, key=lambda row: str(row["name"]))
    return as_json([_group(visit, row) for row in visit.page(rows)])


def list_group_names(visit: Visit) -> HttpAnswer:
    """Their names."""
    return as_json(sorted(row["name"] for row in visit.workspace.groups))


def get_group(visit: Visit) -> HttpAnswer:
    """One group."""
    return as_json(_group(visit, _find_group(visit)))


def _group(visit: Visit, row: Row) -> Row:
    return {"workspace_id": visit.workspace.id, **filled(row, ("name", "summary", "extra_perms", "members"))}


def _find_group(visit: Visit) -> Row:
    row = visit.workspace.groups.find(visit.path)
    if row is None:
        raise missing(f"Group not found at name {visit.path} (groups.rs:340)")
    return row


def create_group(visit: Visit) -> HttpAnswer:
    """Create one."""
    needs_admin(visit)
    body = visit.body("name")
    name = body.get("name")
    if name in visit.workspace.groups:
        raise refused(f"Group {name} already exists")
    visit.workspace.groups.put(
        name, {"name": name, "summary": body.get("summary"), "members": [], "extra_perms": {}}
    )
    return said(f"Created group {name}")


def add_to_group(visit: Visit) -> HttpAnswer:
    """Put a member into a group."""
    needs_admin(visit)
    name, row = visit.body("username").get("username"), _find_group(visit)
    visit.workspace.groups.change(visit.path, members=list(dict.fromkeys([*row["members"], name])))
    return said(f"Added {name} to group {visit.path}")


def remove_from_group(visit: Visit) -> HttpAnswer:
    """Take a member out of a group."""
    needs_admin(visit)
    name, row = visit.body("username").get("username"), _find_group(visit)
    rest = [member for member in row["members"] if member != name]
    visit.workspace.groups.change(visit.path, members=rest)
    return said(f"Removed {name} to group {visit.path}")


# --- Accounts and tokens, outside any workspace -----------------------------------------------------------


def account_of(instance: Instance, caller: Caller) -> HttpAnswer:
    """The caller's account."""
    account = instance.users.get(caller.email)
    known = account is not None
    shown: dict[str, Any] = {
        "email": caller.email,
        "login_type": account["login_type"] if account else "service_account",
        "super_admin": caller.is_superadmin,
        "devops": False,
        "verified": True,
        "name": None,
        "company": None,
        "username": None,
        **({} if known else {"operator_only": True}),
        "first_time_user": False,
        "role_source": "manual" if known else "service_account",
        "disabled": False,
    }
    return as_json(shown)


def create_account(instance: Instance, body: Body) -> HttpAnswer:
    """An account somebody signs in with, which a robot has not."""
    email = body.get("email")
    if email in instance.users:
        raise refused(f"user with email {email} already exists")
    instance.users[email] = {"login_type": "password", "super_admin": bool(body.get("super_admin"))}
    return said(f"email {email} created", 201)


def impersonate(instance: Instance, body: Body) -> HttpAnswer:
    """A token of somebody else."""
    token = instance.new_token()
    instance.tokens[token] = _held(instance, body.get("impersonate_email"), body)
    return said(token, 201)


def new_token(instance: Instance, caller: Caller, body: Body) -> HttpAnswer:
    """A token of one's own."""
    token = instance.new_token()
    instance.tokens[token] = _held(instance, caller.email, body)
    return said(token, 201)


def _held(instance: Instance, email: str, body: Body) -> Row:
    return {
        "email": email,
        "label": body.get("label"),
        "expiration": body.get("expiration"),
        "created_at": instance.now_text(),
        "scopes": body.get("scopes"),
    }


def list_tokens(instance: Instance, caller: Caller) -> HttpAnswer:
    """The caller's own, each by its beginning; the superadmin's secret is a setting and no token."""
    return as_json(
        [
            {
                **{name: held.get(name) for name in ("label", "expiration", "created_at", "scopes")},
                "token_prefix": token[:10],
                "last_used_at": held.get("created_at"),
                "workspace_id": None,
                "read_only": False,
            }
            for token, held in instance.tokens.items()
            if held["email"] == caller.email and held["label"] != "superadmin"
        ]
    )


def drop_token(instance: Instance, prefix: str) -> HttpAnswer:
    """End the tokens that begin like this."""
    gone = [token for token in instance.tokens if token.startswith(prefix)]
    for token in gone:
        del instance.tokens[token]
    return said(f"deleted {len(gone)} tokens {[token[:10] for token in gone]} with prefix {prefix}")
