"""Schedules. An update ignores its target and switch, and moves the identity unless told to keep it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from platform_cli.local.windmill.answers import HttpAnswer
from platform_cli.local.windmill.schedules import cron
from platform_cli.local.windmill.workspace.rows import Row, as_jsonb, filled, instant, jsonb_text, words
from platform_cli.local.windmill.workspace.visits import (
    Body,
    Visit,
    as_json,
    broken,
    check_path,
    missing,
    refused,
    said,
)

_FIELDS = 6
_SENT = words(
    "on_failure on_failure_times on_failure_exact on_recovery on_recovery_times on_success summary "
    "description tag paused_until dynamic_skip"
)
_SENT_JSON = ("on_failure_extra_args", "on_recovery_extra_args", "on_success_extra_args", "retry")
_LISTED = words(
    "workspace_id path edited_by edited_at schedule timezone enabled script_path is_flow summary extra_perms"
)


def show(row: Row) -> Row:
    """A schedule as `get` and the export have it."""
    always = ("workspace_id", "path", "edited_by", "edited_at", "schedule", "timezone", "enabled")
    shown = filled(
        row, (*always, "script_path", "is_flow", "args", "extra_perms", "email", "permissioned_as")
    )
    failures = ("on_failure", "on_failure_times", "on_failure_exact", "on_failure_extra_args")
    others = ("on_recovery", "on_recovery_times", "on_recovery_extra_args", "on_success")
    shown |= filled(row, (), ("error", *failures, *others, "on_success_extra_args"))
    shown |= filled(row, ("ws_error_handler_muted",), ("retry",))
    last = ("summary", "description", "tag", "paused_until", "cron_version", "dynamic_skip", "labels")
    return shown | filled(row, ("no_flow_overlap",), last)


def _is_draft(visit: Visit, path: str) -> bool:
    return f"trigger_schedule:{path}:{visit.caller.email}" in visit.workspace.drafts


def get(visit: Visit) -> HttpAnswer:
    """One."""
    row = visit.workspace.schedules.find(visit.path)
    if row is None or not visit.sees(visit.path, row["extra_perms"]):
        raise missing(f"Schedule not found at path {visit.path}")
    shown = show(row)
    for name in ("args", "on_failure_extra_args", "on_recovery_extra_args", "on_success_extra_args"):
        if name in shown:
            shown[name] = jsonb_text(shown[name])
    return as_json(shown | {"is_draft": _is_draft(visit, visit.path)})


def list_(visit: Visit) -> HttpAnswer:
    """The last made first; arguments, version of cron and overlap are not in it."""
    rows = visit.starters(visit.workspace.schedules)
    return as_json(
        [
            filled(row, _LISTED, ("labels",)) | {"is_draft": _is_draft(visit, row["path"])}
            for row in visit.page(rows)
        ]
    )


def exists(visit: Visit) -> HttpAnswer:
    """Whether there is one at this path, seen or not."""
    return as_json(visit.path in visit.workspace.schedules)


def create(visit: Visit) -> HttpAnswer:
    """Create one; its target need not exist."""
    body = visit.body("path", "schedule", "timezone", "script_path", "is_flow")
    path = body.get("path")
    _check_times(body.get("schedule"), body.get("timezone"))
    if path in visit.workspace.schedules:
        raise refused(f"Schedule {path} already exists")
    check_path(path, "schedule", "lib.rs:398:18")
    if not visit.may_write(path):
        why = 'new row violates row-level security policy for table "schedule"'
        raise broken(
            f"inserting schedule in {visit.workspace.id}: error returned from database: {why} @lib.rs:398:18"
        )
    base = {
        "workspace_id": visit.workspace.id,
        "path": path,
        "edited_at": visit.instance.now_text(),
        "script_path": body.get("script_path"),
        "is_flow": body.get("is_flow"),
        "enabled": body.get("enabled", True),
        "extra_perms": {},
        "cron_version": "v2",
        "labels": None,
    }
    row = {**base, **_sent(visit, body, base)}
    if row["enabled"]:
        _require_runner(visit, row["permissioned_as"])
    visit.workspace.schedules.put(path, row)
    return said(path)


def _require_runner(visit: Visit, identity: str) -> None:
    """What is on has its next job queued at once, and a job needs a user who is there."""
    name = identity.removeprefix("u/")
    known = identity == f"u/{visit.caller.username}" or visit.workspace.members.find(name) is not None
    if identity.startswith("u/") and not known:
        raise missing(f"user {name} not found in workspace {visit.workspace.id}")


def update(visit: Visit) -> HttpAnswer:
    """Change it: what is left out is cleared, but for labels and cron_version."""
    body = visit.body("schedule", "timezone")
    _check_times(body.get("schedule"), body.get("timezone"))
    row = visit.workspace.schedules.find(visit.path)
    if row is None or not visit.may_write(visit.path, row["extra_perms"]):
        raise broken(
            f"updating schedule in {visit.workspace.id}: no rows returned by a query that expected to return "
            "at least one row @lib.rs:607:18"
        )
    visit.workspace.schedules.put(visit.path, {**row, **_sent(visit, body, row)})
    return said(visit.path)


def _sent(visit: Visit, body: Body, before: Row) -> Row:
    identity = whose(visit, body)
    return {
        "schedule": body.get("schedule"),
        "timezone": body.get("timezone"),
        "args": as_jsonb(body.get("args")),
        "ws_error_handler_muted": body.get("ws_error_handler_muted", False),
        "no_flow_overlap": body.get("no_flow_overlap", False),
        "cron_version": body.get("cron_version", before["cron_version"]),
        "labels": body.get("labels", before["labels"]),
        "edited_by": visit.caller.username,
        "permissioned_as": identity,
        "email": _email(visit, identity),
        **{name: body.get(name) for name in _SENT},
        **{name: as_jsonb(body.get(name)) for name in _SENT_JSON},
    }


def whose(visit: Visit, body: Body) -> str:
    """The identity a write leaves behind: the one that was sent if it is to be kept, or else the caller's."""
    given: str | None = body.get("permissioned_as")
    kept = given is not None and body.get("preserve_permissioned_as") and visit.caller.may_preserve
    return given if kept and given is not None else f"u/{visit.caller.username}"


