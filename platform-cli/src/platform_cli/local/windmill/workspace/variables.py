"""Variables. A secret one is kept sealed, exported sealed, and opened only for who asks for it by name."""

from __future__ import annotations

from typing import Any

from platform_cli.local.windmill.answers import HttpAnswer
from platform_cli.local.windmill.workspace.rows import Row, filled, to_json
from platform_cli.local.windmill.workspace.sealing import looks_sealed, seal, unseal
from platform_cli.local.windmill.workspace.visits import (
    Visit,
    as_json,
    check_path,
    missing,
    not_granted,
    refused,
    said,
    sent_value,
    unauthorized,
)

_CREATED_AT = "variables.rs:628:5"


def show(row: Row, *, value: str | None, linked: bool, is_draft: bool) -> Row:
    """A variable as lists and `get` have it."""
    shown = filled(row, ("workspace_id", "path"))
    shown |= {"value": value, **filled(row, ("is_secret", "description", "extra_perms", "account"))}
    shown |= {"is_oauth": False, "is_expired": None, "is_refreshed": None, "refresh_error": None}
    shown |= {"is_linked": linked, "expires_at": None, **filled(row, (), ("labels",))}
    return shown | {"ws_specific": False, **filled(row, ("edited_at", "edited_by")), "is_draft": is_draft}


def _shown(visit: Visit, row: Row, value: str | None) -> Row:
    draft = f"variable:{row['path']}:{visit.caller.email}" in visit.workspace.drafts
    return show(row, value=value, linked=row["path"] in visit.workspace.resources, is_draft=draft)


def list_(visit: Visit) -> HttpAnswer:
    """Those the caller may see, by path; secret values are left out."""
    start = visit.parameter("path_start") or ""
    rows = [
        row
        for row in visit.workspace.variables
        if row["path"].startswith(start) and visit.sees(row["path"], row["extra_perms"])
    ]
    rows.sort(key=lambda row: str(row["path"]))
    return as_json(
        [_shown(visit, row, None if row["is_secret"] else row["value"]) for row in visit.page(rows)]
    )


def _find(visit: Visit) -> Row:
    row = visit.workspace.variables.find(visit.path)
    if row is None:
        raise missing(f"Variable {visit.path} not found")
    if not visit.sees(visit.path, row["extra_perms"]):
        own = to_json(row["extra_perms"], pretty=True)
        folder = to_json(visit.rights_on(visit.path) or None, pretty=True)
        raise unauthorized(
            f"Variable exists but you don't have access to it:\nvariable perms: {own}\nfolder perms: {folder}"
        )
    return row


def get(visit: Visit) -> HttpAnswer:
    """One, opened unless `decrypt_secret=false`; with `include_encrypted=true` then sealed."""
    row = _find(visit)
    value = row["value"]
    if row["is_secret"]:
        if visit.parameter("decrypt_secret") != "false":
            value = unseal(visit.workspace.key, value)
        elif not visit.flag("include_encrypted"):
            value = None
    return as_json(_shown(visit, row, value))


def get_value(visit: Visit) -> HttpAnswer:
    """The value alone, opened."""
    row = _find(visit)
    return as_json(unseal(visit.workspace.key, row["value"]) if row["is_secret"] else row["value"])


def exists(visit: Visit) -> HttpAnswer:
    """Whether there is one at this path, seen or not."""
    return as_json(visit.path in visit.workspace.variables)


def encrypt(visit: Visit) -> HttpAnswer:
    """The ciphertext of a text; the same text always has the same."""
    return said(seal(visit.workspace.key, str(sent_value(visit.asked))))


def create(visit: Visit) -> HttpAnswer:
    """Create one."""
    body = visit.body("path", "value", "is_secret", "description")
    path = body.get("path")
    if path in visit.workspace.variables:
        raise refused(f"Variable {path} already exists")
    value = _kept(visit, path, body.get("value"), secret=body.get("is_secret"))
    check_path(path, "variable", _CREATED_AT)
    if not visit.may_write(path):
        raise not_granted("variable", _CREATED_AT)
    visit.workspace.variables.put(
        path,
        {
            "workspace_id": visit.workspace.id,
            "path": path,
            "value": value,
            "is_secret": body.get("is_secret"),
            "description": body.get("description"),
            "extra_perms": {},
            "account": body.get("account"),
            "labels": body.get("labels"),
            "edited_at": visit.instance.now_text(),
            "edited_by": visit.caller.username,
        },
    )
    return said(f"variable {path} created", 201)


def _kept(visit: Visit, path: str, value: Any, *, secret: bool) -> str:  # Any: as sent
    if not secret:
        return str(value)
    if not visit.flag("already_encrypted"):
        return seal(visit.workspace.key, str(value))
    if not looks_sealed(str(value)):
        raise refused(
            f"Variable {path} was sent as already-encrypted (already_encrypted=true) but its value is not "
            "valid workspace-encrypted ciphertext. To push a plaintext secret, send it without "
            "already_encrypted (CLI: use --plain-secrets) so it gets encrypted."
        )
    return str(value)


def update(visit: Visit) -> HttpAnswer:
    """Change what is sent."""
    body = visit.body()
    row = visit.workspace.variables.find(visit.path)
    secret = body.get("is_secret", row["is_secret"] if row else False)
    changed = filled(body.values(), (), ("description", "is_secret", "account", "labels", "path"))
    if body.get("value") is not None:
        changed["value"] = _kept(visit, visit.path, body.get("value"), secret=secret)
    elif secret != (row["is_secret"] if row else False):
        raise refused("cannot change is_secret without updating value too")
    target = changed.get("path", visit.path)
    if row is None or not visit.may_write(visit.path, row["extra_perms"]):
        raise missing(f"Variable not found at name {visit.path} (variables.rs:1275)")
    edited = {"edited_at": visit.instance.now_text(), "edited_by": visit.caller.username}
    visit.workspace.variables.remove(visit.path) if target != visit.path else None
    visit.workspace.variables.put(target, {**row, **changed, **edited})
    return said(f'variable {visit.path} updated (npath: "{target}")')


def delete(visit: Visit) -> HttpAnswer:
    """Remove it, and the resource at the same path with it; one that is not there is confirmed as well."""
    row = visit.workspace.variables.find(visit.path)
    if row is not None and visit.may_write(visit.path, row["extra_perms"]):
        visit.workspace.variables.remove(visit.path)
    twin = visit.workspace.resources.find(visit.path)
    if twin is not None and visit.may_write(visit.path, twin["extra_perms"]):
        visit.workspace.resources.remove(visit.path)
    return said(f"variable {visit.path} deleted")
