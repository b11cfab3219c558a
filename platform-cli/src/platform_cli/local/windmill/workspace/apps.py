"""Apps, low-code and raw ones, as whole items: a value, a policy, versions."""

from __future__ import annotations

import email.parser
import email.policy
import json

from platform_cli.local.windmill.answers import HttpAnswer
from platform_cli.local.windmill.workspace.drafts import discard_all, discard_own
from platform_cli.local.windmill.workspace.instance import Workspace
from platform_cli.local.windmill.workspace.rows import Row, filled, members
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

_CREATED_AT = "apps.rs:900:5"


def show(row: Row, version: Row) -> Row:
    """An app with its last version, as the export has it."""
    shown = filled(row, ("id", "path", "summary", "policy", "versions"))
    shown |= {
        "value": version["value"],
        "created_by": version["created_by"],
        "created_at": version["created_at"],
    }
    return (
        shown
        | filled(row, ("extra_perms",), ("custom_path",))
        | {"raw_app": row["raw_app"], **filled(row, (), ("labels",))}
    )


def newest_version(workspace: Workspace, row: Row) -> Row:
    """The version of an app that is live."""
    found = workspace.app_versions.find(str(row["versions"][-1]))
    if found is None:
        raise KeyError(row["path"])
    return found


def list_(visit: Visit) -> HttpAnswer:
    """All the caller may see."""
    start = visit.parameter("path_start") or ""
    rows = [
        row
        for row in visit.workspace.apps
        if row["path"].startswith(start) and visit.sees(row["path"], row["extra_perms"])
    ]
    rows.sort(key=lambda row: int(row["versions"][-1]), reverse=True)
    return as_json([_listed(visit, row) for row in visit.page(rows)])


def _listed(visit: Visit, row: Row) -> Row:
    version = newest_version(visit.workspace, row)
    shown = {"workspace_id": visit.workspace.id, **filled(row, ("id", "path", "summary"))}
    shown |= {"version": row["versions"][-1], "extra_perms": row["extra_perms"], "starred": False}
    shown |= {"edited_at": version["created_at"], "execution_mode": row["policy"].get("execution_mode", "")}
    return shown | {"raw_app": row["raw_app"], "is_draft": False, **filled(row, (), ("labels",))}


def get(visit: Visit) -> HttpAnswer:
    """One, with its last version."""
    row = visit.workspace.apps.find(visit.path)
    if row is None or not visit.sees(visit.path, row["extra_perms"]):
        raise missing(f"App not found at name {visit.path} (apps.rs:610)")
    return as_json(show(row, newest_version(visit.workspace, row)))


def exists(visit: Visit) -> HttpAnswer:
    """Whether there is one at this path, seen or not."""
    return as_json(visit.path in visit.workspace.apps)


def history(visit: Visit) -> HttpAnswer:
    """All versions, newest first."""
    row = visit.workspace.apps.find(visit.path)
    return as_json([{"version": version} for version in reversed(row["versions"])] if row else [])


def create(visit: Visit) -> HttpAnswer:
    """A low-code app."""
    return _create(visit, visit.body("path", "summary", "value", "policy"), raw_app=False)


def create_raw(visit: Visit) -> HttpAnswer:
    """A raw app: its description, its bundle and its style come as three parts."""
    return _create(visit, _part(visit), raw_app=True)


def _part(visit: Visit) -> Body:
    """The part `app` of a multipart body. What is bundled from it is not kept: the export has none of it."""
    head = f"content-type: {visit.asked.header('content-type')}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + visit.asked.body)
    for part in message.iter_parts() if message.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == "app":
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                return Body(members(content.decode()))
    raise refused("No app found in the uploaded file")


def _create(visit: Visit, body: Body, *, raw_app: bool) -> HttpAnswer:
    if visit.caller.is_operator:
        raise unauthorized("Operators cannot create apps for security reasons")
    path = body.get("path")
    if path in visit.workspace.apps:
        raise refused(f"App with path {path} already exists")
    check_path(path, "app", _CREATED_AT)
    if not visit.may_write(path):
        raise not_granted("app", _CREATED_AT)
    base = {"id": visit.instance.next_id(), "extra_perms": {}, "versions": [], "raw_app": raw_app}
    base |= {"summary": "", "policy": {}, "custom_path": None, "labels": None}
    _write(visit, body, path, base)
    return said(path, 201)


def update(visit: Visit) -> HttpAnswer:
    """A new version of a low-code app."""
    return _update(visit, visit.body())


def update_raw(visit: Visit) -> HttpAnswer:
    """A new version of a raw app."""
    return _update(visit, _part(visit))


def _update(visit: Visit, body: Body) -> HttpAnswer:
    if visit.caller.is_operator:
        raise unauthorized("Operators cannot update apps for security reasons")
    row = visit.workspace.apps.find(visit.path)
    if row is None or not visit.may_write(visit.path, row["extra_perms"]):
        raise missing(f"App not found at name {visit.path} (apps.rs:1300)")
    path = body.get("path", visit.path)
    visit.workspace.apps.remove(visit.path) if path != visit.path else None
    _write(visit, body, path, row)
    return said(f"app {visit.path} updated (npath: {json.dumps(path)})")


def _write(visit: Visit, body: Body, path: str, before: Row) -> None:
    row = {**before, "path": path}
    for name in ("summary", "policy", "custom_path", "labels"):
        row[name] = body.get(name, before[name])
    if body.get("value") is not None:
        version = visit.instance.next_id()
        made = {"created_by": visit.caller.username, "created_at": visit.instance.now_text()}
        visit.workspace.app_versions.put(str(version), {"id": version, "value": body.get("value"), **made})
        row["versions"] = [*before["versions"], version]
    visit.workspace.apps.put(path, row)
    if not body.get("skip_draft_deletion", False):
        discard_own(visit, "raw_app" if row["raw_app"] else "app", path)


def delete(visit: Visit) -> HttpAnswer:
    """Remove it with everybody's drafts."""
    row = visit.workspace.apps.find(visit.path)
    if row is not None and visit.may_write(visit.path, row["extra_perms"]):
        visit.workspace.apps.remove(visit.path)
        discard_all(visit.workspace, "raw_app" if row["raw_app"] else "app", visit.path)
    return said(f"app {visit.path} deleted")
