"""HTTP routes. Their on/off switch and every careless update make them run as whoever did it."""

from __future__ import annotations

from platform_cli.local.windmill import routes
from platform_cli.local.windmill.answers import HttpAnswer, RequestRefused
from platform_cli.local.windmill.workspace.rows import Row, as_jsonb, filled, words
from platform_cli.local.windmill.workspace.schedules import whose
from platform_cli.local.windmill.workspace.visits import (
    Body,
    Visit,
    as_json,
    check_path,
    database_refused,
    missing,
    not_granted,
    refused,
    said,
    sent_text,
    unauthorized,
    undeserializable,
)

SERVED_AFTER_S = 8.0
_CREATED_AT, _UPDATED_AT = "handler.rs:181:5", "handler.rs:507:13"
_BASE = (
    "workspace_id",
    "path",
    "script_path",
    "mode",
    "is_flow",
    "edited_by",
    "permissioned_as",
    "edited_at",
)
_CONFIG = words(
    "route_path route_path_key request_type authentication_method http_method summary description "
    "static_asset_config is_static_website authentication_resource_path workspaced_route wrap_body "
    "raw_string"
)
_HANDLING = ("error_handler_path", "error_handler_args", "retry")
_METHODS = ("get", "post", "put", "delete", "patch")
_NEEDED = words("path script_path is_flow authentication_method http_method is_static_website")


def show(row: Row) -> Row:
    """A route as the export has it."""
    return filled(row, (*_BASE, "extra_perms"), ("labels",)) | filled(row, _CONFIG, _HANDLING)


def _is_draft(visit: Visit, path: str) -> bool:
    return f"trigger_http:{path}:{visit.caller.email}" in visit.workspace.drafts


def get(visit: Visit) -> HttpAnswer:
    """One."""
    row = visit.workspace.http_triggers.find(visit.path)
    if row is None or not visit.sees(visit.path, row["extra_perms"]):
        raise missing(f"Trigger not found at path: {visit.path}")
    return as_json(show(row) | {"is_draft": _is_draft(visit, visit.path)})


def list_(visit: Visit) -> HttpAnswer:
    """The last edited first."""
    rows = visit.starters(visit.workspace.http_triggers)
    return as_json([_listed(visit, row) for row in visit.page(rows)])


def _listed(visit: Visit, row: Row) -> Row:
    shown = filled(row, (*_BASE, "extra_perms"), ("labels",))
    return {**shown, "is_draft": _is_draft(visit, row["path"]), **filled(row, _CONFIG, _HANDLING)}


def exists(visit: Visit) -> HttpAnswer:
    """Whether there is one at this path, seen or not."""
    return as_json(visit.path in visit.workspace.http_triggers)


def route_exists(visit: Visit) -> HttpAnswer:
    """Whether a route like this is taken by another item."""
    body = visit.body("route_path", "http_method")
    return as_json(_is_taken(visit, body, body.get("trigger_path")))


def _is_taken(visit: Visit, body: Body, own: str | None) -> bool:
    key, prefixed = routes.route_key(body.get("route_path")), bool(body.get("workspaced_route"))
    return any(
        row["route_path_key"] == key
        and row["http_method"] == body.get("http_method")
        and (row["path"] != own or workspace.id != visit.workspace.id)
        for workspace in visit.instance.workspaces.values()
        for row in workspace.http_triggers
        if not (prefixed or row["workspaced_route"]) or workspace.id == visit.workspace.id
    )


def create(visit: Visit) -> HttpAnswer:
    """Create one; it is served some seconds later."""
    body = _body(visit)
    path = body.get("path")
    if not routes.is_valid(body.get("route_path", "")):
        raise refused("Invalid route path")
    _check_prefix(visit, body)
    if _is_taken(visit, body, None):
        raise refused("A route already exists with this path")
    if path in visit.workspace.http_triggers:
        why = 'duplicate key value violates unique constraint "http_trigger_pkey"'
        raise database_refused(why, _CREATED_AT)
    check_path(path, "http_trigger", _CREATED_AT)
    if not visit.may_write(path):
        raise not_granted("http_trigger", _CREATED_AT)
    base: Row = {"workspace_id": visit.workspace.id, "extra_perms": {}, "labels": None, "served": False}
    row = {**base, **_sent(visit, body), "mode": _mode(body) or "enabled"}
    row |= {"wrap_body": body.get("wrap_body", False), "raw_string": body.get("raw_string", False)}
    visit.workspace.http_triggers.put(path, row)
    _publish(visit, path)
    return said(path, 201)


def _publish(visit: Visit, path: str) -> None:
    visit.instance.forget("publish_route", visit.workspace.id, path)
    visit.instance.later(SERVED_AFTER_S, "publish_route", visit.workspace.id, path)


