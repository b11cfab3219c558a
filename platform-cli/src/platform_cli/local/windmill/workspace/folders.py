"""Folders: who may read and write what lies in them. Deleting one leaves its items where they are."""

from __future__ import annotations

import re

from platform_cli.local.windmill.answers import HttpAnswer
from platform_cli.local.windmill.workspace.rows import Row, as_jsonb, filled, words
from platform_cli.local.windmill.workspace.visits import (
    Body,
    Visit,
    as_json,
    missing,
    refused,
    said,
    unauthorized,
)

_NAME = re.compile(r"[a-zA-Z_0-9-]+", re.ASCII)
SHOWN = words(
    "workspace_id name display_name owners extra_perms summary created_by edited_at default_permissioned_as"
)
MORE = ("labels",)


def show(row: Row) -> Row:
    """A folder as lists, `get` and the export have it."""
    return filled(row, SHOWN, MORE)


def list_(visit: Visit) -> HttpAnswer:
    """The folders the caller may see, by name."""
    return as_json([show(row) for row in visit.page(_visible(visit))])


def list_names(visit: Visit) -> HttpAnswer:
    """Their names alone."""
    return as_json([row["name"] for row in visit.page(_visible(visit))])


def _visible(visit: Visit) -> list[Row]:
    rows = [row for row in visit.workspace.folders if visit.sees(f"f/{row['name']}/")]
    return sorted(rows, key=lambda row: str(row["name"]))


def get(visit: Visit) -> HttpAnswer:
    """One folder."""
    return as_json(show(_find(visit, "folders.rs:626")))


def exists(visit: Visit) -> HttpAnswer:
    """Whether there is one of this name, seen or not."""
    return as_json(visit.path in visit.workspace.folders)


def _find(visit: Visit, where: str) -> Row:
    row = visit.workspace.folders.find(visit.path)
    if row is None or not visit.sees(f"f/{visit.path}/"):
        raise missing(f"Folder not found at name {visit.path} ({where})")
    return row


def create(visit: Visit) -> HttpAnswer:
    """Create one; who does becomes an owner of it, asked or not."""
    body = visit.body("name")
    name = body.get("name")
    if not _NAME.fullmatch(name):
        raise refused("Folder name can only contain alphanumeric characters, underscores, and hyphens")
    folders = visit.workspace.folders
    if name in folders:
        if visit.sees(f"f/{name}/"):
            raise refused(f"Folder {name} already exists")
        where = f"'{name}' already exists in workspace '{visit.workspace.id}'"
        raise refused(f"Folder {where} but you do not have permission to read to it")
    creator = f"u/{visit.caller.username}"
    owners = list(body.get("owners", [creator]))
    owners += [] if creator in owners else [creator]
    folders.put(
        name,
        {
            "workspace_id": visit.workspace.id,
            "name": name,
            "display_name": body.get("display_name", name),
            "owners": owners,
            "extra_perms": as_jsonb({**_rights(body), **dict.fromkeys(owners, True)}),
            "summary": body.get("summary"),
            "created_by": visit.caller.username,
            "edited_at": visit.instance.now_text(),
            "default_permissioned_as": body.get("default_permissioned_as", []),
            "labels": body.get("labels") or None,
        },
    )
    return said(f"Created folder {name}")


def _rights(body: Body) -> Row:
    rights = body.get("extra_perms", {})
    if not isinstance(rights, dict):
        raise refused("extra_perms must be an object")
    return rights


def update(visit: Visit) -> HttpAnswer:
    """Change what is sent; null keeps, so nothing can be taken back to null."""
    body = visit.body()
    row = visit.workspace.folders.find(visit.path)
    if row is None or not (visit.caller.is_admin or visit.caller.grantees & set(row["owners"])):
        raise unauthorized(f"You are not an owner of {visit.path} and hence cannot modify it")
    changed = {
        name: body.get(name)
        for name in ("display_name", "summary", "owners", "default_permissioned_as")
        if body.get(name) is not None
    }
    if body.get("extra_perms") is not None:
        changed["extra_perms"] = as_jsonb(_rights(body))
    if body.get("labels") is not None:
        changed["labels"] = list(dict.fromkeys(body.get("labels"))) or None
    _keep_self(visit, changed)
    after = {**row, **changed, "edited_at": visit.instance.now_text()}
    for owner in after["owners"]:
        if not after["extra_perms"].get(owner):
            why = "would not have permission to write to folder and that is an invalid state"
            raise refused(f"Owner {owner} {why}")
    visit.workspace.folders.put(visit.path, after)
    return said(f"Updated folder {visit.path}")


def _keep_self(visit: Visit, changed: Row) -> None:
    """Who is no administrator stays an owner, whatever was sent."""
    owners = changed.get("owners")
    if visit.caller.is_admin or owners is None or visit.caller.grantees & set(owners):
        return
    own = f"u/{visit.caller.username}"
    changed["owners"] = [*owners, own]
    changed["extra_perms"] = as_jsonb({**changed.get("extra_perms", {}), own: True})


def delete(visit: Visit) -> HttpAnswer:
    """Remove the folder, and nothing that lies in it."""
    row = _find(visit, "folders.rs:759")
    if not (visit.caller.is_admin or visit.caller.grantees & set(row["owners"])):
        raise unauthorized(f"You are not an owner of {visit.path} and hence cannot modify it")
    visit.workspace.folders.remove(visit.path)
    return said(f"delete folder at name {visit.path}")


def is_owner(visit: Visit) -> HttpAnswer:
    """Whether the caller owns it."""
    row = visit.workspace.folders.find(visit.path)
    return as_json(row is not None and bool(visit.caller.grantees & set(row["owners"])))
