"""Flows. Every write queues a dependency job, which rewrites the value in place under the same version id."""

from __future__ import annotations

import copy

from platform_cli.local.windmill import answers
from platform_cli.local.windmill.answers import HttpAnswer, RequestRefused
from platform_cli.local.windmill.workspace import flow_values, locking
from platform_cli.local.windmill.workspace.drafts import discard_all, discard_own, users_of
from platform_cli.local.windmill.workspace.instance import Instance, Pending, Workspace
from platform_cli.local.windmill.workspace.rows import Row, as_jsonb, filled, jsonb_text
from platform_cli.local.windmill.workspace.visits import (
    Body,
    Visit,
    as_json,
    check_path,
    missing,
    not_granted,
    refused,
    said,
    sent_text,
    unauthorized,
    undeserializable,
)

_CREATED_AT = "flows.rs:599:5"
_PENDING = ""
_SET = ("dedicated_worker", "tag", "timeout", "on_behalf_of_email", "labels")


def show(row: Row, version: Row) -> Row:
    """A flow with one of its versions, as `get`, `get/v` and the export have it."""
    shown = filled(row, ("workspace_id", "path", "summary", "description"))
    shown |= {
        "value": version["value"],
        "edited_by": version["created_by"],
        "edited_at": version["created_at"],
    }
    shown |= {"archived": row["archived"], "schema": version["schema"], "extra_perms": row["extra_perms"]}
    shown |= filled(row, (), ("dedicated_worker", "tag", "timeout"))
    shown |= {"visible_to_runner_only": True} if row["visible_to_runner_only"] else {}
    return shown | filled(row, (), ("on_behalf_of_email", "labels"))


def newest_version(workspace: Workspace, row: Row) -> Row:
    """The version of a flow that is live."""
    found = workspace.flow_versions.find(str(row["versions"][-1]))
    if found is None:
        raise KeyError(row["path"])
    return found


def _answered(row: Row, version: Row) -> Row:
    shown = show(row, version)
    return {**shown, "value": jsonb_text(shown["value"])}


def _find(visit: Visit) -> Row | None:
    row = visit.workspace.flows.find(visit.path)
    return row if row is not None and visit.sees(visit.path, row["extra_perms"]) else None


def get(visit: Visit) -> HttpAnswer:
    """One, archived or not. `lock_error_logs` is the empty text while the job has not ended."""
    row = _find(visit)
    if row is None:
        raise missing(f"Flow not found at path {visit.path}")
    shown = _answered(row, newest_version(visit.workspace, row))
    shown |= filled(row, (), ("lock_error_logs",))
    draft = f"flow:{visit.path}:{visit.caller.email}" in visit.workspace.drafts
    return as_json(shown | {"version_id": row["versions"][-1], "is_draft": draft})


def get_version(visit: Visit) -> HttpAnswer:
    """A flow as one of its versions has it."""
    version = visit.workspace.flow_versions.find(visit.parts[0])
    row = visit.workspace.flows.find(version["path"]) if version else None
    if version is None or row is None or not visit.sees(row["path"], row["extra_perms"]):
        raise missing(f"Flow version not found at name {visit.parts[0]} (flows.rs:1404)")
    return as_json(_answered(row, version))


def list_(visit: Visit) -> HttpAnswer:
    """The live ones, the last edited first."""
    start, exact = visit.parameter("path_start") or "", visit.parameter("path_exact")
    rows = [
        row
        for row in visit.workspace.flows
        if row["archived"] == visit.flag("show_archived")
        and row["path"].startswith(start)
        and exact in {None, row["path"]}
        and visit.sees(row["path"], row["extra_perms"])
    ]
    rows.sort(key=lambda row: str(newest_version(visit.workspace, row)["created_at"]), reverse=True)
    return as_json([_listed(visit, row) for row in visit.page(rows)])


def _listed(visit: Visit, row: Row) -> Row:
    version = newest_version(visit.workspace, row)
    shown = filled(row, ("workspace_id", "path", "summary"))
    if not visit.flag("without_description"):
        shown["description"] = row["description"]
    shown |= {"edited_by": version["created_by"], "edited_at": version["created_at"]}
    shown |= {"archived": row["archived"], "extra_perms": row["extra_perms"], "starred": False}
    shown["ws_error_handler_muted"] = False
    message = visit.workspace.messages.find(f"flow:{row['versions'][-1]}")
    if message and visit.flag("with_deployment_msg"):
        shown["deployment_msg"] = message["deployment_msg"]
    draft = f"flow:{row['path']}:{visit.caller.email}" in visit.workspace.drafts
    shown |= {**filled(row, (), ("labels",)), "is_draft": draft}
    drafted = users_of(visit.workspace, "flow", row["path"])
    return shown | ({"draft_users": drafted} if drafted else {})


def exists(visit: Visit) -> HttpAnswer:
    """Whether there is one at this path, seen or not, archived or not."""
    return as_json(visit.path in visit.workspace.flows)


def status(visit: Visit) -> HttpAnswer:
    """How far the dependency job is: the empty text while it has not ended, null when it went well."""
    row = _find(visit)
    if row is None:
        raise missing(f"DeploymentStatus not found at name {visit.path} (flows.rs:1466)")
    return as_json({"lock_error_logs": row["lock_error_logs"], "job_id": row["job_id"]})


def history(visit: Visit) -> HttpAnswer:
    """All versions, newest first."""
    rows = [
        row for row in visit.workspace.flow_versions if row["path"] == visit.path and visit.sees(visit.path)
    ]
    rows.sort(key=lambda row: str(row["created_at"]), reverse=True)
    return as_json([_version(visit, row) for row in rows])


