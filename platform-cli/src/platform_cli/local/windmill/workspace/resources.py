"""Resources. Deleting one deletes every variable its value names, secrets too, as the server does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from platform_cli.local.windmill.answers import HttpAnswer
from platform_cli.local.windmill.workspace.rows import Row, as_jsonb, filled, to_json
from platform_cli.local.windmill.workspace.sealing import unseal
from platform_cli.local.windmill.workspace.visits import (
    Body,
    Visit,
    as_json,
    check_path,
    missing,
    not_granted,
    refused,
    said,
    unauthorized,
)

_CREATED_AT = "resources.rs:1112:24"
_VARIABLE, _RESOURCE = "$var:", "$res:"
_NOT_EXPORTED = frozenset({"state", "cache"})


def show(row: Row, *, value: object, linked: bool, is_draft: bool) -> Row:
    """A resource as lists and `get` have it."""
    shown = filled(row, ("workspace_id", "path"))
    shown |= {"value": value, **filled(row, ("description", "resource_type", "extra_perms", "created_by"))}
    shown |= {"edited_at": row["edited_at"], "is_linked": linked, "is_refreshed": None, "is_oauth": None}
    shown |= {"is_expired": None, "refresh_error": None, "account": None, **filled(row, (), ("labels",))}
    return shown | {"ws_specific": False, "is_draft": is_draft}


def _shown(visit: Visit, row: Row, value: object) -> Row:
    draft = f"resource:{row['path']}:{visit.caller.email}" in visit.workspace.drafts
    return show(row, value=value, linked=row["path"] in visit.workspace.variables, is_draft=draft)


def is_exported(row: Row) -> bool:
    """Whether the export holds it: what scripts keep for themselves it leaves out."""
    return row["resource_type"] not in _NOT_EXPORTED


def list_(visit: Visit) -> HttpAnswer:
    """Those the caller may see, without their values, the last path first."""
    start, kinds = visit.parameter("path_start") or "", visit.parameter("resource_type")
    without = (visit.parameter("resource_type_exclude") or "").split(",")
    rows = [
        row
        for row in visit.workspace.resources
        if row["path"].startswith(start)
        and (kinds is None or row["resource_type"] in kinds.split(","))
        and row["resource_type"] not in without
        and visit.sees(row["path"], row["extra_perms"])
    ]
    rows.sort(key=lambda row: str(row["path"]), reverse=True)
    return as_json([_shown(visit, row, None) for row in visit.page(rows)])


def _find(visit: Visit) -> Row:
    row = visit.workspace.resources.find(visit.path)
    if row is None:
        raise missing(f"Resource {visit.path} not found")
    if not visit.sees(visit.path, row["extra_perms"]):
        own = to_json(row["extra_perms"], pretty=True)
        folder = to_json(visit.rights_on(visit.path) or None, pretty=True)
        why = "Resource exists but you don't have access to it:"
        raise unauthorized(
            f"{why}\nresource perms: {own}\nfolder perms: {folder}\nauthed as: {visit.caller.username}"
        )
    return row


def get(visit: Visit) -> HttpAnswer:
    """One, with its value as it was written."""
    row = _find(visit)
    return as_json(_shown(visit, row, row["value"]))


def get_value(visit: Visit) -> HttpAnswer:
    """The value alone, as it was written."""
    return as_json(_find(visit)["value"])


def get_value_interpolated(visit: Visit) -> HttpAnswer:
    """The value with what it refers to put in."""
    return as_json(_resolved(visit, _find(visit)["value"]))


def _resolved(visit: Visit, value: Any) -> Any:  # Any: JSON
    match value:
        case dict():
            return {name: _resolved(visit, item) for name, item in value.items()}
        case str() if value.startswith(_VARIABLE):
            path = value.removeprefix(_VARIABLE)
            row = visit.workspace.variables.find(path)
            if row is None or not visit.sees(path, row["extra_perms"]):
                raise missing(f"Variable {path} not found")
            return unseal(visit.workspace.key, row["value"]) if row["is_secret"] else row["value"]
        case str() if value.startswith(_RESOURCE):
            path = value.removeprefix(_RESOURCE)
            row = visit.workspace.resources.find(path)
            if row is None or not visit.sees(path, row["extra_perms"]):
                raise missing(f"Resource {path} not found")
            return _resolved(visit, row["value"])
        case _:
            return value


def exists(visit: Visit) -> HttpAnswer:
    """Whether there is one at this path, seen or not."""
    return as_json(visit.path in visit.workspace.resources)


def create(visit: Visit) -> HttpAnswer:
    """Create one, or with `update_if_exists=true` replace it whole; its type need not exist."""
    body = visit.body("path", "resource_type")
    path = body.get("path")
    row = visit.workspace.resources.find(path)
    if row is not None and not visit.flag("update_if_exists"):
        raise refused(f"Resource {path} already exists")
    check_path(path, "resource", _CREATED_AT)
    if not visit.may_write(path, row["extra_perms"] if row else None):
        raise not_granted("resource", _CREATED_AT)
    visit.workspace.resources.put(path, _row(visit, body, row))
    return said(f"resource {path} created", 201)


def _row(visit: Visit, body: Body, before: Row | None) -> Row:
    return {
        "workspace_id": visit.workspace.id,
        "path": body.get("path"),
        "value": as_jsonb(body.get("value")),
        "description": body.get("description"),
        "resource_type": body.get("resource_type"),
        "extra_perms": before["extra_perms"] if before else {},
        "created_by": before["created_by"] if before else visit.caller.username,
        "edited_at": visit.instance.now_text(),
        "labels": body.get("labels"),
    }


def update(visit: Visit) -> HttpAnswer:
    """Change what is sent; the type stays what it is, and null keeps."""
    body = visit.body()
    row = visit.workspace.resources.find(visit.path)
    changed = filled(body.values(), (), ("path", "description", "labels"))
    if body.get("value") is not None:
        changed["value"] = as_jsonb(body.get("value"))
    target = changed.get("path", visit.path)
    if target != visit.path and target in visit.workspace.resources:
        raise refused(f"Resource {target} already exists")
    if row is None or not visit.may_write(visit.path, row["extra_perms"]):
        raise missing(f"Resource not found at name {visit.path} (resources.rs:1792)")
    visit.workspace.resources.remove(visit.path) if target != visit.path else None
    visit.workspace.resources.put(target, {**row, **changed, "edited_at": visit.instance.now_text()})
    return said(f'resource {visit.path} updated (npath: "{target}")')


def delete(visit: Visit) -> HttpAnswer:
    """Remove it, and every variable its value names."""
    row = visit.workspace.resources.find(visit.path)
    if row is None or not visit.may_write(visit.path, row["extra_perms"]):
        raise missing(f"Resource not found at name {visit.path} (resources.rs:1277)")
    visit.workspace.resources.remove(visit.path)
    for path in _named(row["value"]):
        named = visit.workspace.variables.find(path)
        if named is not None and visit.may_write(path, named["extra_perms"]):
            visit.workspace.variables.remove(path)
    return said(f"resource {visit.path} deleted")


def _named(value: Any) -> Iterator[str]:  # Any: JSON
    match value:
        case dict():
            for item in value.values():
                yield from _named(item)
        case list():
            for item in value:
                yield from _named(item)
        case str() if value.startswith(_VARIABLE):
            yield value.removeprefix(_VARIABLE)