def _body(visit: Visit) -> Body:
    body = visit.body(*_NEEDED)
    method = body.get("http_method")
    if method not in _METHODS:
        known = ", ".join(f"`{name}`" for name in _METHODS)
        why = f"unknown variant `{method}`, expected one of {known}"
        raise RequestRefused(undeserializable(why, sent_text(visit.asked)))
    return body


def _check_prefix(visit: Visit, body: Body) -> None:
    if not visit.caller.is_admin and not body.get("workspaced_route"):
        raise unauthorized(
            "Non-admin users can only create workspaced HTTP triggers. Enable the workspace prefix for this "
            "route."
        )


def _mode(body: Body) -> str | None:
    mode: str | None = body.get("mode")
    if mode is None and body.get("enabled") is not None:
        return "enabled" if body.get("enabled") else "disabled"
    return mode


def _sent(visit: Visit, body: Body) -> Row:
    return {
        "path": body.get("path"),
        "script_path": body.get("script_path"),
        "is_flow": body.get("is_flow"),
        "edited_by": visit.caller.username,
        "permissioned_as": whose(visit, body),
        "edited_at": visit.instance.now_text(),
        "route_path": body.get("route_path"),
        "route_path_key": routes.route_key(body.get("route_path", "")),
        "request_type": body.get("request_type", "async" if body.get("is_async") else "sync"),
        "workspaced_route": body.get("workspaced_route", False),
        "static_asset_config": as_jsonb(body.get("static_asset_config")),
        "error_handler_path": body.get("error_handler_path"),
        "error_handler_args": as_jsonb(body.get("error_handler_args")),
        "retry": as_jsonb(body.get("retry")),
        **{
            name: body.get(name)
            for name in (
                "authentication_method",
                "http_method",
                "summary",
                "description",
                "is_static_website",
                "authentication_resource_path",
            )
        },
    }


def update(visit: Visit) -> HttpAnswer:
    """Change it whole: the mode stays when it is left out; a path that is not there is confirmed as well."""
    body = _body(visit)
    row = visit.workspace.http_triggers.find(visit.path)
    sent = _sent(visit, body)
    if visit.caller.is_admin or sent["workspaced_route"]:
        if not body.get("route_path"):
            raise refused("route_path is required")
        if not routes.is_valid(body.get("route_path")):
            raise refused("Invalid route path")
        if _is_taken(visit, body, visit.path):
            raise refused("A route already exists with this path")
    elif row is not None:
        sent |= {name: row[name] for name in ("route_path", "route_path_key", "workspaced_route")}
    if row is None or not visit.may_write(visit.path, row["extra_perms"]):
        return said(f"Trigger '{visit.path}' updated")
    for name in ("wrap_body", "raw_string"):
        if body.get(name) is None:
            why = f'null value in column "{name}" of relation "http_trigger" violates not-null constraint'
            raise database_refused(why, _UPDATED_AT)
        sent[name] = body.get(name)
    labels = {"labels": body.get("labels", row["labels"]), "mode": _mode(body) or row["mode"]}
    visit.workspace.http_triggers.remove(visit.path) if sent["path"] != visit.path else None
    visit.workspace.http_triggers.put(sent["path"], {**row, **sent, **labels})
    if sent["route_path_key"] != row["route_path_key"]:
        visit.workspace.http_triggers.change(sent["path"], served=False)
        _publish(visit, sent["path"])
    return said(f"Trigger '{visit.path}' updated")


def set_mode(visit: Visit) -> HttpAnswer:
    """The switch. From now on the route runs as whoever pressed it."""
    mode = visit.body("mode").get("mode")
    row = visit.workspace.http_triggers.find(visit.path)
    if row is None or not visit.may_write(visit.path, row["extra_perms"]):
        raise missing(f"Trigger not found at path: {visit.path}")
    visit.workspace.http_triggers.change(
        visit.path,
        mode=mode,
        permissioned_as=f"u/{visit.caller.username}",
        edited_by=visit.caller.username,
        edited_at=visit.instance.now_text(),
    )
    return said(f"Trigger '{visit.path}' {mode if mode in {'enabled', 'disabled'} else 'suspended'}")


def delete(visit: Visit) -> HttpAnswer:
    """Remove it."""
    row = visit.workspace.http_triggers.find(visit.path)
    if row is None or not visit.may_write(visit.path, row["extra_perms"]):
        raise missing(f"Trigger not found at path: {visit.path}")
    visit.workspace.http_triggers.remove(visit.path)
    return said(f"Trigger '{visit.path}' deleted")
