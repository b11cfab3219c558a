"""Rights on single items, given beside those of their folder."""

from __future__ import annotations

from platform_cli.local.windmill.answers import HttpAnswer
from platform_cli.local.windmill.workspace.instance import Workspace
from platform_cli.local.windmill.workspace.rows import Row, Table, as_jsonb
from platform_cli.local.windmill.workspace.visits import Visit, as_json, missing, refused, said, unauthorized

_TABLES = {
    "script": "scripts",
    "flow": "flows",
    "resource": "resources",
    "variable": "variables",
    "schedule": "schedules",
    "http_trigger": "http_triggers",
    "app": "apps",
    "raw_app": "apps",
    "folder": "folders",
    "group_": "groups",
}


def _rows(visit: Visit) -> tuple[Table, dict[str, Row]]:
    kind = visit.parts[0]
    if kind not in _TABLES:
        raise refused(f"Invalid kind {kind}")
    table = visit.workspace.table(_TABLES[kind])
    found = {key: row for key, row in table.items() if _named(visit.workspace, table, row) == visit.path}
    if not found:
        raise missing(f"Granular ACL not found at name {visit.path} (granular_acls.rs:120)")
    if not visit.may_write(visit.path, next(iter(found.values()))["extra_perms"]):
        raise unauthorized(f"You are not allowed to change the rights of {visit.path}")
    return table, found


def _named(workspace: Workspace, table: Table, row: Row) -> str:
    return str(row["name"]) if table in {workspace.folders, workspace.groups} else str(row["path"])


def get(visit: Visit) -> HttpAnswer:
    """The rights on one item."""
    _, found = _rows(visit)
    return as_json(list(found.values())[-1]["extra_perms"])


def add(visit: Visit) -> HttpAnswer:
    """Give somebody a right: to read, or with `write` to change."""
    body = visit.body("owner")
    table, found = _rows(visit)
    for key, row in found.items():
        given = {**row["extra_perms"], body.get("owner"): bool(body.get("write", False))}
        table.change(key, extra_perms=as_jsonb(given))
    return said("Successfully modified granular acl")


def remove(visit: Visit) -> HttpAnswer:
    """Take somebody's right back."""
    owner = visit.body("owner").get("owner")
    table, found = _rows(visit)
    for key, row in found.items():
        rest = {who: may for who, may in row["extra_perms"].items() if who != owner}
        table.change(key, extra_perms=rest)
    return said("Successfully removed granular acl")