def _email(visit: Visit, identity: str) -> str:
    if identity == f"u/{visit.caller.username}":
        return visit.caller.email
    name = identity.removeprefix("u/")
    member = visit.workspace.members.find(name)
    return str(member["email"]) if member else f"{name}@unknown.windmill.dev"


def set_enabled(visit: Visit) -> HttpAnswer:
    """The switch. Whoever presses it leaves their address behind, and the identity as it was."""
    body = visit.body("enabled")
    row = visit.workspace.schedules.find(visit.path)
    if row is None or not visit.may_write(visit.path, row["extra_perms"]):
        raise missing(f"Schedule not found at name {visit.path} (lib.rs:1100)")
    enabled = body.get("enabled")
    visit.workspace.schedules.change(visit.path, enabled=enabled, email=visit.caller.email)
    return said(f"succesfully updated schedule at path {visit.path} to status {str(enabled).lower()}")


def delete(visit: Visit) -> HttpAnswer:
    """Remove it."""
    row = visit.workspace.schedules.find(visit.path)
    if row is None or not visit.may_write(visit.path, row["extra_perms"]):
        raise missing(f"Schedule {visit.path} not found")
    visit.workspace.schedules.remove(visit.path)
    return said(f"schedule {visit.path} deleted")


def preview(body: Body, now: datetime) -> HttpAnswer:
    """The next five times."""
    expression, zone = _check_times(body.get("schedule", ""), body.get("timezone", "UTC"))
    return as_json([instant(at) for at in expression.upcoming(now, zone, 5)])


def _check_times(expression: Any, zone: Any) -> tuple[cron.Cron, ZoneInfo]:  # Any: as sent
    if len(str(expression).split()) != _FIELDS:
        why = "Pattern must consist of six fields, seconds can not be omitted."
        raise refused(f"cron: Invalid pattern: {why}")
    try:
        found = cron.parse(str(expression))
    except cron.BadCron as error:
        raise refused(f"cron: {error}") from error
    try:
        return found, ZoneInfo(str(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise refused("failed to parse timezone") from error