def _version(visit: Visit, row: Row) -> Row:
    message = visit.workspace.messages.find(f"flow:{row['id']}")
    told = {"deployment_msg": message["deployment_msg"]} if message else {}
    return {"id": row["id"], "created_at": row["created_at"], **told}


# --- Writing ----------------------------------------------------------------------------------------------


def create(visit: Visit) -> HttpAnswer:
    """Create one; an archived one at the path is in the way."""
    if visit.caller.is_operator:
        raise unauthorized("Operators cannot create flows for security reasons")
    body = _body(visit)
    path = body.get("path")
    if path in visit.workspace.flows:
        raise refused(f"Flow {path} already exists")
    check_path(path, "flow", _CREATED_AT)
    if not visit.may_write(path):
        raise not_granted("flow", _CREATED_AT)
    base = {"workspace_id": visit.workspace.id, "archived": False, "extra_perms": {}, "versions": []}
    _write(visit, body, path, {**base, "labels": None})
    return said(path, 201)


def update(visit: Visit) -> HttpAnswer:
    """A new version; the last one to write wins, and an archived flow stays archived."""
    if visit.caller.is_operator:
        raise unauthorized("Operators cannot update flows for security reasons")
    body = _body(visit)
    row = visit.workspace.flows.find(visit.path)
    if row is None or not visit.may_write(visit.path, row["extra_perms"]):
        raise missing(f"Flow not found at name {visit.path} (flows.rs:1047)")
    path = body.get("path")
    if path != visit.path:
        visit.workspace.flows.remove(visit.path)
        for key, version in visit.workspace.flow_versions.items():
            if version["path"] == visit.path:
                visit.workspace.flow_versions.change(key, path=path)
    _write(visit, body, path, row)
    return said(path)


def _body(visit: Visit) -> Body:
    body = visit.body("path", "summary", "value")
    why = flow_values.complaint(body.get("value"))
    if why:
        raise RequestRefused(undeserializable(why, sent_text(visit.asked)))
    if body.get("ws_error_handler_muted"):
        raise refused("Muting the error handler for certain flow is only available in enterprise version")
    return body


def _write(visit: Visit, body: Body, path: str, before: Row) -> None:
    version = visit.instance.next_id()
    visit.workspace.flow_versions.put(
        str(version),
        {
            "id": version,
            "path": path,
            "value": as_jsonb(body.get("value")),
            "schema": body.raw("schema"),
            "created_at": visit.instance.now_text(),
            "created_by": visit.caller.username,
        },
    )
    by = (visit.caller.username, visit.caller.email)
    job = locking.start_job(visit.instance, visit.workspace, "flowdependencies", path, by)
    row = {
        **before,
        "path": path,
        "summary": body.get("summary"),
        "description": body.get("description", ""),
        "visible_to_runner_only": body.get("visible_to_runner_only", False),
        "lock_error_logs": _PENDING,
        "job_id": job,
        "versions": [*before["versions"], version],
        **{name: body.get(name) for name in _SET},
        "labels": body.get("labels", before["labels"]),
        "timeout": before.get("timeout"),
    }
    visit.workspace.flows.put(path, row)
    visit.instance.forget("lock_flow", visit.workspace.id, path)
    visit.instance.later(locking.FLOW_LOCK_S, "lock_flow", visit.workspace.id, path)
    if not body.get("skip_draft_deletion", False):
        discard_own(visit, "flow", path)


def lock_flow(instance: Instance, workspace: Workspace, pending: Pending) -> None:
    """A flow's dependency job: the value is rewritten in place, or stays as it was sent when a lock fails.

    Every lock of a step is worked out anew, whatever lock was sent with it.
    """
    row = workspace.flows.find(pending.about)
    if row is None:
        return
    version = newest_version(workspace, row)
    value, error = flow_values.normalized(copy.deepcopy(version["value"])), None
    for step, script in flow_values.raw_scripts(value):
        if not locking.needs_lock(script.get("language", "")):
            script["lock"] = ""
            continue
        try:
            content = script.get("content", "")
            script["lock"] = locking.lock_of(workspace, row["path"], content, script["language"])
        except locking.Unresolvable as unresolvable:
            error = locking.failure(row["job_id"], unresolvable.package, "script", step)
            break
    if error is None:
        workspace.flow_versions.change(str(version["id"]), value=as_jsonb(value))
    workspace.flows.change(pending.about, lock_error_logs=error)
    locking.end_job(instance, workspace, row["job_id"], error)


def archive(visit: Visit) -> HttpAnswer:
    """Put away, or take out again; the answer says archived either way."""
    body = visit.body()
    row = visit.workspace.flows.find(visit.path)
    if row is not None and visit.may_write(visit.path, row["extra_perms"]):
        visit.workspace.flows.change(visit.path, archived=body.get("archived", True))
    return said(f"Flow {visit.path} archived")


def delete(visit: Visit) -> HttpAnswer:
    """Remove it with its versions and everybody's drafts; one that is not there is confirmed as well."""
    row = visit.workspace.flows.find(visit.path)
    if row is not None and visit.may_write(visit.path, row["extra_perms"]):
        visit.workspace.flows.remove(visit.path)
        discard_all(visit.workspace, "flow", visit.path)
        for key, version in visit.workspace.flow_versions.items():
            if version["path"] == visit.path:
                visit.workspace.flow_versions.remove(key)
    return said(f"Flow {visit.path} deleted")


def update_history(visit: Visit) -> HttpAnswer:
    """A message on a version of a flow: this edition has no such endpoint."""
    del visit
    return answers.empty(404)
