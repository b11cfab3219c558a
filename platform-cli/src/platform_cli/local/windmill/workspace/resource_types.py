"""Resource types: they stand outside any folder, and everybody sees them."""

from __future__ import annotations

from platform_cli.local.windmill.answers import HttpAnswer
from platform_cli.local.windmill.workspace.rows import Row, as_jsonb, filled, words
from platform_cli.local.windmill.workspace.visits import Visit, as_json, missing, refused, said

SHOWN = words("workspace_id name schema description created_by edited_at format_extension is_fileset")


def show(row: Row) -> Row:
    """A resource type as lists, `get` and the export have it."""
    return filled(row, SHOWN)


def list_(visit: Visit) -> HttpAnswer:
    """All, by name."""
    rows = sorted(visit.workspace.resource_types, key=lambda row: str(row["name"]))
    return as_json([show(row) for row in rows])


def list_names(visit: Visit) -> HttpAnswer:
    """All names."""
    return as_json(sorted(row["name"] for row in visit.workspace.resource_types))


def get(visit: Visit) -> HttpAnswer:
    """One."""
    row = visit.workspace.resource_types.find(visit.path)
    if row is None:
        raise missing(f"ResourceType not found at name {visit.path} (resources.rs:2101)")
    return as_json(show(row))


def exists(visit: Visit) -> HttpAnswer:
    """Whether there is one of this name."""
    return as_json(visit.path in visit.workspace.resource_types)


def create(visit: Visit) -> HttpAnswer:
    """Create one."""
    body = visit.body("name")
    name = body.get("name")
    if name in visit.workspace.resource_types:
        raise refused(f"Resource type {name} already exists")
    visit.workspace.resource_types.put(
        name,
        {
            "workspace_id": visit.workspace.id,
            "name": name,
            "schema": as_jsonb(body.get("schema")),
            "description": body.get("description"),
            "created_by": visit.caller.username,
            "edited_at": visit.instance.now_text(),
            "format_extension": body.get("format_extension"),
            "is_fileset": body.get("is_fileset", False),
        },
    )
    return said(f"resource_type {name} created", 201)


def update(visit: Visit) -> HttpAnswer:
    """Change schema, description, is_fileset; a name that is not there is confirmed as well."""
    body = visit.body()
    if visit.path in visit.workspace.resource_types:
        changed = {
            name: as_jsonb(body.get(name))
            for name in ("schema", "description", "is_fileset")
            if body.get(name) is not None
        }
        visit.workspace.resource_types.change(visit.path, **changed, edited_at=visit.instance.now_text())
    return said(f"resource_type {visit.path} updated")


def delete(visit: Visit) -> HttpAnswer:
    """Remove one; its resources stay."""
    if not visit.workspace.resource_types.remove(visit.path):
        raise missing(f"ResourceType not found at name {visit.path} (resources.rs:2258)")
    return said(f"resource_type {visit.path} deleted")


def extensions(visit: Visit) -> HttpAnswer:
    """Types whose resources are files, with the ending of the file."""
    rows = visit.workspace.resource_types
    return as_json(
        {
            row["name"]: {"format_extension": row["format_extension"], "is_fileset": row["is_fileset"]}
            for row in rows
            if row["format_extension"] or row["is_fileset"]
        }
    )
