"""Drafts: what a person types in the editor is kept by itself, beside what is deployed."""

from __future__ import annotations

import json

from platform_cli.local.windmill import answers
from platform_cli.local.windmill.answers import HttpAnswer, RequestRefused
from platform_cli.local.windmill.workspace.instance import Workspace
from platform_cli.local.windmill.workspace.rows import Row, words
from platform_cli.local.windmill.workspace.visits import (
    Visit,
    as_json,
    database_refused,
    missing,
    unauthorized,
)

KINDS = words(
    "script flow app raw_app resource variable trigger_schedule trigger_webhook trigger_default_email "
    "trigger_email trigger_http trigger_websocket trigger_postgres trigger_kafka trigger_nats "
    "trigger_mqtt trigger_sqs trigger_gcp trigger_azure trigger_poll trigger_cli trigger_nextcloud "
    "trigger_google trigger_github data_pipeline"
)
_TABLES = {
    "script": "scripts",
    "flow": "flows",
    "app": "apps",
    "raw_app": "apps",
    "resource": "resources",
    "variable": "variables",
    "trigger_schedule": "schedules",
    "trigger_http": "http_triggers",
}
_NAMED_USERS = frozenset({"script", "flow", "app", "raw_app"})


def users_of(workspace: Workspace, kind: str, path: str) -> list[Row]:
    """Who has a draft at a path, as lists name them."""
    emails = {row["email"] for row in workspace.drafts if (row["kind"], row["path"]) == (kind, path)}
    if not emails:
        return []
    named = sorted(row["username"] for row in workspace.members if row["email"] in emails)
    return [{"username": name} for name in named]


def discard_own(visit: Visit, kind: str, path: str) -> None:
    """The caller's draft goes when they deploy."""
    visit.workspace.drafts.remove(f"{kind}:{path}:{visit.caller.email}")


def discard_all(workspace: Workspace, kind: str, path: str) -> None:
    """Everybody's draft goes when the item is deleted."""
    for key, row in workspace.drafts.items():
        if (row["kind"], row["path"]) == (kind, path):
            workspace.drafts.remove(key)


def list_(visit: Visit) -> HttpAnswer:
    """The caller's own; with `all_users=true` everybody's on what the caller may see. Operators see none."""
    if visit.caller.is_operator:
        return as_json([])
    found: dict[tuple[str, str], Row] = {}
    for row in visit.workspace.drafts:
        mine = row["email"] == visit.caller.email
        if not mine and not (visit.flag("all_users") and visit.sees(row["path"])):
            continue
        place = (row["path"], row["kind"])
        if place not in found or mine:
            found[place] = row
    return as_json([_listed(visit, found[place]) for place in sorted(found)])


def _listed(visit: Visit, row: Row) -> Row:
    mine = row["email"] == visit.caller.email
    value = json.loads(row["value"])
    shown: Row = {"kind": row["kind"], "path": row["path"]}
    if isinstance(value, dict):
        named = value.get("path" if row["kind"] == "script" else "draft_path")
        shown |= {"summary": value["summary"]} if value.get("summary") is not None else {}
        shown |= {"draft_path": named} if named and named != row["path"] else {}
    shown |= {"draft_only": not _is_deployed(visit.workspace, row), "legacy_draft": False}
    shown["created_at"] = row["created_at"]
    if row["kind"] in _NAMED_USERS:
        shown["draft_users"] = users_of(visit.workspace, row["kind"], row["path"])
    return shown | {"can_write": mine and visit.may_write(row["path"]), "mine": mine}


def _is_deployed(workspace: Workspace, draft: Row) -> bool:
    table = _TABLES.get(draft["kind"])
    if table is None:
        return False
    return any(row["path"] == draft["path"] for row in workspace.table(table))


def update(visit: Visit) -> HttpAnswer:
    """Keep a draft, or discard it when no value is sent."""
    kind = visit.parts[0]
    if kind not in KINDS:
        known = ", ".join(f"`{name}`" for name in KINDS)
        raise RequestRefused(
            answers.text(400, f"Invalid URL: unknown variant `{kind}`, expected one of {known}")
        )
    body = visit.body()
    value, now = body.raw("value"), visit.instance.now_text()
    key = f"{kind}:{visit.path}:{visit.caller.email}"
    if value is None:
        visit.workspace.drafts.remove(key)
        return as_json({"status": "saved", "current_timestamp": now})
    if not visit.may_write(visit.path):
        raise unauthorized(f"You are not allowed to write {visit.path}")
    if visit.instance.users.get(visit.caller.email, {}).get("login_type") != "password":
        why = 'insert or update on table "draft" violates foreign key constraint "draft_password_fkey"'
        raise database_refused(why, "drafts.rs:307:9")
    row = {"kind": kind, "path": visit.path, "email": visit.caller.email, "value": value.text}
    visit.workspace.drafts.put(key, {**row, "created_at": now})
    return as_json({"status": "saved", "current_timestamp": now})


def get_own(visit: Visit) -> HttpAnswer:
    """The caller's draft."""
    row = visit.workspace.drafts.find(f"{visit.parts[0]}:{visit.path}:{visit.caller.email}")
    if row is None:
        raise missing(f"Draft not found at name {visit.path} (drafts.rs:420)")
    return as_json({"value": json.loads(row["value"]), "created_at": row["created_at"]})
